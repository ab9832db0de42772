package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"aquifer/api/sse"
	"aquifer/runtime/engine"
)

// Chat serves POST /v1/chat/completions.
func (h *Handler) Chat(w http.ResponseWriter, r *http.Request) {
	body, read, e := h.readBody(w, r)
	if e != nil {
		WriteError(w, e)
		return
	}
	defer read()
	req, e := h.decode(r.Context(), body)
	if e != nil {
		WriteError(w, e)
		return
	}
	client := clientOf(r.Context())
	done, e := h.quota.take(client, max(req.n, 1))
	if e != nil {
		WriteError(w, e)
		return
	}
	defer done()
	p := exchange{handler: h, w: w, r: r, note: noteOf(r.Context())}
	if req.stream {
		p.out = sse.NewWriter(w, h.cfg.WriteTimeout)
	}
	model, release, ok := p.acquire(req.model, req.keepAlive)
	if !ok {
		return
	}
	defer release()
	ask := req.engineRequest(model.Defaults)
	ask.Key = client
	stream, err := h.begin(r.Context(), model, ask, req.heavy(len(body)))
	read() // its text has become tokens
	var form *engine.ConstraintError
	if req.constraint != nil && errors.As(err, &form) && r.Context().Err() == nil {
		p.refuse(badParam(req.constraintParam, "cannot be enforced: %s", form))
		return
	}
	if err != nil {
		p.fail(err)
		return
	}
	defer stream.Close()
	a := answer{
		exchange: p, model: model, id: newID(), created: time.Now().Unix(),
		n: max(req.n, 1), usage: req.includeUsage, logprobs: req.logprobs, predicted: req.predicted,
	}
	a.note.Model, a.note.Choices = model.ID, a.n
	if req.stream {
		a.stream(stream)
	} else {
		a.whole(stream)
	}
}

// decode reads a body, when its turn has come.
func (h *Handler) decode(ctx context.Context, body []byte) (*chatRequest, *Error) {
	if len(body) > heavyBody {
		done, e := h.heavy.take(ctx)
		if e != nil {
			return nil, e
		}
		defer done()
	}
	return decodeChat(body, h.cfg.IgnoreUnknown)
}

// begin starts an answer, when its turn has come.
func (h *Handler) begin(ctx context.Context, m served, ask engine.ChatRequest, heavy bool) (Stream, error) {
	if heavy {
		done, e := h.heavy.take(ctx)
		if e != nil {
			return nil, e
		}
		defer done()
	}
	return m.Engine.Chat(ctx, ask)
}

// report maps an error for the client and logs what the client is not told.
func (h *Handler) report(w http.ResponseWriter, r *http.Request, err error) *Error {
	e, ok := fromEngine(err)
	if !ok {
		h.cfg.Log.ErrorContext(r.Context(), "request failed", "request", w.Header().Get("X-Request-Id"), "err", err)
	}
	return e
}

// answer is what a request gets, of one choice or several, being sent.
type answer struct {
	exchange
	model   served
	id      string
	created int64

	n        int  // choices
	usage    bool // in a stream: asked for
	logprobs bool // asked for

	predicted bool // a prediction was sent
}

// total is the usage of all choices: the prompt counts once.
type total struct {
	usage
	ended int // choices
}

func (t *total) add(d engine.Delta, note *Note, predicted bool) {
	t.ended++
	u := usageOf(d.Usage)
	if predicted { // else they are guesses that nobody asked for
		t.Details.Accepted += u.Details.Accepted
		t.Details.Rejected += u.Details.Rejected
	}
	t.PromptTokens = u.PromptTokens
	t.CompletionTokens += u.CompletionTokens
	t.Details.Reasoning += u.Details.Reasoning
	t.PromptDetails.CachedTokens = max(t.PromptDetails.CachedTokens, u.PromptDetails.CachedTokens)
	t.TotalTokens = t.PromptTokens + t.CompletionTokens
	note.Prompt, note.Completion, note.Cached = t.PromptTokens, t.CompletionTokens, t.PromptDetails.CachedTokens
	if d.Index == 0 && d.Usage != nil {
		note.Wait, note.FirstToken = d.Usage.QueueTime, d.Usage.QueueTime+d.Usage.PrefillTime
	}
}

