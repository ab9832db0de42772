package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"aquifer/runtime/plan"
	"aquifer/runtime/sample"
)

// readAll collects the answers of a request and checks what holds for every stream.
func readAll(t testing.TB, s *Stream, n int) (texts []string, ends []Delta, err error) {
	t.Helper()
	texts, ends = make([]string, n), make([]Delta, n)
	tokens := make([]int, n)
	for {
		d, err := s.Next()
		if errors.Is(err, io.EOF) {
			for i, end := range ends {
				if end.Finish == "" {
					t.Errorf("answer %d has no end", i)
				}
			}
			return texts, ends, nil
		}
		if err != nil {
			return texts, ends, err
		}
		if d.Index < 0 || d.Index >= n || ends[d.Index].Finish != "" || !validText(d.Text) || (d.Finish != "") != (d.Usage != nil) {
			t.Fatalf("Delta %+v", d)
		}
		texts[d.Index] += d.Text
		tokens[d.Index] += d.Tokens
		if d.Finish != "" {
			ends[d.Index] = d
			if d.Usage.Completion != tokens[d.Index] {
				t.Errorf("%d tokens in the deltas, usage says %d", tokens[d.Index], d.Usage.Completion)
			}
		}
	}
}

// choiceText is what the sampler makes of the model alone for a choice.
func choiceText(b *fakeBackend, prompt []int32, p Sampling, choice, n int) string {
	p.Seed = sample.Choice(p.Seed, choice)
	s := sample.New(p, sample.Vocab{Size: vocab, Text: testTokenizer().Text})
	s.Prompt(prompt)
	tokens, logits := slices.Clone(prompt), make([]float32, vocab)
	for range n {
		b.model(logits, len(tokens), func(q int) int32 { return tokens[q] })
		tokens = append(tokens, s.Sample(logits, nil))
		s.Accept(tokens[len(tokens)-1])
	}
	return decoded(tokens[len(prompt):])
}

// TestChoices: each answer is the model's for its seed, whether there are slots for all or they start one after the
// other, alone or beside others, and the prompt is run once.
func TestChoices(t *testing.T) {
	for _, tt := range []struct{ n, seqs, prompt, tokens int }{
		{1, 4, 40, 20}, {2, 1, 40, 20}, {3, 2, plan.KVBlock, 20}, {8, 8, 70, 40}, {20, 3, 33, 10}, {128, 8, 100, 5}, {5, 2, 1, 60},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			b := &fakeBackend{}
			e := start(t, b, func(c *Config) { c.MaxSeqs, c.StepTokens, c.MaxQueue = tt.seqs, 30, 2 })
			prompt := randomPrompt(rand.New(rand.NewPCG(5, uint64(tt.n))), tt.prompt)
			p := Sampling{Temperature: 1, TopP: 0.95, RepeatPenalty: 1.1, Seed: 11}
			r := Request{Prompt: prompt, MaxTokens: tt.tokens, Sampling: p, N: tt.n, NoReuse: true}
			for _, beside := range []bool{false, true} {
				before, want := e.Stats().Prefill, int64(tt.prompt)
				other := Request{Prompt: []int32{1, 2, 3}, MaxTokens: 100}
				if beside {
					other.Key = "other"
					want += 3
					defer read(t, generate(t, e, t.Context(), other))
				}
				texts, ends, err := readAll(t, generate(t, e, t.Context(), r), tt.n)
				if err != nil {
					t.Fatal(err)
				}
				waitIdle(t, e)
				if ran := e.Stats().Prefill - before; ran != want {
					t.Errorf("%d tokens were run for a prompt of %d", ran, tt.prompt)
				}
				for i, text := range texts {
					if want := choiceText(b, prompt, p, i, tt.tokens); text != want {
						t.Errorf("choice %d: %q, want %q", i, text, want)
					}
					if u := ends[i].Usage; u.Prompt != tt.prompt || u.Completion != tt.tokens || ends[i].Finish != FinishLength {
						t.Errorf("choice %d ends with %+v %+v", i, ends[i], u)
					}
				}
			}
			if got := b.last.Load().copies.Load(); tt.n > 1 && tt.prompt%plan.KVBlock != 0 && (got < int32(tt.n-1) || got > int32(2*tt.n)) {
				t.Errorf("%d blocks were copied for %d choices", got, tt.n)
			}
		})
	}
}

