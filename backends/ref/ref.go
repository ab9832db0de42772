// Package ref runs plans in pure Go, slowly and obviously. It is the oracle of every kernel test, the debugger that
// stops between ops, and the fallback on machines without a kernel library. It imports the standard library,
// runtime/half, runtime/plan and backends only.
//
// Weights stay in the form of the checkpoint; a row is decoded once a step and used for all tokens of the step. Every
// product, sum, exponential and rotation is computed in float64 and rounded to float32 once, when an op stores its
// result. Each stored number is computed by one goroutine in a fixed order, so results are bit-identical for every
// number of threads, and a token's results do not depend on which other tokens share its step.
package ref

import (
	"fmt"
	"math"
	"runtime"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

type backend struct{ threads int }

// New returns the reference backend, running on the given number of goroutines (0: one for each CPU that Go uses).
func New(threads int) backends.Backend {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &backend{threads}
}

func (b *backend) Info() backends.Info {
	return backends.Info{Name: "ref", Device: runtime.GOOS + "/" + runtime.GOARCH, Level: "go", Threads: b.threads}
}

func (b *backend) Close() error { return nil }

// Measure counts every array that Compile allocates.
func (b *backend) Measure(p *plan.Plan, o backends.Options) (backends.Memory, error) {
	s, err := b.sizes(p, o)
	if err != nil {
		return backends.Memory{}, err
	}
	return s.memory(), nil
}

// sizes are the lengths of the arrays of a program, in elements.
type sizes struct {
	weights   int64   // bytes
	buffers   []int64 // float32, by buffer
	kv        []int64 // elements of keys (and as many of values), by layer
	kvSize    int64   // bytes of an element
	coverage  int64   // uint64 words
	inputs    int64   // float64: input rows of a linear op
	codebooks int64   // float32: codebooks of one weight
	vectors   int64   // float64: gain and bias
	row       int64   // float64 for each thread: a decoded row group, or the weights and sums of one query
	threads   int64
}

func (s *sizes) memory() backends.Memory {
	m := backends.Memory{Weights: s.weights}
	for _, n := range s.kv {
		m.KV = sum(m.KV, 2*n*s.kvSize)
	}
	for _, n := range s.buffers {
		m.Scratch = sum(m.Scratch, 4*n)
	}
	m.Scratch = sum(m.Scratch, 8*s.coverage, 8*s.inputs, 4*s.codebooks, 8*s.vectors, 8*s.row*s.threads)
	return m
}

// maxBytes bounds one array and all arrays together, above every address space in use. Sums stop there, so that they
// cannot wrap.
const maxBytes = int64(1) << 46

func sum(first int64, more ...int64) int64 {
	for _, n := range more {
		first = min(first+min(n, maxBytes), maxBytes)
	}
	return first
}

func (b *backend) sizes(p *plan.Plan, o backends.Options) (*sizes, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("ref: %w", err)
	}
	if o.KV != plan.F32 && o.KV != plan.F16 && o.KV != plan.Q8_0 {
		return nil, &backends.UnsupportedError{Backend: "ref", What: fmt.Sprintf("KV type %s", o.KV)}
	}
	for _, f := range []struct {
		name string
		n    int
	}{{"KVBlocks", o.KVBlocks}, {"MaxTokens", o.MaxTokens}, {"MaxSeqs", o.MaxSeqs}, {"MaxOutputs", o.MaxOutputs}} {
		if f.n < 1 || f.n > math.MaxInt32 {
			return nil, fmt.Errorf("ref: option %s is %d, must be 1..%d", f.name, f.n, math.MaxInt32)
		}
	}
	s := &sizes{kvSize: int64(kvSize(o.KV)), threads: int64(b.threads)}
	rows := [2]int64{plan.PerToken: int64(o.MaxTokens), plan.PerOutput: int64(o.MaxOutputs)}
	for _, buf := range p.Buffers {
		s.buffers = append(s.buffers, product(rows[buf.Rows], int64(buf.Width)))
	}
	for _, l := range p.Layers {
		s.kv = append(s.kv, product(plan.KVBlock*int64(o.KVBlocks), int64(l.Heads)*int64(l.Dim)))
	}
	for i := range p.Weights {
		w := &p.Weights[i]
		s.weights = sum(s.weights, w.Bytes())
		for _, part := range w.Parts() {
			n, _ := w.PartBytes(part)
			s.coverage += int64(words(n))
		}
	}
	for i := range p.Ops {
		s.scratch(p, &p.Ops[i], rows)
	}
	if total := s.memory().Total(); total >= maxBytes || total > math.MaxInt {
		return nil, &backends.MemoryError{What: "the model", Bytes: total}
	}
	return s, nil
}

