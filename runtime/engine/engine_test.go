package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"aquifer/runtime/plan"
	"aquifer/runtime/sample"
)

func randomPrompt(rng *rand.Rand, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = rng.Int32N(script) // no scripts
	}
	return ids
}

// TestAnswers: the answer to a prompt is the model's, whatever the sizes of steps and however many run together.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct{ seqs, step, requests int }{
		{1, 1, 3}, {1, 7, 3}, {1, 256, 3}, {4, 4, 12}, {4, 33, 12}, {8, 256, 40}, {16, 17, 40},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			b := &fakeBackend{}
			e := start(t, b, func(c *Config) { c.MaxSeqs, c.StepTokens = tt.seqs, tt.step })
			rng := rand.New(rand.NewPCG(1, uint64(tt.step)))
			type pending struct {
				prompt []int32
				n      int
				stream *Stream
			}
			var list []pending
			for range tt.requests {
				p := pending{prompt: randomPrompt(rng, 1+rng.IntN(150)), n: 1 + rng.IntN(100)}
				var err error
				p.stream, err = e.Generate(t.Context(), Request{Prompt: p.prompt, MaxTokens: p.n, Key: fmt.Sprint(rng.IntN(3))})
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, p)
			}
			tokens := 0
			for _, p := range list {
				text, last, err := read(t, p.stream)
				if err != nil {
					t.Fatal(err)
				}
				if want := decoded(b.greedy(p.prompt, p.n)); text != want {
					t.Errorf("prompt of %d: got %q, want %q", len(p.prompt), text, want)
				}
				if last.Finish != FinishLength || last.Usage.Prompt != len(p.prompt) || last.Usage.Completion != p.n {
					t.Errorf("last delta %+v %+v", last, last.Usage)
				}
				tokens += len(p.prompt)
			}
			waitIdle(t, e)
			s := e.Stats()
			if s.Finished != int64(tt.requests) || s.Prefill != int64(tokens) || s.KVFree != s.KVBlocks {
				t.Errorf("stats %+v, %d prompt tokens", s, tokens)
			}
			pr := b.last.Load()
			// How many run together depends on how fast requests come in; that some do, and never too many, does not.
			widest := int(pr.widest.Load())
			if int(pr.tokens.Load()) > max(tt.step, tt.seqs) || widest > tt.seqs || widest < min(2, tt.seqs, tt.requests) {
				t.Errorf("largest step: %d tokens, %d sequences", pr.tokens.Load(), pr.widest.Load())
			}
		})
	}
}

// waitIdle waits until the loop has put everything away: a client sees its last Delta a moment before that.
func waitIdle(t testing.TB, e *Engine) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(100 * time.Microsecond) {
		s := e.Stats()
		if s.Running == 0 && s.Queued == 0 && s.KVFree == s.KVBlocks {
			return
		}
		if time.Since(start) > 10*time.Second {
			t.Fatalf("not idle: %+v", s)
		}
	}
}

// TestSampled: sampled text is what the sampler makes of the model alone, whatever else runs.
func TestSampled(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, func(c *Config) { c.StepTokens = 16 })
	prompt := randomPrompt(rand.New(rand.NewPCG(3, 3)), 70)
	const n = 40
	want := func(p Sampling) string { return choiceText(b, prompt, p, 0, n) }
	for range 2 { // the second time with used samplers
		var streams []*Stream
		var params []Sampling
		for seed := range uint64(8) {
			p := Sampling{Temperature: 1, TopP: 0.9, Seed: seed}
			switch seed % 4 {
			case 0:
				p.RepeatPenalty, p.FrequencyPenalty = 3, 1
			case 1:
				p.DRYMultiplier, p.DRYAllowedLength, p.XTCProbability, p.XTCThreshold = 2, 1, 0.5, 0.001
			case 2:
				p.Mirostat, p.LogitBias = 2, []sample.Bias{{ID: 'a', Value: 2}}
			}
			params = append(params, p)
			streams = append(streams, generate(t, e, t.Context(), Request{Prompt: prompt, MaxTokens: n, Sampling: p}))
		}
		seen := map[string]bool{}
		for i, s := range streams {
			text, _, err := read(t, s)
			if err != nil || text != want(params[i]) || seen[text] {
				t.Errorf("%+v: %q, %v, want %q", params[i], text, err, want(params[i]))
			}
			seen[text] = true
		}
	}
}