// whole collects the answer and sends it at once.
func (a *answer) whole(s Stream) {
	texts, thoughts := make([]strings.Builder, a.n), make([]strings.Builder, a.n)
	calls := make([][]engine.CallPart, a.n)
	probs := make([][]engine.Logprob, a.n)
	choices := make([]choice, a.n)
	var all total
	for {
		d, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			a.fail(err)
			return
		}
		texts[d.Index].WriteString(d.Text)
		thoughts[d.Index].WriteString(d.Reasoning)
		calls[d.Index] = append(calls[d.Index], d.Calls...)
		probs[d.Index] = append(probs[d.Index], d.Logprobs...)
		if d.Finish != "" {
			choices[d.Index].FinishReason = string(d.Finish)
			all.add(d, a.note, a.predicted)
		}
	}
	if all.ended < a.n {
		a.fail(errUnfinished)
		return
	}
	for i := range choices {
		choices[i].Index = i
		choices[i].Message = answerOf(texts[i].String(), thoughts[i].String(), calls[i])
		if a.logprobs {
			choices[i].Logprobs = logprobsOf(probs[i])
		}
	}
	writeJSON(a.w, http.StatusOK, completion{
		ID: a.id, Object: "chat.completion", Created: a.created, Model: a.model.ID, Fingerprint: a.model.fingerprint,
		Choices: choices, Usage: &all.usage,
	}, a.handler.cfg.WriteTimeout)
}

var errUnfinished = errors.New("openai: the stream ended without a finish reason")

// next is what a stream's Next returned.
type next struct {
	delta engine.Delta
	err   error
}

// stream sends the answer as it is made. The status line goes out with the first text or the first heartbeat: until
// then an error can still be a status.
func (a *answer) stream(s Stream) {
	parts := make(chan next)
	done := make(chan struct{})
	defer close(done)
	go a.handler.pump(s, parts, done)
	heartbeat := time.NewTicker(a.handler.cfg.Heartbeat)
	defer heartbeat.Stop()
	opened := make([]bool, a.n)
	var all total
	for {
		select {
		case <-heartbeat.C:
			if a.out.Ping() != nil {
				return // a client that is gone or does not read; closing the stream ends the work
			}
		case n := <-parts:
			if n.err != nil {
				a.fail(n.err)
				return
			}
			heartbeat.Reset(a.handler.cfg.Heartbeat)
			if a.part(n.delta, opened) != nil {
				return
			}
			if n.delta.Finish == "" {
				continue
			}
			if all.add(n.delta, a.note, a.predicted); all.ended == a.n {
				a.finish(&all.usage)
				return
			}
		}
	}
}

// part sends what came of one choice.
func (a *answer) part(d engine.Delta, opened []bool) error {
	if !opened[d.Index] {
		opened[d.Index] = true
		if err := a.send(chunkChoice{Index: d.Index, Delta: opening{Role: "assistant", Content: new(string)}}); err != nil {
			return err
		}
	}
	if d.Reasoning != "" {
		if err := a.send(chunkChoice{Index: d.Index, Delta: thought{d.Reasoning, d.Reasoning}}); err != nil {
			return err
		}
	}
	// Log-probabilities come with the tokens: the text of one may be empty, or come later.
	if d.Text != "" || len(d.Logprobs) > 0 {
		c := chunkChoice{Index: d.Index, Delta: more{d.Text}}
		if len(d.Logprobs) > 0 {
			c.Logprobs = logprobsOf(d.Logprobs)
		}
		if err := a.send(c); err != nil {
			return err
		}
	}
	for _, delta := range deltas(d.Calls) {
		if err := a.send(chunkChoice{Index: d.Index, Delta: delta}); err != nil {
			return err
		}
	}
	if d.Finish == "" {
		return nil
	}
	reason := string(d.Finish)
	return a.send(chunkChoice{Index: d.Index, Delta: struct{}{}, FinishReason: &reason})
}

// pump reads a stream beside the handler, which also has heartbeats to send. It ends with the stream's first error, or
// when the handler is done, which closes the stream.
func (h *Handler) pump(s Stream, parts chan<- next, done <-chan struct{}) {
	send := func(n next) bool {
		select {
		case parts <- n:
			return n.err == nil
		case <-done:
			return false
		}
	}
	defer func() { // net/http only recovers its own goroutine
		if v := recover(); v != nil {
			h.panics.Add(1)
			send(next{err: fmt.Errorf("openai: panic in a stream: %v\n%s", v, debug.Stack())})
		}
	}()
	for {
		d, err := s.Next()
		if errors.Is(err, io.EOF) {
			err = errUnfinished // the handler leaves with the last finish reason
		}
		if !send(next{d, err}) {
			return
		}
	}
}

// finish sends the usage, if it was asked for, and the end mark.
func (a *answer) finish(u *usage) {
	if a.usage {
		c := chunkWithUsage{chunk: a.chunk(), Usage: u}
		c.Choices = []chunkChoice{}
		if a.event(c) != nil {
			return
		}
	}
	_ = a.out.Event([]byte("[DONE]")) // nothing follows
}

func (a *answer) chunk() chunk {
	return chunk{
		ID: a.id, Object: "chat.completion.chunk", Created: a.created, Model: a.model.ID, Fingerprint: a.model.fingerprint,
	}
}

// send sends one delta.
func (a *answer) send(choice chunkChoice) error {
	c := a.chunk()
	c.Choices = []chunkChoice{choice}
	if a.usage {
		return a.event(chunkWithUsage{chunk: c})
	}
	return a.event(c)
}
