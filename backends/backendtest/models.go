package backendtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// modelCases run random decoders, whole and op by op.
func modelCases() []testCase {
	var cases []testCase
	for seed := range uint64(10) {
		cases = append(cases, precisions(fmt.Sprintf("random-%d", seed), func(p backends.Precision, tested, oracle backends.Backend) error {
			return randomModel(seed, p, tested, oracle)
		})...)
		cases = append(cases, testCase{fmt.Sprintf("traced-%d", seed), func(tested, oracle backends.Backend) error {
			return traced(seed, tested, oracle)
		}})
	}
	return cases
}

// decoder builds a small random model: one or two layers in one of the shapes that published architectures have.
func decoder(seed uint64) (*lab, backends.Options) {
	l := newLab(fmt.Sprintf("decoder %d", seed))
	pick := func(n ...int) int { return n[l.rng.IntN(len(n))] }
	kvHeads, ratio, dim := pick(1, 2, 3), pick(1, 2, 3, 4), pick(8, 12, 16, 20, 32)
	heads, hidden, inner := kvHeads*ratio, 32*pick(1, 2, 3), 8*pick(5, 11, 21)
	q, kv := heads*dim, kvHeads*dim
	fused, parallel, qkNorm, biased := l.rng.IntN(2) == 0, l.rng.IntN(3) == 0, l.rng.IntN(3) == 0, l.rng.IntN(2) == 0
	window, limit := pick(0, 0, 24), float32(pick(0, 0, 30))
	act, norm := plan.Activation(pick(0, 0, 1, 2)), plan.NormType(pick(0, 0, 1))
	pairing := plan.RopePairing(pick(0, 1))
	mixture := plan.RouteParams{Experts: pick(0, 3, 5), Slots: 2, Among: l.rng.IntN(2) == 0}

	count := 0
	matrix := func(rows, cols int) plan.Weight {
		var options []plan.WeightInfo
		for _, s := range [][3]int{{2, 8, 8}, {1, 16, 8}, {4, 8, 8}, {1, 12, 8}, {1, 16, 16}, {2, 9, 4}} {
			if cols%s[2] == 0 {
				options = append(options, aqlm(s[0], s[1], s[2], 1))
			}
		}
		options = append(options, plan.WeightInfo{Type: plan.F16}, plan.WeightInfo{Type: plan.BF16}, plan.WeightInfo{Type: plan.F32})
		info := options[l.rng.IntN(len(options))]
		count++
		info.Name, info.Rows, info.Cols = fmt.Sprintf("w%d", count), rows, cols
		return l.random(info)
	}
	vector := func(n int) plan.Weight {
		count++
		return l.vector(fmt.Sprintf("w%d", count), n, []plan.DType{plan.F16, plan.BF16, plan.F32}[count%3])
	}
	bias := func(n int) plan.Weight {
		if !biased {
			return plan.None
		}
		return vector(n)
	}
	normalize := func(out, in plan.Ref) {
		l.b.Norm(out, in, plan.NormParams{Type: norm, Width: hidden, Gain: vector(hidden), Bias: bias(hidden), Eps: 1e-5})
	}
	freqs := make([]float32, dim/2)
	for i := range freqs {
		freqs[i] = float32(math.Pow(1000, -float64(i)/float64(len(freqs))))
	}

	embed := l.random(plan.WeightInfo{Name: "embed", Rows: labVocab, Cols: hidden, Type: []plan.DType{plan.F16, plan.Q8_0}[pick(0, 1)]})
	rope := plan.RopeParams{Dim: dim, Rotated: dim, Pairing: pairing, Freqs: l.b.Const("freqs", freqs), Factor: 1}
	if pick(0, 1, 2) == 0 {
		long := slices.Clone(freqs)
		for i := range long {
			long[i] /= 1 + float32(i)
		}
		rope.Limit, rope.Long = 40, l.b.Const("long", long)
	}
	buffer := func(name string, width int) plan.Ref { return plan.All(l.b.Buffer(name, plan.PerToken, width)) }
	x, h, d := buffer("x", hidden), buffer("h", hidden), buffer("d", hidden)
	qkv, att, gu := buffer("qkv", q+2*kv), buffer("att", q), buffer("gu", 2*inner)
	queries, keys, values := qkv, plan.At(qkv.Buf, q), plan.At(qkv.Buf, q+kv)
	l.b.Embed(x, embed, float32(math.Sqrt(float64(hidden))))
	for range pick(1, 2) {
		normalize(h, x)
		if fused {
			l.b.Linear(h, plan.Output{To: qkv, W: matrix(q+2*kv, hidden), Bias: bias(q + 2*kv)})
		} else {
			l.b.Linear(
				h, plan.Output{To: queries, W: matrix(q, hidden), Bias: bias(q)},
				plan.Output{To: keys, W: matrix(kv, hidden), Bias: bias(kv)}, plan.Output{To: values, W: matrix(kv, hidden), Bias: plan.None},
			)
		}
		if qkNorm {
			l.b.Norm(queries, queries, plan.NormParams{Type: norm, Parts: heads, Width: dim, Gain: vector(q), Bias: plan.None, Eps: 1e-5})
			l.b.Norm(keys, keys, plan.NormParams{Type: norm, Parts: kvHeads, Width: dim, Gain: vector(dim), Bias: plan.None, Eps: 1e-5})
		}
		rope.Heads = heads
		l.b.Rope(queries, rope)
		rope.Heads = kvHeads
		l.b.Rope(keys, rope)
		l.b.Attention(att, queries, keys, values, plan.AttentionParams{
			Layer: l.b.KV(kvHeads, dim), Heads: heads, Window: window, Scale: plan.DefaultScale(dim), Cap: limit,
		})
		l.b.Linear(att, plan.Output{To: d, W: matrix(hidden, q), Bias: plan.None})
		l.b.Add(x, x, d, 1, hidden)
		if !parallel {
			normalize(h, x)
		}
		gate, up := gu, plan.At(gu.Buf, inner)
		if mixture.Experts > 0 && !parallel {
			l.mixture(d, h, mixture, hidden, inner, matrix)
			l.b.Add(x, x, d, 0.7, hidden)
			continue
		}
		if fused {
			l.b.Linear(h, plan.Output{To: gu, W: matrix(2*inner, hidden), Bias: plan.None})
		} else {
			l.b.Linear(h, plan.Output{To: gate, W: matrix(inner, hidden), Bias: bias(inner)}, plan.Output{To: up, W: matrix(inner, hidden), Bias: plan.None})
		}
		l.b.Glu(gate, gate, up, act, inner)
		l.b.Linear(gate, plan.Output{To: d, W: matrix(hidden, inner), Bias: bias(hidden)})
		l.b.Add(x, x, d, 0.7, hidden)
	}
	last := plan.All(l.b.Buffer("last", plan.PerOutput, hidden))
	features := plan.All(l.b.Buffer("features", plan.PerOutput, hidden))
	logits := plan.All(l.b.Buffer("logits", plan.PerOutput, labVocab))
	l.b.Select(last, x)
	normalize(features, last)
	head := embed
	if pick(0, 1) == 0 {
		head = matrix(labVocab, hidden)
	}
	l.b.Linear(features, plan.Output{To: logits, W: head, Bias: plan.None})
	l.b.Scale(logits, logits, 0.5, limit, labVocab)
	l.b.Plan.Features, l.b.Plan.Logits = features.Buf, logits.Buf

	o := options(backends.Exact)
	o.KVBlocks, o.KV = 20, []plan.DType{plan.F32, plan.F16, plan.Q8_0}[pick(0, 1, 2)]
	return l, o
}

