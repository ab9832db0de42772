package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/tokenizer"
)

// maxText bounds the text of a measurement; its tokens take about as much memory again.
const maxText = 256 << 20

func (a *app) perplexityCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "perplexity [MODEL] --file TEXT",
		Short: "Measure how well a model predicts a text",
		Long: "perplexity tokenizes a text, cuts it into windows, and prints the exponential of the mean negative\n" +
			"log-likelihood of the second half of each: lower is better, and what quantization costs shows in it. Compare\n" +
			"values of one text, tokenizer and window only. Keys and values are cached as F32 and products exact unless --kv\n" +
			"and --precision say otherwise.\n\n" +
			"It is the number that llama.cpp's tool prints, but for one token: that leaves out the first of each second\n" +
			"half. As there, BOS takes the place of a window's first token where the tokenizer adds one to texts, and\n" +
			"control tokens written in the text are text. Ctrl-C prints what was measured so far.",
		Example: "  aquifer perplexity ./Llama-3.2-1B-Instruct-AQLM --file wiki.test.raw --windows 40",
	}
	a.completeModels(cmd, 1, stored)
	addKnobs(cmd, modelKnobs, []string{"file", "window", "windows", "step", "bos", "json"}, deviceKnobs)
	return command(cmd, 0, 1, func(s settings, args []string) error {
		path, err := oneModel(s, args)
		if err != nil {
			return err
		}
		s.measureExactly()
		text, err := a.measuredText(s.str("file"))
		if err != nil {
			return err
		}
		return a.perplexity(s, path, text)
	})
}

func (a *app) measuredText(path string) (string, error) {
	in, name := a.in, "stdin"
	switch path {
	case "":
		return "", usageErrorf("no text to measure with; name one, as in --file wiki.test.raw, or --file - for stdin")
	case "-":
	default:
		f, err := os.Open(path)
		if err != nil {
			return "", advise(err, "name a text file, or - for stdin")
		}
		defer f.Close()
		in, name = f, path
	}
	text, err := readText(in, maxText)
	if err != nil {
		return "", advise(fmt.Errorf("%s: %w", name, err), "the text must be UTF-8, of at most %d MiB", maxText>>20)
	}
	return text, nil
}

// windows are the tokens of a text, cut.
type windows struct {
	ids   []int32
	size  int
	count int
	bos   int32 // stands in the place of each window's first token; -1 leaves that
}

// window returns the tokens of window i.
func (w windows) window(i int) []int32 {
	ids := slices.Clone(w.ids[i*w.size : (i+1)*w.size])
	if w.bos >= 0 {
		ids[0] = w.bos
	}
	return ids
}

// cut tokenizes the text. It refuses a text that does not fill a window, and a window that the model has no positions
// for.
func cut(s settings, ck *checkpoint.Checkpoint, m *models.Model, text string) (windows, error) {
	w := windows{size: s.integer("window"), bos: -1}
	if w.size > m.Context {
		return w, usageErrorf("--window is %d, the model has %d positions; choose at most those", w.size, m.Context)
	}
	tok, err := ck.Tokenizer()
	if err != nil {
		return w, advise(err, "a checkpoint needs its tokenizer.json: download it again")
	}
	w.ids = tok.Encode(text, tokenizer.EncodeOptions{})
	if sp := ck.Special(); s.str("bos") == "yes" || s.str("bos") == "auto" && sp.AddBOS {
		if sp.BOSID < 0 {
			return w, usageErrorf("--bos is yes, but the model has no BOS; use --bos no")
		}
		// The text begins with it too, so that the first window loses no token of it.
		w.bos, w.ids = sp.BOSID, slices.Insert(w.ids, 0, sp.BOSID)
	}
	if w.count = len(w.ids) / w.size; w.count == 0 {
		return w, usageErrorf("the text has %s, a window %d; give a longer text or a smaller --window", plural(len(w.ids), "token"), w.size)
	}
	if n := s.integer("windows"); n > 0 {
		w.count = min(w.count, n)
	}
	return w, nil
}

func (a *app) perplexity(s settings, path, text string) error {
	ctx, stop := interruptible()
	defer stop()
	ck, err := a.openCheckpoint(path)
	if err != nil {
		return err
	}
	m, err := s.buildModel(ck)
	if err != nil {
		return errors.Join(err, ck.Close())
	}
	w, err := cut(s, ck, m, text)
	if err != nil {
		return errors.Join(err, ck.Close())
	}
	sess, err := a.loadModel(ctx, s, ck, m, path == "", loadOptions{
		context: w.size, maxSeqs: 1, stepTokens: s.integer("step"), fixedSteps: true, outputs: w.size - w.size/2, tokensOnly: true,
	})
	if err != nil {
		return err
	}
	r, err := a.measureText(ctx, sess, w)
	if r.Windows > 0 && (err == nil || errors.Is(err, errInterrupted)) {
		if s.boolean("json") {
			enc := json.NewEncoder(a.out)
			enc.SetIndent("", "  ")
			err = errors.Join(enc.Encode(r), err)
		} else {
			err = errors.Join(r.print(a.out), err)
		}
	}
	return errors.Join(err, sess.close())
}

// measureText scores the windows. When ctx ends it returns what there is with errInterrupted.
func (a *app) measureText(ctx context.Context, sess *session, w windows) (measured, error) {
	info := sess.engine.Info()
	r := measured{
		Window: w.size, Wanted: w.count, BOS: w.bos >= 0, Model: info.Name, Type: sess.model.Arch + " " + sess.model.Scheme,
		Backend: info.Backend.Name, Level: info.Backend.Level, Precision: fmt.Sprint(info.Precision),
		KV: fmt.Sprint(info.KV), Step: info.StepTokens, Threads: info.Backend.Threads, Version: version,
	}
	bar := newProgress(a.err, "perplexity", true)
	defer bar.end()
	var nll spread
	for start := time.Now(); r.Windows < w.count; {
		scores, err := sess.engine.Score(ctx, w.window(r.Windows), w.size/2)
		if err != nil {
			err = adviseRequest(ctx, err)
			r.Interrupted = errors.Is(err, errInterrupted)
			return r, err
		}
		for _, x := range scores {
			nll.add(-x)
		}
		r.Windows++
		r.Tokens, r.MeanNLL, r.Perplexity = nll.n, nll.mean, math.Exp(nll.mean)
		se := nll.standardError()
		r.StdErr = r.Perplexity * se
		r.Interval = [2]float64{math.Exp(nll.mean - normal95*se), math.Exp(nll.mean + normal95*se)}
		r.Seconds = time.Since(start).Seconds()
		if math.IsNaN(r.Perplexity) || math.IsInf(r.Perplexity, 0) {
			return r, advise(fmt.Errorf("the perplexity is %v after window %d: the model's logits are not finite, or a token has no chance",
				r.Perplexity, r.Windows), "try --backend ref; if it is the same there the checkpoint is damaged")
		}
		bar.step(r.Windows, w.count, fmt.Sprintf("%.4f ± %.4f", r.Perplexity, r.StdErr))
	}
	return r, nil
}