// scratch raises the sizes to what op needs.
func (s *sizes) scratch(p *plan.Plan, op *plan.Op, rows [2]int64) {
	switch op.Kind {
	case plan.Embed:
		s.row = max(s.row, int64(p.Weights[op.W[0]].Cols))
	case plan.Norm:
		s.vectors = max(s.vectors, 2*int64(op.I[0])*int64(op.I[1]))
	case plan.Linear:
		for i := range int(op.I[0]) {
			w := &p.Weights[op.W[i]]
			s.decoded(w)
			s.inputs = max(s.inputs, product(rows[p.Buffers[op.In[0].Buf].Rows], int64(w.Cols)))
			s.vectors = max(s.vectors, int64(w.Rows))
		}
	case plan.Rope:
		s.vectors = max(s.vectors, int64(op.I[2]))
	case plan.Route:
		s.row = max(s.row, int64(op.I[0]))
	case plan.Experts:
		cols, inputs := int64(p.Weights[op.W[0]].Cols), int64(1)
		if op.I[3] == 1 {
			inputs = int64(op.I[2])
		}
		s.inputs = max(s.inputs, product(rows[p.Buffers[op.In[0].Buf].Rows], inputs*cols))
		for i := range int(op.I[0] * op.I[1]) {
			s.decoded(&p.Weights[int(op.W[i/int(op.I[1])])+i%int(op.I[1])])
		}
	case plan.Attention:
		s.row = max(s.row, int64(p.MaxPos)+int64(p.Layers[op.I[0]].Dim))
	}
}

// decoded makes room for a group of rows of a weight, and for its codebooks.
func (s *sizes) decoded(w *plan.WeightInfo) {
	group := int64(1)
	if w.Encoding == plan.AQLM {
		group = int64(w.Scheme.OutGroup)
		books, n, _ := w.PartShape(plan.Codebooks)
		s.codebooks = max(s.codebooks, int64(books)*int64(n))
	}
	s.row = max(s.row, group*int64(w.Cols))
}

// product multiplies two numbers of elements, up to maxBytes.
func product(a, b int64) int64 {
	if b > 0 && a > maxBytes/b {
		return maxBytes
	}
	return a * b
}

// Compile allocates the arrays that Measure counts.
func (b *backend) Compile(p *plan.Plan, o backends.Options) (backends.Program, error) {
	s, err := b.sizes(p, o)
	if err != nil {
		return nil, err
	}
	pr := &program{
		plan: p, opt: o, threads: b.threads,
		inputs: make([]float64, s.inputs), codebooks: make([]float32, s.codebooks), vectors: make([]float64, s.vectors),
	}
	for i := range p.Weights {
		pr.weights = append(pr.weights, newWeight(&p.Weights[i]))
		if values, ok := p.Consts[plan.Weight(i)]; ok {
			pr.weights[i].setConst(values)
		}
	}
	for _, n := range s.buffers {
		pr.buffers = append(pr.buffers, make([]float32, n))
	}
	for i, n := range s.kv {
		pr.kv = append(pr.kv, newKVLayer(o.KV, n, p.Layers[i].Dim))
	}
	for range b.threads {
		pr.rows = append(pr.rows, make([]float64, s.row))
	}
	return pr, nil
}
