// Package half converts between float32 and IEEE 754 binary16, the F16 of checkpoints and KV caches. It imports nothing
// of ours.
package half

import (
	"encoding/binary"
	"math"
)

const (
	abs      = 0x7fffffff // float32 bits without the sign
	infinity = 0x7f800000
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
	switch sign := uint16(b >> 16 & 0x8000); {
	case b&abs > infinity:
		return sign | 0x7e00
	case b&abs >= tooLarge:
		return sign | 0x7c00
	}
	return rounded(b)
}

// rounded returns the half nearest to a number whose amount is below tooLarge, without a branch: which numbers of a weight are
// subnormal as halves can't be predicted. A half with exponent e is a multiple of 2^(e-10), which is as fine as float32
// is at 2^(e+13): adding that number rounds as wanted and leaves the multiple in the low bits of the sum. The
// multiple's leading bit counts one in the exponent; subnormal halves have none.
func rounded(b uint32) uint16 {
	exp := max(b&infinity, normal)
	magic := exp + 13<<23
	multiple := math.Float32bits(math.Float32frombits(b&abs)+math.Float32frombits(magic)) - magic
	return uint16(b>>16&0x8000 | ((exp-normal)>>13 + multiple))
}

// Encode writes src as little-endian halves, 2*len(src) bytes of dst, rounded as Bits does. It returns the index of the
// first finite number that became infinite, -1 if there is none.
func Encode(dst []byte, src []float32) int {
	large, i := -1, 0
	for i < len(src) {
		if i+1 < len(src) { // two at a time, as one word
			a, b := math.Float32bits(src[i]), math.Float32bits(src[i+1])
			if a&abs < tooLarge && b&abs < tooLarge {
				binary.LittleEndian.PutUint32(dst[2*i:], uint32(rounded(a))|uint32(rounded(b))<<16)
				i += 2
				continue
			}
		}
		binary.LittleEndian.PutUint16(dst[2*i:], Bits(src[i]))
		if b := math.Float32bits(src[i]) & abs; b >= tooLarge && b < infinity && large < 0 {
			large = i
		}
		i++
	}
	return large
}

// Decode widens the first len(dst) little-endian halves of src, which is at least as long, as Float does.
func Decode(dst []float32, src []byte) {
	src = src[:2*len(dst)]
	for i := range dst {
		h := uint32(binary.LittleEndian.Uint16(src[2*i:]))
		if h&0x7c00 == 0x7c00 {
			dst[i] = Float(uint16(h))
			continue
		}
		// With the exponent's bias still that of a half the number is 2^-112 times too small, subnormal ones included.
		v := math.Float32frombits(h&0x7fff<<13) * 0x1p112
		dst[i] = math.Float32frombits(math.Float32bits(v) | h&0x8000<<16)
	}
}