func TestFinish(t *testing.T) {
	b := &fakeBackend{scripts: [][]byte{
		[]byte("Hello, wörld! Bye."),
		[]byte("a\xe2\x82\xac\xf0\x9f\x98\x80 bad:\xff\xe2\x82 end"), // whole characters, then broken ones
		[]byte("one STO two STOP three"),
		[]byte("cut \xe2\x82"),
		[]byte(""),
	}}
	e := start(t, b, nil)
	tests := []struct {
		name   string
		r      Request
		text   string
		finish Finish
		tokens int
	}{
		{"eos", Request{Prompt: scripted(0)}, "Hello, wörld! Bye.", FinishStop, 20},
		{"length", Request{Prompt: scripted(0), MaxTokens: 5}, "Hello", FinishLength, 5},
		{"length in a character", Request{Prompt: scripted(0), MaxTokens: 9}, "Hello, w\ufffd", FinishLength, 9},
		{"length at the end", Request{Prompt: scripted(0), MaxTokens: 19}, "Hello, wörld! Bye.", FinishLength, 19},
		{"eos as the last token", Request{Prompt: scripted(0), MaxTokens: 20}, "Hello, wörld! Bye.", FinishStop, 20},
		{"utf-8", Request{Prompt: scripted(1)}, "a€😀 bad:\ufffd\ufffd end", FinishStop, 21},
		{"stop", Request{Prompt: scripted(2), Stop: []string{"STOP"}}, "one STO two ", FinishStop, 16},
		{"stop in a word", Request{Prompt: scripted(0), Stop: []string{"zzz", "ö"}}, "Hello, w", FinishStop, 10},
		{"stop at the start", Request{Prompt: scripted(0), Stop: []string{"H"}}, "", FinishStop, 1},
		{"shorter stop first", Request{Prompt: scripted(2), Stop: []string{"STOP", " S"}}, "one", FinishStop, 5},
		{"longest of two", Request{Prompt: scripted(2), Stop: []string{"O", "STO"}}, "one ", FinishStop, 7},
		{"held at length", Request{Prompt: scripted(2), Stop: []string{"STOP"}, MaxTokens: 15}, "one STO two STO", FinishLength, 15},
		{"held at eos", Request{Prompt: scripted(0), Stop: []string{"Bye. And"}}, "Hello, wörld! Bye.", FinishStop, 20},
		{"stop completed by the flush", Request{Prompt: scripted(3), Stop: []string{"t \ufffd"}}, "cu", FinishStop, 7},
		{"broken tail", Request{Prompt: scripted(3)}, "cut \ufffd", FinishStop, 7},
		{"nothing", Request{Prompt: scripted(4)}, "", FinishStop, 1},
		{"ignore eos", Request{Prompt: scripted(4), IgnoreEOS: true, MaxTokens: 4}, "", FinishLength, 4},
	}
	for _, tt := range tests {
		s, err := e.Generate(t.Context(), tt.r)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		text, last, err := read(t, s)
		if err != nil || text != tt.text || last.Finish != tt.finish {
			t.Errorf("%s: %q, %q, %v; want %q, %q", tt.name, text, last.Finish, err, tt.text, tt.finish)
		}
		if last.Usage == nil || last.Usage.Completion != tt.tokens {
			t.Errorf("%s: usage %+v, want %d tokens", tt.name, last.Usage, tt.tokens)
		}
	}
}

