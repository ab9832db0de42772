// Package half converts between float32 and IEEE 754 binary16, the F16 of checkpoints and KV caches. It imports nothing
// of ours.
package half

import (
	"encoding/binary"
	"math"
)

const (
	infinity = 0x7f800000       // float32 bits
	tooLarge = 0x477ff000       // of 65520, half way between the largest half and 2^16: from here on halves are infinite
	normal   = (127 - 14) << 23 // of 2^-14, the smallest half that is not subnormal
	rebias   = (127 - 15) << 23
)

// Float widens a half; every half has an exact float32. A NaN keeps its payload.
func Float(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0x1f:
		return math.Float32frombits(sign | infinity | frac<<13)
	case 0: // zero, subnormal
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
	}
	return math.Float32frombits(sign | (exp<<23 + rebias) | frac<<13)
}

// Bits rounds to the nearest half, ties to even. What is too large becomes infinite, NaN stays NaN.
func Bits(f float32) uint16 {
	b := math.Float32bits(f)
	sign, abs := uint16(b>>16&0x8000), b&0x7fffffff
	switch {
	case abs > infinity:
		return sign | 0x7e00
	case abs >= tooLarge:
		return sign | 0x7c00
	case abs < normal:
		// Next to 0.5 float32 is as fine as subnormal halves are, 2^-24: the addition rounds.
		return sign | uint16(math.Float32bits(math.Float32frombits(abs)+0.5)-math.Float32bits(0.5))
	}
	// Adding half of the dropped part, less one where the kept part is even, rounds ties to even; a carry moves into the
	// exponent, as it must.
	return sign | uint16((abs-rebias+0xfff+abs>>13&1)>>13)
}

// Encode writes src as little-endian halves, 2*len(src) bytes of dst, rounded as Bits does. It returns the index of the
// first finite number that became infinite, -1 if there is none.
func Encode(dst []byte, src []float32) int {
	dst = dst[:2*len(src)]
	large := -1
	for i, f := range src {
		b := math.Float32bits(f)
		sign, abs := b>>16&0x8000, b&0x7fffffff
		h := (abs - rebias + 0xfff + abs>>13&1) >> 13
		if abs-normal >= tooLarge-normal { // one comparison for both ends: the difference wraps
			h = uint32(Bits(f))
			if abs >= tooLarge && abs < infinity && large < 0 {
				large = i
			}
		}
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(sign|h))
	}
	return large
}
