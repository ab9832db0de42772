// Package kernelbench measures single products, a matrix times some rows of input, through the interface that models
// run through: speed on cold weights beside the speed of merely reading them, and the error against float64. It imports
// backends, backends/ref, runtime/plan and runtime/half only, and knows no backend that it measures.
//
// Method. A plan has as many equal matrices as do not fit the caches together, and a product for each; measurements go
// round that ring, so that weights come from memory as in a model. Rounds go over all numbers of tokens and a read of
// as many bytes: figures of one round are comparable even where the machine's speed drifts. Where one thread does
// all the work, its processor time counts, so that other processes do not.
package kernelbench

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// Config says what is measured.
type Config struct {
	Matrix    plan.WeightInfo // shape, encoding and types; the name is set
	Precision backends.Precision
	Tokens    []int         // rows of input, each a measurement of its own
	Rounds    int           // samples of each measurement, at least one
	Sample    time.Duration // least length of a sample, up to a turn of the ring; 0 for one product
}

// Result is what one measurement found. Times are those of one product, in the order of the rounds.
type Result struct {
	Tokens   int
	Kernel   string // as Program.Kernels names it
	Bytes    int64  // of the matrix, as in a checkpoint
	Times    []time.Duration
	Reads    []time.Duration // of as many bytes by as many threads, in the same rounds
	Gaussian float64         // relative error with Gaussian inputs
	Outliers float64         // likewise, with one column of a hundred eight times as large
}

// Median returns the median time of a product.
func (r *Result) Median() time.Duration { return quantile(r.Times, 0.5) }

// Best returns the shortest time of a product.
func (r *Result) Best() time.Duration { return slices.Min(r.Times) }

// OfRead returns the median share of the read rate that the product reaches, by round.
func (r *Result) OfRead() float64 {
	ratios := make([]float64, len(r.Times))
	for i := range ratios {
		ratios[i] = float64(r.Reads[i]) / float64(r.Times[i])
	}
	return quantile(ratios, 0.5)
}

// ReadRate returns the median rate of plain reading, in bytes per second.
func (r *Result) ReadRate() float64 { return float64(r.Bytes) / quantile(r.Reads, 0.5).Seconds() }

// quantile returns the smallest value that a share q of all does not exceed.
func quantile[T time.Duration | float64](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Measure runs all measurements of a configuration, one result for each number of tokens. The memory to read is the
// caller's, for all calls. It fails with *backends.UnsupportedError for what the backend lacks.
func Measure(b backends.Backend, memory *Memory, c Config) ([]Result, error) {
	if len(c.Tokens) == 0 || c.Rounds < 1 || slices.Min(c.Tokens) < 1 {
		return nil, fmt.Errorf("kernelbench: tokens %v in %d rounds", c.Tokens, c.Rounds)
	}
	// With one thread, which is the caller's, its processor time counts.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m := newMatrix(c.Matrix)
	r, err := newRing(b, m, c)
	if err != nil {
		return nil, err
	}
	results, err := r.measure(memory, b.Info().Threads, c)
	return results, errors.Join(err, r.Close())
}

func (r *ring) measure(memory *Memory, threads int, c Config) ([]Result, error) {
	want, err := exact(r.m)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(c.Tokens))
	batch := make([]int, len(c.Tokens)) // products of a sample
	for i, n := range c.Tokens {
		res := &results[i]
		*res = Result{Tokens: n, Kernel: r.prog.Kernels()[r.first], Bytes: r.m.info.Bytes()}
		if res.Gaussian, err = r.err(want, n, 0); err != nil {
			return nil, err
		}
		if res.Outliers, err = r.err(want, n, inputs); err != nil {
			return nil, err
		}
		took, err := r.time(n, 1)
		if err != nil {
			return nil, err
		}
		batch[i] = int(min(int64(c.Sample/max(took, 1))+1, int64(r.size)))
	}
	for range c.Rounds {
		read := memory.read(threads)
		for i, n := range c.Tokens {
			took, err := r.time(n, batch[i])
			if err != nil {
				return nil, err
			}
			results[i].Times = append(results[i].Times, took/time.Duration(batch[i]))
			perByte := float64(read) / float64(memory.Bytes())
			results[i].Reads = append(results[i].Reads, time.Duration(perByte*float64(results[i].Bytes)))
		}
	}
	return results, nil
}
