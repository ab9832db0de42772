package half

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// value is what the bits of a finite half mean.
func value(h uint16) float64 {
	exp, frac := int(h>>10&31), int(h&0x3ff)
	v := math.Ldexp(float64(frac|0x400), exp-25)
	if exp == 0 {
		v = math.Ldexp(float64(frac), -24)
	}
	if h&0x8000 != 0 {
		return -v
	}
	return v
}

// TestAll checks both directions for all halves, and that a half takes what lies up to half way to its neighbours.
func TestAll(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		f := Float(h)
		switch {
		case h&0x7fff > 0x7c00:
			back := Bits(f)
			if f == f || back&0x7fff <= 0x7c00 || back&0x8000 != h&0x8000 {
				t.Errorf("%#04x: %v is no NaN or does not stay one: %#04x", h, f, back)
			}
			continue
		case h&0x7fff == 0x7c00:
			if want := math.Inf(1 - i>>15<<1); float64(f) != want {
				t.Errorf("%#04x: %v, want %v", h, f, want)
			}
		case float64(f) != value(h) || math.Signbit(float64(f)) != (h&0x8000 != 0):
			t.Errorf("%#04x: %v, want %v", h, f, value(h))
		}
		if Bits(f) != h {
			t.Errorf("%#04x: back %#04x", h, Bits(f))
		}
		if h&0x7fff >= 0x7bff {
			continue
		}
		middle := float32((value(h) + value(h+1)) / 2) // exact: one bit more
		below, above := math.Nextafter32(middle, f), math.Nextafter32(middle, Float(h+1))
		if Bits(middle) != h+h&1 || Bits(below) != h || Bits(above) != h+1 {
			t.Fatalf("around %v: %#04x %#04x %#04x", middle, Bits(below), Bits(middle), Bits(above))
		}
	}
}

// TestRounding checks rounding against exact arithmetic, and Encode against Bits.
func TestRounding(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	numbers := []float32{0, 65519.996, 65520, 65536, math.MaxFloat32, 0x1p-14, 0x1.ffcp-15, 0x1.ffep-15, 0x1p-24, 0x1p-25, 0x1.000002p-25, 0x1p-149, 1}
	for _, f := range numbers {
		numbers = append(numbers, -f)
	}
	for len(numbers) < 200_000 {
		bits := r.Uint32()
		if r.IntN(2) == 0 { // near the halves
			bits = math.Float32bits(Float(uint16(bits))) + uint32(r.IntN(0x4001)) - 0x2000
		}
		f := math.Float32frombits(bits)
		if !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) {
			numbers = append(numbers, f)
		}
	}
	for _, f := range numbers {
		if got := Bits(f); !nearest(f, got) {
			t.Fatalf("%v (%#08x) became %#04x = %v", f, math.Float32bits(f), got, Float(got))
		}
	}
	dst := make([]byte, 2*len(numbers))
	Encode(dst, numbers)
	for i, f := range numbers {
		if got := binary.LittleEndian.Uint16(dst[2*i:]); got != Bits(f) {
			t.Fatalf("%v: Encode wrote %#04x, want %#04x", f, got, Bits(f))
		}
	}
}

// nearest reports whether h is the half closest to f, and the even one of two.
func nearest(f float32, h uint16) bool {
	if math.Signbit(float64(f)) != (h&0x8000 != 0) {
		return false
	}
	if h&0x7fff == 0x7c00 {
		return math.Abs(float64(f)) >= 65520
	}
	distance := func(h uint16) *big.Float {
		x := new(big.Float).SetPrec(200).SetFloat64(float64(Float(h)))
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

func TestEncode(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, test := range []struct {
		src  []float32
		want int
	}{
		{nil, -1},
		{[]float32{0, 1, -65504, nan, inf, -inf}, -1},
		{[]float32{inf, 65519.99, -65520, 1e9}, 2},
		{[]float32{1e9}, 0},
	} {
		dst := make([]byte, 2*len(test.src)+1)
		if got := Encode(dst, test.src); got != test.want {
			t.Errorf("%v: %d, want %d", test.src, got, test.want)
		}
		for i, f := range test.src {
			if got := binary.LittleEndian.Uint16(dst[2*i:]); got != Bits(f) {
				t.Errorf("%v: %#04x, want %#04x", f, got, Bits(f))
			}
		}
	}
}

func TestDecode(t *testing.T) {
	src, dst := make([]byte, 2<<16), make([]float32, 1<<16)
	for h := range 1 << 16 {
		binary.LittleEndian.PutUint16(src[2*h:], uint16(h))
	}
	Decode(dst, src)
	for h := range 1 << 16 {
		if got, want := math.Float32bits(dst[h]), math.Float32bits(Float(uint16(h))); got != want {
			t.Fatalf("%#04x became %#08x, want %#08x", h, got, want)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	src := make([]float32, 4096)
	for i := range src {
		src[i] = float32(r.NormFloat64() * 0.02)
	}
	dst := make([]byte, 2*len(src))
	b.SetBytes(int64(len(dst)))
	for b.Loop() {
		Encode(dst, src)
	}
}