// TestContextEnd: an answer without a limit ends with the context, and the token that completes it counts.
func TestContextEnd(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, func(c *Config) { c.Context = 100 })
	prompt := randomPrompt(rand.New(rand.NewPCG(1, 1)), 60)
	for _, n := range []int{0, 1000} {
		s, err := e.Generate(t.Context(), Request{Prompt: prompt, MaxTokens: n})
		if err != nil {
			t.Fatal(err)
		}
		text, last, err := read(t, s)
		if want := decoded(b.greedy(prompt, 40)); err != nil || text != want || last.Finish != FinishLength {
			t.Errorf("MaxTokens %d: %q %q %v, want %q", n, text, last.Finish, err, want)
		}
	}
	// A single token of room, then none.
	s, err := e.Generate(t.Context(), Request{Prompt: randomPrompt(rand.New(rand.NewPCG(1, 1)), 99)})
	if err != nil {
		t.Fatal(err)
	}
	if _, last, _ := read(t, s); last.Finish != FinishLength || last.Usage.Completion != 1 {
		t.Errorf("one token of room: %+v", last)
	}
	_, err = e.Generate(t.Context(), Request{Prompt: make([]int32, 100)})
	var ce *ContextError
	if !errors.As(err, &ce) || ce.Prompt != 100 || ce.Context != 100 ||
		!strings.Contains(err.Error(), "the prompt has 100 tokens, the context has 100") {
		t.Errorf("no room: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	e := start(t, &fakeBackend{}, nil)
	ok := []int32{1}
	for name, tt := range map[string]struct {
		r     Request
		param string
	}{
		"no prompt":      {Request{}, "prompt"},
		"negative id":    {Request{Prompt: []int32{-1}}, "prompt"},
		"id too high":    {Request{Prompt: []int32{vocab}}, "prompt"},
		"max_tokens":     {Request{Prompt: ok, MaxTokens: -1}, "max_tokens"},
		"untimed":        {Request{Prompt: ok, Untimed: 1}, "untimed"},
		"temperature":    {Request{Prompt: ok, Sampling: Sampling{Temperature: 3}}, "temperature"},
		"logit_bias":     {Request{Prompt: ok, Sampling: Sampling{LogitBias: []sample.Bias{{ID: vocab}}}}, "logit_bias"},
		"top_logprobs":   {Request{Prompt: ok, Logprobs: true, TopLogprobs: 21}, "top_logprobs"},
		"n":              {Request{Prompt: ok, N: MaxChoices + 1}, "n"},
		"n negative":     {Request{Prompt: ok, N: -1}, "n"},
		"top alone":      {Request{Prompt: ok, TopLogprobs: 1}, "top_logprobs"},
		"empty stop":     {Request{Prompt: ok, Stop: []string{"a", ""}}, "stop"},
		"long stop":      {Request{Prompt: ok, Stop: []string{strings.Repeat("x", maxStopBytes+1)}}, "stop"},
		"many stops":     {Request{Prompt: ok, Stop: slices.Repeat([]string{"x"}, maxStops+1)}, "stop"},
		"stop not UTF-8": {Request{Prompt: ok, Stop: []string{"\xff"}}, "stop"},
	} {
		_, err := e.Generate(t.Context(), tt.r)
		var pe *ParamError
		if !errors.As(err, &pe) || pe.Param != tt.param {
			t.Errorf("%s: %v, want a ParamError for %q", name, err, tt.param)
		}
	}
	if s := e.Stats(); s.Steps != 0 || s.Queued != 0 {
		t.Errorf("a bad request reached the loop: %+v", s)
	}
	limit := Request{Prompt: ok, MaxTokens: 1, Stop: slices.Repeat([]string{strings.Repeat("x", maxStopBytes)}, maxStops)}
	s, err := e.Generate(t.Context(), limit)
	if err != nil {
		t.Fatalf("stops at the limits: %v", err)
	}
	read(t, s)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Generate(done, Request{Prompt: ok}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a dead context: %v", err)
	}
}

func TestLogits(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, func(c *Config) { c.Context, c.StepTokens = 128, 16 })
	prompt := randomPrompt(rand.New(rand.NewPCG(2, 2)), 128) // all of the context: no token has to follow
	want := make([]float32, vocab)
	b.model(want, len(prompt), func(q int) int32 { return prompt[q] })
	got, err := e.Logits(t.Context(), prompt)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Logits: %v, %v...", err, got[:min(3, len(got))])
	}
	var ce *ContextError
	if _, err := e.Logits(t.Context(), make([]int32, 129)); !errors.As(err, &ce) {
		t.Errorf("129 tokens: %v", err)
	}
	var pe *ParamError
	if _, err := e.Logits(t.Context(), nil); !errors.As(err, &pe) {
		t.Errorf("no tokens: %v", err)
	}
	waitIdle(t, e)
}

// TestHalfCharacterPrompt: what a prompt leaves unfinished does not show in the answer.
func TestHalfCharacterPrompt(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, nil)
	prompt := []int32{'x', 0xe2, 0x82}
	s, err := e.Generate(t.Context(), Request{Prompt: prompt, MaxTokens: 20})
	if err != nil {
		t.Fatal(err)
	}
	if text, _, _ := read(t, s); text != decoded(b.greedy(prompt, 20)) {
		t.Errorf("%q, want %q", text, decoded(b.greedy(prompt, 20)))
	}
}

func TestInfo(t *testing.T) {
	e := start(t, &fakeBackend{perSeq: 1000, weights: 5000}, func(c *Config) { c.MaxSeqs, c.KV = 3, plan.F16 })
	i := e.Info()
	if i.ID != "fake" || i.Context != 256 || i.KVTokens != 3*256 || i.MaxSeqs != 3 || i.StepTokens != DefaultStepTokens ||
		i.KV != plan.F16 || i.Vocab != vocab || i.Backend.Name != "fake" || i.Memory.Total() != 5000+24*1000 {
		t.Errorf("%+v", i)
	}
}

// TestUntimed: the steps before the cut count for nothing, and the answer is the same.
func TestUntimed(t *testing.T) {
	const delay = 20 * time.Millisecond
	b := &fakeBackend{delay: delay}
	e := start(t, b, func(c *Config) { c.StepTokens = 8 })
	prompt := randomPrompt(rand.New(rand.NewPCG(1, 1)), 30)
	for _, untimed := range []int{0, 29} {
		s, err := e.Generate(t.Context(), Request{Prompt: prompt, MaxTokens: 3, Untimed: untimed})
		if err != nil {
			t.Fatal(err)
		}
		text, last, err := read(t, s)
		if err != nil || text != decoded(b.greedy(prompt, 3)) {
			t.Errorf("%d untimed: %q, %v", untimed, text, err)
		}
		if steps := last.Usage.PrefillTime / delay; (steps < 4) != (untimed > 0) {
			t.Errorf("%d of 30 tokens untimed: the rest took %v", untimed, last.Usage.PrefillTime)
		}
	}
}
