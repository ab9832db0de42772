package backendtest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

func programCases() []testCase {
	return []testCase{
		{"missing-weights", missingWeights},
		{"bad-loads", badLoads},
		{"concurrent-load", concurrentLoad},
		{"bad-steps", badSteps},
		{"bad-options", badOptions},
		{"bad-plan", badPlan},
		{"copy-block", badCopies},
		{"measure", measure},
		{"closed", closed},
		{"repeat", repeat},
		{"batch", batch},
	}
}

// small is a lab with every part kind, a KV layer and features.
func small() *lab {
	l := newLab("small")
	x := l.input("x", 64)
	qkv := plan.All(l.b.Buffer("qkv", plan.PerToken, 96))
	info := aqlm(2, 8, 8, 1)
	info.Name, info.Rows, info.Cols = "qkv.weight", 96, 64
	bias := l.vector("bias", 96, plan.F16)
	l.b.Linear(x, plan.Output{To: qkv, W: l.random(info), Bias: bias})
	l.b.Rope(qkv, plan.RopeParams{Heads: 2, Dim: 16, Rotated: 16, Freqs: l.b.Const("freqs", []float32{1, .5, .2, .1, .05, .02, .01, .005}), Factor: 1})
	att := plan.All(l.b.Buffer("att", plan.PerToken, 32))
	l.b.Attention(att, qkv, plan.At(qkv.Buf, 32), plan.At(qkv.Buf, 64), plan.AttentionParams{Layer: l.b.KV(2, 16), Heads: 2, Scale: 0.25})
	return l.result(att, 32)
}

func smallOptions() backends.Options {
	return backends.Options{KV: plan.F32, KVBlocks: 6, MaxTokens: 40, MaxSeqs: 3, MaxOutputs: 40}
}

// missingWeights: Run fails until the last row of the last part has come, in whatever order.
func missingWeights(tested, _ backends.Backend) error {
	l := small()
	for skip := range l.data {
		pr, err := tested.Compile(&l.b.Plan, smallOptions())
		if err != nil {
			return err
		}
		defer pr.Close()
		for i, d := range l.data {
			rows, rowBytes := l.b.Plan.Weights[d.w].PartBytes(d.part)
			if i == skip {
				rows-- // all but the last row
			}
			if rows == 0 {
				continue
			}
			if err := pr.Load(d.w, d.part, 0, rows, d.data[:int64(rows)*rowBytes]); err != nil {
				return err
			}
		}
		d := l.data[skip]
		what := fmt.Sprintf("%s of %q", d.part, l.b.Plan.Weights[d.w].Name)
		if err := pr.Run(tokens(3, 0)); err == nil {
			return fmt.Errorf("ran without the last row of the %s", what)
		}
		rows, rowBytes := l.b.Plan.Weights[d.w].PartBytes(d.part)
		if err := pr.Load(d.w, d.part, rows-1, 1, d.data[int64(rows-1)*rowBytes:]); err != nil {
			return err
		}
		if err := pr.Run(tokens(3, 0)); err != nil {
			return fmt.Errorf("with the last row of the %s: %w", what, err)
		}
	}
	return nil
}

func badLoads(tested, oracle backends.Backend) error {
	l := small()
	pr, err := l.program(tested, smallOptions())
	if err != nil {
		return err
	}
	defer pr.Close()
	var table, quantized, constant plan.Weight
	for i, w := range l.b.Plan.Weights {
		switch {
		case w.Encoding == plan.AQLM:
			quantized = plan.Weight(i)
		case w.Name == "x.table":
			table = plan.Weight(i)
		case w.Name == "freqs":
			constant = plan.Weight(i)
		}
	}
	row := make([]byte, 256)
	for _, c := range []struct {
		what     string
		w        plan.Weight
		part     plan.Part
		first, n int
		data     []byte
	}{
		{"weight -1", -1, plan.Elements, 0, 1, row},
		{"weight 99", 99, plan.Elements, 0, 1, row},
		{"a plan constant", constant, plan.Elements, 0, 1, row[:32]},
		{"codes of a dense weight", table, plan.Codes, 0, 1, row},
		{"elements of a quantized weight", quantized, plan.Elements, 0, 1, row},
		{"part 77", quantized, 77, 0, 1, row},
		{"row -1", table, plan.Elements, -1, 1, row},
		{"a row behind the last", table, plan.Elements, labVocab, 1, row},
		{"rows past the end", table, plan.Elements, labVocab - 1, 2, make([]byte, 512)},
		{"a negative count", table, plan.Elements, 1, -1, row},
		{"an overflowing range", table, plan.Elements, math.MaxInt, math.MaxInt, row},
		{"a byte too few", table, plan.Elements, 0, 1, row[:255]},
		{"a byte too many", quantized, plan.Codes, 0, 1, row[:17]},
		{"no data", quantized, plan.Scales, 0, 1, nil},
	} {
		if err := pr.Load(c.w, c.part, c.first, c.n, c.data); err == nil {
			return fmt.Errorf("loaded %s", c.what)
		}
	}
	// None of them may have changed anything.
	want, err := l.program(oracle, smallOptions())
	if err != nil {
		return err
	}
	defer want.Close()
	return sameRun(pr, want, tokens(9, 0), 32, tolerance{norm: attending})
}

