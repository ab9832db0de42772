package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"aquifer/models/checkpoint"
	"aquifer/runtime/engine"
	"aquifer/tokenizer"
)

// ask is how answers are wanted: the flags of run that concern a request.
type ask struct {
	system    string
	maxTokens int
	sampling  engine.Sampling
	stop      []string
	raw       bool
	stats     bool
	noWrap    bool // words may be broken at the edge of a terminal
}

func newAsk(s settings, g checkpoint.Generation) ask {
	return ask{
		system: s.str("system"), maxTokens: s.integer("max-tokens"), sampling: sampling(s, g),
		stop: s.list("stop"), raw: s.boolean("raw"), stats: s.boolean("stats"), noWrap: s.boolean("no-wordwrap"),
	}
}

// answered is one finished or interrupted answer.
type answered struct {
	text   string
	finish engine.Finish
	usage  engine.Usage
	first  time.Duration // until the first text
	seed   uint64
}

// answer prints the answer to messages as it is generated. When ctx ends it returns what there is with errInterrupted.
func (a *app) answer(ctx context.Context, s *session, q ask, messages []engine.Message) (answered, error) {
	if q.system != "" {
		messages = append([]engine.Message{{Role: "system", Content: q.system}}, messages...)
	}
	stream, err := s.engine.Chat(ctx, engine.ChatRequest{
		Messages: messages, MaxTokens: q.maxTokens, Sampling: q.sampling, Stop: q.stop,
	})
	return a.print(ctx, q, stream, err)
}

// complete prints how the model continues the text itself.
func (a *app) complete(ctx context.Context, s *session, q ask, text string) (answered, error) {
	ids := s.tok.Encode(text, tokenizer.EncodeOptions{AddSpecial: true, ParseSpecial: true})
	stream, err := s.engine.Generate(ctx, engine.Request{
		Prompt: ids, MaxTokens: q.maxTokens, Sampling: q.sampling, Stop: q.stop,
	})
	return a.print(ctx, q, stream, err)
}

func (a *app) print(ctx context.Context, q ask, stream *engine.Stream, err error) (answered, error) {
	if err != nil {
		return answered{}, adviseRequest(ctx, err)
	}
	defer stream.Close()
	start := time.Now()
	got := answered{seed: q.sampling.Seed}
	var text strings.Builder
	shown, flush := wordwrapped(a.out, q.noWrap)
	out := io.MultiWriter(shown, &text)
	thoughts, flushThoughts := wordwrapped(a.err, q.noWrap)
	aside := &aside{out: thoughts, flush: flushThoughts}
	for {
		delta, err := stream.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			_ = errors.Join(aside.flush(), flush()) // the answer is cut off anyway
			endLine(a.out, text.String())
			got.text = text.String()
			return got, adviseRequest(ctx, err)
		}
		if text.Len() == 0 && delta.Text != "" {
			got.first = time.Since(start)
		}
		aside.thinks(delta.Reasoning, delta.Text != "" || delta.Finish != "")
		if _, err := io.WriteString(out, delta.Text); err != nil {
			return got, fmt.Errorf("cannot print the answer: %w", err)
		}
		if delta.Finish != "" {
			got.finish = delta.Finish
		}
		if delta.Usage != nil {
			got.usage = *delta.Usage
		}
	}
	if err := flush(); err != nil {
		return got, fmt.Errorf("cannot print the answer: %w", err)
	}
	got.text = text.String()
	endLine(a.out, got.text)
	a.afterword(q, got)
	return got, nil
}

// aside prints reasoning, which is no part of the answer: it goes to stderr.
type aside struct {
	out   io.Writer
	flush func() error
	begun bool
}

// thinks prints more of it; over says that something else follows.
func (s *aside) thinks(text string, over bool) {
	if text != "" && !s.begun {
		s.begun = true
		text = "[thinks] " + text
	}
	if s.begun && over {
		s.begun = false
		text += "\n[answers]\n"
	}
	_, _ = io.WriteString(s.out, text) // as everything on stderr
	if over {
		_ = s.flush()
	}
}

func endLine(out io.Writer, text string) {
	if !strings.HasSuffix(text, "\n") {
		fmt.Fprintln(out)
	}
}

// afterword says on stderr why an answer ends early, and the figures if they are wanted.
func (a *app) afterword(q ask, got answered) {
	if got.finish == "length" {
		limit := "the context is full"
		if q.maxTokens > 0 && got.usage.Completion >= q.maxTokens {
			limit = "--max-tokens"
		}
		a.tell("the answer was cut after %s: %s", plural(got.usage.Completion, "token"), limit)
	}
	if !q.stats {
		return
	}
	u := got.usage
	cached := ""
	if u.Cached > 0 {
		cached = fmt.Sprintf(", %d of them cached,", u.Cached)
	}
	a.tell("prompt %s%s in %s (%s), answer %s in %s (%s), first text after %s, seed %d",
		plural(u.Prompt, "token"), cached, seconds(u.PrefillTime), rate(u.Prompt-u.Cached, u.PrefillTime),
		plural(u.Completion, "token"), seconds(u.DecodeTime), rate(u.Completion-1, u.DecodeTime),
		seconds(got.first), got.seed)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func rate(tokens int, d time.Duration) string {
	if d <= 0 || tokens <= 0 {
		return "no rate"
	}
	return fmt.Sprintf("%.1f tok/s", float64(tokens)/d.Seconds())
}

// adviseRequest says what to change about a request that failed.
func adviseRequest(ctx context.Context, err error) error {
	var tooLong *engine.ContextError
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case errors.As(err, &tooLong):
		return advise(err, "shorten the prompt or raise --context")
	}
	return advise(err, "aquifer run --help lists what can be set")
}

// sampling takes what the flags say, else what the checkpoint recommends.
func sampling(s settings, g checkpoint.Generation) engine.Sampling {
	p := recommended(g)
	for name, to := range map[string]*float32{
		"temperature": &p.Temperature, "top-p": &p.TopP, "min-p": &p.MinP, "repeat-penalty": &p.RepeatPenalty,
	} {
		if s.given(name) {
			*to = float32(s.float(name))
		}
	}
	if s.given("top-k") {
		p.TopK = s.integer("top-k")
	}
	p.Seed = rand.Uint64() >> 1 // one that --seed accepts
	if s.given("seed") {
		p.Seed = uint64(s.integer("seed"))
	}
	return p
}

// Sampling for checkpoints that recommend nothing: what the makers of Llama 3 publish with it. The likeliest token every
// time would be simpler, but it leads small models into loops that only the end of the context stops.
const (
	plainTemperature = 0.6
	plainTopP        = 0.9
)

// recommended is what the makers of a checkpoint recommend.
func recommended(g checkpoint.Generation) engine.Sampling {
	var p engine.Sampling
	switch {
	case g.DoSample != nil && !*g.DoSample: // greedy
	case g.DoSample == nil && g.Temperature == nil && g.TopP == nil && g.TopK == nil && g.MinP == nil:
		p.Temperature, p.TopP = plainTemperature, plainTopP
	default:
		if g.DoSample != nil {
			p.Temperature = 1 // what do_sample alone stands for
		}
		take(&p.Temperature, g.Temperature)
		take(&p.TopP, g.TopP)
		take(&p.MinP, g.MinP)
		if g.TopK != nil {
			p.TopK = *g.TopK
		}
	}
	take(&p.RepeatPenalty, g.RepetitionPenalty)
	return p
}

func take(to *float32, from *float64) {
	if from != nil {
		*to = float32(*from)
	}
}
