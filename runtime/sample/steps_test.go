package sample

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// texts gives the tokens of the tests something to spell; some hold a breaker, some a part of one.
func texts(id int32) string {
	return []string{"a", "b", "\n", " c", "d:", "STO", "P", "e\"f", "*", "g"}[uint32(id)%10]
}

// cases are parameters for every step alone, at several strengths, and for steps together.
func cases() []Params {
	list := []Params{
		{},
		{Temperature: 1},
		{Temperature: 0.3},
		{Temperature: 2, MinP: 0.2},
		{Temperature: 1, TopK: 5},
		{Temperature: 1, TopK: 1},
		{Temperature: 1, TopK: 700},
		{Temperature: 0.7, TopK: 40, TopP: 0.8, MinP: 0.05},
		{Temperature: 1, TopP: 0.5},
		{Temperature: 1.5, TopP: 0.99},
		{Temperature: 1, TopP: 0.9999},
		{Temperature: 1, TypicalP: 0.2},
		{Temperature: 1, TypicalP: 0.95},
		{Temperature: 1, TypicalP: 0.7, TopP: 0.9, MinP: 0.1},
		{Temperature: 1, TopNSigma: 0.5},
		{Temperature: 1, TopNSigma: 2, TopK: 30},
		{Temperature: 2, TopNSigma: 1, TypicalP: 0.8},
		{Temperature: 1, XTCProbability: 1},
		{Temperature: 1, XTCProbability: 1, XTCThreshold: 0.01},
		{Temperature: 1, XTCProbability: 0.5, XTCThreshold: 0.02, TopK: 20},
		{Temperature: 1, XTCProbability: 1, XTCThreshold: 0.6},
		{Temperature: 1, DynatempRange: 0.5},
		{Temperature: 0.5, DynatempRange: 1, DynatempExponent: 2, TopK: 10},
		{Temperature: 1, DynatempRange: 1, DynatempExponent: 0.3},
		{Temperature: 1, Mirostat: 2},
		{Temperature: 0.8, Mirostat: 2, MirostatTau: 1, MirostatEta: 0.5},
		{Temperature: 1, Mirostat: 2, MirostatTau: 3, TopK: 2, TopP: 0.1, RepeatPenalty: 1.3},
		{Temperature: 0.9, TopP: 0.7, RepeatPenalty: 1.3},
		{Temperature: 1, PresencePenalty: 2, FrequencyPenalty: -0.5},
		{Temperature: 1, TopK: 10, RepeatPenalty: 0.5, PresencePenalty: -2, FrequencyPenalty: 2, RepeatLastN: 7},
		{Temperature: 1, RepeatPenalty: 1.2, RepeatLastN: -1},
		{FrequencyPenalty: 2},
		{Temperature: 1, LogitBias: []Bias{{3, 5}, {4, -100}, {5, negInf}, {3, -2}}},
		{LogitBias: []Bias{{7, 100}}},
		{Temperature: 1, DRYMultiplier: 0.8},
		{Temperature: 1, DRYMultiplier: 0.3, DRYAllowedLength: 1, DRYBase: 1.1},
		{Temperature: 1, DRYMultiplier: 2, DRYAllowedLength: 1, DRYLastN: 9, DRYBreakers: []string{"STOP", "ba"}},
		{DRYMultiplier: 100, DRYBase: 100, DRYAllowedLength: 3, DRYBreakers: []string{"zzz"}},
	}
	return append(list, Params{
		Temperature: 0.9, TopNSigma: 3, TopK: 50, TypicalP: 0.99, TopP: 0.95, MinP: 0.01, XTCProbability: 0.5, XTCThreshold: 0.05,
		DynatempRange: 0.3, RepeatPenalty: 1.1, PresencePenalty: 0.2, FrequencyPenalty: 0.1, DRYMultiplier: 0.5,
		LogitBias: []Bias{{1, 1}},
	})
}

