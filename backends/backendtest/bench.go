package backendtest

import (
	"fmt"
	"testing"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// Bench measures single products and one attention in shapes of a 1B to 8B model, in both precisions. Bytes are those
// of the weight, or of the KV positions that are read.
func Bench(b *testing.B, open func(b *testing.B) backends.Backend) {
	tested := open(b)
	b.Cleanup(func() { tested.Close() })
	for _, info := range []plan.WeightInfo{aqlm(2, 8, 8, 1), aqlm(4, 8, 8, 1), aqlm(1, 16, 8, 1), aqlm(8, 8, 32, 1), {Type: plan.F16}, {Type: plan.Q8_0}} {
		info.Name, info.Rows, info.Cols = "w", 2048, 2048
		name := info.Type.String()
		if info.Encoding == plan.AQLM {
			name = info.Scheme.String()
		}
		l := newLab(name)
		x := l.input("x", info.Cols)
		y := plan.All(l.b.Buffer("y", plan.PerToken, info.Rows))
		l.b.Linear(x, plan.Output{To: y, W: l.random(info), Bias: plan.None})
		l.result(y, info.Rows)
		for _, p := range []backends.Precision{backends.Exact, backends.Fast} {
			for _, n := range []int{1, 8, 64} {
				b.Run(fmt.Sprintf("linear/%s/%s/%d", name, p, n), func(b *testing.B) {
					s := tokens(n, 0)
					s.Out = nil
					l.bench(b, tested, options(p), s, info.Bytes())
				})
			}
		}
	}
	for _, kv := range []plan.DType{plan.F32, plan.F16, plan.Q8_0} {
		a := attentionShape{heads: 32, kvHeads: 8, dim: 64, kv: kv}
		l, o := a.lab("bench"), a.options()
		const pos = 1000
		elements, bytes := kv.Block()
		size := int64(2*pos*a.kvHeads*a.dim) * int64(bytes) / int64(elements)
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("attention/%s/%d", kv, n), func(b *testing.B) {
				blocks := make([]int32, 36)
				for i := range blocks {
					blocks[i] = int32(i)
				}
				l.bench(b, tested, o, step(seq{pos, n, blocks}), size)
			})
		}
	}
}

func (l *lab) bench(b *testing.B, tested backends.Backend, o backends.Options, s *backends.Step, bytes int64) {
	pr, err := l.program(tested, o)
	if err != nil {
		b.Fatal(err)
	}
	defer pr.Close()
	b.SetBytes(bytes)
	for b.Loop() {
		if err := pr.Run(s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(s.Tokens)), "us/token")
}
