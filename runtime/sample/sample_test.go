package sample

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var (
	nan    = float32(math.NaN())
	inf    = float32(math.Inf(1))
	negInf = float32(math.Inf(-1))
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name  string
		p     Params
		param string // "" for valid
	}{
		{"zero", Params{}, ""},
		{"upper limits", Params{
			Temperature: 2, TopP: 1, MinP: 1, RepeatPenalty: 10, PresencePenalty: 2, FrequencyPenalty: 2,
			RepeatLastN: math.MaxInt32, TopK: math.MaxInt, Seed: math.MaxUint64,
		}, ""},
		{"lower limits", Params{PresencePenalty: -2, FrequencyPenalty: -2, RepeatLastN: -1}, ""},
		{"temperature high", Params{Temperature: 2.01}, "temperature"},
		{"temperature negative", Params{Temperature: -0.01}, "temperature"},
		{"temperature nan", Params{Temperature: nan}, "temperature"},
		{"temperature inf", Params{Temperature: inf}, "temperature"},
		{"top_p", Params{TopP: 1.5}, "top_p"},
		{"min_p", Params{MinP: -1}, "min_p"},
		{"top_k", Params{TopK: -1}, "top_k"},
		{"repeat_penalty", Params{RepeatPenalty: 11}, "repeat_penalty"},
		{"repeat_penalty tiny", Params{RepeatPenalty: 1e-30}, "repeat_penalty"},
		{"presence_penalty", Params{PresencePenalty: -2.1}, "presence_penalty"},
		{"frequency_penalty", Params{FrequencyPenalty: negInf}, "frequency_penalty"},
		{"repeat_last_n", Params{RepeatLastN: -2}, "repeat_last_n"},
	}
	for _, tt := range tests {
		err := tt.p.Validate()
		var pe *ParamError
		switch {
		case tt.param == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.param != "" && (!errors.As(err, &pe) || pe.Param != tt.param || !strings.HasPrefix(pe.Error(), tt.param+": ")):
			t.Errorf("%s: error %v, want one for %q", tt.name, err, tt.param)
		}
	}
}

// TestTotalOrder checks what logits that are no numbers do, for every path through the sampler.
func TestTotalOrder(t *testing.T) {
	tests := []struct {
		name   string
		logits []float32
		want   []int32 // possible choices
	}{
		{"one", []float32{3}, []int32{0}},
		{"nan first", []float32{nan, -1e30, negInf}, []int32{1}},
		{"all nan", []float32{nan, nan, nan}, []int32{0}},
		{"all -inf", []float32{negInf, negInf}, []int32{0}},
		{"nan and -inf", []float32{nan, negInf, nan, negInf}, []int32{1}},
		{"+inf", []float32{1, inf, 2, nan}, []int32{1}},
		{"two +inf", []float32{1, inf, 2, inf, negInf}, []int32{1, 3}},
		{"ends of the range", []float32{math.MaxFloat32, -math.MaxFloat32, nan}, []int32{0}},
	}
	params := []Params{
		{},
		{Temperature: 1},
		{Temperature: 2, MinP: 1e-30},
		{Temperature: 1e-45},
		{Temperature: 1, TopK: 2},
		{Temperature: 1, TopK: 100},
		{Temperature: 1, TopP: 0.9},
		{Temperature: 1, TopK: 2, TopP: 0.5, MinP: 0.1},
		{Temperature: 1, TopP: 1e-30, MinP: 1},
		{Temperature: 1, RepeatPenalty: 1.1, PresencePenalty: 0.1, FrequencyPenalty: 0.1},
	}
	for _, tt := range tests {
		for _, p := range params {
			for seed := range uint64(20) {
				p.Seed = seed
				in := slices.Clone(tt.logits)
				got := New(p, len(in)).Sample(in)
				if p.Temperature == 0 && got != tt.want[0] || !slices.Contains(tt.want, got) {
					t.Errorf("%s: %+v: chose %d, want one of %v", tt.name, p, got, tt.want)
				}
			}
		}
	}
}

