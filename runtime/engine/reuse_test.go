package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"aquifer/backends"
	"aquifer/runtime/kv"
)

// turn runs one request to its end and returns the answer's tokens, which are bytes, and its usage.
func turn(t *testing.T, e *Engine, b *fakeBackend, r Request) ([]int32, *Usage) {
	t.Helper()
	text, last, err := read(t, generate(t, e, t.Context(), r))
	want := b.greedy(r.Prompt, r.MaxTokens)
	if err != nil || text != decoded(want) {
		t.Fatalf("%q, %v, want %q", text, err, decoded(want))
	}
	waitIdle(t, e)
	return want, last.Usage
}

// TestReuse: the next turn of a conversation runs what is new of it, whatever runs between, and its answer is the
// model's.
func TestReuse(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	for _, step := range []int{1, 17, 256} {
		b := &fakeBackend{}
		e := start(t, b, func(c *Config) { c.StepTokens, c.MaxSeqs, c.Context = step, 1, 1024 })
		text := randomPrompt(rng, 100)
		ran := 0
		for i := range 6 {
			before := e.Stats()
			answer, u := turn(t, e, b, Request{Prompt: text, MaxTokens: 30, Key: "k"})
			found := 0
			if i > 0 {
				// All of the turn before but its last token, which was not run; less than the whole prompt.
				found = min(ran+29, len(text)-1) / kv.BlockSize * kv.BlockSize
			}
			after := e.Stats()
			if u.Cached != found || u.Prompt != len(text) || after.Reused-before.Reused != int64(found) ||
				after.Prefill-before.Prefill != int64(len(text)-found) {
				t.Errorf("turn %d of %d tokens: %+v, %d run, want %d cached", i, len(text), u, after.Prefill-before.Prefill, found)
			}
			ran = len(text)
			text = slices.Concat(text, answer, randomPrompt(rng, 1+rng.IntN(40)))
			turn(t, e, b, Request{Prompt: randomPrompt(rng, 50), MaxTokens: 10, Key: "other"})
		}
	}
}

// TestReuseKeys: nothing is found of another key's, of the same text with a change at its start, or without being asked.
func TestReuseKeys(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, func(c *Config) { c.Context = 512 })
	r := Request{Prompt: randomPrompt(rand.New(rand.NewPCG(9, 2)), 100), MaxTokens: 5, Key: "a"}
	changed := slices.Clone(r.Prompt)
	changed[0]++
	for i, tt := range []struct {
		key     string
		prompt  []int32
		noReuse bool
		cached  int
	}{
		{"a", r.Prompt, false, 0},
		{"a", r.Prompt, false, 96},
		{"b", r.Prompt, false, 0},
		{"a", changed, false, 0},
		{"a", r.Prompt[:64], false, 32},
		{"a", r.Prompt[:65], false, 64},
		{"a", r.Prompt, true, 0},
		{"c", r.Prompt, true, 0},
		{"c", r.Prompt, false, 0}, // the one before has left nothing
		{"truea", r.Prompt, false, 0},
	} {
		r.Key, r.Prompt, r.NoReuse = tt.key, tt.prompt, tt.noReuse
		_, u := turn(t, e, b, r)
		if u.Cached != tt.cached {
			t.Errorf("request %d: %d tokens were cached, want %d", i, u.Cached, tt.cached)
		}
		if u.QueueTime < 0 || u.PrefillTime < 0 || u.PrefillTime > time.Minute || u.DecodeTime < 0 {
			t.Errorf("request %d: times %v, %v, %v", i, u.QueueTime, u.PrefillTime, u.DecodeTime)
		}
	}
}

// TestReuseShort: a text that grows from less than a block is found as well.
func TestReuseShort(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, nil)
	prompt := []int32{1, 2, 3}
	answer, _ := turn(t, e, b, Request{Prompt: prompt, MaxTokens: 70})
	if _, u := turn(t, e, b, Request{Prompt: slices.Concat(prompt, answer), MaxTokens: 5}); u.Cached != 64 {
		t.Errorf("%d tokens were cached", u.Cached)
	}
}

// TestReusePrecision: answers are found in every precision.
func TestReusePrecision(t *testing.T) {
	for _, p := range []backends.Precision{backends.Exact, backends.Auto, backends.Fast} {
		b := &fakeBackend{}
		e := start(t, b, func(c *Config) { c.Precision = p })
		prompt := randomPrompt(rand.New(rand.NewPCG(9, 3)), 70)
		answer, _ := turn(t, e, b, Request{Prompt: prompt, MaxTokens: 70})
		if _, u := turn(t, e, b, Request{Prompt: slices.Concat(prompt, answer), MaxTokens: 5}); u.Cached != 128 {
			t.Errorf("%v: %d tokens were cached", p, u.Cached)
		}
	}
}

