package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"aquifer/runtime/chat"
	"aquifer/runtime/kv"
	"aquifer/runtime/sample"
	"aquifer/runtime/sched"
	"aquifer/tokenizer"
)

// Names of other packages' types that requests are made of, so that callers need to know this package only.
type (
	Message   = chat.Message
	ChatError = chat.Error // what Chat returns for messages that the template cannot render
	Sampling  = sample.Params
	Bias      = sample.Bias
)

// Limits of lists in Sampling.
const (
	MaxLogitBias   = sample.MaxLogitBias
	MaxDRYBreakers = sample.MaxDRYBreakers
	MaxDRYBreaker  = sample.MaxDRYBreaker
)

// Request asks for a continuation of a prompt.
type Request struct {
	Prompt    []int32 // at least one token
	MaxTokens int     // of the answer; 0 means until the context ends
	Sampling  Sampling
	Stop      []string // end the answer and are not part of it; at most 16 of 1024 bytes
	IgnoreEOS bool     // go on after end-of-text tokens, for measurements
	Untimed   int      // tokens of the prompt that PrefillTime leaves out, for measurements
	Key       string   // whose request it is: keys take turns, and find nothing of each other's in the cache
	NoReuse   bool     // leave the cache of earlier requests alone, for measurements

	Logprobs    bool // say how likely the tokens were
	TopLogprobs int  // and the most likely ones of each place, 0 to MaxTopLogprobs; only with Logprobs

	// N is the number of answers, at most MaxChoices; 0 means one. Each has a seed of its own, sample.Choice of
	// Sampling.Seed, and all share the prompt, which is run once.
	N     int
	NoEOS bool // never choose a token that ends the text

	Constraint *Constraint // form of the answer; nil for free text
	Prediction []int32     // a guess of the answer: where it is right, the answer may come sooner; nil for none

	turn *chat.Turn // says how the answer is taken apart; nil for all text
}

// MaxChoices is the most answers that a request may ask for (OpenAI's limit).
const MaxChoices = 128

// ChatRequest asks for the next message of a conversation. The fields are those of Request.
type ChatRequest struct {
	Messages    []Message
	MaxTokens   int
	Sampling    Sampling
	Stop        []string
	Key         string
	Logprobs    bool
	TopLogprobs int
	N           int
	NoEOS       bool
	Constraint  *Constraint // of the content
	Prediction  string      // text that much of the answer may be equal to

	Tools      []Tool
	ToolChoice ToolChoice
	Variables  []Variable // for the template
	Effort     string     // of reasoning: none, minimal, low, medium, high or xhigh; empty is the template's default
	Continue   bool       // go on with the last message, which is the assistant's
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
	if err := e.check(r); err != nil {
		return nil, err
	}
	room := e.info.Context - len(r.Prompt)
	if room < 1 {
		return nil, &ContextError{Prompt: len(r.Prompt), Context: e.info.Context}
	}
	if r.MaxTokens > 0 {
		room = min(room, r.MaxTokens)
	}
	r.Prompt, r.Stop = slices.Clip(slices.Clone(r.Prompt)), slices.Clone(r.Stop)
	if r.NoEOS {
		r.Sampling.LogitBias = slices.Clone(r.Sampling.LogitBias)
		for _, id := range e.eos {
			r.Sampling.LogitBias = append(r.Sampling.LogitBias, sample.Bias{ID: id, Value: float32(math.Inf(-1))})
		}
	}
	q := &request{}
	for i := range max(r.N, 1) {
		q.seqs = append(q.seqs, e.sequence(r, i, room, fresh))
	}
	if r.Constraint != nil {
		g, err := e.compile(ctx, r.Constraint)
		if err != nil {
			return nil, err
		}
		for _, s := range q.seqs {
			s.form = newForm(g, e.constraints.compiler.MaskWords(), e.info.Vocab)
		}
	}
	if first := q.seqs[0]; len(q.seqs) > 1 && !first.Turns && sched.Together(len(r.Prompt)+room) <= e.kvBlocks {
		q.starts = len(q.seqs) - 1
	}
	if !r.NoReuse {
		chain := slices.Clip(e.chain([]kv.Hash{}, r.Key, r.Prompt))
		for _, s := range q.seqs {
			s.Chain = chain
		}
	}
	return e.add(ctx, q, r.Key)
}

// check refuses what is wrong with a request, but for the length of its prompt.
func (e *Engine) check(r Request) error {
	if err := e.checkPrompt(r.Prompt); err != nil {
		return err
	}
	if r.MaxTokens < 0 {
		return &ParamError{Param: "max_tokens", Msg: fmt.Sprintf("is %d, must not be negative", r.MaxTokens)}
	}
	if r.Untimed < 0 || r.Untimed >= len(r.Prompt) {
		return &ParamError{Param: "untimed", Msg: fmt.Sprintf("is %d of %d tokens, must leave one", r.Untimed, len(r.Prompt))}
	}
	if r.N < 0 || r.N > MaxChoices {
		return &ParamError{Param: "n", Msg: fmt.Sprintf("is %d, must be 1 to %d", r.N, MaxChoices)}
	}
	if err := r.Sampling.Validate(); err != nil {
		return err
	}
	for _, b := range r.Sampling.LogitBias {
		if int(b.ID) >= e.info.Vocab {
			return &ParamError{Param: "logit_bias", Msg: fmt.Sprintf("has the token id %d, the vocabulary has %d", b.ID, e.info.Vocab)}
		}
	}
	if r.TopLogprobs < 0 || r.TopLogprobs > MaxTopLogprobs || r.TopLogprobs > 0 && !r.Logprobs {
		return &ParamError{Param: "top_logprobs", Msg: fmt.Sprintf("is %d, must be 0 to %d, and 0 without logprobs", r.TopLogprobs, MaxTopLogprobs)}
	}
	if err := checkStops(r.Stop); err != nil {
		return err
	}
	if len(r.Prediction) > e.info.Context { // it is searched at every token
		return &ParamError{Param: "prediction", Msg: fmt.Sprintf("has %d tokens, must not be longer than the context of this model, %d", len(r.Prediction), e.info.Context)}
	}
	if r.Constraint != nil && (r.NoEOS || r.IgnoreEOS) {
		return &ParamError{Param: "ignore_eos", Msg: "cannot be combined with a form of the answer, which ends where that is complete"}
	}
	if e.cfg.Tokenizer == nil && len(r.Stop) > 0 {
		return &ParamError{Param: "stop", Msg: "cannot be found: the model was loaded without a tokenizer"}
	}
	return nil
}