// TestChoicesEnd: choices end each at its own time, and one request is one in the statistics.
func TestChoicesEnd(t *testing.T) {
	b := &fakeBackend{scripts: [][]byte{[]byte("yes"), []byte("a STOP")}}
	e := start(t, b, func(c *Config) { c.MaxSeqs = 4 })
	texts, ends, err := readAll(t, generate(t, e, t.Context(), Request{Prompt: scripted(0), N: 9}), 9)
	if err != nil {
		t.Fatal(err)
	}
	for i := range texts {
		if texts[i] != "yes" || ends[i].Finish != FinishStop {
			t.Errorf("%d: %q %+v", i, texts[i], ends[i])
		}
	}
	if texts, _, err = readAll(t, generate(t, e, t.Context(), Request{Prompt: scripted(1), N: 3, Stop: []string{"STOP"}}), 3); err != nil ||
		!slices.Equal(texts, []string{"a ", "a ", "a "}) {
		t.Errorf("%q, %v", texts, err)
	}
	waitIdle(t, e)
	if s := e.Stats(); s.Finished != 2 || s.Cancelled+s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}

// TestChoicesInterleave: where all of them run, every step brings each a token, and Next gives them in turn.
func TestChoicesInterleave(t *testing.T) {
	b := &fakeBackend{gate: make(chan struct{}, 100)}
	e := start(t, b, nil)
	s := generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 40, N: 3})
	for range 100 {
		b.gate <- struct{}{}
	}
	waitIdle(t, e)
	var order []int
	for {
		d, err := s.Next()
		if err != nil {
			break
		}
		order = append(order, d.Index)
	}
	if !slices.Equal(order, []int{0, 1, 2}) {
		t.Errorf("order %v", order)
	}
}

// TestChoicesWithoutSpareMemory: with blocks for one sequence alone the choices run one after the other, each with the
// prompt.
func TestChoicesWithoutSpareMemory(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, func(c *Config) { c.MaxSeqs = 1 })
	prompt := randomPrompt(rand.New(rand.NewPCG(6, 6)), 50)
	texts, _, err := readAll(t, generate(t, e, t.Context(), Request{Prompt: prompt, N: 3, NoReuse: true}), 3)
	want := decoded(b.greedy(prompt, 206))
	if err != nil || !slices.Equal(texts, []string{want, want, want}) || e.Stats().Prefill != 150 {
		t.Errorf("%q, %v, %+v", texts, err, e.Stats())
	}
}

// TestChoicesCancel: leaving ends all of them, waiting or running, within a step.
func TestChoicesCancel(t *testing.T) {
	b := &fakeBackend{delay: time.Millisecond}
	e := start(t, b, func(c *Config) { c.MaxSeqs = 2 })
	for range 3 {
		s := generate(t, e, t.Context(), Request{Prompt: make([]int32, 100), N: 6})
		if d, err := s.Next(); err != nil || d.Text == "" {
			t.Fatalf("%+v, %v", d, err)
		}
		s.Close()
		waitIdle(t, e)
	}
	if s := e.Stats(); s.Cancelled != 3 || s.Finished != 0 {
		t.Errorf("%+v", s)
	}
}

// TestChoicesFail: an error in a copy or a step fails the whole request once, and nothing is left of it.
func TestChoicesFail(t *testing.T) {
	broken := errors.New("broken")
	for name, at := range map[string]int{"copy": -2, "step": 5} {
		t.Run(name, func(t *testing.T) {
			var armed atomic.Bool
			b := &fakeBackend{fail: func(step int) error {
				if armed.Load() && (step == at || at > 0 && step >= at) {
					return broken
				}
				return nil
			}}
			e := start(t, b, func(c *Config) { c.MaxSeqs = 2 })
			armed.Store(true)
			if _, _, err := readAll(t, generate(t, e, t.Context(), Request{Prompt: []int32{1, 2}, N: 5}), 5); !errors.Is(err, broken) {
				t.Errorf("%v", err)
			}
			waitIdle(t, e)
			if s := e.Stats(); s.Failed != 1 {
				t.Errorf("%+v", s)
			}
			armed.Store(false)
			if text, _, err := read(t, generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 5})); err != nil || text != decoded(b.greedy([]int32{1}, 5)) {
				t.Errorf("afterwards: %q, %v", text, err)
			}
		})
	}
}

