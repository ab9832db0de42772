package sample

import (
	"math/rand/v2"
	"testing"
)

// TestNoise: differences in the last digits, as other kernels and sizes of steps make them, hardly ever change a draw, also
// where thousands of tokens are about as likely.
func TestNoise(t *testing.T) {
	const vocab, draws = 20000, 400
	rng := rand.New(rand.NewPCG(6, 6))
	logits, other := make([]float32, vocab), make([]float32, vocab)
	for _, p := range []Params{
		{Temperature: 1}, {Temperature: 1.5, MinP: 0.001}, {Temperature: 1, TopP: 0.95}, {Temperature: 1, TopK: 5000}, {Temperature: 1, Mirostat: 2, MirostatTau: 10},
	} {
		changed := 0
		for seed := range uint64(draws) {
			for i := range logits {
				logits[i] = float32(rng.NormFloat64() * 2)
				other[i] = logits[i] + float32(rng.NormFloat64()*2e-4)
			}
			p.Seed = seed
			s := New(p, Vocab{Size: vocab})
			if s.Sample(logits, nil) != s.Sample(other, nil) {
				changed++
			}
		}
		if changed > 2 {
			t.Errorf("%+v: %d of %d draws changed", p, changed, draws)
		}
	}
}
