package synthetic

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"aquifer/runtime/plan"
)

// kinds are all kinds of noise.
func kinds() map[string]noise {
	return map[string]noise{
		"codes of 8 bits": uniform(1<<40, plan.I8, 8), "codes of 5 bits": uniform(2<<40, plan.I8, 5),
		"codes of 16 bits": uniform(3<<40, plan.I16, 16), "codes of 12 bits": uniform(4<<40, plan.I16, 12),
		"normal": normal(5<<40, newQuantiles(0.3)), "constant": constant(0.7), "blocks": blocks(6<<40, 0.02),
	}
}

// TestReadAt: the bytes at an offset are the same however they are read.
func TestReadAt(t *testing.T) {
	for name, n := range kinds() {
		for _, base := range []int64{0, 1 << 33} {
			want := make([]byte, 4096)
			if got, err := n.ReadAt(want, base); got != len(want) || err != nil {
				t.Fatalf("%s: %d bytes, %v", name, got, err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 300 {
				off := r.IntN(len(want))
				got := make([]byte, r.IntN(min(200, len(want)-off+1)))
				if _, err := n.ReadAt(got, base+int64(off)); err != nil || !bytes.Equal(got, want[off:off+len(got)]) {
					t.Fatalf("%s: %d bytes at %d are different, %v", name, len(got), off, err)
				}
			}
		}
	}
}

// TestUniform: codes take all their values, about equally often, and are sign-extended.
func TestUniform(t *testing.T) {
	for _, tt := range []struct {
		t    plan.DType
		bits int
	}{{plan.I8, 8}, {plan.I8, 5}, {plan.I16, 12}, {plan.I16, 9}} {
		const each = 200
		count := make([]int, 1<<tt.bits)
		_, size := tt.t.Block()
		data := make([]byte, each*len(count)*size)
		if _, err := uniform(7<<40, tt.t, tt.bits).ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		for ; len(data) > 0; data = data[size:] {
			v := int(int8(data[0]))
			if size == 2 {
				v = int(int16(binary.LittleEndian.Uint16(data)))
			}
			if v < -len(count)/2 || v >= len(count)/2 {
				t.Fatalf("%d bits: %d", tt.bits, v)
			}
			count[v+len(count)/2]++
		}
		for v, n := range count {
			if math.Abs(float64(n)-each) > 6*math.Sqrt(each) {
				t.Errorf("%d bits: value %d comes %d times, expected %d", tt.bits, v-len(count)/2, n, each)
			}
		}
	}
}

// moments returns mean and standard deviation.
func moments(list []float64) (mean, deviation float64) {
	for _, x := range list {
		mean += x / float64(len(list))
	}
	for _, x := range list {
		deviation += (x - mean) * (x - mean) / float64(len(list))
	}
	return mean, math.Sqrt(deviation)
}

func value(h uint16) float64 {
	x := math.Ldexp(float64(h&0x3ff|0x400), int(h>>10&31)-25)
	if h&0x7c00 == 0 {
		x = math.Ldexp(float64(h&0x3ff), -24)
	}
	if h>>15 != 0 {
		return -x
	}
	return x
}

func TestDistributions(t *testing.T) {
	const n = 1 << 17
	for _, want := range []float64{1, 0.3, 1.0 / 64} {
		data := make([]byte, 2*n)
		if _, err := normal(8<<40, newQuantiles(want)).ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		var list []float64
		tail := 0
		for ; len(data) > 0; data = data[2:] {
			x := value(binary.LittleEndian.Uint16(data))
			list = append(list, x)
			if math.Abs(x) > 2*want {
				tail++
			}
		}
		mean, deviation := moments(list)
		if math.Abs(mean) > 0.02*want || math.Abs(deviation/want-1) > 0.02 {
			t.Errorf("normal: %v ± %v, want ± %v", mean, deviation, want)
		}
		if part := float64(tail) / n; math.Abs(part-0.0455) > 0.005 {
			t.Errorf("normal: %v lie beyond two deviations", part)
		}

		data = make([]byte, n/32*34)
		if _, err := blocks(9<<40, want).ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		list = list[:0]
		for ; len(data) > 0; data = data[34:] {
			for _, q := range data[2:34] {
				list = append(list, value(binary.LittleEndian.Uint16(data))*float64(int8(q)))
			}
		}
		if mean, deviation = moments(list); math.Abs(mean) > 0.02*want || math.Abs(deviation/want-1) > 0.02 {
			t.Errorf("blocks: %v ± %v, want ± %v", mean, deviation, want)
		}
	}
}

func TestHalf(t *testing.T) {
	for x, want := range map[float64]uint16{0: 0, 1: 0x3c00, -2: 0xc000, 0.5: 0x3800, 65504: 0x7bff, 1.0 / (1 << 14): 0x0400, 1e-6: 0, -1e-6: 0x8000} {
		if got := half(x); got != want {
			t.Errorf("half(%v) = %#x, want %#x", x, got, want)
		}
	}
}

func BenchmarkNoise(b *testing.B) {
	for name, n := range kinds() {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			data := make([]byte, 1<<20)
			b.SetBytes(int64(len(data)))
			for i := range b.N {
				if _, err := n.ReadAt(data, int64(i)<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