// TestNoEOS: the model's end of the text is not chosen, in any choice.
func TestNoEOS(t *testing.T) {
	b := &fakeBackend{scripts: [][]byte{[]byte("ab")}}
	e := start(t, b, nil)
	bias := []sample.Bias{{ID: 'x', Value: 100}}
	texts, ends, err := readAll(t, generate(t, e, t.Context(), Request{
		Prompt: scripted(0), N: 2, NoEOS: true, MaxTokens: 5, Sampling: Sampling{LogitBias: bias},
	}), 2)
	if err != nil || !slices.Equal(texts, []string{"xxxxx", "xxxxx"}) || ends[0].Finish != FinishLength || len(bias) != 1 {
		t.Errorf("%q, %v", texts, err)
	}
}

// TestGoldenChoices: the choices of a real model are those that it gives one by one.
func TestGoldenChoices(t *testing.T) {
	for _, model := range []string{"llama-2x8g8", "phi3-longrope-2x8g8"} { // the second may turn long
		e, want := goldenEngine(t, model, func(c *Config) { c.MaxSeqs = 3 })
		p := want.Prompts[1]
		r := Request{Prompt: p.IDs, MaxTokens: 12, N: 5, Sampling: Sampling{Temperature: 1, Seed: 4}}
		all, _, err := readAll(t, generate(t, e, t.Context(), r), r.N)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range all {
			alone := r
			alone.N, alone.Sampling.Seed = 1, sample.Choice(4, i)
			if one, _, err := read(t, generate(t, e, t.Context(), alone)); err != nil || one != text {
				t.Errorf("%s, choice %d: %q together, %q alone, %v", model, i, text, one, err)
			}
		}
		if all[0] == all[1] {
			t.Errorf("%s: two choices are %q", model, all[0])
		}
		r.Sampling = Sampling{}
		greedy, _, err := readAll(t, generate(t, e, t.Context(), r), r.N)
		for _, text := range greedy {
			if err != nil || text != greedy[0] || !strings.HasPrefix(text, fmt.Sprint(p.GreedyIDs[0])) {
				t.Errorf("%s: greedy choices are %q, %v", model, greedy, err)
			}
		}
		waitIdle(t, e)
	}
}

// admitted queues a request, again and again while the queue is full; nil after an error, which it reports.
func admitted(ctx context.Context, t *testing.T, e *Engine, rng *rand.Rand, r Request) *Stream {
	t.Helper()
	for {
		s, err := e.Generate(ctx, r)
		if err == nil {
			return s
		}
		if !errors.Is(err, ErrBusy) {
			t.Error(err)
			return nil
		}
		time.Sleep(time.Duration(rng.IntN(500)) * time.Microsecond)
	}
}

// hammerChoices is hammer for a request of several answers.
func hammerChoices(t *testing.T, e *Engine, b *fakeBackend, rng *rand.Rand, r Request, accepted *atomic.Int64) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.N, r.Sampling = 1+rng.IntN(7), Sampling{Temperature: 1, TopK: 20, Seed: rng.Uint64()}
	s := admitted(ctx, t, e, rng, r)
	if s == nil {
		return
	}
	accepted.Add(1)
	if rng.IntN(3) == 0 {
		time.AfterFunc(time.Duration(rng.IntN(2000))*time.Microsecond, cancel)
	}
	texts, ends, err := readAll(t, s, r.N)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for i, text := range texts {
		want := choiceText(b, r.Prompt, r.Sampling, i, r.MaxTokens)
		if ends[i].Finish != "" && text != want || !strings.HasPrefix(want, strings.TrimSuffix(text, "\ufffd")) {
			t.Errorf("choice %d of %d: %q, want %q", i, r.N, text, want)
		}
	}
}
