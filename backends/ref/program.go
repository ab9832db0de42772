package ref

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// program implements backends.Program and backends.Tracer.
type program struct {
	plan    *plan.Plan
	opt     backends.Options
	threads int
	closed  bool

	weights []*weight
	buffers [][]float32 // by buffer: (MaxTokens or MaxOutputs, width)
	kv      []*kvLayer

	inputs    []float64   // (rows, cols) of the running linear op
	codebooks []float32   // of the weight at work
	vectors   []float64   // gain, bias or frequencies of the running op
	rows      [][]float64 // by thread

	positions []int32 // (T) of the step at work
	sequences []int32 // (T) run that a token belongs to
	lengths   []int   // by run: tokens known of the sequence
	outputs   int     // M of the last step
}

var errClosed = errors.New("ref: program is closed")

func (p *program) Load(w plan.Weight, part plan.Part, first, n int, data []byte) error {
	if p.closed {
		return errClosed
	}
	if w < 0 || int(w) >= len(p.weights) {
		return fmt.Errorf("ref: weight %d of %d", w, len(p.weights))
	}
	return p.weights[w].load(part, first, n, data)
}

func (p *program) Run(s *backends.Step) error {
	if err := p.RunOps(s, 0, len(p.plan.Ops)); err != nil {
		return err
	}
	s.Logits, s.Features = p.result(p.plan.Logits), p.result(p.plan.Features)
	return nil
}

// result returns the rows of an output buffer, which stay as they are until the next step.
func (p *program) result(b plan.Buf) []float32 {
	if b == plan.None {
		return nil
	}
	return p.buffers[b][:p.outputs*p.plan.Buffers[b].Width]
}

// RunOps implements backends.Tracer.
func (p *program) RunOps(s *backends.Step, from, to int) error {
	if p.closed {
		return errClosed
	}
	if from < 0 || from > to || to > len(p.plan.Ops) {
		return fmt.Errorf("ref: ops %d..%d of %d", from, to, len(p.plan.Ops))
	}
	if err := s.Check(p.plan, p.opt); err != nil {
		return err
	}
	for _, w := range p.weights {
		if err := w.missing(); err != nil {
			return err
		}
	}
	p.positions, p.sequences, p.lengths = p.positions[:0], p.sequences[:0], p.lengths[:0]
	for i, r := range s.Runs {
		p.lengths = append(p.lengths, r.Total())
		for k := range r.N {
			p.positions = append(p.positions, int32(r.Pos+k))
			p.sequences = append(p.sequences, int32(i))
		}
	}
	p.outputs = len(s.Out)
	for i := from; i < to; i++ {
		p.run(&p.plan.Ops[i], s)
	}
	return nil
}

// Read implements backends.Tracer.
func (p *program) Read(b plan.Buf) ([]float32, error) {
	if b < 0 || int(b) >= len(p.buffers) {
		return nil, fmt.Errorf("ref: buffer %d of %d", b, len(p.buffers))
	}
	return slices.Clone(p.buffers[b][:p.count(b)*p.plan.Buffers[b].Width]), nil
}

func (p *program) run(op *plan.Op, s *backends.Step) {
	switch op.Kind {
	case plan.Embed:
		p.embed(op, s.Tokens)
	case plan.Norm:
		p.norm(op)
	case plan.Linear:
		p.linear(op)
	case plan.Rope:
		p.rope(op)
	case plan.Attention:
		p.attention(op, s.Runs)
	case plan.Glu:
		p.glu(op)
	case plan.Add:
		p.add(op)
	case plan.Select:
		p.selectRows(op, s.Out)
	case plan.Scale:
		p.scale(op)
	case plan.Route:
		p.route(op)
	case plan.Experts:
		p.experts(op)
	case plan.Mix:
		p.mix(op)
	}
}

// count returns the rows that a buffer has in the step at work.
func (p *program) count(b plan.Buf) int {
	if p.plan.Buffers[b].Rows == plan.PerToken {
		return len(p.positions)
	}
	return p.outputs
}

// row returns the columns [Off, Off+width) of row i of a buffer.
func (p *program) row(r plan.Ref, i, width int) []float32 {
	return p.buffers[r.Buf][i*p.plan.Buffers[r.Buf].Width+int(r.Off):][:width]
}

// parallel calls f(thread, i) for 0 <= i < n, each i once. f(_, i) computes its results alone, so that the division
// of work among threads cannot show.
func (p *program) parallel(n int, f func(thread, i int)) {
	const chunk = 8 // of the counter: rows are short
	threads := min(p.threads, (n+chunk-1)/chunk)
	if threads <= 1 {
		for i := range n {
			f(0, i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for t := range threads {
		wg.Go(func() {
			for {
				first := int(next.Add(chunk)) - chunk
				if first >= n {
					return
				}
				for i := first; i < min(first+chunk, n); i++ {
					f(t, i)
				}
			}
		})
	}
	wg.Wait()
}

func (p *program) Kernels() []string {
	names := make([]string, len(p.weights))
	for i, w := range p.weights {
		if w.info.Encoding == plan.AQLM {
			names[i] = "go " + w.info.Scheme.String()
		} else {
			names[i] = "go " + w.info.Type.String()
		}
	}
	return names
}

// Close drops the arrays.
func (p *program) Close() error {
	*p = program{plan: p.plan, closed: true}
	return nil
}
