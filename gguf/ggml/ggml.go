// Package ggml converts the block formats of ggml to plain numbers, with the bits that ggml's own converter for Python
// gives (gguf-py, gguf.quants.dequantize): every product and sum is rounded to float32 in the same order. It owns the
// layout of the blocks and nothing about files. It imports gguf and runtime/half only.
package ggml

import (
	"encoding/binary"
	"fmt"

	"aquifer/gguf"
	"aquifer/runtime/half"
)

// decoder returns the function that converts one block of a type. Both its arguments are at least a block long.
func decoder(t gguf.Type) func(dst []float32, block []byte) {
	switch t {
	case gguf.Q4_0:
		return q4_0
	case gguf.Q4_1:
		return q4_1
	case gguf.Q5_0:
		return q5_0
	case gguf.Q5_1:
		return q5_1
	case gguf.Q8_0:
		return q8_0
	case gguf.Q2_K:
		return q2_K
	case gguf.Q3_K:
		return q3_K
	case gguf.Q4_K:
		return q4_K
	case gguf.Q5_K:
		return q5_K
	case gguf.Q6_K:
		return q6_K
	}
	return nil
}

// Known reports whether Dequantize converts a type. Type.Block has the size of its blocks.
func Known(t gguf.Type) bool { return decoder(t) != nil }

// Dequantize converts whole blocks of a type to their numbers: src is len(dst) elements of t, which must be a whole
// number of blocks. A scale that is infinite or NaN gives what IEEE arithmetic gives. It fails for a type that is not
// Known and for lengths that do not fit each other; dst is not changed then.
func Dequantize(dst []float32, t gguf.Type, src []byte) error {
	decode := decoder(t)
	if decode == nil {
		return fmt.Errorf("ggml: type %v cannot be converted", t)
	}
	elements, size := block(t)
	if len(src)%size != 0 || len(dst)%elements != 0 || len(src)/size != len(dst)/elements {
		return fmt.Errorf("ggml: %d bytes of %v for %d numbers, a block has %d and %d", len(src), t, len(dst), size, elements)
	}
	for len(src) > 0 {
		decode(dst, src)
		dst, src = dst[elements:], src[size:]
	}
	return nil
}

func block(t gguf.Type) (elements, size int) {
	n, b := t.Block() // at most 256 and 292
	return int(n), int(b)
}

// scale reads the F16 that a block scales its integers with.
func scale(p []byte) float32 { return half.Float(binary.LittleEndian.Uint16(p)) }