// mixture adds a block of experts in place of a single one.
func (l *lab) mixture(to, from plan.Ref, p plan.RouteParams, hidden, inner int, matrix func(rows, cols int) plan.Weight) {
	n := len(l.b.Plan.Buffers)
	buffer := func(name string, width int) plan.Ref {
		return plan.All(l.b.Buffer(fmt.Sprintf("%s%d", name, n), plan.PerToken, width))
	}
	set := func(rows, cols int) plan.Weight {
		first := plan.Weight(len(l.b.Plan.Weights))
		for range p.Experts {
			matrix(rows, cols)
		}
		return first
	}
	scores, routes := buffer("scores", p.Experts), buffer("routes", 2*p.Slots)
	gates, ups, outs := buffer("gates", p.Slots*inner), buffer("ups", p.Slots*inner), buffer("outs", p.Slots*hidden)
	l.b.Linear(from, plan.Output{To: scores, W: matrix(p.Experts, hidden), Bias: plan.None})
	l.b.Route(routes, scores, p)
	l.b.Experts(from, routes, false, p, plan.ExpertOutput{To: gates, First: set(inner, hidden)}, plan.ExpertOutput{To: ups, First: set(inner, hidden)})
	l.b.Glu(gates, gates, ups, plan.SiLU, p.Slots*inner)
	l.b.Experts(gates, routes, true, p, plan.ExpertOutput{To: outs, First: set(hidden, inner)})
	l.b.Mix(to, outs, routes, p.Slots, hidden)
}

