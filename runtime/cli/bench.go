package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
	"github.com/spf13/cobra"

	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/models/synthetic"
	"aquifer/runtime/engine"
)

// benchResult is one line of a benchmark, with the field names of llama-bench where it has them.
type benchResult struct {
	Commit    string    `json:"build_commit"`
	CPU       string    `json:"cpu_info"`
	Backend   string    `json:"backends"`
	Level     string    `json:"level"`
	Model     string    `json:"model_filename"`
	Type      string    `json:"model_type"`
	Size      int64     `json:"model_size"`
	Params    int64     `json:"model_n_params"`
	Precision string    `json:"precision"`
	Threads   int       `json:"n_threads"`
	KeyType   string    `json:"type_k"`
	ValueType string    `json:"type_v"`
	Prompt    int       `json:"n_prompt"`
	Gen       int       `json:"n_gen"`
	Depth     int       `json:"n_depth"`
	TestTime  time.Time `json:"test_time"`
	AvgNs     int64     `json:"avg_ns"`
	StddevNs  int64     `json:"stddev_ns"`
	AvgTS     float64   `json:"avg_ts"`
	StddevTS  float64   `json:"stddev_ts"`
	SamplesNs []int64   `json:"samples_ns"`
	SamplesTS []float64 `json:"samples_ts"`
}

// benchTest is one measurement: a prompt of that many tokens, or that many tokens decoded, behind depth tokens.
type benchTest struct{ prompt, gen, depth int }

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench [MODEL]",
		Short: "Measure prefill and decode in tokens per second",
		Long: "bench measures how fast a prompt of random tokens is read (pp) and how fast tokens are generated one by one\n" +
			"(tg), through the same engine that answers requests. Each test runs once more than it counts, to warm up. Flags\n" +
			"and fields are those of llama-bench: -p, -n, -d and -t take several numbers (1,2 or 64-512*2), and all\n" +
			"combinations are measured.\n\n" +
			"--synthetic measures a model that is not there: the shape of a published one with random weights in any\n" +
			"scheme. It is as fast and as large as the real one. The schemes are KxBgG, as in 2x8g8, f16 and q8_0; the\n" +
			"shapes are " + wrapped(synthetic.Shapes(), 100) + ".\n\n" +
			"--kernels measures single products, matrix times tokens, on cold weights: for every shape, encoding, level,\n" +
			"precision, number of threads (1 and all) and of tokens the billions of weights a second, the arithmetic, the\n" +
			"share of the speed of merely reading the weights, and the error against float64, with Gaussian inputs and with\n" +
			"a hundredth of the columns eight times as large. Flags that are given narrow it down. -r is the number of rounds.",
		Example: "  aquifer bench ./Llama-3.2-1B-Instruct-AQLM -p 512 -n 128 -r 3\n" +
			"  aquifer bench -p 128,512 -n 64 -d 0,1024 -t 1,2 -o json\n" +
			"  aquifer bench --synthetic llama-2-7b:2x8g8\n" +
			"  aquifer bench --synthetic llama-2-70b:1x16g8 --plan-only\n" +
			"  aquifer bench --kernels --encodings 2x8g8,f16 -b 1,64 --level avx2",
	}
	a.completeModels(cmd, 1, stored)
	addKnobs(cmd, modelKnobs, []string{"synthetic", "plan-only", "n-prompt", "n-gen", "n-depth", "repetitions", "no-warmup", "output"}, deviceKnobs,
		[]string{"kernels", "shapes", "encodings", "batch"})
	return command(cmd, 0, 1, func(s settings, args []string) error {
		path, err := oneModel(s, args)
		if err != nil {
			return err
		}
		if path != "" && s.str("synthetic") != "" {
			return usageErrorf("two models: %s and --synthetic %s; name one", path, s.str("synthetic"))
		}
		if s.boolean("kernels") {
			if path != "" || s.str("synthetic") != "" || s.boolean("plan-only") {
				return usageErrorf("--kernels measures no model: leave out the model, --synthetic and --plan-only")
			}
			return a.benchKernels(s)
		}
		return a.bench(s, path)
	})
}

// wrapped joins words with commas and breaks the lines at a width.
func wrapped(words []string, width int) string {
	var b strings.Builder
	line := 0
	for i, w := range words {
		switch {
		case i == 0:
		case line+len(w)+2 > width:
			b.WriteString(",\n")
			line = 0
		default:
			b.WriteString(", ")
			line += 2
		}
		b.WriteString(w)
		line += len(w)
	}
	return b.String()
}

func (a *app) bench(s settings, path string) error {
	ctx, stop := interruptible()
	defer stop()
	tests := benchTests(s)
	if len(tests) == 0 {
		return usageErrorf("nothing to measure; set --n-prompt or --n-gen above 0")
	}
	o := loadOptions{maxSeqs: 1, tokensOnly: s.str("synthetic") != "" || s.boolean("plan-only")}
	for _, t := range tests {
		o.context = max(o.context, t.depth+t.prompt+1, max(t.depth, 1)+t.gen+1)
	}
	if s.boolean("plan-only") {
		return a.benchPlan(s, path, o)
	}
	var results []benchResult
	for _, threads := range s.integers("threads") {
		r, err := a.benchThreads(ctx, s.picked("threads", threads), path, tests, o)
		if err != nil {
			return err
		}
		results = append(results, r...)
	}
	return writeResults(a.out, s.str("output"), results, printBench)
}

// benchTests lists the combinations, in the order of llama-bench.
func benchTests(s settings) (tests []benchTest) {
	for _, depth := range s.integers("n-depth") {
		for _, n := range s.integers("n-prompt") {
			if n > 0 {
				tests = append(tests, benchTest{prompt: n, depth: depth})
			}
		}
		for _, n := range s.integers("n-gen") {
			if n > 0 {
				tests = append(tests, benchTest{gen: n, depth: depth})
			}
		}
	}
	return tests
}

