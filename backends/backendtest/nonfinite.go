package backendtest

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// nonFiniteCases: broken numbers in activations and weights crash nothing, stay NaN where the oracle has NaN, and stay
// inside their token (activations) or their weight.
func nonFiniteCases() []testCase {
	var cases []testCase
	for _, info := range []plan.WeightInfo{
		{Type: plan.F32},
		{Type: plan.F16},
		{Type: plan.Q8_0},
		aqlm(2, 8, 8, 1), aqlm(1, 16, 8, 1), aqlm(8, 8, 32, 1), aqlm(2, 8, 8, 2),
	} {
		info.Name, info.Rows, info.Cols = "w", 66, 160
		name := info.Type.String()
		if info.Encoding == plan.AQLM {
			name = info.Scheme.String()
		}
		cases = append(cases, precisions("activation/"+name, func(p backends.Precision, tested, oracle backends.Backend) error {
			return brokenActivations(newLab(name), info, p, tested, oracle)
		})...)
		for _, part := range info.Parts() {
			if info.Type == plan.Q8_0 {
				continue // its only float, the scale, breaks 32 columns: no other path than a broken scale of AQLM
			}
			if part == plan.Codes {
				continue // every code is valid
			}
			cases = append(cases, precisions(fmt.Sprintf("%s/%s", part, name), func(p backends.Precision, tested, oracle backends.Backend) error {
				return brokenWeight(newLab(name), info, part, p, tested, oracle)
			})...)
		}
	}
	for _, kv := range []plan.DType{plan.F32, plan.F16, plan.Q8_0} {
		cases = append(cases, brokenPosition(kv, 0), brokenPosition(kv, 10))
	}
	return append(cases, brokenEverywhere())
}

// brokenPosition: a key, or a value, that is not a number makes NaN of the positions that see it and of no others,
// whichever lane of a vector it comes to lie in, whether it is stored by the same step or by an earlier one.
func brokenPosition(kv plan.DType, window int) testCase {
	a := attentionShape{heads: 4, kvHeads: 2, dim: 32, kv: kv, window: window}
	return testCase{"position/" + a.String(), func(tested, oracle backends.Backend) error {
		q, width := a.heads*a.dim, (a.heads+2*a.kvHeads)*a.dim+1
		for at := range 2 * plan.KVBlock {
			for _, column := range []int{1 + q + 7, 1 + q + a.kvHeads*a.dim + 40} { // of a key, of a value
				l := a.lab("position")
				table := l.data[0].data // fused.table, F32
				binary.LittleEndian.PutUint32(table[4*(at*width+column):], math.Float32bits(float32(math.NaN())))
				steps := []*backends.Step{tokensOf(0, 70), tokensOf(70, 1), tokensOf(71, 3)}
				if err := l.differ(tested, oracle, a.options(), tolerance{norm: attending}, steps...); err != nil {
					return fmt.Errorf("position %d, column %d: %w", at, column, err)
				}
			}
		}
		return nil
	}}
}

// tokensOf returns a step of one sequence whose token at position p is p.
func tokensOf(pos, n int) *backends.Step {
	s := &backends.Step{Runs: []backends.Run{{Pos: pos, N: n, Blocks: []int32{2, 0, 1}}}}
	for i := range n {
		s.Tokens, s.Out = append(s.Tokens, int32(pos+i)), append(s.Out, int32(i))
	}
	return s
}

// broken tokens of brokenActivations; the others must come out as if these were not there.
var brokenTokens = map[int]float32{1: float32(math.NaN()), 4: float32(math.Inf(1)), 7: float32(math.Inf(-1)), 8: math.MaxFloat32}

func brokenActivations(l *lab, info plan.WeightInfo, p backends.Precision, tested, oracle backends.Backend) error {
	values := l.normals(labVocab*info.Cols, 1)
	for t, v := range brokenTokens {
		values[t*info.Cols+17*t%info.Cols] = v
	}
	x := l.inputOf("x", info.Cols, values)
	y := plan.All(l.b.Buffer("y", plan.PerToken, info.Rows))
	l.b.Linear(x, plan.Output{To: y, W: l.random(info), Bias: plan.None})
	l.result(y, info.Rows)

	tol := linearTolerance(p)
	tol.only = map[int]bool{}
	for t := range 20 {
		_, isBroken := brokenTokens[t]
		tol.only[t] = !isBroken || p == backends.Exact && t == 1 // NaN in, NaN out
	}
	return l.differ(tested, oracle, options(p), tol, tokens(20, 0), tokens(2, 0), tokens(9, 0))
}

