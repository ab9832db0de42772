package ggml

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"aquifer/gguf"
)

func TestQuantizeQ8(t *testing.T) {
	const size = 2 + small
	x, dst := make([]float32, small), make([]byte, size)
	quantize := func() bool {
		t.Helper()
		bad, err := QuantizeQ8_0(dst, x)
		if err != nil {
			t.Fatal(err)
		}
		return bad < 0
	}
	if !quantize() || string(dst) != string(make([]byte, size)) {
		t.Errorf("zeros became % x", dst)
	}
	// With a largest value of 127 the scale is one: bytes are the values, halves rounded away from zero.
	just := math.Nextafter32(0.5, 0)
	copy(x, []float32{127, -127, 0.5, -0.5, 1.5, 2.5, -2.5, 0.49, 126.5, just, -just})
	if !quantize() || binary.LittleEndian.Uint16(dst) != 0x3c00 {
		t.Errorf("scale %#04x", binary.LittleEndian.Uint16(dst))
	}
	for i, w := range []int8{127, -127, 1, -1, 2, 3, -3, 0, 127, 0, 0} {
		if got := int8(dst[2+i]); got != w {
			t.Errorf("%v became %d, want %d", x[i], got, w)
		}
	}
	for name, v := range map[string]float32{
		"NaN": float32(math.NaN()), "infinity": float32(math.Inf(-1)), "scale beyond F16": 1e7, "no inverse": math.SmallestNonzeroFloat32,
	} {
		clear(x)
		x[5] = v
		// 1e-45/127 is zero in float32: the block is all zeros
		if got, want := quantize(), name == "no inverse"; got != want {
			t.Errorf("%s: accepted %v", name, got)
		}
	}
	for _, n := range []int{size - 1, size + 1, 2 * size} {
		if _, err := QuantizeQ8_0(make([]byte, n), x); err == nil {
			t.Errorf("%d bytes for %d numbers: no error", n, len(x))
		}
	}
}

// TestQuantizeQ8Bound requires every number back to within half a step, and the index of the block that cannot be written.
func TestQuantizeQ8Bound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const blocks = 1000
	x, back, dst := make([]float32, blocks*small), make([]float32, blocks*small), make([]byte, blocks*(2+small))
	for i := range x {
		x[i] = float32(r.NormFloat64() * math.Exp(r.NormFloat64()))
	}
	if bad, err := QuantizeQ8_0(dst, x); bad >= 0 || err != nil {
		t.Fatal(bad, err)
	}
	if err := Dequantize(back, gguf.Q8_0, dst); err != nil {
		t.Fatal(err)
	}
	for i := range blocks {
		most := float32(0)
		for _, v := range x[i*small:][:small] {
			most = max(most, float32(math.Abs(float64(v))))
		}
		for j := range small {
			v, got := x[i*small+j], back[i*small+j]
			// half a step of the scale, and what rounding the scale itself to F16 moves
			if off := math.Abs(float64(v - got)); off > float64(most)*(0.5/127+0x1p-11)*1.001 {
				t.Fatalf("%v came back as %v in a block of up to %v", v, got, most)
			}
		}
	}
	x[700*small+3] = float32(math.Inf(1))
	if bad, err := QuantizeQ8_0(dst, x); bad != 700 || err != nil {
		t.Errorf("block %d, error %v", bad, err)
	}
}

func BenchmarkQuantizeQ8(b *testing.B) {
	x, dst := make([]float32, 1<<15), make([]byte, 1<<10*(2+small))
	for i := range x {
		x[i] = float32(math.Sin(float64(i)))
	}
	b.SetBytes(int64(len(x)))
	for b.Loop() {
		_, _ = QuantizeQ8_0(dst, x)
	}
}
