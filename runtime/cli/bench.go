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

	"github.com/spf13/cobra"

	"aquifer/models/checkpoint"
	"aquifer/models/synthetic"
	"aquifer/runtime/engine"
)

// benchResult is one line of a benchmark, with the field names of llama-bench where it has them.
type benchResult struct {
	Model     string    `json:"model_filename"`
	Type      string    `json:"model_type"`
	Size      int64     `json:"model_size"`
	Params    int64     `json:"model_n_params"`
	Backend   string    `json:"backend"`
	Level     string    `json:"level"`
	Precision string    `json:"precision"`
	KV        string    `json:"type_kv"`
	Threads   int       `json:"n_threads"`
	Prompt    int       `json:"n_prompt"`
	Gen       int       `json:"n_gen"`
	Depth     int       `json:"n_depth"`
	AvgNs     int64     `json:"avg_ns"`
	StddevNs  int64     `json:"stddev_ns"`
	AvgTS     float64   `json:"avg_ts"`
	StddevTS  float64   `json:"stddev_ts"`
	SamplesNs []int64   `json:"samples_ns"`
	SamplesTS []float64 `json:"samples_ts"`
	TestTime  time.Time `json:"test_time"`
	Version   string    `json:"build_version"`
}

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench [MODEL]",
		Short: "Measure prefill and decode in tokens per second",
		Long: "bench measures how fast a prompt of random tokens is read (pp) and how fast tokens are generated one by one\n" +
			"(tg), through the same engine that answers requests. Each test runs once more than it counts, to warm up.\n\n" +
			"--synthetic measures a model that is not there: the shape of a published one with random weights in any\n" +
			"scheme. It is as fast and as large as the real one. The schemes are KxBgG, as in 2x8g8, f16 and q8_0; the\n" +
			"shapes are " + wrapped(synthetic.Shapes(), 100) + ".",
		Example: "  aquifer bench ./Llama-3.2-1B-Instruct-AQLM -p 512 -n 128 -r 3\n" +
			"  aquifer bench --synthetic llama-2-7b:2x8g8\n" +
			"  aquifer bench --synthetic llama-2-70b:1x16g8 --plan-only",
	}
	addKnobs(cmd, modelKnobs, []string{"synthetic", "plan-only", "n-prompt", "n-gen", "n-depth", "repetitions", "output"}, deviceKnobs)
	return command(cmd, 0, 1, func(s settings, args []string) error {
		path, err := oneModel(s, args)
		if err != nil {
			return err
		}
		if path != "" && s.str("synthetic") != "" {
			return usageErrorf("two models: %s and --synthetic %s; name one", path, s.str("synthetic"))
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
	prompt, gen, depth := s.integer("n-prompt"), s.integer("n-gen"), s.integer("n-depth")
	if prompt == 0 && gen == 0 {
		return usageErrorf("nothing to measure; set --n-prompt or --n-gen above 0")
	}
	ck, err := benchCheckpoint(path, s.str("synthetic"))
	if err != nil {
		return err
	}
	m, err := buildModel(ck)
	if err != nil {
		return errors.Join(err, ck.Close())
	}
	made := s.str("synthetic") != ""
	o := loadOptions{context: max(prompt+1, max(depth, 1)+gen+1), maxSeqs: 1, tokensOnly: made || s.boolean("plan-only")}
	if s.boolean("plan-only") {
		if s.str("output") == "csv" {
			return errors.Join(usageErrorf("--plan-only has no CSV; use --output md or json"), ck.Close())
		}
		return a.planOnly(s, &session{ck: ck, model: m}, o)
	}
	sess, err := a.loadModel(ctx, s, ck, m, path == "" && !made, o)
	if err != nil {
		return err
	}
	var results []benchResult
	for _, test := range [][3]int{{prompt, 0, 0}, {0, gen, depth}} {
		if test[0]+test[1] == 0 {
			continue
		}
		r, err := sess.measure(ctx, s, test[0], test[1], test[2])
		if err != nil {
			return errors.Join(adviseRequest(ctx, err), sess.close())
		}
		results = append(results, r)
	}
	if err := sess.close(); err != nil {
		return err
	}
	return writeBench(a.out, s.str("output"), results)
}

// benchCheckpoint opens the model at path, or makes one if a synthetic one is named.
func benchCheckpoint(path, spec string) (*checkpoint.Checkpoint, error) {
	if spec == "" {
		return openCheckpoint(path)
	}
	ck, err := synthetic.Open(spec)
	if err != nil {
		return nil, usageErrorf("--synthetic: %w", err)
	}
	return ck, nil
}

// measure times one test: a prompt of that many tokens, or that many tokens decoded behind a prompt of depth, at least
// one.
func (s *session) measure(ctx context.Context, set settings, prompt, gen, depth int) (benchResult, error) {
	info := s.engine.Info()
	r := benchResult{
		Model: info.Name, Type: s.model.Arch + " " + s.model.Scheme, Size: s.ck.Size, Params: s.model.Params,
		Backend: info.Backend.Name, Level: info.Backend.Level, Precision: fmt.Sprint(info.Precision),
		KV: fmt.Sprint(info.KV), Threads: info.Backend.Threads, Prompt: prompt, Gen: gen, Depth: depth,
		TestTime: time.Now().UTC().Truncate(time.Second), Version: version,
	}
	for i := range set.integer("repetitions") + 1 {
		// Another prompt each time, for models that choose experts.
		random := rand.New(rand.NewPCG(uint64(prompt), uint64(i)))
		ids := make([]int32, max(prompt, depth, 1))
		for j := range ids {
			ids[j] = random.Int32N(int32(s.model.Vocab))
		}
		usage, err := s.timed(ctx, engine.Request{Prompt: ids, MaxTokens: gen + 1, IgnoreEOS: true, NoReuse: true})
		if err != nil {
			return r, err
		}
		took := usage.DecodeTime
		if prompt > 0 {
			took = usage.PrefillTime
		}
		if i > 0 {
			r.SamplesNs = append(r.SamplesNs, took.Nanoseconds())
			r.SamplesTS = append(r.SamplesTS, float64(prompt+gen)/took.Seconds())
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