// benchPlan says what the first number of threads takes.
func (a *app) benchPlan(s settings, path string, o loadOptions) error {
	if out := s.str("output"); out != "md" && out != "json" {
		return usageErrorf("--plan-only has no %s; use --output md or json", strings.ToUpper(out))
	}
	ck, m, err := a.benchModel(s, path, s.str("synthetic"))
	if err != nil {
		return err
	}
	return a.planOnly(s.picked("threads", s.integers("threads")[0]), &session{ck: ck, model: m}, o)
}

// benchThreads loads the model for one number of threads and runs all tests.
func (a *app) benchThreads(ctx context.Context, s settings, path string, tests []benchTest, o loadOptions) ([]benchResult, error) {
	ck, m, err := a.benchModel(s, path, s.str("synthetic"))
	if err != nil {
		return nil, err
	}
	sess, err := a.loadModel(ctx, s, ck, m, path == "" && s.str("synthetic") == "", o)
	if err != nil {
		return nil, err
	}
	var results []benchResult
	for _, t := range tests {
		r, err := sess.measure(ctx, s.integer("repetitions"), !s.boolean("no-warmup"), t)
		if err != nil {
			return nil, errors.Join(adviseRequest(ctx, err), sess.close())
		}
		results = append(results, r)
	}
	return results, sess.close()
}

// benchModel opens and plans the model at path, or makes one if a synthetic one is named. The caller closes the
// checkpoint.
func (a *app) benchModel(s settings, path, spec string) (*checkpoint.Checkpoint, *models.Model, error) {
	ck, err := a.benchCheckpoint(path, spec)
	if err != nil {
		return nil, nil, err
	}
	m, err := s.buildModel(ck)
	if err != nil {
		return nil, nil, errors.Join(err, ck.Close())
	}
	return ck, m, nil
}

// benchCheckpoint opens the model at path, or makes one if a synthetic one is named.
func (a *app) benchCheckpoint(path, spec string) (*checkpoint.Checkpoint, error) {
	if spec == "" {
		return a.openCheckpoint(path)
	}
	ck, err := synthetic.Open(spec)
	if err != nil {
		return nil, usageErrorf("--synthetic: %w", err)
	}
	return ck, nil
}

// measure times one test, after a run that does not count if it is to warm up.
func (s *session) measure(ctx context.Context, repetitions int, warm bool, t benchTest) (benchResult, error) {
	info := s.engine.Info()
	r := benchResult{
		Commit: version, CPU: cpuid.CPU.BrandName, Backend: info.Backend.Name, Level: info.Backend.Level,
		Model: info.Name, Type: s.model.Arch + " " + s.model.Scheme, Size: s.ck.Size, Params: s.model.Params,
		Precision: fmt.Sprint(info.Precision), Threads: info.Backend.Threads,
		KeyType: fmt.Sprint(info.KV), ValueType: fmt.Sprint(info.KV), Prompt: t.prompt, Gen: t.gen, Depth: t.depth,
		TestTime: time.Now().UTC().Truncate(time.Second),
	}
	first := 1
	if warm {
		first = 0
	}
	for i := first; i <= repetitions; i++ {
		took, err := s.sample(ctx, t, uint64(i))
		if err != nil {
			return r, err
		}
		if i > 0 {
			r.SamplesNs = append(r.SamplesNs, took.Nanoseconds())
			r.SamplesTS = append(r.SamplesTS, float64(t.prompt+t.gen)/took.Seconds())
		}
	}
	r.AvgTS, r.StddevTS = meanStddev(r.SamplesTS)
	ns := make([]float64, len(r.SamplesNs))
	for i, n := range r.SamplesNs {
		ns[i] = float64(n)
	}
	avg, dev := meanStddev(ns)
	r.AvgNs, r.StddevNs = int64(avg), int64(dev)
	return r, nil
}

// sample runs a test once, with another prompt for each i: the engine may keep what it has computed for a prefix.
func (s *session) sample(ctx context.Context, t benchTest, i uint64) (time.Duration, error) {
	random := rand.New(rand.NewPCG(uint64(t.prompt), i))
	prompt := func(n int) []int32 {
		ids := make([]int32, n)
		for j := range ids {
			ids[j] = random.Int32N(int32(s.model.Vocab))
		}
		return ids
	}
	if t.gen > 0 {
		usage, err := s.timed(ctx, engine.Request{Prompt: prompt(max(t.depth, 1)), MaxTokens: t.gen + 1, IgnoreEOS: true, NoReuse: true})
		return usage.DecodeTime, err
	}
	usage, err := s.timed(ctx, engine.Request{Prompt: prompt(t.depth + t.prompt), Untimed: t.depth, MaxTokens: 1, IgnoreEOS: true, NoReuse: true})
	return usage.PrefillTime, err
}

func (s *session) timed(ctx context.Context, req engine.Request) (engine.Usage, error) {
	stream, err := s.engine.Generate(ctx, req)
	if err != nil {
		return engine.Usage{}, err
	}
	defer stream.Close()
	var usage engine.Usage
	for {
		delta, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return usage, nil
		}
		if err != nil {
			return usage, err
		}
		if delta.Usage != nil {
			usage = *delta.Usage
		}
	}
}

// meanStddev returns the mean and the sample standard deviation.
func meanStddev(xs []float64) (mean, stddev float64) {
	for _, x := range xs {
		mean += x / float64(len(xs))
	}
	for _, x := range xs {
		stddev += (x - mean) * (x - mean)
	}
	if len(xs) < 2 {
		return mean, 0
	}
	return mean, math.Sqrt(stddev / float64(len(xs)-1))
}