func brokenWeight(l *lab, info plan.WeightInfo, part plan.Part, p backends.Precision, tested, oracle backends.Backend) error {
	x := l.input("x", info.Cols)
	w := l.random(info)
	info.Name = "good"
	good := l.random(info)
	code := 0
	for _, d := range l.data {
		if d.w == w && d.part == plan.Codes {
			code = int(d.data[0]) // its high byte, if there is one, is cleared
			if info.Codes == plan.I16 {
				d.data[1] = 0
			}
		}
		if d.w == w && d.part == part {
			breakOne(d.data, info, part, code)
		}
	}
	y := plan.All(l.b.Buffer("y", plan.PerToken, 2*info.Rows))
	l.b.Linear(x, plan.Output{To: y, W: w, Bias: plan.None}, plan.Output{To: plan.At(y.Buf, info.Rows), W: good, Bias: plan.None})
	for _, half := range []struct {
		off int
		tol tolerance
	}{
		// The broken weight: NaN where the oracle has NaN; a codebook entry may spoil other rows of the weight, since
		// tables hold sums over all rows' entries.
		{0, tolerance{norm: linearTolerance(p).norm, spurious: part == plan.Codebooks}},
		{info.Rows, linearTolerance(p)},
	} {
		if half.off == 0 && p == backends.Fast {
			half.tol.only = map[int]bool{} // no crash is all that is asked
		}
		c := *l.b // the same plan with another result
		sub := &lab{b: &c, data: l.data, magnitude: l.magnitude}
		sub.b.Plan.Buffers = append([]plan.Buffer(nil), l.b.Plan.Buffers...)
		sub.b.Plan.Ops = append([]plan.Op(nil), l.b.Plan.Ops...)
		sub.result(plan.At(y.Buf, half.off), info.Rows)
		if clean, err := sub.clean(oracle, p); err != nil || clean != (half.off > 0) {
			return fmt.Errorf("oracle: columns from %d: clean is %v, error %v", half.off, clean, err)
		}
		if err := sub.differ(tested, oracle, options(p), half.tol, tokens(1, 0), tokens(9, 0), tokens(64, 0)); err != nil {
			return fmt.Errorf("columns from %d: %w", half.off, err)
		}
	}
	return nil
}

// clean reports whether the features of a step on b are free of NaN.
func (l *lab) clean(b backends.Backend, p backends.Precision) (bool, error) {
	pr, err := l.program(b, options(p))
	if err != nil {
		return false, err
	}
	defer pr.Close()
	s := tokens(1, 0)
	err = pr.Run(s)
	return !slices.ContainsFunc(s.Features, func(v float32) bool { return v != v }), err
}

// breakOne overwrites one number of a part with NaN, in row 5 or row group 5, or in the entry of the first codebook
// that code names.
func breakOne(data []byte, info plan.WeightInfo, part plan.Part, code int) {
	_, cols, t := info.PartShape(part)
	at := 5*cols + cols/2
	if part == plan.Codebooks {
		at = code * info.Scheme.InGroup * info.Scheme.OutGroup
	}
	if t == plan.F32 {
		binary.LittleEndian.PutUint32(data[4*at:], math.Float32bits(float32(math.NaN())))
		return
	}
	binary.LittleEndian.PutUint16(data[2*at:], 0x7e00)
}

// brokenEverywhere feeds NaN and infinities through every other op. Nothing may crash; a token of NaN comes out as NaN;
// whole tokens stay as they are.
func brokenEverywhere() testCase {
	return testCase{"ops", func(tested, oracle backends.Backend) error {
		for t, v := range brokenTokens {
			l, width := newLab("broken"), 2*3*20
			values := l.normals(labVocab*width, 1)
			for i := range width {
				values[t*width+i] = v
			}
			x := l.inputOf("x", width, values)
			l.b.Norm(x, x, plan.NormParams{Width: width, Gain: l.vector("gain", width, plan.F16), Bias: plan.None, Eps: 1e-5})
			l.b.Rope(x, plan.RopeParams{Heads: 3, Dim: 20, Rotated: 20, Freqs: l.b.Const("freqs", make([]float32, 10)), Factor: 1})
			l.b.Glu(x, x, plan.At(x.Buf, width/2), plan.SiLU, width/2)
			l.b.Scale(x, x, 2, 5, width)
			out := plan.All(l.b.Buffer("out", plan.PerToken, 40))
			l.b.Attention(out, x, plan.At(x.Buf, 40), plan.At(x.Buf, 60), plan.AttentionParams{Layer: l.b.KV(1, 20), Heads: 2, Scale: 0.3})
			l.b.Add(out, out, out, 1, 40)
			l.result(out, 40)
			// The broken token is alone in its sequence: all others are clean.
			s := &backends.Step{}
			for i := range 12 {
				s.Tokens, s.Out = append(s.Tokens, int32(i)), append(s.Out, int32(i))
			}
			s.Runs = []backends.Run{{Pos: 0, N: t, Blocks: []int32{0}}, {Pos: 0, N: 1, Blocks: []int32{1}}, {Pos: 0, N: 11 - t, Blocks: []int32{2}}}
			tol := tolerance{norm: attending, only: map[int]bool{}}
			for i := range 12 {
				tol.only[i] = i != t || v != v
			}
			if err := l.differ(tested, oracle, options(backends.Exact), tol, s); err != nil {
				return fmt.Errorf("%v: %w", v, err)
			}
		}
		return nil
	}}
}
