package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aquifer/backends"
)

// answer is all that a client can see of one.
type answer struct {
	texts  []string
	probs  [][]Logprob
	finish []Finish
	tokens []int
}

func collect(t testing.TB, e *Engine, r Request) answer {
	s, err := e.Generate(t.Context(), r)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	n := max(r.N, 1)
	a := answer{make([]string, n), make([][]Logprob, n), make([]Finish, n), make([]int, n)}
	for {
		d, err := s.Next()
		if err != nil {
			return a
		}
		a.texts[d.Index] += d.Text
		a.probs[d.Index] = append(a.probs[d.Index], d.Logprobs...)
		a.tokens[d.Index] += d.Tokens
		if d.Finish != "" {
			a.finish[d.Index] = d.Finish
		}
	}
}

// speculated are requests of every kind. Those with a script repeat themselves; the others have a prediction that is wrong
// in every ninth place.
func speculated(t *testing.T, b *fakeBackend) []Request {
	rng := rand.New(rand.NewPCG(8, 8))
	piece := randomText(rng, 30)
	b.scripts = [][]byte{bytes.Repeat(piece, 5), append(bytes.Repeat([]byte("ab"), 40), piece...)}
	all := []Request{
		{Prompt: scripted(0), MaxTokens: 200},
		{Prompt: scripted(0), MaxTokens: 77},
		{Prompt: scripted(1), MaxTokens: 200, Sampling: Sampling{Temperature: 1, Seed: 4}},
		{Prompt: scripted(0), Stop: []string{string(piece[5:9]) + "never", string(piece[20:]) + string(piece[:3])}},
		{Prompt: scripted(1), MaxTokens: 100, Logprobs: true, TopLogprobs: 3},
		{Prompt: scripted(0), MaxTokens: 90, Constraint: &Constraint{Kind: GBNF, Text: "root ::= [a-z]*"}},
	}
	for i, p := range []Sampling{
		{},
		{Temperature: 1, TopP: 0.9, Seed: 5},
		{Temperature: 1.3, RepeatPenalty: 1.2, FrequencyPenalty: 0.5, Seed: 6},
		{Temperature: 1, Mirostat: 2, Seed: 7},
		{Temperature: 0.8, DRYMultiplier: 1, XTCProbability: 0.4, XTCThreshold: 0.001, Seed: 8},
	} {
		prompt := randomPrompt(rand.New(rand.NewPCG(9, uint64(i))), 20+i*13)
		all = append(all, Request{Prompt: prompt, MaxTokens: 100, Sampling: p, N: i%3 + 1})
	}
	return all
}

// TestSpeculation: with and without proposed tokens a seed gives the same text, log-probabilities and end, alone, beside
// others and from the cache.
func TestSpeculation(t *testing.T) {
	b := &fakeBackend{}
	requests := speculated(t, b)
	plain := start(t, b, nil)
	want := make([]answer, len(requests))
	for i, r := range requests {
		want[i] = collect(t, plain, r)
		if len(r.Prompt) > 3 {
			requests[i].Prediction = spoilt(ids(want[i].texts[0]), 9)
		}
	}
	for _, step := range []int{12, 256} {
		synctest.Test(t, func(t *testing.T) { checkSpeculation(t, b, requests, want, step) })
	}
}

func checkSpeculation(t *testing.T, b *fakeBackend, requests []Request, want []answer, step int) {
	fast := &fakeBackend{scripts: b.scripts, delay: 300 * time.Microsecond} // wide steps pay
	e := start(t, fast, func(c *Config) { c.Speculate, c.StepTokens, c.MaxSeqs = 6, step, 8 })
	check := func(how string, i int) {
		if got := collect(t, e, requests[i]); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("request %d, %s, steps of %d: %+v, want %+v", i, how, step, got, want[i])
		}
	}
	for i := range requests {
		check("alone", i)
	}
	before := e.Stats()
	for _, how := range []string{"beside others", "again"} {
		var all sync.WaitGroup
		for i := range requests {
			all.Go(func() { check(how, i) })
		}
		all.Wait()
	}
	if s := e.Stats(); before.Accepted < 100 || s.Accepted < before.Accepted+100 || s.Drafted-s.Accepted < 20 || s.Reused == 0 {
		t.Errorf("steps of %d: %d of %d proposed tokens were accepted, %d by single requests; %d tokens reused",
			step, s.Accepted, s.Drafted, before.Accepted, s.Reused)
	}
	waitIdle(t, e)
}

