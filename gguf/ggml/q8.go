package ggml

import (
	"encoding/binary"
	"fmt"

	"aquifer/gguf"
)

// IsQ8_0 reports whether the blocks of a type have an equal form as blocks of Q8_0.
func IsQ8_0(t gguf.Type) bool { return t == gguf.Q4_0 || t == gguf.Q5_0 }

// ToQ8_0 writes whole blocks of Q4_0 or Q5_0 as blocks of Q8_0: the scale is kept, the integers are shifted to be
// signed. So the numbers are the same to the bit. It fails for another type and for lengths that do not fit each other;
// dst is not changed then.
func ToQ8_0(dst []byte, t gguf.Type, src []byte) error {
	_, from := block(t)
	_, to := block(gguf.Q8_0)
	if !IsQ8_0(t) {
		return fmt.Errorf("ggml: type %v has no equal form in Q8_0", t)
	}
	if len(src)%from != 0 || len(dst)%to != 0 || len(src)/from != len(dst)/to {
		return fmt.Errorf("ggml: %d bytes of %v for %d bytes of Q8_0", len(src), t, len(dst))
	}
	for len(src) > 0 {
		dst[0], dst[1] = src[0], src[1]
		low, high := dst[2:][:small/2], dst[2+small/2:][:small/2]
		if t == gguf.Q4_0 {
			for i, q := range src[2:][:small/2] {
				low[i] = q&15 - 8
				high[i] = q>>4 - 8
			}
		} else {
			fifth := binary.LittleEndian.Uint32(src[2:])
			for i, q := range src[6:][:small/2] {
				low[i] = q&15 | fifthOf(fifth, i) - 16
				high[i] = q>>4 | fifthOf(fifth, i+small/2) - 16
			}
		}
		dst, src = dst[to:], src[from:]
	}
	return nil
}