// oracle computes the distribution that Params describe in the plainest way, in float64.
func oracle(p Params, logits []float32, prompt, generated []int32) []float64 {
	type tok struct {
		id int
		l  float64
	}
	all := make([]tok, len(logits))
	for i, l := range logits {
		all[i] = tok{i, float64(l)}
	}
	history := append(slices.Clone(prompt), generated...)
	isGenerated := len(prompt)
	first := max(0, len(history)-p.window())
	seen, count := map[int32]bool{}, map[int32]int{}
	for i := first; i < len(history); i++ {
		if p.repeats() || i >= isGenerated { // without a repeat penalty the window holds generated tokens only
			seen[history[i]] = true
		}
		if i >= isGenerated {
			count[history[i]]++
		}
	}
	for id := range seen {
		l := &all[id].l
		if p.RepeatPenalty > 0 {
			if *l > 0 {
				*l /= float64(p.RepeatPenalty)
			} else {
				*l *= float64(p.RepeatPenalty)
			}
		}
		if n := count[id]; n > 0 {
			*l -= float64(p.PresencePenalty) + float64(n)*float64(p.FrequencyPenalty)
		}
	}
	slices.SortStableFunc(all, func(a, b tok) int { return cmp.Compare(b.l, a.l) })
	if p.TopK > 0 {
		all = all[:min(len(all), p.TopK)]
	}
	top := all[0].l
	total := 0.0
	for _, x := range all {
		total += math.Exp(x.l - top)
	}
	if p.TopP > 0 && p.TopP < 1 {
		have := 0.0
		for i, x := range all {
			if have += math.Exp(x.l - top); have >= float64(p.TopP)*total {
				all = all[:i+1]
				break
			}
		}
	}
	probs := make([]float64, len(logits))
	if p.Temperature == 0 {
		probs[all[0].id] = 1
		return probs
	}
	sum := 0.0
	for _, x := range all {
		if math.Exp(x.l-top) >= float64(p.MinP) {
			probs[x.id] = math.Exp((x.l - top) / float64(p.Temperature))
			sum += probs[x.id]
		}
	}
	for i := range probs {
		probs[i] /= sum
	}
	return probs
}

// TestDistribution draws many times and compares the frequencies with the oracle's probabilities: a token without
// probability never comes, the others within 5 standard deviations.
func TestDistribution(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	params := []Params{
		{},
		{Temperature: 1},
		{Temperature: 0.3},
		{Temperature: 2, MinP: 0.2},
		{Temperature: 1, TopK: 5},
		{Temperature: 0.7, TopK: 40, TopP: 0.8, MinP: 0.05},
		{Temperature: 1, TopP: 0.5},
		{Temperature: 1.5, TopP: 0.99},
		{Temperature: 1, TopP: 0.9999},
		{Temperature: 0.9, TopP: 0.7, RepeatPenalty: 1.3},
		{Temperature: 1, PresencePenalty: 2, FrequencyPenalty: -0.5},
		{Temperature: 1, TopK: 10, RepeatPenalty: 0.5, PresencePenalty: -2, FrequencyPenalty: 2, RepeatLastN: 7},
		{Temperature: 1, RepeatPenalty: 1.2, RepeatLastN: -1},
		{FrequencyPenalty: 2},
	}
	const vocab, draws = 61, 20000
	for i, p := range params {
		logits := make([]float32, vocab)
		for j := range logits {
			logits[j] = float32(rng.NormFloat64() * 2)
		}
		p.Seed = uint64(i)
		prompt, generated := randomIDs(rng, 30, vocab), randomIDs(rng, 80, vocab)
		s := New(p, vocab)
		s.Prompt(prompt)
		for _, id := range generated {
			s.Accept(id)
		}
		want, got := oracle(p, logits, prompt, generated), make([]float64, vocab)
		before := slices.Clone(logits)
		for range draws {
			got[s.Sample(logits)]++
		}
		if !slices.Equal(before, logits) {
			t.Fatalf("%+v: Sample changed the logits", p)
		}
		for id, n := range got {
			sigma := math.Sqrt(draws * want[id] * (1 - want[id]))
			if diff := math.Abs(n - draws*want[id]); diff > 5*sigma+1e-3 {
				t.Errorf("%+v: token %d came %v times, want %.1f +- %.1f", p, id, n, draws*want[id], sigma)
			}
		}
	}
}

func randomIDs(rng *rand.Rand, n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = rng.Int32N(int32(vocab))
	}
	return ids
}

// TestSeed checks that a sequence of choices depends on the seed only, also through Reset.
func TestSeed(t *testing.T) {
	const vocab = 500
	run := func(s *Sampler) (ids []int32) {
		rng := rand.New(rand.NewPCG(3, 4))
		logits := make([]float32, vocab)
		for range 50 {
			for j := range logits {
				logits[j] = float32(rng.NormFloat64())
			}
			ids = append(ids, s.Sample(logits))
			s.Accept(ids[len(ids)-1])
		}
		return ids
	}
	p := Params{Temperature: 1, TopP: 0.95, RepeatPenalty: 1.1, FrequencyPenalty: 0.3, Seed: 7}
	s := New(p, vocab)
	first := run(s)
	if again := run(New(p, vocab)); !slices.Equal(first, again) {
		t.Error("the same seed gave other tokens")
	}
	s.Reset(p)
	if again := run(s); !slices.Equal(first, again) {
		t.Error("Reset left something behind")
	}
	p.Seed = 8
	if other := run(New(p, vocab)); slices.Equal(first, other) {
		t.Error("another seed gave the same tokens")
	}
}

// TestRandom pins the generator: texts of a seed must not change from release to release by accident.
func TestRandom(t *testing.T) {
	r := newRandom(42)
	got := []float64{r.float64(), r.float64(), r.float64()}
	want := []float64{0.35808126026515974, 0.7945240679736014, 0.43329047656255393}
	if !slices.Equal(got, want) {
		t.Errorf("seed 42 gives %v, want %v", got, want)
	}
	sum, n := 0.0, 100000
	for range n {
		u := r.float64()
		if u < 0 || u >= 1 {
			t.Fatalf("%v is not in [0, 1)", u)
		}
		sum += u
	}
	if mean := sum / float64(n); math.Abs(mean-0.5) > 0.005 {
		t.Errorf("mean %v", mean)
	}
}

