package cpu_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"aquifer/backends"
	"aquifer/backends/backendtest"
	"aquifer/backends/cpu"
	"aquifer/runtime/plan"
)

// shape is what a Llama-like model is made of, for benchmarks with random weights.
type shape struct {
	name                                  string
	layers, hidden, heads, kv, ffn, vocab int
	scheme                                plan.Scheme
	head                                  plan.DType
}

var (
	smol4x8 = shape{"smollm2-4x8g8", 30, 576, 9, 3, 1536, 49152, plan.Scheme{Codebooks: 4, Bits: 8, InGroup: 8, OutGroup: 1}, plan.Q8_0}
	smol2x8 = shape{"smollm2-2x8g8", 30, 576, 9, 3, 1536, 49152, plan.Scheme{Codebooks: 2, Bits: 8, InGroup: 8, OutGroup: 1}, plan.Q8_0}
	llama2  = shape{"llama2-7b-2x8g8, 2 layers", 2, 4096, 32, 32, 11008, 4096, plan.Scheme{Codebooks: 2, Bits: 8, InGroup: 8, OutGroup: 1}, plan.F16}
	llama16 = shape{"llama2-7b-1x16g8, 2 layers", 2, 4096, 32, 32, 11008, 4096, plan.Scheme{Codebooks: 1, Bits: 16, InGroup: 8, OutGroup: 1}, plan.F16}
)

func (s shape) plan() *plan.Plan {
	const context = 8192
	b := plan.NewBuilder(s.name, s.vocab, context)
	dim := s.hidden / s.heads
	quantized := func(name string, rows, cols int) plan.Weight {
		return b.Weight(plan.WeightInfo{
			Name: name, Rows: rows, Cols: cols, Encoding: plan.AQLM, Scheme: s.scheme,
			Codes: s.scheme.CodeType(), Codebooks: plan.F16, Scales: plan.F16,
		})
	}
	vector := func(name string, n int) plan.Weight {
		return b.Weight(plan.WeightInfo{Name: name, Rows: 1, Cols: n, Type: plan.F16})
	}
	freqs := make([]float32, dim/2)
	for i := range freqs {
		freqs[i] = float32(1 / (1 + float64(i)))
	}
	f := b.Const("freqs", freqs)
	x := b.Buffer("x", plan.PerToken, s.hidden)
	h := b.Buffer("h", plan.PerToken, s.hidden)
	qkv := b.Buffer("qkv", plan.PerToken, (s.heads+2*s.kv)*dim)
	attn := b.Buffer("attn", plan.PerToken, s.hidden)
	up := b.Buffer("up", plan.PerToken, 2*s.ffn)
	last := b.Buffer("last", plan.PerOutput, s.hidden)
	logits := b.Buffer("logits", plan.PerOutput, s.vocab)
	table := b.Weight(plan.WeightInfo{Name: "embed", Rows: s.vocab, Cols: s.hidden, Type: s.head})
	q, k, v := plan.All(qkv), plan.At(qkv, s.heads*dim), plan.At(qkv, (s.heads+s.kv)*dim)
	rope := plan.RopeParams{Dim: dim, Rotated: dim, Freqs: f, Factor: 1}
	b.Embed(plan.All(x), table, 1)
	for l := range s.layers {
		name := func(n string) string { return fmt.Sprintf("%d.%s", l, n) }
		b.Norm(plan.All(h), plan.All(x), plan.NormParams{Width: s.hidden, Gain: vector(name("n1"), s.hidden), Bias: plan.None, Eps: 1e-5})
		b.Linear(plan.All(h),
			plan.Output{To: q, W: quantized(name("q"), s.heads*dim, s.hidden), Bias: plan.None},
			plan.Output{To: k, W: quantized(name("k"), s.kv*dim, s.hidden), Bias: plan.None},
			plan.Output{To: v, W: quantized(name("v"), s.kv*dim, s.hidden), Bias: plan.None})
		rope.Heads = s.heads
		b.Rope(q, rope)
		rope.Heads = s.kv
		b.Rope(k, rope)
		b.Attention(plan.All(attn), q, k, v, plan.AttentionParams{Layer: b.KV(s.kv, dim), Heads: s.heads, Scale: plan.DefaultScale(dim)})
		b.Linear(plan.All(attn), plan.Output{To: plan.All(h), W: quantized(name("o"), s.hidden, s.hidden), Bias: plan.None})
		b.Add(plan.All(x), plan.All(x), plan.All(h), 1, s.hidden)
		b.Norm(plan.All(h), plan.All(x), plan.NormParams{Width: s.hidden, Gain: vector(name("n2"), s.hidden), Bias: plan.None, Eps: 1e-5})
		b.Linear(plan.All(h),
			plan.Output{To: plan.All(up), W: quantized(name("gate"), s.ffn, s.hidden), Bias: plan.None},
			plan.Output{To: plan.At(up, s.ffn), W: quantized(name("up"), s.ffn, s.hidden), Bias: plan.None})
		b.Glu(plan.All(up), plan.All(up), plan.At(up, s.ffn), plan.SiLU, s.ffn)
		b.Linear(plan.All(up), plan.Output{To: plan.All(h), W: quantized(name("down"), s.hidden, s.ffn), Bias: plan.None})
		b.Add(plan.All(x), plan.All(x), plan.All(h), 1, s.hidden)
	}
	b.Select(plan.All(last), plan.All(x))
	b.Norm(plan.All(last), plan.All(last), plan.NormParams{Width: s.hidden, Gain: vector("norm", s.hidden), Bias: plan.None, Eps: 1e-5})
	b.Linear(plan.All(last), plan.Output{To: plan.All(logits), W: table, Bias: plan.None})
	b.Plan.Logits = logits
	return &b.Plan
}

