package goldentest

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aquifer/backends"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/models/modeltest"
	"aquifer/runtime/plan"
)

// Options choose how the goldens are run. The zero value is one step for a prompt, exact products, F32 KV and the
// tolerances of the goldens' own README.
type Options struct {
	Precision backends.Precision
	KV        plan.DType
	Chunks    []int   // sizes of prompt steps, cycling; nil feeds a prompt in one step
	Logits    float64 // largest absolute error of a logit or residual value; 0 means 2e-4
	Weight    float64 // largest absolute error of a weight; 0 means 1e-6
}

const (
	logitTolerance  = 2e-4
	weightTolerance = 1e-6
	nllTolerance    = 1e-5
)

// golden is golden.json, as far as it is used.
type golden struct {
	Name    string
	Dequant struct {
		Tensor string
		Shape  []int
		First  []float64 `json:"row0_first16"`
		Last   []float64 `json:"last_row_last16"`
		Sum    float64   `json:"sum_f64"`
		SumAbs float64   `json:"sum_abs_f64"`
	} `json:"dequant_probe"`
	Layers struct {
		Length   int `json:"prompt_length"`
		Position int
		First8   [][]float64
	} `json:"layer_probe"`
	Prompts []struct {
		IDs        []int32
		LastIndex  int       `json:"last_index"`
		LastLogits []float64 `json:"last_logits"`
		MidIndex   int       `json:"mid_index"`
		MidLogits  []float64 `json:"mid_logits"`
		Greedy     []int32   `json:"greedy_ids"`
		Gaps       []float64 `json:"greedy_gaps"`
		MeanNLL    *float64  `json:"mean_nll"`
	}
}

// Run runs every golden checkpoint. open is called once for each.
func Run(t *testing.T, open func(t *testing.T) backends.Backend, o Options) {
	if o.Logits == 0 {
		o.Logits = logitTolerance
	}
	if o.Weight == 0 {
		o.Weight = weightTolerance
	}
	dir := modeltest.Golden(t)
	paths, err := filepath.Glob(filepath.Join(dir, "*", "golden.json"))
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d golden checkpoints, %v", len(paths), err)
	}
	for _, path := range paths {
		path = filepath.Dir(path)
		t.Run(filepath.Base(path), func(t *testing.T) {
			var g golden
			text, err := os.ReadFile(filepath.Join(path, "golden.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &g); err != nil {
				t.Fatal(err)
			}
			b := open(t)
			t.Cleanup(func() { b.Close() })
			checkWeights(t, b, path, &g, o)
			s := Open(t, b, path, 200, 200, o.Precision, o.KV)
			checkLayers(t, s, &g, o)
			checkPrompts(t, s, &g, o)
		})
	}
}

// checkWeights multiplies the probed matrix with the identity, which gives its columns.
func checkWeights(t *testing.T, b backends.Backend, path string, g *golden, o Options) {
	t.Helper()
	ck, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	m, err := models.Build(ck)
	if err != nil {
		t.Fatal(err)
	}
	probe := g.Dequant
	i := slices.IndexFunc(m.Plan.Weights, func(w plan.WeightInfo) bool { return w.Name == probe.Tensor })
	if i < 0 {
		t.Fatalf("the plan has no weight %s", probe.Tensor)
	}
	info := m.Plan.Weights[i]
	if want := []int{info.Rows, info.Cols}; !slices.Equal(probe.Shape, want) {
		t.Fatalf("%s is %v, probed as %v", probe.Tensor, want, probe.Shape)
	}
	w := columns(t, b, ck, m, plan.Weight(i), o)
	var sum, sumAbs float64
	for _, v := range w {
		sum += float64(v)
		sumAbs += math.Abs(float64(v))
	}
	for k := range 16 {
		near(t, "weight (0, %d)", k, w[k*info.Rows], probe.First[k], o.Weight)
		near(t, "weight of the last row, %d from its end", 16-k, w[(info.Cols-16+k)*info.Rows+info.Rows-1], probe.Last[k], o.Weight)
	}
	// The errors of the elements are independent of one another, but may share a sign.
	n := float64(len(w))
	near(t, "sum of %d weights", len(w), float32(sum), probe.Sum, n*o.Weight+1e-6*math.Abs(probe.Sum))
	near(t, "sum of %d absolute weights", len(w), float32(sumAbs), probe.SumAbs, n*o.Weight+1e-6*probe.SumAbs)
}

// columns returns W (cols, rows), the transpose of a weight.
func columns(t *testing.T, b backends.Backend, ck *checkpoint.Checkpoint, m *models.Model, w plan.Weight, o Options) []float32 {
	t.Helper()
	info := m.Plan.Weights[w]
	pb := plan.NewBuilder("columns", info.Cols, info.Cols)
	identity := make([]byte, 4*info.Cols*info.Cols)
	for i := range info.Cols {
		copy(identity[4*(i*info.Cols+i):], []byte{0, 0, 0x80, 0x3f}) // 1
	}
	table := pb.Weight(plan.WeightInfo{Name: "identity", Rows: info.Cols, Cols: info.Cols, Type: plan.F32})
	weight := pb.Weight(info)
	x := plan.All(pb.Buffer("x", plan.PerToken, info.Cols))
	sel := plan.All(pb.Buffer("sel", plan.PerOutput, info.Cols))
	y := plan.All(pb.Buffer("y", plan.PerOutput, info.Rows))
	pb.Embed(x, table, 1)
	pb.Select(sel, x)
	pb.Linear(sel, plan.Output{To: y, W: weight, Bias: plan.None})
	pb.Plan.Features = y.Buf

	blocks := (info.Cols + plan.KVBlock - 1) / plan.KVBlock
	pr := compile(t, b, &pb.Plan, backends.Options{
		Precision: o.Precision, KV: plan.F32, KVBlocks: blocks, MaxTokens: info.Cols, MaxSeqs: 1, MaxOutputs: info.Cols,
	})
	if err := pr.Load(table, plan.Elements, 0, info.Cols, identity); err != nil {
		t.Fatal(err)
	}
	for _, binding := range m.Bindings {
		if binding.Weight == w {
			load(t, pr, &pb.Plan, ck, binding, weight)
		}
	}
	s := &backends.Step{Runs: []backends.Run{{N: info.Cols, Blocks: make([]int32, blocks)}}}
	for i := range info.Cols {
		s.Tokens, s.Out = append(s.Tokens, int32(i)), append(s.Out, int32(i))
	}
	if err := pr.Run(s); err != nil {
		t.Fatal(err)
	}
	return s.Features
}

