package ggml

import (
	"encoding/binary"
	"fmt"
	"math"

	"aquifer/runtime/half"
)

// QuantizeQ8_0 writes whole blocks of 32 numbers as Q8_0: a scale d = max|x| / 127 in F16 and the bytes round(x / d), with
// the arithmetic of ggml's reference (quantize_row_q8_0_ref): float32 throughout, the inverse of the unrounded scale,
// halves away from zero. It fails for lengths that do not fit each other, and returns the index of the first block whose
// numbers are not finite or whose scale has no finite F16, -1 if there is none; dst is written up to there.
func QuantizeQ8_0(dst []byte, x []float32) (bad int, err error) {
	const size = 2 + small
	if len(x)%small != 0 || len(dst)%size != 0 || len(x)/small != len(dst)/size {
		return -1, fmt.Errorf("ggml: %d bytes of Q8_0 for %d numbers", len(dst), len(x))
	}
	for i := range len(x) / small {
		if !quantizeQ8((*[size]byte)(dst[i*size:]), (*[small]float32)(x[i*small:])) {
			return i, nil
		}
	}
	return -1, nil
}

func quantizeQ8(dst *[2 + small]byte, x *[small]float32) bool {
	const abs = 0x7fffffff
	var most uint32 // as bits: NaN is larger than every number
	for _, v := range x {
		most = max(most, math.Float32bits(v)&abs)
	}
	d := math.Float32frombits(most) / 127
	var inverse float32
	if d != 0 {
		inverse = 1 / d
	}
	scale := half.Bits(d)
	if scale&0x7c00 == 0x7c00 || math.IsInf(float64(inverse), 0) {
		return false
	}
	binary.LittleEndian.PutUint16(dst[:], scale)
	for i, v := range x {
		// Exact in float64, so that cutting rounds halves, and nothing below them, away from zero.
		y := float64(v * inverse)
		dst[2+i] = byte(int32(y + math.Copysign(0.5, y)))
	}
	return true
}
