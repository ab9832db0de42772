package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"aquifer/runtime/chat"
	"aquifer/runtime/sample"
	"aquifer/runtime/sched"
	"aquifer/tokenizer"
)

// Names of other packages' types that requests are made of, so that callers need to know this package only.
type (
	Message   = chat.Message
	ChatError = chat.Error // what Chat returns for messages that the template cannot render
	Sampling  = sample.Params
)

// Request asks for a continuation of a prompt.
type Request struct {
	Prompt    []int32 // at least one token
	MaxTokens int     // of the answer; 0 means until the context ends
	Sampling  Sampling
	Stop      []string // end the answer and are not part of it; at most 16 of 1024 bytes
	IgnoreEOS bool     // go on after end-of-text tokens, for measurements
	Untimed   int      // tokens of the prompt that PrefillTime leaves out, for measurements
	Key       string   // whose request it is: keys take turns

	Logprobs    bool // say how likely the tokens were
	TopLogprobs int  // and the most likely ones of each place, 0 to MaxTopLogprobs; only with Logprobs
}

// ChatRequest asks for the next message of a conversation. The fields are those of Request.
type ChatRequest struct {
	Messages    []Message
	MaxTokens   int
	Sampling    Sampling
	Stop        []string
	IgnoreEOS   bool
	Key         string
	Logprobs    bool
	TopLogprobs int
}

// Generate queues a request and returns the stream of its answer. All that can be wrong with the request is reported
// here: *ParamError, *ContextError, ErrBusy, ErrClosed, ErrBroken. When ctx ends, or the stream is closed, the work
// stops within one step, wherever the request stands.
//
// The answer depends on the request, not on what else runs. A request may get fewer tokens than MaxTokens: where the
// context ends, it finishes with FinishLength. Without a tokenizer the answer has tokens but no text.
func (e *Engine) Generate(ctx context.Context, r Request) (*Stream, error) {
	return e.generate(ctx, r, false)
}

// generate is Generate; fresh says that the answer is a text of its own, not the continuation of the prompt's.
func (e *Engine) generate(ctx context.Context, r Request, fresh bool) (*Stream, error) {
	if err := e.checkPrompt(r.Prompt); err != nil {
		return nil, err
	}
	if r.MaxTokens < 0 {
		return nil, &ParamError{Param: "max_tokens", Msg: fmt.Sprintf("is %d, must not be negative", r.MaxTokens)}
	}
	if r.Untimed < 0 || r.Untimed >= len(r.Prompt) {
		return nil, &ParamError{Param: "untimed", Msg: fmt.Sprintf("is %d of %d tokens, must leave one", r.Untimed, len(r.Prompt))}
	}
	if err := r.Sampling.Validate(); err != nil {
		return nil, err
	}
	for _, b := range r.Sampling.LogitBias {
		if int(b.ID) >= e.info.Vocab {
			return nil, &ParamError{Param: "logit_bias", Msg: fmt.Sprintf("has the token id %d, the vocabulary has %d", b.ID, e.info.Vocab)}
		}
	}
	if err := checkStops(r.Stop); err != nil {
		return nil, err
	}
	if r.TopLogprobs < 0 || r.TopLogprobs > MaxTopLogprobs || r.TopLogprobs > 0 && !r.Logprobs {
		return nil, &ParamError{Param: "top_logprobs", Msg: fmt.Sprintf("is %d, must be 0 to %d, and 0 without logprobs", r.TopLogprobs, MaxTopLogprobs)}
	}
	tok := e.cfg.Tokenizer
	if tok == nil && len(r.Stop) > 0 {
		return nil, &ParamError{Param: "stop", Msg: "cannot be found: the model was loaded without a tokenizer"}
	}
	room := e.info.Context - len(r.Prompt)
	if room < 1 {
		return nil, &ContextError{Prompt: len(r.Prompt), Context: e.info.Context}
	}
	q := &sequence{
		tokens: slices.Clone(r.Prompt), prompt: len(r.Prompt), max: room, params: r.Sampling,
		stop: stopper{stops: slices.Clone(r.Stop)}, tok: tok, logprobState: logprobState{logprobs: r.Logprobs, top: r.TopLogprobs},
	}
	q.Cut = r.Untimed
	if tok != nil {
		q.decoder = tok.NewDecoder(true)
	}
	if r.MaxTokens > 0 {
		q.max = min(q.max, r.MaxTokens)
	}
	if !r.IgnoreEOS {
		q.eos = e.eos
	}
	if tok != nil && !fresh && tok.Decode(r.Prompt, true) != "" {
		// Some tokenizers drop the space at the start of a text. The answer is not the start of one. The prompt's own
		// last token won't do: it may be a part of a character.
		for _, id := range tok.Encode("a", tokenizer.EncodeOptions{}) {
			q.decoder.Push(id)
		}
	}
	return e.add(ctx, q, r.Key)
}