func TestExp(t *testing.T) {
	for x := float32(0); x > -87; x -= 0.00137 {
		want := math.Exp(float64(x))
		if e := math.Abs(float64(exp(x))-want) / want; e > 3e-7 {
			t.Fatalf("exp(%v) is off by %.2g", x, e)
		}
	}
	for _, x := range []float32{-87, -1e30, negInf, nan} {
		if exp(x) != 0 {
			t.Errorf("exp(%v) = %v", x, exp(x))
		}
	}
	if exp(0) != 1 {
		t.Errorf("exp(0) = %v", exp(0))
	}
}

// TestSelectTop compares the heap with a full sort, with many equal logits.
func TestSelectTop(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		n := 1 + rng.IntN(70)
		logits := make([]float32, n)
		all := make([]candidate, n)
		for i := range logits {
			logits[i] = float32(rng.IntN(9))
			if rng.IntN(5) == 0 {
				logits[i] = nan
			}
			all[i] = candidate{int32(i), logits[i]}
		}
		slices.SortFunc(all, compare)
		s := New(Params{}, n)
		k := 1 + rng.IntN(n)
		s.selectTop(logits, k)
		for i := range k {
			if s.cand[i].id != all[i].id {
				t.Fatalf("top %d of %v: %v, want %v", k, logits, s.cand, all[:k])
			}
		}
	}
}

func TestNoAllocation(t *testing.T) {
	const vocab = 4000
	logits := testLogits(vocab)
	for _, p := range []Params{
		{},
		{Temperature: 1},
		{Temperature: 1, TopK: 40, TopP: 0.9, MinP: 0.05},
		{Temperature: 1, TopP: 0.9},
		{Temperature: 1, TopP: 0.9, RepeatPenalty: 1.1, PresencePenalty: 1, FrequencyPenalty: 1},
	} {
		s := New(p, vocab)
		step := func() { s.Accept(s.Sample(logits)) }
		for range 200 {
			step()
		}
		if n := testing.AllocsPerRun(200, step); n != 0 {
			t.Errorf("%+v: %v allocations per token", p, n)
		}
	}
}

func testLogits(vocab int) []float32 {
	rng := rand.New(rand.NewPCG(9, 9))
	logits := make([]float32, vocab)
	for i := range logits {
		logits[i] = float32(rng.NormFloat64() * 3)
	}
	return logits
}

// FuzzSample feeds arbitrary bits as logits: no panic, and never a NaN while there is a number.
func FuzzSample(f *testing.F) {
	f.Add(uint64(1), uint64(0), float32(1), float32(0.9), float32(0.1), 3, float32(1.1))
	f.Add(uint64(2), uint64(0xff), float32(0), float32(0), float32(0), 0, float32(0))
	f.Add(uint64(3), uint64(0xf0f0), float32(2), float32(0.5), float32(0), 100, float32(0.5))
	f.Fuzz(func(t *testing.T, seed, special uint64, temp, topP, minP float32, topK int, repeat float32) {
		p := Params{Temperature: temp, TopP: topP, MinP: minP, TopK: topK, RepeatPenalty: repeat, Seed: seed}
		if p.Validate() != nil {
			t.Skip()
		}
		rng := rand.New(rand.NewPCG(seed, special))
		logits := make([]float32, 1+rng.IntN(100))
		number := false
		for i := range logits {
			logits[i] = float32(rng.NormFloat64())
			if special>>(i%64)&1 == 1 {
				logits[i] = math.Float32frombits(rng.Uint32())
			}
			if special>>((i+7)%64)&3 == 3 {
				logits[i] = []float32{nan, inf, negInf}[rng.IntN(3)]
			}
			number = number || logits[i] == logits[i]
		}
		s := New(p, len(logits))
		s.Prompt([]int32{0, 1, -5, 1 << 30})
		for range 5 {
			id := s.Sample(logits)
			if id < 0 || int(id) >= len(logits) {
				t.Fatalf("chose %d of %d", id, len(logits))
			}
			if number && logits[id] != logits[id] {
				t.Fatalf("chose the NaN %d of %v", id, logits)
			}
			s.Accept(id)
		}
	})
}

func BenchmarkSample(b *testing.B) {
	const vocab = 128256
	logits := testLogits(vocab)
	for _, bb := range []struct {
		name string
		p    Params
	}{
		{"greedy", Params{}},
		{"temperature", Params{Temperature: 0.8}},
		{"top_k", Params{Temperature: 0.8, TopK: 40, TopP: 0.95}},
		{"top_p", Params{Temperature: 0.8, TopP: 0.95}},
		{"penalties", Params{Temperature: 0.8, TopK: 40, RepeatPenalty: 1.1}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := New(bb.p, vocab)
			for b.Loop() {
				s.Accept(s.Sample(logits))
			}
		})
	}
}