// decoderSteps is a schedule of sequences for a decoder; every third step wants no results.
func decoderSteps(seed uint64, o backends.Options) []*backends.Step {
	steps := schedule(rand.New(rand.NewPCG(seed, 2)), []int{70, 9, 1, 130, 33}, o, labVocab)
	for i, s := range steps {
		if i%3 == 2 {
			s.Out = nil
		}
	}
	return steps
}

func randomModel(seed uint64, p backends.Precision, tested, oracle backends.Backend) error {
	l, o := decoder(seed)
	o.Precision = p
	steps := decoderSteps(seed, o)
	if err := l.differ(tested, oracle, o, modelTolerance(o), steps...); err != nil {
		return err
	}
	l.b.Plan.Features = l.b.Plan.Logits // differ compares features
	return l.differ(tested, oracle, o, modelTolerance(o), steps...)
}

// traced compares every buffer behind every op of one step.
func traced(seed uint64, tested, oracle backends.Backend) error {
	l, o := decoder(seed)
	o.KV = plan.F32 // two values that differ in their last bit may be neighbouring halves
	want, err := l.program(oracle, o)
	if err != nil {
		return fmt.Errorf("oracle: %w", err)
	}
	defer want.Close()
	got, err := l.program(tested, o)
	if err != nil {
		return err
	}
	defer got.Close()
	a, ok1 := want.(backends.Tracer)
	b, ok2 := got.(backends.Tracer)
	if !ok1 || !ok2 {
		return fmt.Errorf("the program is no Tracer")
	}
	s := step(seq{0, 40, []int32{1, 2}}, seq{0, 1, []int32{4}})
	s.Out = []int32{2, 39, 40}
	p := &l.b.Plan
	for i := range p.Ops {
		if err := a.RunOps(s, i, i+1); err != nil {
			return fmt.Errorf("oracle: op %d: %w", i, err)
		}
		if err := b.RunOps(s, i, i+1); err != nil {
			return fmt.Errorf("op %d (%s): %w", i, p.Ops[i].Kind, err)
		}
		for _, ref := range p.Ops[i].Out {
			if ref.Buf == plan.None {
				continue
			}
			x, err := a.Read(ref.Buf)
			if err != nil {
				return fmt.Errorf("oracle: %w", err)
			}
			y, err := b.Read(ref.Buf)
			if err != nil {
				return err
			}
			width := p.Buffers[ref.Buf].Width
			floor := slices.Repeat([]float64{0.1}, len(x)/width)
			if err := compare(y, x, width, modelTolerance(o), floor); err != nil {
				return fmt.Errorf("op %d (%s), buffer %q: %w", i, p.Ops[i].Kind, p.Buffers[ref.Buf].Name, err)
			}
		}
	}
	if _, err := b.Read(plan.Buf(len(p.Buffers))); err == nil {
		return fmt.Errorf("read a buffer past the last")
	}
	if err := b.RunOps(s, 0, len(p.Ops)+1); err == nil {
		return fmt.Errorf("ran ops past the last")
	}
	return nil
}

func identical(seed uint64, p backends.Precision, opened []backends.Backend) error {
	l, o := decoder(seed)
	o.Precision = p
	var first []float32
	for i, b := range opened {
		pr, err := l.program(b, o)
		if err != nil {
			return err
		}
		defer pr.Close()
		var all []float32
		for _, s := range decoderSteps(seed, o) {
			if err := pr.Run(s); err != nil {
				return err
			}
			all = append(append(all, s.Features...), s.Logits...)
		}
		if i == 0 {
			first = all
		}
		for k := range all {
			if math.Float32bits(all[k]) != math.Float32bits(first[k]) {
				return fmt.Errorf("backend %d (%d threads): result %d is %v, on %d threads %v",
					i, b.Info().Threads, k, all[k], opened[0].Info().Threads, first[k])
			}
		}
	}
	return nil
}