// TestReuseMemory: what is cached never keeps a request from running, the oldest goes first, and admission counts what
// is missing.
func TestReuseMemory(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, func(c *Config) { c.Context, c.MaxSeqs = 256, 2 }) // 16 blocks
	prompts := make([][]int32, 4)
	for i := range prompts {
		prompts[i] = randomPrompt(rand.New(rand.NewPCG(9, uint64(10+i))), 120)
		turn(t, e, b, Request{Prompt: prompts[i], MaxTokens: 9}) // 5 blocks each, of which 4 are full
	}
	for _, i := range []int{3, 2, 3} {
		if _, u := turn(t, e, b, Request{Prompt: prompts[i], MaxTokens: 9}); u.Cached != 96 {
			t.Errorf("prompt %d: %d tokens were cached", i, u.Cached)
		}
	}
	if _, u := turn(t, e, b, Request{Prompt: prompts[0], MaxTokens: 9}); u.Cached == 96 {
		t.Error("the oldest is still there")
	}
	if s := e.Stats(); s.KVFree != 16 || s.KVKnown < 8 || s.KVKnown > 16 {
		t.Errorf("%+v", s)
	}
	// 12 blocks, and as many less those that they share: both run at once.
	long := Request{Prompt: prompts[3], MaxTokens: 100}
	one, two := generate(t, e, t.Context(), long), generate(t, e, t.Context(), long)
	for _, s := range []*Stream{one, two} {
		if text, last, err := read(t, s); err != nil || text != decoded(b.greedy(long.Prompt, 100)) || last.Usage.Cached != 96 {
			t.Errorf("%q, %v, %+v", text, err, last.Usage)
		}
	}
}

// TestReuseAfterError: what a failed step was to make is not found.
func TestReuseAfterError(t *testing.T) {
	var armed atomic.Bool
	b := &fakeBackend{fail: func(step int) error {
		if step == 3 && armed.Load() {
			return errors.New("broken")
		}
		return nil
	}}
	e := start(t, b, func(c *Config) { c.StepTokens, c.MaxSeqs = 40, 1 })
	armed.Store(true)
	prompt := randomPrompt(rand.New(rand.NewPCG(9, 4)), 150)
	if _, _, err := read(t, generate(t, e, t.Context(), Request{Prompt: prompt, MaxTokens: 5})); err == nil {
		t.Fatal("the step did not fail")
	}
	armed.Store(false)
	if _, u := turn(t, e, b, Request{Prompt: prompt, MaxTokens: 5}); u.Cached != 64 { // of the 80 before
		t.Errorf("%d tokens were cached", u.Cached)
	}
}

// TestReuseChoices: the choices of a request find what an earlier one left, once.
func TestReuseChoices(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, func(c *Config) { c.MaxSeqs = 3 })
	prompt := randomPrompt(rand.New(rand.NewPCG(9, 5)), 100)
	turn(t, e, b, Request{Prompt: prompt, MaxTokens: 5})
	before := e.Stats().Prefill
	texts, ends, err := readAll(t, generate(t, e, t.Context(), Request{Prompt: prompt, MaxTokens: 40, N: 5}), 5)
	want := decoded(b.greedy(prompt, 40))
	for i, text := range texts {
		if err != nil || text != want {
			t.Errorf("%d: %q, %v", i, text, err)
		}
	}
	if ran := e.Stats().Prefill - before; ran != 4 || ends[0].Usage.Cached != 96 {
		t.Errorf("%d tokens were run, %d cached", ran, ends[0].Usage.Cached)
	}
	// What a choice generated is found too.
	if _, u := turn(t, e, b, Request{Prompt: slices.Concat(prompt, b.greedy(prompt, 40)), MaxTokens: 5}); u.Cached != 128 {
		t.Errorf("%d tokens were cached", u.Cached)
	}
}

// TestReuseGolden: greedy answers of a real model to prompts that begin alike are the same with and without the cache,
// bit by bit of their log-probabilities, also for sequences that turn long or are long.
func TestReuseGolden(t *testing.T) {
	for _, model := range []string{"llama-2x8g8", "phi3-longrope-2x8g8"} {
		e, want := goldenEngine(t, model, func(c *Config) { c.MaxSeqs, c.StepTokens = 2, 24 })
		base := want.Prompts[len(want.Prompts)-1].IDs
		for _, n := range []int{20, 33, 37, 66, 70, len(base)} {
			r := Request{Prompt: base[:n], MaxTokens: 40, Logprobs: true, NoReuse: true}
			text, plain := readLogprobs(t, generate(t, e, t.Context(), r))
			for round := range 2 {
				r.NoReuse = false
				again, cached := readLogprobs(t, generate(t, e, t.Context(), r))
				if again != text || len(plain) != len(cached) {
					t.Fatalf("%s, %d tokens, round %d: %q, without reuse %q", model, n, round, again, text)
				}
				for i := range plain {
					if plain[i].Value != cached[i].Value {
						t.Fatalf("%s, %d tokens, round %d: token %d has %v, without reuse %v", model, n, round, i, cached[i].Value, plain[i].Value)
					}
				}
			}
		}
		waitIdle(t, e)
		if s := e.Stats(); s.Reused == 0 {
			t.Errorf("%s: nothing was reused: %+v", model, s)
		}
	}
}

func TestChainSalt(t *testing.T) {
	seen := map[kv.Hash]string{}
	for _, longFrom := range []int{0, 40} {
		e := &Engine{longFrom: longFrom}
		for _, key := range []string{"", "a", "b", "true", "false"} {
			for _, n := range []int{40, 41} {
				h, what := e.chain(nil, key, make([]int32, n))[0], fmt.Sprint(key, longFrom > 0 && n > 40)
				if other, ok := seen[h]; ok && other != what {
					t.Errorf("%q and %q share their cache", what, other)
				}
				seen[h] = what
			}
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d different caches, want 10", len(seen))
	}
}
