package convert

import (
	"encoding/binary"
	"math"
	"testing"
)

func TestQuantizeBlock(t *testing.T) {
	var x [blockValues]float32
	dst := make([]byte, blockBytes)
	if !quantizeBlock(dst, &x) || string(dst) != string(make([]byte, blockBytes)) {
		t.Errorf("zeros became % x", dst)
	}
	// With a largest value of 127 the scale is one: bytes are the values, halves rounded away from zero.
	copy(x[:], []float32{127, -127, 0.5, -0.5, 1.5, 2.5, -2.5, 0.49, 126.5})
	want := []int8{127, -127, 1, -1, 2, 3, -3, 0, 127}
	if !quantizeBlock(dst, &x) || binary.LittleEndian.Uint16(dst) != 0x3c00 {
		t.Errorf("scale %#04x", binary.LittleEndian.Uint16(dst))
	}
	for i, w := range want {
		if got := int8(dst[2+i]); got != w {
			t.Errorf("%v became %d, want %d", x[i], got, w)
		}
	}
	for name, v := range map[string]float32{
		"NaN": float32(math.NaN()), "infinity": float32(math.Inf(-1)), "scale beyond F16": 1e7, "no inverse": math.SmallestNonzeroFloat32,
	} {
		x := [blockValues]float32{5: v}
		if name != "no inverse" { // 1e-45/127 is zero in float32: the block is all zeros
			if quantizeBlock(dst, &x) {
				t.Errorf("%s: accepted", name)
			}
		} else if !quantizeBlock(dst, &x) {
			t.Errorf("%s: refused", name)
		}
	}
}
