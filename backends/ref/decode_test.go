package ref

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"aquifer/runtime/plan"
)

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
