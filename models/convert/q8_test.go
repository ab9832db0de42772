package convert

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestF16 checks both directions for all halves, and rounding against exact arithmetic.
func TestF16(t *testing.T) {
	for h := range 1 << 16 {
		f := fromF16(uint16(h))
		exp, frac := h>>10&31, h&0x3ff
		want := math.Ldexp(float64(frac|0x400), exp-25)
		if exp == 0 {
			want = math.Ldexp(float64(frac), -24)
		}
		if h&0x8000 != 0 {
			want = -want
		}
		switch {
		case exp == 31 && frac != 0:
			if f == f || toF16(f)&0x7c00 != 0x7c00 || toF16(f)&0x3ff == 0 {
				t.Errorf("%#04x: %v is no NaN or does not stay one", h, f)
			}
			continue
		case exp == 31:
			want = math.Inf(1 - h>>15<<1)
		}
		if float64(f) != want || toF16(f) != uint16(h) {
			t.Errorf("%#04x: %v, want %v; back %#04x", h, f, want, toF16(f))
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 200_000 {
		bits := r.Uint32()
		if r.IntN(2) == 0 { // near the halves
			bits = math.Float32bits(fromF16(uint16(bits))) + uint32(r.IntN(0x4001)) - 0x2000
		}
		f := math.Float32frombits(bits)
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			continue
		}
		if got := toF16(f); !nearest(f, got) {
			t.Fatalf("%v (%#08x) became %#04x = %v", f, bits, got, fromF16(got))
		}
	}
}

// nearest reports whether h is the half closest to f, and the even one of two.
func nearest(f float32, h uint16) bool {
	if h&0x7fff == 0x7c00 {
		return math.Abs(float64(f)) >= 65520
	}
	distance := func(h uint16) *big.Float {
		x := new(big.Float).SetPrec(200).SetFloat64(float64(fromF16(h)))
		return x.Abs(x.Sub(x, new(big.Float).SetPrec(200).SetFloat64(float64(f))))
	}
	d := distance(h)
	for _, other := range []uint16{h - 1, h + 1} {
		if (other^h)&0x8000 != 0 || other&0x7c00 == 0x7c00 {
			continue // across zero or to infinity
		}
		if c := distance(other).Cmp(d); c < 0 || c == 0 && h&1 != 0 {
			return false
		}
	}
	return true
}

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