// TestSpeculationPays: what is tried follows what steps take. The same text takes a third of the steps where wider steps
// are free, and as many as without proposals where every token takes its time.
func TestSpeculationPays(t *testing.T) {
	for _, tt := range []struct {
		delay, each time.Duration
		least, most int64 // of the tokens that are tried
	}{
		{10 * time.Millisecond, 0, 200, 400},
		{0, 10 * time.Millisecond, 0, 40},
	} {
		synctest.Test(t, func(t *testing.T) {
			piece := randomText(rand.New(rand.NewPCG(1, 1)), 50)
			b := &fakeBackend{delay: tt.delay, each: tt.each, scripts: [][]byte{bytes.Repeat(piece, 8)}}
			e := start(t, b, func(c *Config) { c.Speculate, c.Context = 8, 512 })
			begin := time.Now()
			text, _, err := read(t, generate(t, e, t.Context(), Request{Prompt: scripted(0)}))
			if err != nil || text != string(b.scripts[0]) {
				t.Fatalf("%q, %v", text, err)
			}
			took, plain := time.Since(begin), 400*(tt.delay+tt.each)
			s := e.Stats()
			if s.Drafted < tt.least || s.Drafted > tt.most {
				t.Errorf("%+v: %d tokens were tried, %d accepted", tt, s.Drafted, s.Accepted)
			}
			if tt.each == 0 && took > plain/3 || tt.each > 0 && took > plain*105/100 {
				t.Errorf("%+v: took %v, %v without proposals", tt, took, plain)
			}
			if err := e.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPredictionTooLong: a prediction is searched at every token, so it is no longer than an answer can be.
func TestPredictionTooLong(t *testing.T) {
	e := start(t, &fakeBackend{}, func(c *Config) { c.Speculate = 4 })
	for _, over := range []int{0, 1} {
		r := Request{Prompt: randomPrompt(rand.New(rand.NewPCG(1, 4)), 5), MaxTokens: 2, Prediction: make([]int32, e.Info().Context+over)}
		s, err := e.Generate(t.Context(), r)
		var param *ParamError
		if (err != nil) != (over > 0) || err != nil && (!errors.As(err, &param) || param.Param != "prediction") {
			t.Errorf("%d tokens: %v", len(r.Prediction), err)
		}
		if err == nil {
			s.Close()
		}
	}
}

// TestPrediction: the usage says what of a prediction was right, and a request without one speculates only where that is
// allowed.
func TestPrediction(t *testing.T) {
	script := randomText(rand.New(rand.NewPCG(2, 2)), 120)
	for _, tt := range []struct {
		name       string
		speculate  int
		asked      bool
		prediction []int32
		right      bool
		tried      bool
	}{
		{"right", 8, true, ids(string(script)), true, true},
		{"nearly", 8, false, spoilt(ids(string(script)), 20), true, true},
		{"wrong", 8, false, ids("something else entirely"), false, true},
		{"none", 8, true, nil, false, false},
		{"off", 0, false, ids(string(script)), false, false},
	} {
		b := &fakeBackend{scripts: [][]byte{script}, delay: 100 * time.Microsecond}
		e := start(t, b, func(c *Config) { c.Speculate, c.SpeculateAsked = tt.speculate, tt.asked })
		text, last, err := read(t, generate(t, e, t.Context(), Request{Prompt: scripted(0), Prediction: tt.prediction}))
		if err != nil || text != string(script) {
			t.Errorf("%s: %q, %v", tt.name, text, err)
		}
		u := last.Usage
		if (u.Accepted > 50) != tt.right || u.Accepted+u.Rejected > 0 != tt.tried || tt.name == "right" && u.Rejected > 8 {
			t.Errorf("%s: %d accepted, %d rejected", tt.name, u.Accepted, u.Rejected)
		}
		if got := e.Stats().Drafted; int(got) < u.Accepted+u.Rejected || !tt.tried && got != 0 {
			t.Errorf("%s: %d tokens were tried", tt.name, got)
		}
	}
}

// TestSpeculationGolden: a real model's greedy and sampled answers, bit by bit of their log-probabilities, to a prompt that
// repeats itself.
func TestSpeculationGolden(t *testing.T) {
	for _, model := range []string{"llama-2x8g8", "qwen2-2x8g8"} {
		plain, want := goldenEngine(t, model, nil)
		e, _ := goldenEngine(t, model, func(c *Config) { c.Speculate, c.Precision = 5, backends.Exact })
		base := want.Prompts[len(want.Prompts)-1].IDs[:20]
		prompt := slices.Concat(base, base, base[:5])
		for i, p := range []Sampling{{}, {Temperature: 1, Seed: 3}, {Temperature: 0.7, TopK: 5, RepeatPenalty: 1.2, Seed: 4}} {
			r := Request{Prompt: prompt, MaxTokens: 60, Logprobs: true, TopLogprobs: 2, Sampling: p}
			want := collect(t, plain, r)
			r.Prediction = spoilt(idsOf(t, want.texts[0]), 6)
			if got := collect(t, e, r); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %d: %+v, want %+v", model, i, got, want)
			}
		}
		if s := e.Stats(); s.Accepted < 30 || s.Accepted == s.Drafted {
			t.Errorf("%s: %d of %d proposed tokens were accepted", model, s.Accepted, s.Drafted)
		}
	}
}

// idsOf reads back what idTokenizer has written.
func idsOf(t testing.TB, text string) (list []int32) {
	t.Helper()
	for rest := text; rest != ""; {
		var id int32
		if n, err := fmt.Sscan(rest, &id); n != 1 {
			t.Fatal(err)
		}
		list = append(list, id)
		rest = rest[min(len(fmt.Sprint(id))+1, len(rest)):]
	}
	return list
}