// Chat renders the messages with the model's chat template and generates the answer. Control tokens written in the
// text of messages are text; only the template's own count. Errors are those of Generate and *ChatError.
func (e *Engine) Chat(ctx context.Context, r ChatRequest) (*Stream, error) {
	if e.cfg.Chat == nil || e.cfg.Tokenizer == nil {
		return nil, errors.New("engine: the model was loaded without a chat format")
	}
	segments, err := e.cfg.Chat.Render(r.Messages, true)
	if err != nil {
		return nil, err
	}
	// Templates frame their text themselves, as a rule; one that forgets BOS gets it where plain text would.
	ids := e.cfg.Tokenizer.EncodeSegments(segments, false)
	if e.bos >= 0 && (len(ids) == 0 || ids[0] != e.bos) {
		ids = slices.Insert(ids, 0, e.bos)
	}
	return e.generate(ctx, Request{
		Prompt: ids, MaxTokens: r.MaxTokens, Sampling: r.Sampling, Stop: r.Stop, IgnoreEOS: r.IgnoreEOS, Key: r.Key,
		Logprobs: r.Logprobs, TopLogprobs: r.TopLogprobs,
	}, true)
}

// Logits runs the tokens as they are and returns the logits of the last position (vocab). It waits its turn like any
// other request.
func (e *Engine) Logits(ctx context.Context, tokens []int32) ([]float32, error) {
	if err := e.checkPrompt(tokens); err != nil {
		return nil, err
	}
	if len(tokens) > e.info.Context {
		return nil, &ContextError{Prompt: len(tokens), Context: e.info.Context}
	}
	s, err := e.add(ctx, &sequence{tokens: slices.Clone(tokens), prompt: len(tokens), raw: true}, "")
	if err != nil {
		return nil, err
	}
	if _, err := s.Next(); err != nil {
		return nil, err
	}
	return s.row, nil
}

func (e *Engine) checkPrompt(ids []int32) error {
	if len(ids) == 0 {
		return &ParamError{Param: "prompt", Msg: "must have at least one token"}
	}
	for _, id := range ids {
		if id < 0 || int(id) >= e.info.Vocab {
			return &ParamError{Param: "prompt", Msg: fmt.Sprintf("has the token id %d, the vocabulary has %d", id, e.info.Vocab)}
		}
	}
	return nil
}

// add hands a sequence to the scheduler and wakes the loop.
func (e *Engine) add(ctx context.Context, q *sequence, key string) (*Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.created = time.Now()
	q.Key, q.Owner, q.Len, q.Max = key, q, len(q.tokens), len(q.tokens)+q.max
	q.Deadline, _ = ctx.Deadline()
	q.stream = newStream(ctx)

	e.mu.Lock()
	defer e.mu.Unlock()
	err := error(nil)
	switch {
	case e.broken:
		err = ErrBroken
	case e.closing:
		err = ErrClosed
	default:
		err = e.sched.Add(&q.Seq, q.created)
	}
	if err != nil {
		q.stream.cancel()
		if errors.Is(err, sched.ErrFull) {
			e.stats.Refused++
			err = ErrBusy
		}
		return nil, err
	}
	q.unwatch = context.AfterFunc(q.stream.ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.end(q, q.stream.ctx.Err())
	})
	e.work.Signal()
	return q.stream, nil
}
