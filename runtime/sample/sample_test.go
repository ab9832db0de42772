package sample

import (
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
		{"more upper limits", Params{
			DynatempRange: 2, DynatempExponent: 100, TypicalP: 1, TopNSigma: 100, XTCProbability: 1, XTCThreshold: 1, Mirostat: 2,
			MirostatTau: 100, MirostatEta: 1, DRYMultiplier: 100, DRYBase: 100, DRYAllowedLength: math.MaxInt32, DRYLastN: math.MaxInt32,
			DRYBreakers: slices.Repeat([]string{strings.Repeat("x", MaxDRYBreaker)}, MaxDRYBreakers),
			LogitBias:   slices.Repeat([]Bias{{math.MaxInt32, -100}, {0, 100}, {0, negInf}, {0, 0}}, MaxLogitBias/4),
		}, ""},
		{"dynatemp_range", Params{DynatempRange: 2.1}, "dynatemp_range"},
		{"dynatemp_exponent", Params{DynatempExponent: nan}, "dynatemp_exponent"},
		{"typical_p", Params{TypicalP: 1.1}, "typical_p"},
		{"top_n_sigma", Params{TopNSigma: -1}, "top_n_sigma"},
		{"xtc_probability", Params{XTCProbability: -0.1}, "xtc_probability"},
		{"xtc_threshold", Params{XTCThreshold: 2}, "xtc_threshold"},
		{"mirostat 1", Params{Mirostat: 1}, "mirostat"},
		{"mirostat 3", Params{Mirostat: 3}, "mirostat"},
		{"mirostat_tau", Params{MirostatTau: 101}, "mirostat_tau"},
		{"mirostat_eta", Params{MirostatEta: 1.5}, "mirostat_eta"},
		{"dry_multiplier", Params{DRYMultiplier: -1}, "dry_multiplier"},
		{"dry_base", Params{DRYBase: 0.5}, "dry_base"},
		{"dry_base high", Params{DRYBase: 101}, "dry_base"},
		{"dry_allowed_length", Params{DRYAllowedLength: -1}, "dry_allowed_length"},
		{"dry_penalty_last_n", Params{DRYLastN: -2}, "dry_penalty_last_n"},
		{"dry_sequence_breakers empty", Params{DRYBreakers: []string{"a", ""}}, "dry_sequence_breakers"},
		{"dry_sequence_breakers long", Params{DRYBreakers: []string{strings.Repeat("x", MaxDRYBreaker+1)}}, "dry_sequence_breakers"},
		{"dry_sequence_breakers many", Params{DRYBreakers: slices.Repeat([]string{"x"}, MaxDRYBreakers+1)}, "dry_sequence_breakers"},
		{"logit_bias high", Params{LogitBias: []Bias{{1, 100.5}}}, "logit_bias"},
		{"logit_bias nan", Params{LogitBias: []Bias{{1, nan}}}, "logit_bias"},
		{"logit_bias +inf", Params{LogitBias: []Bias{{1, inf}}}, "logit_bias"},
		{"logit_bias id", Params{LogitBias: []Bias{{-1, 1}}}, "logit_bias"},
		{"logit_bias many", Params{LogitBias: make([]Bias, MaxLogitBias+1)}, "logit_bias"},
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
	params := append(cases(), Params{Temperature: 2, MinP: 1e-30}, Params{Temperature: 1e-45}, Params{Temperature: 1, TopK: 2},
		Params{Temperature: 1, TopP: 1e-30, MinP: 1}, Params{Temperature: 1, TypicalP: 1e-30}, Params{Temperature: 1, TopNSigma: 1e-30})
	for _, tt := range tests {
		for _, p := range params {
			for seed := range uint64(20) {
				p.Seed = seed
				in := slices.Clone(tt.logits)
				got := New(p, Vocab{Size: len(in)}).Sample(in, nil)
				if p.Temperature == 0 && got != tt.want[0] || !slices.Contains(tt.want, got) {
					t.Errorf("%s: %+v: chose %d, want one of %v", tt.name, p, got, tt.want)
				}
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
			ids = append(ids, s.Sample(logits, nil))
			if again := s.Sample(logits, nil); again != ids[len(ids)-1] {
				t.Fatalf("asked again it chose %d, not %d", again, ids[len(ids)-1])
			}
			s.Accept(ids[len(ids)-1])
		}
		return ids
	}
	used := New(Params{}, Vocab{vocab, texts})
	for _, p := range cases() {
		p.Seed = 7
		first := run(New(p, Vocab{vocab, texts}))
		used.Reset(p)
		if again := run(used); !slices.Equal(first, again) {
			t.Errorf("%+v: Reset left something behind", p)
		}
		p.Seed = 8
		if other := run(New(p, Vocab{vocab, texts})); slices.Equal(first, other) != (p.Temperature == 0 || p.TopK == 1) {
			t.Errorf("%+v: another seed gave %v, the first %v", p, other, first)
		}
	}
}

// TestChoice: the choices of a request differ from each other and from those of the seeds beside it.
func TestChoice(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(50) {
		if Choice(seed, 0) != seed {
			t.Errorf("the first choice of seed %d has seed %d", seed, Choice(seed, 0))
		}
		for i := range 128 {
			s := Choice(seed, i)
			if seen[s] {
				t.Errorf("choice %d of seed %d has a seed that came before", i, seed)
			}
			seen[s] = true
		}
	}
}

// TestRandom pins the generator: texts of a seed must not change from release to release by accident.
func TestRandom(t *testing.T) {
	r := newRandom(42)
	got := []float64{r.at(forDraw, 0), r.at(forDraw, 1), r.at(forDraw, 2)}
	want := []float64{0.35808126026515974, 0.7945240679736014, 0.43329047656255393}
	if !slices.Equal(got, want) {
		t.Errorf("seed 42 gives %v, want %v", got, want)
	}
	sum, n := 0.0, 100000
	for i := range n {
		u := r.at(forDraw, i)
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
		s := New(Params{}, Vocab{Size: n})
		k := 1 + rng.IntN(n)
		s.selectTop(logits, k)
		slices.SortFunc(s.cand, compare)
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
	mask := NewMask(vocab)
	for id := range int32(vocab) {
		if id%3 > 0 {
			mask.Allow(id)
		}
	}
	for i, p := range cases() {
		s := New(p, Vocab{vocab, texts})
		step := func() { s.Accept(s.Sample(logits, []Mask{nil, mask}[i%2])) }
		for range 1100 { // also of what grows with the text
			step()
		}
		if n := testing.AllocsPerRun(100, step); n != 0 {
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
	f.Fuzz(func(t *testing.T, seed, special uint64, temp, topP, x float32, topK int, repeat float32) {
		list := cases()
		p := list[seed%uint64(len(list))]
		p.Temperature, p.TopP, p.TopK, p.RepeatPenalty, p.Seed = temp, topP, topK, repeat, seed
		switch special % 8 {
		case 0:
			p.MinP = x
		case 1:
			p.TypicalP = x
		case 2:
			p.TopNSigma = x
		case 3:
			p.XTCProbability, p.XTCThreshold = 1, x
		case 4:
			p.DynatempRange = x
		case 5:
			p.DRYMultiplier = x
		case 6:
			p.Mirostat, p.MirostatTau = 2, x
		}
		if p.Validate() != nil {
			t.Skip()
		}
		rng := rand.New(rand.NewPCG(seed, special))
		logits := make([]float32, 1+rng.IntN(100))
		mask := NewMask(len(logits))
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
			if rng.IntN(2) == 0 {
				mask.Allow(int32(i))
			}
		}
		s := New(p, Vocab{len(logits), texts})
		s.Prompt([]int32{0, 1, -5, 1 << 30, 0, 1})
		for range 5 {
			id := s.Sample(logits, nil)
			if id < 0 || int(id) >= len(logits) {
				t.Fatalf("chose %d of %d", id, len(logits))
			}
			if number && logits[id] != logits[id] {
				t.Fatalf("chose the NaN %d of %v", id, logits)
			}
			if masked := s.Sample(logits, mask); masked >= 0 && !mask.Allows(masked) {
				t.Fatalf("chose %d, which is not allowed", masked)
			}
			s.Accept(id)
		}
	})
}

func BenchmarkSample(b *testing.B) {
	const vocab = 128256
	logits := testLogits(vocab)
	mask := NewMask(vocab)
	for id := range int32(vocab) {
		if id%2 == 0 {
			mask.Allow(id)
		}
	}
	history := randomIDs(rand.New(rand.NewPCG(1, 1)), 8000, 50)
	for _, bb := range []struct {
		name string
		p    Params
		mask Mask
	}{
		{"greedy", Params{}, nil},
		{"greedy masked", Params{}, mask},
		{"temperature", Params{Temperature: 0.8}, nil},
		{"min_p", Params{Temperature: 0.8, MinP: 0.05}, nil},
		{"top_k", Params{Temperature: 0.8, TopK: 40, TopP: 0.95}, nil},
		{"top_k 5000", Params{Temperature: 0.8, TopK: 5000}, nil},
		{"top_p", Params{Temperature: 0.8, TopP: 0.95}, nil},
		{"typical_p", Params{Temperature: 0.8, TypicalP: 0.95}, nil},
		{"top_n_sigma", Params{Temperature: 0.8, TopNSigma: 1}, nil},
		{"xtc", Params{Temperature: 0.8, XTCProbability: 1, XTCThreshold: 0.01}, nil},
		{"dynatemp", Params{Temperature: 0.8, DynatempRange: 0.5}, nil},
		{"mirostat", Params{Temperature: 0.8, Mirostat: 2}, nil},
		{"penalties", Params{Temperature: 0.8, TopK: 40, RepeatPenalty: 1.1}, nil},
		{"dry 8000", Params{Temperature: 0.8, TopK: 40, DRYMultiplier: 0.8, DRYLastN: 8000, DRYBreakers: []string{"zzz"}}, nil},
		{"all", Params{
			Temperature: 0.8, TopNSigma: 4, TypicalP: 0.99, TopP: 0.95, MinP: 0.01, XTCProbability: 0.5, DynatempRange: 0.2,
			RepeatPenalty: 1.1, DRYMultiplier: 0.8,
		}, mask},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := New(bb.p, Vocab{vocab, texts})
			s.Prompt(history)
			for b.Loop() {
				s.Accept(s.Sample(logits, bb.mask))
			}
		})
	}
}
