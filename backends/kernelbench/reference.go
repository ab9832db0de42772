package kernelbench

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime"

	"aquifer/backends"
	"aquifer/backends/ref"
	"aquifer/runtime/plan"
)

// sampledRows is how many rows of a matrix are compared.
const sampledRows = 64

// reference has the products of some rows with all inputs, summed in float64.
type reference struct {
	rows []int     // of the matrix
	y    []float32 // (2*inputs, rows)
}

// exact asks the reference backend, which sums in float64, for the products of a matrix of the sampled rows.
func exact(m *matrix) (*reference, error) {
	few, rows := m.sampled(sampledRows)
	r := &ring{m: few, size: 1}
	p, table := r.plan(2 * inputs)
	b := ref.New(runtime.GOMAXPROCS(0))
	prog, err := b.Compile(p, backends.Options{KV: plan.F32, KVBlocks: 1, MaxTokens: 2 * inputs, MaxSeqs: 1, MaxOutputs: 1})
	if err != nil {
		return nil, err
	}
	r.prog, r.tracer = prog, prog.(backends.Tracer)
	y, err := r.products(table)
	return &reference{rows, y}, errors.Join(err, prog.Close(), b.Close())
}

// products returns the product of the ring's first matrix with all inputs.
func (r *ring) products(table plan.Weight) ([]float32, error) {
	if err := r.load(table); err != nil {
		return nil, err
	}
	s := step(2*inputs, 0)
	for i := range s.Tokens {
		s.Tokens[i] = int32(i)
	}
	if err := r.tracer.RunOps(s, 0, 2); err != nil {
		return nil, err
	}
	return r.tracer.Read(r.y)
}

// floatBytes returns numbers as F32, little endian.
func floatBytes(values []float32) []byte {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}