// checkLayers stops at the norm at the start of each layer, and at the final one, whose input is the residual stream.
func checkLayers(t *testing.T, s *Session, g *golden, o Options) {
	t.Helper()
	tracer, ok := s.Program.(backends.Tracer)
	if !ok {
		t.Fatal("the program is no Tracer")
	}
	s.Reset()
	step := s.step(prompt(t, g, g.Layers.Length), g.Layers.Length)
	step.Out = []int32{int32(g.Layers.Position)}
	p, done, seen := s.Model.Plan, 0, 0
	for i := range p.Ops {
		op := &p.Ops[i]
		if op.Kind != plan.Norm {
			continue
		}
		if gain := p.Weights[op.W[0]].Name; gain != "model.norm" && !strings.HasSuffix(gain, ".input_layernorm") {
			continue
		}
		if err := tracer.RunOps(step, done, i); err != nil {
			t.Fatal(err)
		}
		done = i
		values, err := tracer.Read(op.In[0].Buf)
		if err != nil {
			t.Fatal(err)
		}
		buf := p.Buffers[op.In[0].Buf]
		row := 0
		if buf.Rows == plan.PerToken {
			row = g.Layers.Position
		}
		if seen == len(g.Layers.First8) {
			t.Fatalf("more than %d residual streams", seen)
		}
		for k, want := range g.Layers.First8[seen] {
			near(t, "residual behind layer %d", seen, values[row*buf.Width+k], want, o.Logits)
		}
		seen++
	}
	if seen != len(g.Layers.First8) {
		t.Errorf("%d residual streams, want %d", seen, len(g.Layers.First8))
	}
	if err := tracer.RunOps(step, done, len(p.Ops)); err != nil {
		t.Fatal(err)
	}
}

func prompt(t *testing.T, g *golden, length int) []int32 {
	t.Helper()
	for _, p := range g.Prompts {
		if len(p.IDs) == length {
			return p.IDs
		}
	}
	t.Fatalf("no prompt of length %d", length)
	return nil
}

func checkPrompts(t *testing.T, s *Session, g *golden, o Options) {
	t.Helper()
	if len(g.Prompts) == 0 {
		t.Fatal("no prompts")
	}
	for _, p := range g.Prompts {
		s.Reset()
		all := make([]int, len(p.IDs))
		for i := range all {
			all[i] = i
		}
		logits := s.Feed(p.IDs, all, o.Chunks...)
		nearAll(t, "last logits of prompt %d", len(p.IDs), logits[p.LastIndex], p.LastLogits, o.Logits)
		nearAll(t, "middle logits of prompt %d", len(p.IDs), logits[p.MidIndex], p.MidLogits, o.Logits)
		if p.MeanNLL != nil {
			near(t, "mean negative log-likelihood of prompt %d", len(p.IDs), float32(meanNLL(logits, p.IDs)), *p.MeanNLL, max(nllTolerance, o.Logits/10))
		}
		// The continuation is fed as it should be, so that one near tie does not spoil what follows; where the gap is
		// wider than both logits' errors, the choice must be the same.
		next := logits[len(logits)-1]
		for i, want := range p.Greedy {
			if got := argmax(next); got != want && p.Gaps[i] > 2*o.Logits {
				t.Errorf("prompt %d: token %d is %d, want %d by a gap of %v", len(p.IDs), i, got, want, p.Gaps[i])
				return
			}
			next = s.Feed([]int32{want}, []int{0})[0]
		}
	}
}

func meanNLL(logits [][]float32, ids []int32) float64 {
	var sum float64
	for i, row := range logits[:len(ids)-1] {
		sum += logSumExp(row) - float64(row[ids[i+1]])
	}
	return sum / float64(len(ids)-1)
}

func logSumExp(row []float32) float64 {
	top, sum := float64(slices.Max(row)), 0.0
	for _, v := range row {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

// near reports a value that is off by more than tol. what is a format for i.
func near(t *testing.T, what string, i int, got float32, want, tol float64) {
	t.Helper()
	if d := math.Abs(float64(got) - want); !(d <= tol) { // also for NaN
		t.Errorf(what+": %v, want %v (off by %.3g, at most %.3g)", i, got, want, d, tol)
	}
}

func nearAll(t *testing.T, what string, n int, got []float32, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf(what+": %d values, want %d", n, len(got), len(want))
		return
	}
	worst := 0
	for i := range got {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= math.Abs(float64(got[worst])-want[worst])) {
			worst = i
		}
	}
	near(t, what, n, got[worst], want[worst], tol)
}
