package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"

	"aquifer/backends"
	"aquifer/backends/cpu"
	"aquifer/backends/kernelbench"
	"aquifer/runtime/plan"
)

// kernelResult is one line of bench --kernels. Rates are those of the median time; weights count once however many tokens
// they are multiplied with.
type kernelResult struct {
	Commit    string    `json:"build_commit"`
	CPU       string    `json:"cpu_info"`
	Backend   string    `json:"backends"`
	Level     string    `json:"level"`
	Threads   int       `json:"n_threads"`
	Precision string    `json:"precision"`
	Rows      int       `json:"n_rows"`
	Cols      int       `json:"n_cols"`
	Encoding  string    `json:"encoding"`
	Tokens    int       `json:"n_tokens"`
	Kernel    string    `json:"kernel"`
	Bytes     int64     `json:"weight_bytes"`
	BestNs    int64     `json:"best_ns"`
	MedianNs  int64     `json:"median_ns"`
	GWeights  float64   `json:"gweights_s"`
	GFLOP     float64   `json:"gflop_s"`
	ReadGB    float64   `json:"read_gb_s"`    // of the plain read, median
	OfRead    float64   `json:"read_percent"` // of the plain read of the same round, median
	Gaussian  float64   `json:"error_gaussian"`
	Outliers  float64   `json:"error_outliers"`
	TestTime  time.Time `json:"test_time"`
	SamplesNs []int64   `json:"samples_ns"`
}

// kernelSample is the least length of a sample: the start of a step's threads is no part of a product.
const kernelSample = 10 * time.Millisecond

// kernelCase is a backend and a precision for all matrices.
type kernelCase struct {
	level     string
	threads   int
	precision backends.Precision
}

func (a *app) benchKernels(s settings) error {
	ctx, stop := interruptible()
	defer stop()
	matrices, err := kernelMatrices(s)
	if err != nil {
		return err
	}
	cases, err := kernelCases(s)
	if err != nil {
		return err
	}
	bar := newProgress(a.err, "measuring", false)
	var results []kernelResult
	memory := kernelbench.NewMemory()
	for i, m := range matrices {
		for j, c := range cases {
			if ctx.Err() != nil {
				err = errInterrupted
				break
			}
			bar.step(i*len(cases)+j, len(matrices)*len(cases), kernelbench.EncodingName(&m)+" "+c.level)
			var more []kernelResult
			more, err = a.measureKernel(s, memory, m, c)
			results = append(results, more...)
			if err != nil {
				break
			}
		}
	}
	bar.end()
	// What was measured before an error is worth having.
	return errors.Join(writeResults(a.out, s.str("output"), results, printKernels), err)
}

// kernelMatrices lists the matrices that flags ask for.
func kernelMatrices(s settings) (list []plan.WeightInfo, err error) {
	for shape := range strings.SplitSeq(s.str("shapes"), ",") {
		for name := range strings.SplitSeq(s.str("encodings"), ",") {
			w, err := kernelbench.Encoding(name)
			if err != nil {
				return nil, usageErrorf("--encodings: %w", err)
			}
			// What was not understood shows in the spelling.
			if n, _ := fmt.Sscanf(shape, "%dx%d", &w.Rows, &w.Cols); n != 2 || fmt.Sprintf("%dx%d", w.Rows, w.Cols) != shape {
				return nil, usageErrorf("--shapes: %.40q: must be ROWSxCOLS, as in 4096x11008", shape)
			}
			w.Name = name
			if err := w.Validate(); err != nil {
				return nil, usageErrorf("--shapes: %w", err)
			}
			list = append(list, w)
		}
	}
	return list, nil
}

// kernelCases lists what flags leave open: levels from the best down, one thread and all, both precisions.
func kernelCases(s settings) (cases []kernelCase, err error) {
	levels := []string{s.str("level")}
	if s.str("backend") != "ref" && !s.given("level") {
		levels = nil
		for _, l := range slices.Backward(cpu.Levels()) {
			if l.OK {
				levels = append(levels, l.Name)
			}
		}
		if levels == nil {
			return nil, advise(cpu.ErrNotBuilt, "--backend ref measures the pure Go backend")
		}
	}
	threads := s.integers("threads")
	if !s.given("threads") {
		threads = slices.Compact([]int{1, cpu.DefaultThreads()})
	}
	kinds := []backends.Precision{backends.Exact, backends.Fast}
	if s.given("precision") {
		kinds = []backends.Precision{precisions[s.str("precision")]}
	}
	for _, l := range levels {
		for _, n := range threads {
			for _, p := range kinds {
				cases = append(cases, kernelCase{l, n, p})
			}
		}
	}
	return cases, nil
}

// measureKernel measures a matrix in one case. A matrix without codes knows no precision and is measured once.
func (a *app) measureKernel(s settings, memory *kernelbench.Memory, m plan.WeightInfo, c kernelCase) ([]kernelResult, error) {
	if m.Encoding == plan.Dense && c.precision == backends.Fast && !s.given("precision") {
		return nil, nil
	}
	s = s.picked("threads", c.threads)
	b, _, err := a.openLevel(s, c.level)
	if err != nil {
		return nil, err
	}
	measured, err := kernelbench.Measure(b, memory, kernelbench.Config{
		Matrix: m, Precision: c.precision, Tokens: s.integers("batch"), Rounds: s.integer("repetitions"), Sample: kernelSample,
	})
	info := b.Info()
	var results []kernelResult
	for _, r := range measured {
		k := kernelResult{
			Commit: version, CPU: cpuid.CPU.BrandName, Backend: info.Name, Level: info.Level, Threads: info.Threads,
			Precision: fmt.Sprint(c.precision), Rows: m.Rows, Cols: m.Cols, Encoding: kernelbench.EncodingName(&m),
			Tokens: r.Tokens, Kernel: r.Kernel, Bytes: r.Bytes, BestNs: r.Best().Nanoseconds(), MedianNs: r.Median().Nanoseconds(),
			ReadGB: r.ReadRate() / 1e9, OfRead: 100 * r.OfRead(), Gaussian: r.Gaussian, Outliers: r.Outliers,
			TestTime: time.Now().UTC().Truncate(time.Second),
		}
		for _, t := range r.Times {
			k.SamplesNs = append(k.SamplesNs, t.Nanoseconds())
		}
		k.GWeights = k.weights(k.MedianNs)
		k.GFLOP = 2 * k.GWeights * float64(r.Tokens)
		results = append(results, k)
	}
	return results, errors.Join(err, b.Close())
}

// weights returns billions of weights a second for the time of a product.
func (k *kernelResult) weights(ns int64) float64 {
	return float64(k.Rows) * float64(k.Cols) / float64(max(ns, 1))
}

func printKernels(w io.Writer, results []kernelResult) error {
	var b strings.Builder
	b.WriteString("| kernel | shape | precision | threads | tokens | Gw/s median | best | GFLOP/s | of read | error | with outliers |\n")
	b.WriteString("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %dx%d | %s | %d | %d | %.2f | %.2f | %.1f | %.0f %% | %.1e | %.1e |\n", r.Kernel, r.Rows, r.Cols,
			r.Precision, r.Threads, r.Tokens, r.GWeights, r.weights(r.BestNs), r.GFLOP, r.OfRead, r.Gaussian, r.Outliers)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
