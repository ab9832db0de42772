package ref

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"aquifer/runtime/plan"
)

// TestF16 covers every half: its value by definition, and that rounding gives it back from anywhere up to half way
// to its neighbours.
func TestF16(t *testing.T) {
	for h := range 1 << 16 {
		sign, exp, frac := 1-2*float64(h>>15), h>>10&0x1f, float64(h&0x3ff)
		want := sign * math.Ldexp(1+frac/1024, exp-15)
		switch {
		case exp == 0:
			want = sign * math.Ldexp(frac, -24)
		case exp == 31 && frac == 0:
			want = math.Inf(int(sign))
		case exp == 31:
			want = math.NaN()
		}
		got := float64(fromF16(uint16(h)))
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("%#04x is %v, want %v", h, got, want)
		}
		if math.IsNaN(want) {
			if back := toF16(float32(got)); back&0x7c00 != 0x7c00 || back&0x3ff == 0 {
				t.Fatalf("%#04x: NaN came back as %#04x", h, back)
			}
			continue
		}
		if back := toF16(float32(got)); back != uint16(h) {
			t.Fatalf("%#04x came back as %#04x", h, back)
		}
		if exp == 31 || h&0x7fff == 0x7bff {
			continue
		}
		next := float64(fromF16(uint16(h + 1)))
		middle := float32((got + next) / 2) // exact: one bit more
		even := uint16(h + h&1)
		below, above := math.Nextafter32(middle, float32(got)), math.Nextafter32(middle, float32(next))
		if toF16(middle) != even || toF16(below) != uint16(h) || toF16(above) != uint16(h+1) {
			t.Fatalf("around %v: %#04x %#04x %#04x", middle, toF16(below), toF16(middle), toF16(above))
		}
	}
	for v, want := range map[float32]uint16{65519.996: 0x7bff, 65520: 0x7c00, -1e30: 0xfc00, float32(math.Inf(1)): 0x7c00} {
		if got := toF16(v); got != want {
			t.Errorf("%v is %#04x, want %#04x", v, got, want)
		}
	}
}

func TestDecode(t *testing.T) {
	q8 := make([]byte, 68)
	binary.LittleEndian.PutUint16(q8, 0x3800) // 0.5
	binary.LittleEndian.PutUint16(q8[34:], 0xc000)
	q8[2], q8[33], q8[36], q8[67] = 3, 0x80, 0xff, 127
	want := make([]float64, 64)
	want[0], want[31], want[32], want[63] = 1.5, -64, 2, -254
	got := make([]float64, 64)
	decode(got, plan.Q8_0, q8)
	if !slices.Equal(got, want) {
		t.Errorf("q8_0: %v", got)
	}
	for _, tt := range []struct {
		t    plan.DType
		data []byte
		want []float32
	}{
		{plan.F32, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, []float32{1, -2}},
		{plan.F16, []byte{0, 0x3c, 0, 0xc0}, []float32{1, -2}},
		{plan.BF16, []byte{0x80, 0x3f, 0, 0xc0}, []float32{1, -2}},
	} {
		got := make([]float32, 2)
		decode(got, tt.t, tt.data)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v", tt.t, got)
		}
	}
}

// TestRowGroup dequantizes by the formula of the format, one element at a time.
func TestRowGroup(t *testing.T) {
	for _, s := range []plan.Scheme{
		{Codebooks: 2, Bits: 8, InGroup: 8, OutGroup: 1},
		{Codebooks: 3, Bits: 12, InGroup: 4, OutGroup: 2},
		{Codebooks: 1, Bits: 16, InGroup: 16, OutGroup: 1},
		{Codebooks: 15, Bits: 4, InGroup: 2, OutGroup: 3},
	} {
		const cols = 32
		rows := 2 * s.OutGroup
		w := newWeight(&plan.WeightInfo{
			Name: "w", Rows: rows, Cols: cols, Encoding: plan.AQLM, Scheme: s,
			Codes: s.CodeType(), Codebooks: plan.F32, Scales: plan.F32,
		})
		// Numbers without a pattern that index errors could share.
		next := uint32(1)
		random := func() uint32 { next = next*1664525 + 1013904223; return next >> 8 }
		for i := range w.data[plan.Codes] {
			w.data[plan.Codes][i] = byte(random())
		}
		float := func(data []byte, i int) float64 {
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])))
		}
		for _, part := range []plan.Part{plan.Codebooks, plan.Scales} {
			for i := range len(w.data[part]) / 4 {
				binary.LittleEndian.PutUint32(w.data[part][4*i:], math.Float32bits(float32(random()%1000)/64-8))
			}
		}
		size := 1 << s.Bits
		books := w.books(make([]float32, s.Codebooks*size*s.OutGroup*s.InGroup))
		dst := make([]float64, s.OutGroup*cols)
		for o := range 2 {
			w.rowGroup(dst, o, books)
			for a := range s.OutGroup {
				for i := range cols {
					j, b := i/s.InGroup, i%s.InGroup
					var sum float64
					for m := range s.Codebooks {
						at := (o*(cols/s.InGroup)+j)*s.Codebooks + m
						var stored int
						if s.Bits <= 8 {
							stored = int(int8(w.data[plan.Codes][at]))
						} else {
							stored = int(int16(binary.LittleEndian.Uint16(w.data[plan.Codes][2*at:])))
						}
						code := ((stored % size) + size) % size
						sum += float(w.data[plan.Codebooks], ((m*size+code)*s.OutGroup+a)*s.InGroup+b)
					}
					if want := sum * float(w.data[plan.Scales], o); dst[a*cols+i] != want {
						t.Fatalf("%s: row %d, column %d is %v, want %v", s, o*s.OutGroup+a, i, dst[a*cols+i], want)
					}
				}
			}
		}
	}
}