// sequence makes a choice of a request. The slices in the request are shared with the other choices: they must not be
// written to, and have no room to be appended to in place.
func (e *Engine) sequence(r Request, choice, most int, fresh bool) *sequence {
	tok := e.cfg.Tokenizer
	q := &sequence{
		index: choice, tokens: r.Prompt, prompt: len(r.Prompt), max: most, params: r.Sampling,
		stop: stopper{stops: r.Stop}, tok: tok, logprobState: logprobState{logprobs: r.Logprobs, top: r.TopLogprobs},
	}
	q.Cut = r.Untimed
	q.params.Seed = sample.Choice(r.Sampling.Seed, choice)
	q.draft.on = e.cfg.Speculate > 0 && (r.Prediction != nil || !e.cfg.SpeculateAsked)
	if q.draft.on && len(r.Prediction) > 0 {
		q.draft.prediction = r.Prediction
		q.draft.begin()
	}
	q.Turns = e.mayTurn(len(r.Prompt), len(r.Prompt)+most)
	if tok != nil {
		q.decoder = tok.NewDecoder(true)
	}
	if r.turn != nil {
		q.reading = reading{reader: r.turn.Reader(), controls: e.controls}
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
	return q
}

// Chat renders the messages with the model's chat template and generates the answer. Control tokens written in the
// text of messages are text; only the template's own count. Errors are those of Generate and *ChatError.
func (e *Engine) Chat(ctx context.Context, r ChatRequest) (*Stream, error) {
	if e.cfg.Chat == nil || e.cfg.Tokenizer == nil {
		return nil, errors.New("engine: the model was loaded without a chat format")
	}
	turn, err := e.cfg.Chat.Render(chat.Conversation{
		Messages: r.Messages, Tools: r.Tools, Choice: r.ToolChoice, Variables: r.Variables, Effort: r.Effort, Continue: r.Continue,
	})
	if err != nil {
		return nil, err
	}
	form, err := turn.Form(r.Constraint)
	if err != nil {
		return nil, err
	}
	// Templates frame their text themselves, as a rule; one that forgets BOS gets it where plain text would.
	ids := e.cfg.Tokenizer.EncodeSegments(turn.Prompt, false)
	if e.bos >= 0 && (len(ids) == 0 || ids[0] != e.bos) {
		ids = slices.Insert(ids, 0, e.bos)
	}
	var prediction []int32
	if r.Prediction != "" && e.cfg.Speculate > 0 {
		prediction = e.cfg.Tokenizer.Encode(r.Prediction, tokenizer.EncodeOptions{})
	}
	s, err := e.generate(ctx, Request{
		Prompt: ids, MaxTokens: r.MaxTokens, Sampling: r.Sampling, Stop: r.Stop, Key: r.Key,
		Logprobs: r.Logprobs, TopLogprobs: r.TopLogprobs, N: r.N, NoEOS: r.NoEOS, Constraint: form, Prediction: prediction, turn: turn,
	}, !r.Continue)
	return s, e.blame(ctx, r, err)
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
	q := &sequence{tokens: slices.Clone(tokens), prompt: len(tokens), raw: true}
	s, err := e.add(ctx, &request{seqs: []*sequence{q}}, "")
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

// add hands a request to the scheduler and wakes the loop.
func (e *Engine) add(ctx context.Context, r *request, key string) (*Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := time.Now()
	deadline, _ := ctx.Deadline()
	r.open, r.stream = len(r.seqs), newStream(ctx, len(r.seqs))
	var children []*sched.Seq
	for i, q := range r.seqs {
		q.request, q.created = r, now
		q.Key, q.Owner, q.Len, q.Max, q.Deadline = key, q, len(q.tokens), len(q.tokens)+q.max, deadline
		if i > 0 {
			q.Apart = r.starts == 0
			children = append(children, &q.Seq)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	err := error(nil)
	switch {
	case e.broken:
		err = ErrBroken
	case e.closing:
		err = ErrClosed
	default:
		err = e.sched.Add(&r.seqs[0].Seq, now, children...)
	}
	if err != nil {
		r.stream.cancel()
		if errors.Is(err, sched.ErrFull) {
			e.stats.Refused++
			err = ErrBusy
		}
		return nil, err
	}
	r.unwatch = context.AfterFunc(r.stream.ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.end(r, r.stream.ctx.Err())
	})
	e.work.Signal()
	return r.stream, nil
}
