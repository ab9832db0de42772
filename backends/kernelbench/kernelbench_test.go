package kernelbench

import (
	"math"
	"testing"
	"time"

	"aquifer/backends"
	"aquifer/backends/cpu"
	"aquifer/backends/ref"
	"aquifer/runtime/plan"
)

// TestMeasure measures small matrices of every kind on the reference backend, whose error is that of rounding once, and
// on the cpu backend where there is one.
func TestMeasure(t *testing.T) {
	list := []backends.Backend{ref.New(2)}
	if b, err := cpu.Open(cpu.Config{Threads: 2}); err == nil {
		list = append(list, b)
	}
	memory := &Memory{make([]byte, 1<<20)}
	for _, b := range list {
		defer b.Close()
		for _, name := range []string{"2x8g8", "1x16g8", "1x15g8", "4x8g32", "2x5g4og2", "f16", "f32", "bf16", "q8_0"} {
			info, err := Encoding(name)
			if err != nil || EncodingName(&info) != name {
				t.Fatalf("%s: %+v, %v", name, info, err)
			}
			info.Rows, info.Cols = 200, 192
			for _, p := range []backends.Precision{backends.Exact, backends.Fast} {
				results, err := Measure(b, memory, Config{Matrix: info, Precision: p, Tokens: []int{1, 9, 70}, Rounds: 3, Sample: time.Microsecond})
				if err != nil {
					t.Fatalf("%s %s: %v", b.Info().Name, name, err)
				}
				for i, r := range results {
					limit := map[backends.Precision]float64{backends.Exact: 1e-6, backends.Fast: 0.03}[p]
					if !(r.Gaussian < limit) || !(r.Outliers < limit) {
						t.Errorf("%s %s %s, %d tokens: errors %g, %g", b.Info().Name, name, p, r.Tokens, r.Gaussian, r.Outliers)
					}
					if r.Tokens != []int{1, 9, 70}[i] || len(r.Times) != 3 || len(r.Reads) != 3 || r.Best() <= 0 || r.Median() < r.Best() ||
						!(r.OfRead() > 0) || r.Kernel == "" || r.Bytes != info.Bytes() {
						t.Errorf("%s %s: %+v", b.Info().Name, name, r)
					}
				}
			}
		}
	}
}

// TestErrorIsSeen: the reference is independent of what is measured.
func TestErrorIsSeen(t *testing.T) {
	info, _ := Encoding("2x8g8")
	info.Rows, info.Cols = 64, 64
	m := newMatrix(info)
	want, err := exact(m)
	if err != nil {
		t.Fatal(err)
	}
	m.data[plan.Codes][5]++ // one code of 1024
	b := ref.New(1)
	defer b.Close()
	r, err := newRing(b, m, Config{Matrix: info, Tokens: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.err(want, 3, 0)
	if err != nil || got < 1e-3 || got > 0.2 {
		t.Errorf("error %g, %v", got, err)
	}
}

// TestUnitProducts: products are about as large as inputs, whatever the encoding.
func TestUnitProducts(t *testing.T) {
	for _, name := range []string{"2x8g8", "1x16g16", "f16", "q8_0"} {
		info, _ := Encoding(name)
		info.Rows, info.Cols = 64, 256
		want, err := exact(newMatrix(info))
		if err != nil {
			t.Fatal(err)
		}
		var squares float64
		for _, y := range want.y[:inputs*len(want.rows)] {
			squares += float64(y) * float64(y)
		}
		// AQLM rows are scaled by normal numbers.
		if rms := math.Sqrt(squares / float64(inputs*len(want.rows))); rms < 0.6 || rms > 1.6 {
			t.Errorf("%s: products of size %g", name, rms)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, name := range []string{"", "q4_0", "2x8", "2x8g8 ", "0x8g8", "i8"} {
		if _, err := Encoding(name); err == nil {
			t.Errorf("encoding %q", name)
		}
	}
	info, _ := Encoding("f16")
	info.Rows, info.Cols = 8, 8
	b := ref.New(1)
	defer b.Close()
	for _, c := range []Config{{Matrix: info}, {Matrix: info, Tokens: []int{0}, Rounds: 1}, {Matrix: info, Tokens: []int{1}}} {
		if _, err := Measure(b, &Memory{make([]byte, 1)}, c); err == nil {
			t.Errorf("%+v", c)
		}
	}
}

func TestQuantile(t *testing.T) {
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.9: 5, 1: 5} {
		if got := quantile([]float64{5, 1, 4, 2, 3}, q); got != want {
			t.Errorf("%g: %g", q, got)
		}
	}
}
