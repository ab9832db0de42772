package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// scoreOf computes a score from what Logits says about the same tokens.
func scoreOf(t *testing.T, e *Engine, tokens []int32, i int) float64 {
	t.Helper()
	logits, err := e.Logits(t.Context(), tokens[:i])
	if err != nil {
		t.Error(err)
		return math.NaN()
	}
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v - logits[tokens[i]]))
	}
	return -math.Log(sum)
}

// TestScore: scores are those of the logits at every position, whatever the sizes of steps and outputs, and the answers
// that run beside them stay the same.
func TestScore(t *testing.T) {
	for _, tt := range []struct{ seqs, step, outputs int }{
		{1, 1, 0}, {1, 256, 0}, {1, 256, 100}, {1, 50, 1000}, {4, 4, 0}, {4, 33, 7}, {4, 64, 64},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			b := &fakeBackend{}
			e := start(t, b, func(c *Config) { c.MaxSeqs, c.StepTokens, c.Outputs = tt.seqs, tt.step, tt.outputs })
			rng := rand.New(rand.NewPCG(5, uint64(tt.step)))
			var streams []*Stream
			var prompts [][]int32
			for range 3 {
				prompts = append(prompts, randomPrompt(rng, 20))
				streams = append(streams, generate(t, e, t.Context(), Request{Prompt: prompts[len(prompts)-1], MaxTokens: 50}))
			}
			var wg sync.WaitGroup
			for _, from := range []int{1, 2, 100, 199} {
				tokens := randomPrompt(rng, 200)
				wg.Go(func() {
					got, err := e.Score(t.Context(), tokens, from)
					if err != nil || len(got) != len(tokens)-from {
						t.Errorf("from %d: %d scores, %v", from, len(got), err)
						return
					}
					for _, i := range []int{from, (from + len(tokens)) / 2, len(tokens) - 1} {
						if want := scoreOf(t, e, tokens, i); !(math.Abs(got[i-from]-want) <= 1e-6) {
							t.Errorf("from %d, token %d: %v, want %v", from, i, got[i-from], want)
						}
					}
				})
			}
			wg.Wait()
			for i, s := range streams {
				if text, _, err := read(t, s); err != nil || text != decoded(b.greedy(prompts[i], 50)) {
					t.Errorf("the answer beside scores is %q, %v", text, err)
				}
			}
			waitIdle(t, e)
		})
	}
}

func TestScoreRefuses(t *testing.T) {
	e := start(t, &fakeBackend{}, func(c *Config) { c.Context = 128 })
	var pe *ParamError
	for _, tt := range []struct {
		tokens []int32
		from   int
	}{{nil, 1}, {[]int32{1, vocab}, 1}, {[]int32{1, 2}, 0}, {[]int32{1, 2}, 2}, {[]int32{1}, 1}} {
		if _, err := e.Score(t.Context(), tt.tokens, tt.from); !errors.As(err, &pe) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	// The last token is not run, so one more than the context fits.
	if got, err := e.Score(t.Context(), make([]int32, 129), 128); err != nil || len(got) != 1 {
		t.Errorf("129 tokens: %v, %v", got, err)
	}
	var ce *ContextError
	if _, err := e.Score(t.Context(), make([]int32, 130), 1); !errors.As(err, &ce) {
		t.Errorf("130 tokens: %v", err)
	}
	if _, err := load(t.Context(), Config{Model: fakeModel(64), Backend: &fakeBackend{}, Outputs: -1}, 0); err == nil {
		t.Error("a negative number of outputs was accepted")
	}
}

// TestScoreCancel gives up while a step runs: nothing is left behind, and the next request is answered.
func TestScoreCancel(t *testing.T) {
	b := &fakeBackend{gate: make(chan struct{}), entered: make(chan struct{})}
	e := start(t, b, func(c *Config) { c.MaxSeqs, c.StepTokens = 1, 10 })
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := e.Score(ctx, make([]int32, 100), 1)
		failed <- err
	}()
	<-b.entered
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Score: %v", err)
	}
	b.gate <- struct{}{}
	waitIdle(t, e)
	go func() {
		_, err := e.Score(t.Context(), make([]int32, 2), 1)
		failed <- err
	}()
	<-b.entered
	b.gate <- struct{}{}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

// TestScoreFailedStep: the error of a step in the middle is the request's.
func TestScoreFailedStep(t *testing.T) {
	broken := errors.New("broken step")
	b := &fakeBackend{fail: func(step int) error {
		if step == 3 {
			return broken
		}
		return nil
	}}
	e := start(t, b, func(c *Config) { c.MaxSeqs, c.StepTokens, c.Outputs = 1, 10, 10 })
	if got, err := e.Score(t.Context(), make([]int32, 100), 1); !errors.Is(err, broken) {
		t.Errorf("%v, %v", got, err)
	}
	waitIdle(t, e)
}

func TestLogProb(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, tt := range []struct {
		logits []float32
		id     int32
		want   float64
	}{
		{[]float32{0, 0, 0, 0}, 2, -math.Log(4)},
		{[]float32{1e30, 0}, 0, 0},
		{[]float32{-inf, 5, 5}, 1, -math.Ln2},
		{[]float32{-inf, 5, 5}, 0, math.Inf(-1)},
		{[]float32{3e38, -3e38}, 1, -6e38},
		{[]float32{float32(math.NaN()), 1}, 1, math.NaN()},
		{[]float32{inf, 1}, 1, math.NaN()},
	} {
		got := logProb(tt.logits, tt.id)
		if got != tt.want && !(math.Abs(got-tt.want) <= 1e-6*math.Abs(tt.want)) && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
			t.Errorf("%v, %d: %v, want %v", tt.logits, tt.id, got, tt.want)
		}
	}
}

// TestGoldenScore compares with the mean log-likelihoods of the reference implementation.
func TestGoldenScore(t *testing.T) {
	e, want := goldenEngine(t, "llama-2x8g8", func(c *Config) { c.MaxSeqs, c.StepTokens, c.Outputs = 1, 50, 20 })
	compared := 0
	for _, p := range want.Prompts {
		if p.MeanNLL == nil {
			continue
		}
		compared++
		scores, err := e.Score(t.Context(), p.IDs, 1)
		if err != nil {
			t.Fatal(err)
		}
		var sum float64
		for _, x := range scores {
			sum -= x
		}
		if mean := sum / float64(len(scores)); !(math.Abs(mean-*p.MeanNLL) <= 2e-5) {
			t.Errorf("prompt of %d: %v, want %v", len(p.IDs), mean, *p.MeanNLL)
		}
	}
	if compared == 0 {
		t.Error("no prompt has a mean log-likelihood")
	}
}