// program compiles a plan with random weights.
func (s shape) program(t testing.TB, b backends.Backend, o backends.Options) backends.Program {
	t.Helper()
	p := s.plan()
	prog, err := b.Compile(p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Close() })
	rng := rand.NewChaCha8([32]byte{1})
	for i := range p.Weights {
		w := plan.Weight(i)
		if _, ok := p.Consts[w]; ok {
			continue
		}
		for _, part := range p.Weights[i].Parts() {
			rows, rowBytes := p.Weights[i].PartBytes(part)
			data := make([]byte, rowBytes*int64(rows))
			rng.Read(data)
			if part != plan.Codes {
				tame(data, p.Weights[i].Type == plan.Q8_0)
			}
			if err := prog.Load(w, part, 0, rows, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	return prog
}

// tame clears the high exponent bits of half floats, so that random bytes are small numbers.
func tame(data []byte, blocks bool) {
	step := 2
	if blocks {
		step = 34
	}
	for i := 1; i < len(data); i += step {
		data[i] &^= 0x5c
	}
}

func tokenStep(pos, n int) *backends.Step {
	s := &backends.Step{Out: []int32{int32(n - 1)}, Runs: []backends.Run{{Pos: pos, N: n}}}
	for i := range n {
		s.Tokens = append(s.Tokens, int32(i%1000))
	}
	for i := range (pos + n + plan.KVBlock - 1) / plan.KVBlock {
		s.Runs[0].Blocks = append(s.Runs[0].Blocks, int32(i))
	}
	return s
}

func BenchmarkModel(b *testing.B) {
	for _, s := range []shape{smol4x8, smol2x8, llama2, llama16} {
		for _, l := range cpu.Levels() {
			if !l.OK {
				continue
			}
			for _, threads := range []int{1, 2} {
				for _, precision := range []backends.Precision{backends.Exact, backends.Fast} {
					b.Run(fmt.Sprintf("%s/%s/%s/threads=%d", s.name, l.Name, precision, threads), func(b *testing.B) {
						dev := open(b, cpu.Config{Threads: threads, Level: l.Name})
						prog := s.program(b, dev, backends.Options{
							Precision: precision, KV: plan.F16, KVBlocks: 32, MaxTokens: 512, MaxSeqs: 1, MaxOutputs: 1,
						})
						b.Run("decode", func(b *testing.B) { steps(b, prog, 128, 1) })
						b.Run("prefill", func(b *testing.B) { steps(b, prog, 0, 512) })
					})
				}
			}
		}
	}
}

// steps reports tokens a second of steps of n tokens at a position.
func steps(b *testing.B, prog backends.Program, pos, n int) {
	s := tokenStep(pos, n)
	for b.Loop() {
		if err := prog.Run(s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkOps measures single products and attention at every level, one thread.
func BenchmarkOps(b *testing.B) {
	for _, l := range cpu.Levels() {
		if l.OK {
			b.Run(l.Name, func(b *testing.B) {
				backendtest.Bench(b, func(b *testing.B) backends.Backend {
					return open(b, cpu.Config{Threads: 1, Level: l.Name})
				})
			})
		}
	}
}

// BenchmarkDepth measures a small model behind many tokens, where attention is most of the work.
func BenchmarkDepth(b *testing.B) {
	const depth = 4096
	for _, l := range cpu.Levels() {
		for _, kv := range []plan.DType{plan.F16, plan.Q8_0} {
			if !l.OK {
				continue
			}
			b.Run(fmt.Sprintf("%s/%s", l.Name, kv), func(b *testing.B) {
				dev := open(b, cpu.Config{Threads: 1, Level: l.Name})
				prog := smol4x8.program(b, dev, backends.Options{
					KV: kv, KVBlocks: depth/plan.KVBlock + 8, MaxTokens: 256, MaxSeqs: 1, MaxOutputs: 1,
				})
				b.Run("decode", func(b *testing.B) { steps(b, prog, depth, 1) })
				b.Run("prefill", func(b *testing.B) { steps(b, prog, depth, 256) })
			})
		}
	}
}
