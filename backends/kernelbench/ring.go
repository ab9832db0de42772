package kernelbench

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

const (
	inputs      = 64  // different rows of input of each kind; more tokens repeat them
	maxRing     = 512 // matrices of a ring
	outlierStep = 100 // one column of so many is large
	outlierSize = 8   // times as large as the others
)

// ring is a program with equal matrices in different places. Op 0 makes the inputs, op 1+i the product with matrix i.
type ring struct {
	m      *matrix
	prog   backends.Program
	tracer backends.Tracer
	size   int         // matrices
	first  plan.Weight // the first of them
	y      plan.Buf    // (tokens, rows) of the last product
	next   int         // matrix
	alone  bool        // one thread does everything, the caller's
	opts   backends.Options
}

// newRing compiles and loads a ring.
func newRing(b backends.Backend, m *matrix, c Config) (*ring, error) {
	r := &ring{m: m, size: int(max(2, min(maxRing, ringBytes/m.info.Bytes()+1))), alone: b.Info().Threads == 1}
	tokens := max(slices.Max(c.Tokens), 2*inputs)
	p, table := r.plan(tokens)
	r.opts = backends.Options{
		Precision: c.Precision, KV: plan.F32, KVBlocks: 1, MaxTokens: tokens, MaxSeqs: 1, MaxOutputs: 1,
	}
	var err error
	if r.prog, err = b.Compile(p, r.opts); err != nil {
		return nil, err
	}
	var ok bool
	if r.tracer, ok = r.prog.(backends.Tracer); !ok {
		return nil, errors.Join(fmt.Errorf("kernelbench: backend %s cannot run single ops", b.Info().Name), r.prog.Close())
	}
	if err := r.load(table); err != nil {
		return nil, errors.Join(err, r.prog.Close())
	}
	return r, nil
}

// Close frees the weights.
func (r *ring) Close() error { return r.prog.Close() }

// plan makes a plan of the ring's products; table is the weight that holds the inputs.
func (r *ring) plan(tokens int) (p *plan.Plan, table plan.Weight) {
	b := plan.NewBuilder("ring", 2*inputs, tokens)
	x := b.Buffer("x", plan.PerToken, r.m.info.Cols)
	r.y = b.Buffer("y", plan.PerToken, r.m.info.Rows)
	out := b.Buffer("out", plan.PerOutput, r.m.info.Rows)
	table = b.Weight(plan.WeightInfo{Name: "inputs", Rows: 2 * inputs, Cols: r.m.info.Cols, Type: plan.F32})
	b.Embed(plan.All(x), table, 1)
	for i := range r.size {
		info := r.m.info
		info.Name = fmt.Sprint("w", i)
		w := b.Weight(info)
		if i == 0 {
			r.first = w
		}
		b.Linear(plan.All(x), plan.Output{To: plan.All(r.y), W: w, Bias: plan.None})
	}
	b.Select(plan.All(out), plan.All(r.y))
	b.Plan.Features = out
	return &b.Plan, table
}

// load delivers the same matrix to all places, on all processors.
func (r *ring) load(table plan.Weight) error {
	if err := r.prog.Load(table, plan.Elements, 0, 2*inputs, inputTable(r.m.info.Cols)); err != nil {
		return err
	}
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		errs = make([]error, r.size)
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= r.size {
					return
				}
				errs[i] = r.m.deliver(r.prog, r.first+plan.Weight(i))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// deliver loads the matrix as a weight of a program.
func (m *matrix) deliver(prog backends.Program, w plan.Weight) error {
	for _, part := range m.info.Parts() {
		rows, _ := m.info.PartBytes(part)
		if err := prog.Load(w, part, 0, rows, m.data[part]); err != nil {
			return err
		}
	}
	return nil
}

// inputTable returns the inputs (2*inputs, cols) in F32: Gaussian rows, then rows with outliers.
func inputTable(cols int) []byte {
	values := make([]float32, 2*inputs*cols)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range values {
		values[i] = float32(random.NormFloat64())
		if row, col := i/cols, i%cols; row >= inputs && col%outlierStep == outlierStep/2 {
			values[i] *= outlierSize
		}
	}
	return floatBytes(values)
}

// step returns a step of n tokens, the inputs from first on in turn.
func step(n, first int) *backends.Step {
	s := &backends.Step{Runs: []backends.Run{{N: n, Blocks: make([]int32, (n+plan.KVBlock-1)/plan.KVBlock)}}}
	for i := range n {
		s.Tokens = append(s.Tokens, int32(first+i%inputs))
	}
	return s
}

// time returns how long the next k products in the ring take. The inputs are made before the clock starts.
func (r *ring) time(tokens, k int) (time.Duration, error) {
	if r.next+k > r.size {
		r.next = 0
	}
	s := step(tokens, 0)
	if err := r.tracer.RunOps(s, 0, 1); err != nil {
		return 0, err
	}
	elapsed := watch(r.alone)
	err := r.tracer.RunOps(s, 1+r.next, 1+r.next+k)
	took := elapsed()
	r.next += k
	return took, err
}

// err returns the relative error of a product with n tokens, the inputs from first on, in the norm of all sampled rows.
func (r *ring) err(want *reference, n, first int) (float64, error) {
	s := step(n, first)
	if err := r.tracer.RunOps(s, 0, 2); err != nil {
		return 0, err
	}
	got, err := r.tracer.Read(r.y)
	if err != nil {
		return 0, err
	}
	var squares, errs float64
	for t, id := range s.Tokens {
		for i, row := range want.rows {
			w := float64(want.y[int(id)*len(want.rows)+i])
			d := float64(got[t*r.m.info.Rows+row]) - w
			squares += w * w
			errs += d * d
		}
	}
	return math.Sqrt(errs / squares), nil
}