// distribution returns what the next call of Sample draws from, read from the sampler after one.
func distribution(s *Sampler, logits []float32, mask Mask) []float64 {
	out := make([]float64, len(logits))
	s.cand, s.weights = s.cand[:0], s.weights[:0]
	id := s.Sample(logits, mask)
	sum := 0.0
	for i, w := range s.weights {
		at := i
		if len(s.cand) > 0 {
			at = int(s.cand[i].id)
		}
		out[at] = float64(w)
		sum += float64(w)
	}
	if sum == 0 || s.p.Temperature == 0 {
		clear(out)
		out[id], sum = 1, 1
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// TestSteps compares the exact distributions with the reference's, over random logits, histories and masks. The history
// is full of repetitions.
func TestSteps(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	compared := 0
	for i, p := range cases() {
		for round := range 40 {
			vocab := 10 + rng.IntN(60)
			if round%10 == 0 {
				vocab = 1000 + rng.IntN(2000)
			}
			logits := make([]float32, vocab)
			for j := range logits {
				logits[j] = float32(rng.NormFloat64() * 2)
			}
			p.Seed = rng.Uint64()
			history := rng.IntN(5)
			o := oracle{p: p, prompt: randomIDs(rng, rng.IntN(30), 5), generated: randomIDs(rng, history*history, 3+rng.IntN(7))}
			if round%3 > 0 {
				o.text = texts
			}
			s := New(p, Vocab{vocab, o.text})
			s.Prompt(o.prompt)
			for _, id := range o.generated {
				s.Accept(id)
			}
			s.mu = rng.Float64() * 8
			o.mu, o.xtc = s.mu, s.random.at(forXTC, s.position) < float64(p.XTCProbability)
			if round%4 == 0 {
				o.mask = NewMask(vocab)
				for range 1 + rng.IntN(vocab) {
					o.mask.Allow(rng.Int32N(int32(vocab)))
				}
			}
			before := slices.Clone(logits)
			want, got := o.probs(logits), distribution(s, logits, o.mask)
			if !slices.Equal(before, logits) {
				t.Fatalf("%+v: Sample changed the logits", p)
			}
			for id := range want {
				if math.Abs(want[id]-got[id]) > 2e-6+1e-5*want[id] {
					t.Errorf("case %d, round %d, %+v: token %d of %d has %v, want %v", i, round, p, id, vocab, got[id], want[id])
					break
				}
			}
			compared++
		}
	}
	t.Logf("%d distributions", compared)
}

// TestDraw draws many times and compares the frequencies with the reference's probabilities: a token without
// probability never comes, the others within 5 standard deviations.
func TestDraw(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	const vocab, draws = 61, 20000
	for i, p := range cases() {
		logits := make([]float32, vocab)
		for j := range logits {
			logits[j] = float32(rng.NormFloat64() * 2)
		}
		o := oracle{p: p, prompt: randomIDs(rng, 30, vocab), generated: randomIDs(rng, 80, vocab), text: texts}
		s := New(p, Vocab{vocab, texts})
		s.Prompt(o.prompt)
		for _, id := range o.generated {
			s.Accept(id)
		}
		o.mu = s.mu
		want, got := o.probs(logits), make([]float64, vocab)
		o.xtc = true
		for id, q := range o.probs(logits) {
			want[id] += (q - want[id]) * float64(p.XTCProbability)
		}
		for range draws {
			s.position++
			got[s.Sample(logits, nil)]++
		}
		for id, n := range got {
			sigma := math.Sqrt(draws * max(want[id]*(1-want[id]), 0))
			if diff := math.Abs(n - draws*want[id]); diff > 5*sigma+1 || want[id] == 0 && n > 0 {
				t.Errorf("case %d, %+v: token %d came %v times, want %.1f +- %.1f", i, p, id, n, draws*want[id], sigma)
			}
		}
	}
}

// TestMirostat: over a long text the mean surprise comes to tau, whatever the logits' spread, and follows the rule.
func TestMirostat(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	const vocab = 2000
	for _, tau := range []float32{2, 4, 6} {
		s := New(Params{Temperature: 1, Mirostat: 2, MirostatTau: tau, Seed: 1}, Vocab{Size: vocab})
		logits := make([]float32, vocab)
		mean := 0.0
		const n = 2000
		for range n {
			for j := range logits {
				logits[j] = float32(rng.NormFloat64() * 2)
			}
			mu := s.mu
			id := s.Sample(logits, nil)
			mean += s.surprise / n
			s.Accept(id)
			if want := mu - 0.1*(s.surprise-float64(tau)); math.Abs(s.mu-want) > 1e-6 {
				t.Fatalf("the bound went from %v to %v, want %v", mu, s.mu, want)
			}
		}
		if math.Abs(mean-float64(tau)) > 0.15 {
			t.Errorf("tau %v: the mean surprise is %.3f bits", tau, mean)
		}
	}
}

// TestDRY spells out the rule on the example in llama.cpp's source: behind "a b c c b c y a b c" the tokens c, b and y
// go on with repetitions of 3, 1 and 2 tokens.
func TestDRY(t *testing.T) {
	history := []int32{0, 1, 2, 2, 1, 2, 3, 0, 1, 2}
	apply := func(p Params, text func(int32) string) []float32 {
		s := New(p, Vocab{6, text})
		s.Prompt(history)
		return slices.Clone(s.edit(make([]float32, 6), nil))
	}
	p := Params{DRYMultiplier: 1, DRYBase: 2, DRYAllowedLength: 1}
	for name, tt := range map[string]struct {
		change func(*Params)
		text   func(int32) string
		want   []float32
	}{
		"plain":             {func(*Params) {}, nil, []float32{0, -1, -4, -2, 0, 0}},
		"allowed 2":         {func(p *Params) { p.DRYAllowedLength = 2 }, nil, []float32{0, 0, -2, -1, 0, 0}},
		"window":            {func(p *Params) { p.DRYLastN = 5 }, nil, []float32{0, 0, 0, -1, 0, 0}},
		"breaker before":    {func(p *Params) { p.DRYBreakers = []string{"1"} }, digits, []float32{0, 0, -1, -1, 0, 0}},
		"breaker at end":    {func(p *Params) { p.DRYBreakers = []string{"2"} }, digits, []float32{0, 0, 0, 0, 0, 0}},
		"breaker of two":    {func(p *Params) { p.DRYBreakers = []string{"01"} }, digits, []float32{0, -1, -1, -1, 0, 0}},
		"breaker not there": {func(p *Params) { p.DRYBreakers = []string{"9", "21012"} }, digits, []float32{0, -1, -4, -2, 0, 0}},
	} {
		p := p
		tt.change(&p)
		if got := apply(p, tt.text); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	// A text without end stays finite.
	s := New(Params{DRYMultiplier: 100, DRYBase: 100}, Vocab{Size: 2})
	for range 3000 {
		s.Accept(1)
	}
	if id := s.Sample([]float32{0, 50}, nil); id != 0 {
		t.Errorf("chose %d", id)
	}
}

func digits(id int32) string { return string(rune('0' + id)) }

func TestMask(t *testing.T) {
	m := NewMask(130)
	for _, id := range []int32{0, 63, 64, 129} {
		m.Allow(id)
	}
	for id := range int32(300) {
		if want := id == 0 || id == 63 || id == 64 || id == 129; m.Allows(id) != want {
			t.Errorf("Allows(%d) = %v", id, !want)
		}
	}
	logits := make([]float32, 200)
	for i := range logits {
		logits[i] = float32(i)
	}
	for _, p := range []Params{{}, {Temperature: 1}, {Temperature: 2, TopP: 0.99}, {Temperature: 1, TopK: 3}, {Temperature: 1, Mirostat: 2}} {
		s := New(p, Vocab{Size: 200})
		for range 50 {
			id := s.Sample(logits, m)
			if !m.Allows(id) {
				t.Fatalf("%+v: chose %d", p, id)
			}
			s.Accept(id)
		}
		if id := s.Sample(logits, NewMask(200)); id != -1 {
			t.Errorf("%+v: nothing is allowed, chose %d", p, id)
		}
		// What is allowed comes before what is not, even if it is no number.
		only := NewMask(200)
		only.Allow(5)
		bad := slices.Clone(logits)
		for _, v := range []float32{nan, negInf} {
			bad[5] = v
			if id := s.Sample(bad, only); id != 5 {
				t.Errorf("%+v with %v: chose %d", p, v, id)
			}
		}
		short := Mask{1 << 7} // ids past its end are not in it
		if id := s.Sample(logits, short); id != 7 {
			t.Errorf("%+v: chose %d", p, id)
		}
	}
}
