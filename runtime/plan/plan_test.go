package plan

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata")

// Numbers of the sample plan's parts, for the tests that break it.
const (
	sampleVocab  = 50
	sampleHidden = 32
	sampleHeads  = 4
	sampleKV     = 2
	sampleDim    = 6
	sampleInner  = 48
)

// sample builds one decoder layer that uses every op kind: fused projections with offsets, a quantized and a Q8_0
// weight, a bias, a part-wise norm, caps.
func sample() *Plan {
	const q, kv = sampleHeads * sampleDim, sampleKV * sampleDim
	b := NewBuilder("sample", sampleVocab, 128)
	dense := func(name string, rows, cols int, t DType) Weight {
		return b.Weight(WeightInfo{Name: name, Rows: rows, Cols: cols, Type: t})
	}
	embed := dense("embed", sampleVocab, sampleHidden, Q8_0)
	freqs := b.Const("freqs", []float32{1, 0.1})
	norm := dense("norm", 1, sampleHidden, F16)
	qkv := b.Weight(WeightInfo{
		Name: "qkv", Rows: q + 2*kv, Cols: sampleHidden, Encoding: AQLM,
		Scheme: Scheme{Codebooks: 2, Bits: 8, InGroup: 8, OutGroup: 1}, Codes: I8, Codebooks: F16, Scales: F16,
	})
	bias := dense("qkv.bias", 1, q+2*kv, F16)
	qnorm := dense("qnorm", 1, q, F32)
	o := dense("o", sampleHidden, q, F16)
	gate := b.Weight(WeightInfo{
		Name: "gate", Rows: sampleInner, Cols: sampleHidden, Encoding: AQLM,
		Scheme: Scheme{Codebooks: 1, Bits: 15, InGroup: 16, OutGroup: 2}, Codes: I16, Codebooks: F32, Scales: BF16,
	})
	up := dense("up", sampleInner, sampleHidden, BF16)
	down := dense("down", sampleHidden, sampleInner, F16)
	final := dense("final", 1, sampleHidden, F32)
	finalBias := dense("final.bias", 1, sampleHidden, F32)

	x := b.Buffer("x", PerToken, sampleHidden)
	h := b.Buffer("h", PerToken, sampleHidden)
	fused := b.Buffer("fused", PerToken, q+2*kv)
	att := b.Buffer("att", PerToken, q)
	gu := b.Buffer("gu", PerToken, 2*sampleInner)
	xo := b.Buffer("xo", PerOutput, sampleHidden)
	features := b.Buffer("features", PerOutput, sampleHidden)
	logits := b.Buffer("logits", PerOutput, sampleVocab)

	b.Embed(All(x), embed, 2)
	b.Norm(All(h), All(x), NormParams{Width: sampleHidden, Gain: norm, Bias: None, Eps: 1e-5, Plus: 1})
	b.Linear(All(h), Output{All(fused), qkv, bias})
	b.Norm(All(fused), All(fused), NormParams{Type: LayerNorm, Parts: sampleHeads, Width: sampleDim, Gain: qnorm, Bias: None, Eps: 1e-6})
	rope := RopeParams{Heads: sampleHeads, Dim: sampleDim, Rotated: 4, Freqs: freqs, Factor: 1.25}
	b.Rope(All(fused), rope)
	rope.Heads, rope.Pairing = sampleKV, RopeNeighbours
	b.Rope(At(fused, q), rope)
	b.Attention(All(att), All(fused), At(fused, q), At(fused, q+kv), AttentionParams{
		Layer: b.KV(sampleKV, sampleDim), Heads: sampleHeads, Window: 24, Scale: DefaultScale(sampleDim), Cap: 50,
	})
	b.Linear(All(att), Output{All(h), o, None})
	b.Add(All(x), All(x), All(h), 0.5, sampleHidden)
	b.Linear(All(x), Output{All(gu), gate, None}, Output{At(gu, sampleInner), up, None})
	b.Glu(All(gu), All(gu), At(gu, sampleInner), GeluTanh, sampleInner)
	b.Linear(All(gu), Output{All(h), down, None})
	b.Add(All(x), All(x), All(h), 1, sampleHidden)
	b.Select(All(xo), All(x))
	b.Norm(All(features), All(xo), NormParams{Type: LayerNorm, Width: sampleHidden, Gain: final, Bias: finalBias, Eps: 1e-5})
	b.Linear(All(features), Output{All(logits), embed, None})
	b.Scale(All(logits), All(logits), 0.25, 30, sampleVocab)
	sampleMixture(b, xo)
	b.Plan.Logits, b.Plan.Features = logits, features
	return &b.Plan
}

