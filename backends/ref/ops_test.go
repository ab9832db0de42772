package ref

import (
	"encoding/binary"
	"math"
	"testing"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// The goldens of package models show that a whole Llama is right. These tests pin what a Llama does not use, with
// numbers worked out by hand.

// bench builds a plan over given activations: token t has row t of the table.
type bench struct {
	*plan.Builder
	t      *testing.T
	values map[plan.Weight][]float32
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return &bench{plan.NewBuilder(t.Name(), 4, 64), t, map[plan.Weight][]float32{}}
}

func (b *bench) vector(name string, values ...float32) plan.Weight {
	w := b.Weight(plan.WeightInfo{Name: name, Rows: 1, Cols: len(values), Type: plan.F32})
	b.values[w] = values
	return w
}

// input adds four rows of activations.
func (b *bench) input(name string, width int, rows ...float32) plan.Ref {
	w := b.Weight(plan.WeightInfo{Name: name, Rows: 4, Cols: width, Type: plan.F32})
	b.values[w] = append(rows, make([]float32, 4*width-len(rows))...)
	x := plan.All(b.Buffer(name, plan.PerToken, width))
	b.Embed(x, w, 1)
	return x
}

// check runs tokens 0, 1, ... at positions pos, pos+1, ... and compares the buffer's rows.
func (b *bench) check(out plan.Ref, pos int, want ...float32) {
	b.t.Helper()
	width := b.Plan.Buffers[out.Buf].Width
	features := plan.All(b.Buffer("features", plan.PerOutput, width))
	b.Select(features, out)
	b.Plan.Features = features.Buf
	pr, err := New(1).Compile(&b.Plan, backends.Options{KV: plan.F32, KVBlocks: 2, MaxTokens: 4, MaxSeqs: 1, MaxOutputs: 4})
	if err != nil {
		b.t.Fatal(err)
	}
	defer pr.Close()
	for w, values := range b.values {
		var data []byte
		for _, v := range values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		rows, _ := b.Plan.Weights[w].PartBytes(plan.Elements)
		if err := pr.Load(w, plan.Elements, 0, rows, data); err != nil {
			b.t.Fatal(err)
		}
	}
	n := len(want) / width
	s := &backends.Step{Runs: []backends.Run{{Pos: pos, N: n, Blocks: []int32{1, 0}}}}
	for i := range n {
		s.Tokens, s.Out = append(s.Tokens, int32(i)), append(s.Out, int32(i))
	}
	if err := pr.Run(s); err != nil {
		b.t.Fatal(err)
	}
	for i, v := range s.Features {
		if d := math.Abs(float64(v - want[i])); !(d <= 1e-6*max(1, math.Abs(float64(want[i])))) {
			b.t.Errorf("row %d, column %d is %v, want %v", i/width, i%width, v, want[i])
		}
	}
}

func TestRMSNorm(t *testing.T) {
	b := newBench(t)
	x := b.input("x", 2, 3, 4) // mean square 12.5, with epsilon 16
	b.Norm(x, x, plan.NormParams{Width: 2, Gain: b.vector("gain", 1, 9), Bias: plan.None, Eps: 3.5, Plus: 1})
	b.check(x, 0, 3.0/4*2, 4.0/4*10)
}

func TestLayerNormParts(t *testing.T) {
	b := newBench(t)
	x := b.input("x", 6, 1, 5, 9, 0, 0, 3) // parts of two: deviations 2, 4.5, 1.5
	b.Norm(x, x, plan.NormParams{
		Type: plan.LayerNorm, Parts: 3, Width: 2, Gain: b.vector("gain", 1, 2, 3, 4, 5, 6), Bias: b.vector("bias", 10, 20),
	})
	b.check(x, 0, -1+10, 2+20, 3+10, -4+20, -5+10, 6+20)
}

func TestRope(t *testing.T) {
	const quarter = math.Pi / 2
	for _, tt := range []struct {
		pairing plan.RopePairing
		want    []float32
	}{
		// Position 1, frequencies a quarter and half turn: (a, b) becomes (-b, a) and (-a, -b), times 2.
		{plan.RopeHalf, []float32{-6, -4, 2, -8, 5, -16, -14, 12, -18, 10}},
		{plan.RopeNeighbours, []float32{-4, 2, -6, -8, 5, -14, 12, -16, -18, 10}},
	} {
		b := newBench(t)
		x := b.input("x", 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
		b.Rope(x, plan.RopeParams{
			Heads: 2, Dim: 5, Rotated: 4, Pairing: tt.pairing, Freqs: b.vector("freqs", quarter, 2*quarter), Factor: 2,
		})
		b.check(x, 1, tt.want...)
	}
}

// TestAttention: two query heads share a KV head; scores are logarithms, so that weights are whole-number ratios.
func TestAttention(t *testing.T) {
	ln := func(x float64) float32 { return float32(math.Log(x)) }
	for _, tt := range []struct {
		name   string
		window int
		limit  float32
		want   []float32
	}{
		// Keys 0, ln 2, ln 5; values 1, 4, 10. The first head's queries are 1, the second's 0.
		{"causal", 0, 0, []float32{1, 1, (1*1 + 2*4) / 3., 2.5, (1*1 + 2*4 + 5*10) / 8., 5}},
		{"window", 2, 0, []float32{1, 1, (1*1 + 2*4) / 3., 2.5, (2*4 + 5*10) / 7., 7}},
		// Scores times 1000 and capped at ln 3 are 0 or ln 3.
		{"cap", 0, ln(3), []float32{1, 1, (1*1 + 3*4) / 4., 2.5, (1*1 + 3*4 + 3*10) / 7., 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			scale := float32(1)
			if tt.limit > 0 {
				scale = 1000
			}
			q := b.input("q", 2, 1, 0, 1, 0, 1, 0)
			k := b.input("k", 1, 0, ln(2), ln(5))
			v := b.input("v", 1, 1, 4, 10)
			out := plan.All(b.Buffer("out", plan.PerToken, 2))
			b.Attention(out, q, k, v, plan.AttentionParams{Layer: b.KV(1, 1), Heads: 2, Scale: scale, Window: tt.window, Cap: tt.limit})
			b.check(out, 0, tt.want...)
		})
	}
}

func TestHeadGroups(t *testing.T) {
	b := newBench(t)
	q := b.input("q", 4, 1, 1, 1, 1) // four query heads over two KV heads: 0, 0, 1, 1
	v := b.input("v", 2, 3, 7)
	out := plan.All(b.Buffer("out", plan.PerToken, 4))
	b.Attention(out, q, v, v, plan.AttentionParams{Layer: b.KV(2, 1), Heads: 4, Scale: 1})
	b.check(out, 0, 3, 3, 7, 7)
}

func TestGlu(t *testing.T) {
	// Values of the definitions at 1 and -2.
	for act, want := range map[plan.Activation][2]float32{
		plan.SiLU:     {0.7310586, -0.2384058},
		plan.GeluTanh: {0.8411920, -0.04540231},
		plan.GeluErf:  {0.8413447, -0.04550026},
	} {
		b := newBench(t)
		x := b.input("x", 4, 1, -2, 10, 100)
		b.Glu(x, x, plan.At(x.Buf, 2), act, 2)
		b.check(x, 0, want[0]*10, want[1]*100, 10, 100)
	}
}

func TestScaleAndAdd(t *testing.T) {
	b := newBench(t)
	x := b.input("x", 2, 1, 8)
	y := plan.All(b.Buffer("y", plan.PerToken, 2))
	b.Scale(y, x, 0.5, 2, 2) // 2 tanh(x/4)
	b.Add(y, y, x, -3, 2)
	b.check(y, 0, float32(2*math.Tanh(0.25)-3), float32(2*math.Tanh(2)-24))
}

// TestMeasure compares with the lengths of everything that a program holds.
func TestMeasure(t *testing.T) {
	b := plan.NewBuilder("measured", 64, 100)
	embed := b.Weight(plan.WeightInfo{Name: "embed", Rows: 64, Cols: 32, Type: plan.Q8_0})
	gain := b.Weight(plan.WeightInfo{Name: "gain", Rows: 1, Cols: 32, Type: plan.F16})
	bias := b.Weight(plan.WeightInfo{Name: "bias", Rows: 1, Cols: 48, Type: plan.F16})
	qkv := b.Weight(plan.WeightInfo{
		Name: "qkv", Rows: 48, Cols: 32, Encoding: plan.AQLM, Scheme: plan.Scheme{Codebooks: 2, Bits: 9, InGroup: 4, OutGroup: 2},
		Codes: plan.I16, Codebooks: plan.F16, Scales: plan.F32,
	})
	x, y := plan.All(b.Buffer("x", plan.PerToken, 32)), plan.All(b.Buffer("y", plan.PerToken, 48))
	att, out := plan.All(b.Buffer("att", plan.PerToken, 16)), plan.All(b.Buffer("out", plan.PerOutput, 16))
	b.Embed(x, embed, 1)
	b.Norm(x, x, plan.NormParams{Width: 32, Gain: gain, Bias: plan.None})
	b.Linear(x, plan.Output{To: y, W: qkv, Bias: bias})
	b.Rope(y, plan.RopeParams{Heads: 2, Dim: 8, Rotated: 8, Freqs: b.Const("freqs", make([]float32, 4)), Factor: 1})
	b.Attention(att, y, plan.At(y.Buf, 16), plan.At(y.Buf, 32), plan.AttentionParams{Layer: b.KV(2, 8), Heads: 2, Scale: 1})
	b.Select(out, att)
	b.Plan.Features = out.Buf
	for _, kv := range []plan.DType{plan.F32, plan.F16, plan.Q8_0} {
		be, o := New(3), backends.Options{KV: kv, KVBlocks: 5, MaxTokens: 7, MaxSeqs: 2, MaxOutputs: 3}
		want, err := be.Measure(&b.Plan, o)
		if err != nil {
			t.Fatal(err)
		}
		c, err := be.Compile(&b.Plan, o)
		if err != nil {
			t.Fatal(err)
		}
		p, got := c.(*program), backends.Memory{}
		for _, w := range p.weights {
			for part := range w.data {
				got.Weights += int64(len(w.data[part]))
				got.Scratch += 8 * int64(len(w.coverage[part].seen))
			}
		}
		for _, l := range p.kv {
			got.KV += 4*int64(len(l.keys)+len(l.values)) + 2*int64(len(l.keys16)+len(l.values16))
		}
		for _, buf := range p.buffers {
			got.Scratch += 4 * int64(len(buf))
		}
		for _, row := range p.rows {
			got.Scratch += 8 * int64(len(row))
		}
		got.Scratch += 8*int64(len(p.inputs)+len(p.vectors)) + 4*int64(len(p.codebooks))
		if got != want {
			t.Errorf("%s: measured %+v, allocated %+v", kv, want, got)
		}
	}
}

func TestMeasureSaturates(t *testing.T) {
	b := plan.NewBuilder("huge", 1<<28, 1<<28)
	w := b.Weight(plan.WeightInfo{Name: "w", Rows: 1 << 28, Cols: 1 << 16, Type: plan.F32})
	x := plan.All(b.Buffer("x", plan.PerToken, 1<<16))
	y := plan.All(b.Buffer("y", plan.PerOutput, 1<<16))
	b.Embed(x, w, 1)
	b.Select(y, x)
	b.Plan.Features = y.Buf
	o := backends.Options{KV: plan.F32, KVBlocks: math.MaxInt32, MaxTokens: math.MaxInt32, MaxSeqs: 1, MaxOutputs: math.MaxInt32}
	if m, err := New(1).Measure(&b.Plan, o); err == nil {
		t.Errorf("measured %+v", m)
	}
	if _, err := New(1).Compile(&b.Plan, o); err == nil {
		t.Error("compiled")
	}
}