// sameRun runs one step on two programs and compares their features.
func sameRun(got, want backends.Program, s *backends.Step, width int, tol tolerance) error {
	a, b := *s, *s
	if err := want.Run(&a); err != nil {
		return fmt.Errorf("oracle: %w", err)
	}
	if err := got.Run(&b); err != nil {
		return err
	}
	return compare(b.Features, a.Features, width, tol, slices.Repeat([]float64{0.1}, len(s.Out)))
}

func concurrentLoad(tested, oracle backends.Backend) error {
	l := small()
	want, err := l.program(oracle, smallOptions())
	if err != nil {
		return err
	}
	defer want.Close()
	got, err := tested.Compile(&l.b.Plan, smallOptions())
	if err != nil {
		return err
	}
	defer got.Close()
	var wg sync.WaitGroup
	errs := make(chan error, 1000)
	for _, d := range l.data {
		rows, rowBytes := l.b.Plan.Weights[d.w].PartBytes(d.part)
		const chunk = 5
		for first := 0; first < rows; first += chunk {
			wg.Go(func() {
				n := min(chunk, rows-first)
				buf := slices.Clone(d.data[int64(first)*rowBytes:][:int64(n)*rowBytes])
				errs <- got.Load(d.w, d.part, first, n, buf)
				clear(buf) // data is not kept
			})
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return sameRun(got, want, tokens(33, 0), 32, tolerance{norm: attending})
}

// badSteps: a bad step is refused with ErrStep and changes nothing, not even the KV cache.
func badSteps(tested, oracle backends.Backend) error {
	l := small()
	got, err := l.program(tested, smallOptions())
	if err != nil {
		return err
	}
	defer got.Close()
	want, err := l.program(oracle, smallOptions())
	if err != nil {
		return err
	}
	defer want.Close()
	if err := sameRun(got, want, step(seq{0, 40, []int32{1, 2}}), 32, tolerance{norm: attending}); err != nil {
		return err
	}
	good := func() *backends.Step { return step(seq{10, 4, []int32{1, 2}}) }
	for _, c := range []struct {
		what string
		do   func(s *backends.Step)
	}{
		{"no tokens", func(s *backends.Step) { s.Tokens, s.Runs, s.Out = nil, nil, nil }},
		{"too many tokens", func(s *backends.Step) {
			s.Tokens = make([]int32, 41)
			s.Runs[0].N, s.Runs[0].Pos = 41, 0
		}},
		{"token -1", func(s *backends.Step) { s.Tokens[1] = -1 }},
		{"token past the vocabulary", func(s *backends.Step) { s.Tokens[3] = labVocab }},
		{"a position past the model's", func(s *backends.Step) { s.Runs[0].Pos = labMaxPos - 3 }},
		{"a negative position", func(s *backends.Step) { s.Runs[0].Pos = -1 }},
		{"an overflowing position", func(s *backends.Step) { s.Runs[0].Pos = math.MaxInt }},
		{"an empty run", func(s *backends.Step) { s.Runs = append(s.Runs, backends.Run{}) }},
		{"a run longer than the tokens", func(s *backends.Step) { s.Runs[0].N = 5 }},
		{"a run shorter than the tokens", func(s *backends.Step) { s.Runs[0].N = 3 }},
		{"too many sequences", func(s *backends.Step) {
			s.Runs = step(seq{0, 1, []int32{0}}, seq{0, 1, []int32{3}}, seq{0, 1, []int32{4}}, seq{0, 1, []int32{5}}).Runs
		}},
		{"block -1", func(s *backends.Step) { s.Runs[0].Blocks = []int32{-1} }},
		{"a block past the pool", func(s *backends.Step) { s.Runs[0].Blocks = []int32{6} }},
		{"too few blocks", func(s *backends.Step) { s.Runs[0].Pos = 30 }},
		{"a length short of the tokens", func(s *backends.Step) { s.Runs[0].Length = 13 }},
		{"a length past the model's", func(s *backends.Step) { s.Runs[0].Length = labMaxPos + 1 }},
		{"a negative length", func(s *backends.Step) { s.Runs[0].Length = -1 }},
		{"output -1", func(s *backends.Step) { s.Out[0] = -1 }},
		{"an output past the tokens", func(s *backends.Step) { s.Out = []int32{4} }},
		{"outputs in disorder", func(s *backends.Step) { s.Out = []int32{2, 1} }},
		{"an output twice", func(s *backends.Step) { s.Out = []int32{1, 1} }},
		{"too many outputs", func(s *backends.Step) { s.Out = make([]int32, 41) }},
	} {
		s := good()
		s.Runs[0].Blocks = []int32{1}
		c.do(s)
		if err := got.Run(s); !errors.Is(err, backends.ErrStep) {
			return fmt.Errorf("%s: %v, want ErrStep", c.what, err)
		}
	}
	return sameRun(got, want, step(seq{40, 3, []int32{1, 2}}), 32, tolerance{norm: attending})
}

func badOptions(tested, _ backends.Backend) error {
	l := small()
	for _, c := range []struct {
		what string
		do   func(o *backends.Options)
	}{
		{"no KV blocks", func(o *backends.Options) { o.KVBlocks = 0 }},
		{"no tokens", func(o *backends.Options) { o.MaxTokens = 0 }},
		{"no sequences", func(o *backends.Options) { o.MaxSeqs = -1 }},
		{"no outputs", func(o *backends.Options) { o.MaxOutputs = 0 }},
		{"a KV cache beyond any memory", func(o *backends.Options) { o.KVBlocks = math.MaxInt / 2 }},
		{"steps beyond any memory", func(o *backends.Options) { o.MaxTokens = math.MaxInt / 2 }},
		{"KV of bf16", func(o *backends.Options) { o.KV = plan.BF16 }},
		{"KV of an unknown type", func(o *backends.Options) { o.KV = 200 }},
	} {
		o := smallOptions()
		c.do(&o)
		if pr, err := tested.Compile(&l.b.Plan, o); err == nil {
			pr.Close()
			return fmt.Errorf("compiled with %s", c.what)
		}
		if _, err := tested.Measure(&l.b.Plan, o); err == nil {
			return fmt.Errorf("measured with %s", c.what)
		}
	}
	o := smallOptions()
	o.KV = plan.BF16
	_, err := tested.Compile(&l.b.Plan, o)
	if unsupported := (*backends.UnsupportedError)(nil); !errors.As(err, &unsupported) {
		return fmt.Errorf("KV of bf16: %v, want an UnsupportedError", err)
	}
	return nil
}

func badPlan(tested, _ backends.Backend) error {
	l := small()
	l.b.Plan.Ops[1].In[0].Off = 1 // the linear's input ends past its buffer
	if pr, err := tested.Compile(&l.b.Plan, smallOptions()); err == nil {
		pr.Close()
		return errors.New("compiled a plan that Validate refuses")
	}
	if _, err := tested.Measure(&l.b.Plan, smallOptions()); err == nil {
		return errors.New("measured a plan that Validate refuses")
	}
	return nil
}

func badCopies(tested, _ backends.Backend) error {
	l := small()
	pr, err := l.program(tested, smallOptions())
	if err != nil {
		return err
	}
	defer pr.Close()
	for _, c := range [][2]int{{-1, 0}, {0, -1}, {6, 0}, {0, 6}, {math.MaxInt, 0}} {
		if err := pr.CopyBlock(c[0], c[1]); err == nil {
			return fmt.Errorf("copied block %d to %d of 6", c[1], c[0])
		}
	}
	return pr.CopyBlock(3, 3)
}

// measure: the numbers are sizes of this plan, not constants.
func measure(tested, _ backends.Backend) error {
	l := small()
	o := smallOptions()
	m, err := tested.Measure(&l.b.Plan, o)
	if err != nil {
		return err
	}
	wantKV := int64(2 * 4 * 2 * 16 * plan.KVBlock * o.KVBlocks)
	var stored int64
	for i := range l.b.Plan.Weights {
		stored += l.b.Plan.Weights[i].Bytes()
	}
	if m.KV < wantKV || m.KV > 2*wantKV {
		return fmt.Errorf("KV %d bytes, the elements take %d", m.KV, wantKV)
	}
	if m.Weights < stored/2 || m.Scratch <= 0 {
		return fmt.Errorf("weights %d bytes of %d stored, scratch %d", m.Weights, stored, m.Scratch)
	}
	o.KVBlocks, o.MaxTokens, o.KV = 600, 80, plan.F16
	more, err := tested.Measure(&l.b.Plan, o)
	if err != nil {
		return err
	}
	if more.KV < 45*m.KV || more.KV > 55*m.KV { // 100 times the blocks at half the size
		return fmt.Errorf("100 times the blocks in F16 take %d bytes, those in F32 %d", more.KV, m.KV)
	}
	if more.Scratch <= m.Scratch || more.Weights != m.Weights {
		return fmt.Errorf("twice the tokens: %+v, before %+v", more, m)
	}
	return nil
}

func closed(tested, _ backends.Backend) error {
	l := small()
	pr, err := l.program(tested, smallOptions())
	if err != nil {
		return err
	}
	if err := pr.Close(); err != nil {
		return err
	}
	d := l.data[0]
	_, rowBytes := l.b.Plan.Weights[d.w].PartBytes(d.part)
	block := make([]byte, pr.BlockLayout().Bytes)
	if pr.ReadBlock(0, block) == nil || pr.WriteBlock(0, block) == nil {
		return errors.New("a closed program gives or takes KV blocks")
	}
	if pr.Run(tokens(1, 0)) == nil || pr.CopyBlock(0, 1) == nil || pr.Load(d.w, d.part, 0, 1, d.data[:rowBytes]) == nil {
		return errors.New("a closed program works")
	}
	if err := pr.Close(); err != nil {
		return fmt.Errorf("second close: %w", err)
	}
	return nil
}

// repeat: a step run twice gives the same bits, and what a step returned stays until the next.
func repeat(tested, _ backends.Backend) error {
	l := small()
	for _, p := range []backends.Precision{backends.Exact, backends.Fast, backends.Auto} {
		o := smallOptions()
		o.Precision = p
		pr, err := l.program(tested, o)
		if err != nil {
			return err
		}
		defer pr.Close()
		var first []float32
		for i := range 3 {
			s := tokens(33, 0)
			s.Runs[0].Blocks = []int32{0, 1}
			if err := pr.Run(s); err != nil {
				return err
			}
			if i == 0 {
				first = slices.Clone(s.Features)
			}
			if !slices.Equal(s.Features, first) {
				return fmt.Errorf("%s: run %d differs from the first", p, i)
			}
		}
	}
	return nil
}

// batch: rows of a prompt come out the same one by one, in chunks and together with other sequences.
func batch(tested, _ backends.Backend) error {
	l := small()
	for _, p := range []backends.Precision{backends.Exact, backends.Fast, backends.Auto} {
		o := smallOptions()
		o.Precision = p
		pr, err := l.program(tested, o)
		if err != nil {
			return err
		}
		defer pr.Close()
		whole := step(seq{0, 37, []int32{0, 1}})
		if err := pr.Run(whole); err != nil {
			return err
		}
		want := slices.Clone(whole.Features)
		tol := tolerance{norm: attending}
		if p != backends.Exact {
			tol.norm = 2 * linearTolerance(p).norm // kernels for one and for many tokens may err differently
		}
		for _, chunk := range []int{1, 2, 5, 16} {
			for pos := 0; pos < 37; pos += chunk {
				s := step(seq{pos, min(chunk, 37-pos), []int32{2, 3}}, seq{0, 2, []int32{4}})
				if err := pr.Run(s); err != nil {
					return err
				}
				n := min(chunk, 37-pos)
				if err := compare(s.Features[:n*32], want[pos*32:][:n*32], 32, tol, slices.Repeat([]float64{0.1}, n)); err != nil {
					return fmt.Errorf("%s: chunks of %d at position %d: %w", p, chunk, pos, err)
				}
			}
		}
	}
	return nil
}