// sampleMixture adds a mixture of 3 experts, 2 for each row, behind everything else, and a rotation of long sequences.
func sampleMixture(b *Builder, x Buf) {
	params := RouteParams{Experts: 3, Slots: 2, Among: true}
	router := b.Weight(WeightInfo{Name: "router", Rows: 3, Cols: sampleHidden, Type: F16})
	var in, out [3]Weight
	for e := range in {
		in[e] = b.Weight(WeightInfo{Name: fmt.Sprintf("in.%d", e), Rows: sampleInner, Cols: sampleHidden, Type: F16})
	}
	for e := range out {
		out[e] = b.Weight(WeightInfo{Name: fmt.Sprintf("out.%d", e), Rows: sampleHidden, Cols: sampleInner, Type: BF16})
	}
	scores := All(b.Buffer("scores", PerOutput, 3))
	routes := All(b.Buffer("routes", PerOutput, 4))
	inner := All(b.Buffer("inner", PerOutput, 2*sampleInner))
	parts := All(b.Buffer("parts", PerOutput, 2*sampleHidden))
	mixed := All(b.Buffer("mixed", PerOutput, sampleHidden))
	b.Linear(All(x), Output{scores, router, None})
	b.Route(routes, scores, params)
	b.Experts(All(x), routes, false, params, ExpertOutput{inner, in[0]})
	b.Experts(inner, routes, true, params, ExpertOutput{parts, out[0]})
	b.Mix(mixed, parts, routes, 2, sampleHidden)
	y := All(b.Buffer("y", PerToken, sampleHidden))
	b.Scale(y, All(0), 1, 0, sampleHidden)
	b.Rope(y, RopeParams{
		Heads: 8, Dim: 4, Rotated: 4, Freqs: b.Const("short", []float32{1, 0.5}), Factor: 1,
		Limit: 40, Long: b.Const("long", []float32{0.9, 0.1}),
	})
}

func TestLongFrom(t *testing.T) {
	p := sample()
	if got := p.LongFrom(); got != 40 {
		t.Errorf("long from %d, want 40", got)
	}
	p.Ops = p.Ops[:17]
	if got := p.LongFrom(); got != 0 {
		t.Errorf("long from %d in a plan without two tables", got)
	}
}

