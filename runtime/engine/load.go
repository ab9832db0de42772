package engine

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/cespare/xxhash/v2"

	"aquifer/backends"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// chunkBytes is how much of a tensor is read and delivered at a time (rows are not cut): large enough that a read
// costs no more than its bytes, small enough that all CPUs have work and that the buffers stay in their caches.
const chunkBytes = 2 << 20

// chunk is a run of rows of one part of a weight.
type chunk struct {
	binding  *models.Binding
	tensor   checkpoint.Tensor
	first, n int
	rowBytes int64
	sum      uint64 // of its bytes, once they were read and if it is wanted
}

// chunks cuts the tensors of a model. It checks their sizes once more: a backend is given exactly what it was promised.
func chunks(m *models.Model, c *checkpoint.Checkpoint) (list []chunk, total int64, err error) {
	for i := range m.Bindings {
		b := &m.Bindings[i]
		if b.Weight < 0 || int(b.Weight) >= len(m.Plan.Weights) {
			return nil, 0, fmt.Errorf("engine: tensor %q is bound to weight %d of %d", b.Tensor, b.Weight, len(m.Plan.Weights))
		}
		t, err := m.Tensor(c, *b)
		if err != nil {
			return nil, 0, fmt.Errorf("engine: %w", err)
		}
		rows, rowBytes := m.Plan.Weights[b.Weight].PartBytes(b.Part)
		if rows < 1 || rowBytes < 1 || t.Bytes%rowBytes != 0 || t.Bytes/rowBytes != int64(rows) {
			return nil, 0, fmt.Errorf("engine: tensor %q has %d bytes, the %s of weight %q have %d rows of %d",
				b.Tensor, t.Bytes, b.Part, m.Plan.Weights[b.Weight].Name, rows, rowBytes)
		}
		step := int(max(chunkBytes/rowBytes, 1))
		for first := 0; first < rows; first += step {
			list = append(list, chunk{binding: b, tensor: t, first: first, n: min(step, rows-first), rowBytes: rowBytes})
		}
		total += t.Bytes
	}
	return list, total, nil
}

// loadWeights streams the tensors of a model from its checkpoint into a program, with a reader on each CPU. sums says that
// the chunks' sums are wanted: they cost little while the bytes are in the caches. progress may be nil; it is called by one
// goroutine at a time, with rising numbers of bytes.
func loadWeights(ctx context.Context, p backends.Program, list []chunk, total int64, sums bool, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu   sync.Mutex
		next int
		done int64
		wg   sync.WaitGroup
	)
	take := func(finished int64) (*chunk, bool) {
		mu.Lock()
		defer mu.Unlock()
		done += finished
		if progress != nil && finished > 0 {
			progress(done, total)
		}
		if next == len(list) || ctx.Err() != nil {
			return nil, false
		}
		next++
		return &list[next-1], true
	}
	reader := func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("engine: panic while loading: %v\n%s", v, debug.Stack())
			}
		}()
		var buf []byte
		c, ok := take(0)
		for ok {
			size := int64(c.n) * c.rowBytes
			if int64(cap(buf)) < size {
				buf = make([]byte, max(size, chunkBytes))
			}
			if _, err := c.tensor.ReadAt(buf[:size], int64(c.first)*c.rowBytes); err != nil && err != io.EOF {
				return err
			}
			if sums {
				c.sum = xxhash.Sum64(buf[:size])
			}
			if err := p.Load(c.binding.Weight, c.binding.Part, c.first, c.n, buf[:size]); err != nil {
				return fmt.Errorf("engine: tensor %q: %w", c.binding.Tensor, err)
			}
			c, ok = take(size)
		}
		return nil
	}
	for range min(runtime.GOMAXPROCS(0), len(list)) {
		wg.Go(func() {
			if err := reader(); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// bound reports whether every part of every weight comes from a tensor or is a constant, and each from one only.
func bound(m *models.Model) error {
	type key struct {
		w    plan.Weight
		part plan.Part
	}
	count := map[key]int{}
	for _, b := range m.Bindings {
		count[key{b.Weight, b.Part}]++
	}
	for i := range m.Plan.Weights {
		info := &m.Plan.Weights[i]
		want := 1
		if _, ok := m.Plan.Consts[plan.Weight(i)]; ok {
			want = 0
		}
		for _, part := range info.Parts() {
			if n := count[key{plan.Weight(i), part}]; n != want {
				return fmt.Errorf("engine: the %s of weight %q come from %d tensors, must be %d", part, info.Name, n, want)
			}
		}
	}
	return nil
}
