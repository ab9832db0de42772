package sample

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestLogprobs compares with a softmax in float64 and a full sort.
func TestLogprobs(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		logits := make([]float32, 1+rng.IntN(400))
		all := make([]tok, len(logits))
		for i := range logits {
			logits[i] = float32(rng.NormFloat64() * 5)
			if rng.IntN(4) == 0 {
				logits[i] = float32(rng.IntN(3)) // equal ones
			}
			all[i] = tok{i, float64(logits[i])}
		}
		probs := softmax(all)
		order := make([]int32, len(logits))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortFunc(order, func(a, b int32) int { return compare(candidate{a, logits[a]}, candidate{b, logits[b]}) })
		id, n := rng.Int32N(int32(len(logits))), rng.IntN(21)
		before := slices.Clone(logits)
		s := New(Params{Temperature: 2, LogitBias: []Bias{{0, 5}}, RepeatPenalty: 2}, Vocab{Size: len(logits)}) // none of it counts
		s.Accept(id)
		got := s.Logprobs(nil, logits, id, n)
		want := append([]int32{id}, order[:min(n, len(order))]...)
		if len(got) != len(want) || !slices.Equal(before, logits) {
			t.Fatalf("%d entries, want %d", len(got), len(want))
		}
		for i, g := range got {
			if value := math.Log(probs[want[i]]); g.ID != want[i] || math.Abs(g.Value-value) > 2e-6*max(1, -value) {
				t.Fatalf("entry %d is %+v, want %d with %v", i, g, want[i], value)
			}
		}
	}
}

func TestLogprobsOddities(t *testing.T) {
	never := math.Inf(-1)
	for _, tt := range []struct {
		logits []float32
		id     int32
		want   []Logprob
	}{
		{[]float32{nan, 1, negInf}, 0, []Logprob{{0, never}, {1, 0}, {2, never}, {0, never}}},
		{[]float32{inf, 1, inf}, 1, []Logprob{{1, never}, {0, -math.Ln2}, {2, -math.Ln2}, {1, never}}},
		{[]float32{nan, nan}, 1, []Logprob{{1, never}, {0, never}, {1, never}}},
		{[]float32{5}, 0, []Logprob{{0, 0}, {0, 0}}},
	} {
		got := New(Params{}, Vocab{Size: len(tt.logits)}).Logprobs(nil, tt.logits, tt.id, 20)
		if !slices.EqualFunc(got, tt.want, func(a, b Logprob) bool {
			return a.ID == b.ID && (a.Value == b.Value || math.Abs(a.Value-b.Value) < 1e-6)
		}) {
			t.Errorf("%v: %v, want %v", tt.logits, got, tt.want)
		}
	}
}

func BenchmarkLogprobs(b *testing.B) {
	logits := testLogits(128256)
	s := New(Params{}, Vocab{Size: len(logits)})
	var dst []Logprob
	for b.Loop() {
		dst = s.Logprobs(dst[:0], logits, 7, 20)
	}
}