func TestSampleUsesEveryKind(t *testing.T) {
	seen := map[Kind]bool{}
	for _, op := range sample().Ops {
		seen[op.Kind] = true
	}
	for _, k := range Kinds() {
		if !seen[k] {
			t.Errorf("the sample plan lacks %s", k)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := sample().Validate(); err != nil {
		t.Fatal(err)
	}
	const (
		embed, norm1, linear, normParts, rope, ropeK, attention, linearO, add, gateUp, glu = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
		sel, final, head, scale                                                            = 13, 14, 15, 16
		route, expertsIn, expertsOut, mix, longRope                                        = 18, 19, 20, 21, 23
	)
	nan := float32(math.NaN())
	tests := []struct {
		name, want string
		do         func(p *Plan)
	}{
		{"vocab", "vocabulary 0", func(p *Plan) { p.Vocab = 0 }},
		{"positions", "positions", func(p *Plan) { p.MaxPos = -1 }},
		{"positions too large", "positions", func(p *Plan) { p.MaxPos = math.MaxInt32 }},
		{"kind", "unknown kind 99", func(p *Plan) { p.Ops[0].Kind = 99 }},
		{"flags", "flags", func(p *Plan) { p.Ops[0].Flags = 1 }},
		{"input buffer", "in0 is buffer 77", func(p *Plan) { p.Ops[norm1].In[0].Buf = 77 }},
		{"input missing", "in0 is buffer -1", func(p *Plan) { p.Ops[norm1].In[0] = NoRef }},
		{"offset", "in1 is columns [37, 49)", func(p *Plan) { p.Ops[attention].In[1].Off = 37 }},
		{"negative offset", "columns [-1", func(p *Plan) { p.Ops[attention].In[2].Off = -1 }},
		{"offset overflow", "columns [2147483647", func(p *Plan) { p.Ops[attention].In[2].Off = math.MaxInt32 }},
		{"unused input", "in3 is not used", func(p *Plan) { p.Ops[add].In[3] = All(0) }},
		{"zero ref", "in1 is not used", func(p *Plan) { p.Ops[norm1].In[1] = Ref{} }},
		{"unused output", "out1 is not used", func(p *Plan) { p.Ops[add].Out[1] = All(0) }},
		{"unused weight slot", "weight slot 7", func(p *Plan) { p.Ops[add].W[7] = 0 }},
		{"unused int", "integer parameter 5", func(p *Plan) { p.Ops[add].I[5] = 1 }},
		{"unused float", "float parameter 3", func(p *Plan) { p.Ops[add].F[3] = nan }},

		{"table", "table \"up\" is dense (48, 32)", func(p *Plan) { p.Ops[embed].W[0] = 8 }},
		{"table quantized", "table \"qkv\"", func(p *Plan) { p.Ops[embed].W[0] = 3 }},
		{"table none", "table is weight -1", func(p *Plan) { p.Ops[embed].W[0] = None }},
		{"embed scale", "scale is NaN", func(p *Plan) { p.Ops[embed].F[0] = nan }},
		{"embed rows", "no row for each token", func(p *Plan) { p.Buffers[0].Rows = PerOutput }},

		{"eps", "epsilon is -1", func(p *Plan) { p.Ops[norm1].F[0] = -1 }},
		{"eps inf", "epsilon", func(p *Plan) { p.Ops[norm1].F[0] = float32(math.Inf(1)) }},
		{"gain offset", "gain offset", func(p *Plan) { p.Ops[norm1].F[1] = nan }},
		{"norm type", "norm type is 2", func(p *Plan) { p.Ops[norm1].I[2] = 2 }},
		{"parts", "parts is 0", func(p *Plan) { p.Ops[norm1].I[0] = 0 }},
		{"part overflow", "columns [0, 72057594037927936)", func(p *Plan) { p.Ops[norm1].I[0], p.Ops[norm1].I[1] = 1<<28, 1<<28 }},
		{"gain length", "gain \"norm\" has 32 values, must be 31", func(p *Plan) { p.Ops[norm1].I[1] = 31 }},
		{"gain matrix", "not a plain vector", func(p *Plan) { p.Ops[norm1].W[0] = 6 }},
		{"bias length", "bias \"final.bias\" has 32 values", func(p *Plan) { p.Ops[normParts].W[1] = 11 }},
		{"norm overlap", "out0 overlaps in0", func(p *Plan) { p.Ops[normParts].Out[0].Off = 1 }},

		{"outputs", "outputs is 0", func(p *Plan) { p.Ops[linear].I[0] = 0 }},
		{"outputs 5", "5 outputs", func(p *Plan) { p.Ops[linear].I[0] = 5 }},
		{"linear weight", "weight 0 is weight 99", func(p *Plan) { p.Ops[linear].W[0] = 99 }},
		{"linear columns", "48 columns", func(p *Plan) { p.Ops[gateUp].W[1] = 9 }},
		{"linear bias", "bias 0 \"norm\" has 32 values", func(p *Plan) { p.Ops[linear].W[4] = 2 }},
		{"linear in place", "out0 overlaps in0", func(p *Plan) { p.Ops[linearO].Out[0] = All(3); p.Buffers[3].Width = 32 }},
		{"linear outputs overlap", "out1 overlaps out0", func(p *Plan) { p.Ops[gateUp].Out[1].Off-- }},
		{"linear rows", "different rows", func(p *Plan) { p.Ops[head].In[0] = All(0) }},

		{"rotated odd", "3 columns of 6", func(p *Plan) { p.Ops[rope].I[2] = 3 }},
		{"rotated all", "8 columns of 6", func(p *Plan) { p.Ops[rope].I[2] = 8 }},
		{"pairing", "pairing is 2", func(p *Plan) { p.Ops[rope].I[3] = 2 }},
		{"rope moves", "in place", func(p *Plan) { p.Ops[rope].Out[0].Off = 1 }},
		{"freqs length", "frequencies \"freqs\" has 2 values, must be 3", func(p *Plan) { p.Ops[rope].I[2] = 6 }},
		{"freqs type", "not f32", func(p *Plan) { p.Weights[1].Type = F16; p.Consts = nil }},
		{"rope heads", "columns [24, 54)", func(p *Plan) { p.Ops[ropeK].I[0] = 5 }},

		{"kv layer", "KV layer 1 of 1", func(p *Plan) { p.Ops[attention].I[0] = 1 }},
		{"kv layer negative", "KV layer -1", func(p *Plan) { p.Ops[attention].I[0] = -1 }},
		{"kv heads", "3 query heads over 2", func(p *Plan) { p.Ops[attention].I[1] = 3 }},
		{"kv heads zero", "0 heads", func(p *Plan) { p.Layers[0].Heads = 0 }},
		{"window", "window is -1", func(p *Plan) { p.Ops[attention].I[2] = -1 }},
		{"attention scale", "scale is NaN", func(p *Plan) { p.Ops[attention].F[0] = nan }},
		{"attention cap", "cap is -1", func(p *Plan) { p.Ops[attention].F[1] = -1 }},
		{"attention in place", "out0 overlaps in0", func(p *Plan) { p.Ops[attention].Out[0] = All(2) }},
		{"kv twice", "has another op already", func(p *Plan) { p.Ops = append(p.Ops, p.Ops[attention]) }},
		{"kv unused", "KV layer 1 is used by no op", func(p *Plan) { p.Layers = append(p.Layers, KVLayer{1, 2}) }},

		{"activation", "activation is 3", func(p *Plan) { p.Ops[glu].I[0] = 3 }},
		{"glu width", "width is 0", func(p *Plan) { p.Ops[glu].I[1] = 0 }},
		{"glu overlap", "out0 overlaps in0", func(p *Plan) { p.Ops[glu].Out[0].Off = 1 }},
		{"add width", "columns [0, 33)", func(p *Plan) { p.Ops[add].I[0] = 33 }},
		{"add scale", "scale is NaN", func(p *Plan) { p.Ops[add].F[0] = nan }},
		{"select width", "select copies whole rows", func(p *Plan) { p.Ops[sel].In[0] = All(2) }},
		{"select direction", "token rows", func(p *Plan) { p.Ops[sel].Out[0] = All(1) }},
		{"scale cap", "cap is -2", func(p *Plan) { p.Ops[scale].F[1] = -2 }},
		{"row kinds", "different rows", func(p *Plan) { p.Ops[final].In[0] = All(0) }},

		{"route experts", "experts is 4097", func(p *Plan) { p.Ops[route].I[0] = 4097 }},
		{"route slots", "slots is 4, must be 1..3", func(p *Plan) { p.Ops[route].I[1] = 4 }},
		{"route softmax", "softmax is 2", func(p *Plan) { p.Ops[route].I[2] = 2 }},
		{"route result", "columns [0, 6)", func(p *Plan) { p.Ops[route].I[1] = 3 }},
		{"experts outputs", "outputs is 5", func(p *Plan) { p.Ops[expertsIn].I[0] = 5 }},
		{"experts past the weights", "experts 0 are weights from 19 on, there are 21", func(p *Plan) { p.Ops[expertsIn].W[0] = 19 }},
		{"experts of two shapes", "\"in.0\" and \"in.2\" of one set", func(p *Plan) { p.Weights[15].Rows-- }},
		{"experts columns", "columns [0, 64)", func(p *Plan) { p.Ops[expertsIn].I[3] = 1 }},
		{"experts apart", "apart is 2", func(p *Plan) { p.Ops[expertsIn].I[3] = 2 }},
		{"experts of another route", "as many experts and slots", func(p *Plan) { p.Ops[expertsIn].I[1] = 2 }},
		{"experts without a route", "as many experts and slots", func(p *Plan) { p.Ops[expertsIn].In[1] = All(5) }},
		{"experts behind overwritten routes", "as many experts and slots", func(p *Plan) {
			add := p.Ops[8]
			add.In[0], add.In[1], add.Out[0], add.I[0] = All(9), All(9), All(9), 1
			p.Ops = slices.Insert(p.Ops, expertsOut, add)
		}},
		{"mix slots", "slots is 0", func(p *Plan) { p.Ops[mix].I[1] = 0 }},
		{"mix without a route", "as many experts and slots", func(p *Plan) { p.Ops[mix].In[1] = All(5) }},
		{"long limit", "limit of the first frequencies is -1", func(p *Plan) { p.Ops[longRope].I[4] = -1 }},
		{"long table", "long frequencies is weight -1", func(p *Plan) { p.Ops[longRope].W[1] = None }},
		{"long length", "long frequencies \"freqs.3\" has 3 values", func(p *Plan) {
			p.Weights = append(p.Weights, WeightInfo{Name: "freqs.3", Rows: 1, Cols: 3, Type: F32})
			p.Ops[longRope].W[1] = 21
		}},
		{"two limits", "elsewhere behind 39", func(p *Plan) { p.Ops[rope].I[4], p.Ops[rope].W[1] = 39, 1 }},

		{"unwritten", "nothing wrote", func(p *Plan) { p.Ops = p.Ops[1:] }},
		{"partly written", "in0 reads columns of buffer \"gu\"", func(p *Plan) {
			p.Ops[gateUp].I[0], p.Ops[gateUp].W[1], p.Ops[gateUp].Out[1] = 1, None, NoRef
			p.Ops[glu].In[0].Off = 1
			p.Ops[glu].Out[0] = All(1)
			p.Buffers[1].Width = sampleInner
		}},
		{"unused weight", "used by no op", func(p *Plan) { p.Ops[linear].W[4] = None }},
		{"logits", "logits are buffer 99", func(p *Plan) { p.Logits = 99 }},
		{"logits width", "logits buffer \"xo\"", func(p *Plan) { p.Logits = 5 }},
		{"features rows", "features buffer \"x\"", func(p *Plan) { p.Features = 0 }},
		{"features unwritten", "features buffer \"spare\" is not written", func(p *Plan) {
			p.Buffers = append(p.Buffers, Buffer{"spare", PerOutput, 3})
			p.Features = Buf(len(p.Buffers) - 1)
		}},
		{"no result", "neither logits nor features", func(p *Plan) { p.Logits, p.Features = None, None }},

		{"weight name", "without a name", func(p *Plan) { p.Weights[0].Name = "" }},
		{"weight twice", "\"norm\" occurs twice", func(p *Plan) { p.Weights[0].Name = "norm" }},
		{"weight rows", "out of range", func(p *Plan) { p.Weights[0].Rows = 0 }},
		{"weight too large", "too large", func(p *Plan) { p.Weights[6].Rows, p.Weights[6].Cols = math.MaxInt32, math.MaxInt32 }},
		{"weight type", "element type i8", func(p *Plan) { p.Weights[6].Type = I8 }},
		{"weight type unknown", "element type dtype(99)", func(p *Plan) { p.Weights[6].Type = 99 }},
		{"weight encoding", "unknown encoding 7", func(p *Plan) { p.Weights[6].Encoding = 7 }},
		{"dense scheme", "has a scheme", func(p *Plan) { p.Weights[6].Scheme.Bits = 8 }},
		{"q8 block", "do not fit blocks", func(p *Plan) { p.Weights[0].Cols = 33 }},
		{"codebooks 0", "scheme 0x8g8", func(p *Plan) { p.Weights[3].Scheme.Codebooks = 0 }},
		{"codebooks 17", "scheme 17x8g8", func(p *Plan) { p.Weights[3].Scheme.Codebooks = 17 }},
		{"bits 17", "scheme 2x17g8", func(p *Plan) { p.Weights[3].Scheme.Bits = 17 }},
		{"group 0", "scheme 2x8g0", func(p *Plan) { p.Weights[3].Scheme.InGroup = 0 }},
		{"group", "no multiple of the in group 7", func(p *Plan) { p.Weights[3].Scheme.InGroup = 7 }},
		{"out group", "no multiple of the out group 5", func(p *Plan) { p.Weights[3].Scheme.OutGroup = 5 }},
		{"codes type", "stored as i8, not i16", func(p *Plan) { p.Weights[3].Codes = I16 }},
		{"codebooks type", "codebooks cannot be i8", func(p *Plan) { p.Weights[3].Codebooks = I8 }},
		{"scales type", "scales cannot be q8_0", func(p *Plan) { p.Weights[3].Scales = Q8_0 }},
		{"const length", "constant \"freqs\"", func(p *Plan) { p.Consts[1] = nil }},
		{"const weight", "constant for weight 99", func(p *Plan) { p.Consts[99] = nil }},
		{"buffer name", "buffer 1 has no name", func(p *Plan) { p.Buffers[1].Name = "x" }},
		{"buffer width", "buffer \"h\" has 0 columns", func(p *Plan) { p.Buffers[1].Width = 0 }},
		{"buffer rows", "rows of kind 9", func(p *Plan) { p.Buffers[1].Rows = 9 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := sample()
			tt.do(p)
			err := p.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
			if text := err.Error(); strings.Contains(text, "\n") || strings.Count(text, "plan:") != 1 {
				t.Errorf("not one line with one prefix: %q", text)
			}
			if err := p.Dump(new(bytes.Buffer)); err != nil { // must not crash on a broken plan
				t.Error(err)
			}
		})
	}
}

func TestIntervals(t *testing.T) {
	var iv intervals
	for _, r := range [][2]int{{10, 20}, {30, 40}, {0, 5}, {20, 25}, {50, 60}, {24, 31}} {
		iv.add(r[0], r[1])
	}
	for _, tt := range []struct {
		from, to int
		want     bool
	}{{0, 5, true}, {0, 6, false}, {10, 40, true}, {9, 11, false}, {39, 41, false}, {50, 60, true}, {60, 61, false}, {4, 10, false}} {
		if got := iv.contain(tt.from, tt.to); got != tt.want {
			t.Errorf("[%d, %d): %v", tt.from, tt.to, got)
		}
	}
	if len(iv) != 3 {
		t.Errorf("not merged: %v", iv)
	}
}

func TestDump(t *testing.T) {
	var got bytes.Buffer
	if err := sample().Dump(&got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "sample.txt")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the dump differs from %s (go test -update rewrites it):\n%s", path, &got)
	}
}

func TestParts(t *testing.T) {
	p := sample()
	for _, tt := range []struct {
		weight   Weight
		part     Part
		rows     int
		rowBytes int64
	}{
		{0, Elements, 50, 34},
		{2, Elements, 1, 64},
		{3, Codes, 48, 8},
		{3, Codebooks, 2, 256 * 8 * 2},
		{3, Scales, 48, 2},
		{7, Codes, 24, 4},
		{7, Codebooks, 1, 1 << 15 * 2 * 16 * 4},
		{7, Scales, 24, 2},
	} {
		rows, rowBytes := p.Weights[tt.weight].PartBytes(tt.part)
		if rows != tt.rows || rowBytes != tt.rowBytes {
			t.Errorf("%s %s: %d rows of %d bytes, want %d of %d", p.Weights[tt.weight].Name, tt.part, rows, rowBytes, tt.rows, tt.rowBytes)
		}
	}
	if got := p.Weights[3].Bytes(); got != 48*8+2*256*16+48*2 {
		t.Errorf("Bytes = %d", got)
	}
}

func TestDTypeBytes(t *testing.T) {
	for _, tt := range []struct {
		t    DType
		n    int64
		want int64
		ok   bool
	}{
		{F32, 3, 12, true},
		{Q8_0, 64, 68, true},
		{Q8_0, 33, 0, false},
		{I8, 0, 0, true},
		{F16, -1, 0, false},
		{F32, 1 << 61, 0, false},
		{F32, math.MaxInt64, 0, false},
		{DType(99), 1, 0, false},
	} {
		got, err := tt.t.Bytes(tt.n)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s x %d: %d, %v", tt.t, tt.n, got, err)
		}
	}
}

// FuzzValidate breaks one 4-byte field of one op: Validate and Dump must survive whatever that gives.
func FuzzValidate(f *testing.F) {
	f.Add(uint8(2), uint8(0), int32(-2))
	f.Add(uint8(6), uint8(20), int32(math.MaxInt32))
	f.Add(uint8(4), uint8(30), int32(math.MinInt32))
	f.Add(uint8(19), uint8(10), int32(20))
	f.Add(uint8(20), uint8(9), int32(math.MaxInt32))
	f.Fuzz(func(t *testing.T, opIndex, field uint8, value int32) {
		p := sample()
		op := &p.Ops[int(opIndex)%len(p.Ops)]
		fields := []*int32{
			&op.In[0].Off, &op.In[1].Off, &op.In[2].Off, &op.Out[0].Off, &op.Out[1].Off,
			(*int32)(&op.In[0].Buf), (*int32)(&op.In[1].Buf), (*int32)(&op.Out[0].Buf), (*int32)(&op.Out[1].Buf),
		}
		for i := range op.I {
			fields = append(fields, &op.I[i], (*int32)(&op.W[i]))
		}
		*fields[int(field)%len(fields)] = value
		if field%7 == 0 {
			op.Kind = Kind(uint32(value)) // also another kind over the same fields
		}
		_ = p.Validate()
		if err := p.Dump(new(bytes.Buffer)); err != nil {
			t.Fatal(err)
		}
	})
}
