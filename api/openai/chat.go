package openai

import (
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
	body, e := h.readBody(w, r)
	if e != nil {
		WriteError(w, e)
		return
	}
	if !h.Ready() {
		WriteError(w, loading())
		return
	}
	req, e := decodeChat(body)
	if e != nil {
		WriteError(w, e)
		return
	}
	model, e := h.find(req.model)
	if e != nil {
		WriteError(w, e)
		return
	}
	stream, err := model.Engine.Chat(r.Context(), req.engineRequest(model.Defaults))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer stream.Close()
	a := answer{handler: h, w: w, r: r, model: model, id: newID(), created: time.Now().Unix(), usage: req.includeUsage, logprobs: req.logprobs}
	if req.stream {
		a.stream(stream)
	} else {
		a.whole(stream)
	}
}

// fail answers with an engine's error.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	WriteError(w, h.report(w, r, err))
}

// report maps an error for the client and logs what the client is not told.
func (h *Handler) report(w http.ResponseWriter, r *http.Request, err error) *Error {
	e, ok := fromEngine(err)
	if !ok {
		h.cfg.Log.ErrorContext(r.Context(), "request failed", "request", w.Header().Get("X-Request-Id"), "err", err)
	}
	return e
}

// answer is one answer being sent.
type answer struct {
	handler *Handler
	w       http.ResponseWriter
	r       *http.Request
	model   served
	id      string
	created int64

	usage    bool // in a stream: asked for
	logprobs bool // asked for
}

// whole collects the answer and sends it at once.
func (a *answer) whole(s Stream) {
	var text strings.Builder
	var probs []engine.Logprob
	var end engine.Delta
	for {
		d, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			a.handler.fail(a.w, a.r, err)
			return
		}
		text.WriteString(d.Text)
		probs = append(probs, d.Logprobs...)
		if d.Finish != "" {
			end = d
		}
	}
	if end.Finish == "" {
		a.handler.fail(a.w, a.r, errUnfinished)
		return
	}
	c := choice{Message: reply{Role: "assistant", Content: text.String()}, FinishReason: string(end.Finish)}
	if a.logprobs {
		c.Logprobs = logprobsOf(probs)
	}
	writeJSON(a.w, http.StatusOK, completion{
		ID: a.id, Object: "chat.completion", Created: a.created, Model: a.model.ID, Fingerprint: a.model.fingerprint,
		Choices: []choice{c},
		Usage:   usageOf(end.Usage),
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
	out := sse.NewWriter(a.w, a.handler.cfg.WriteTimeout)
	parts := make(chan next)
	done := make(chan struct{})
	defer close(done)
	go a.handler.pump(s, parts, done)
	heartbeat := time.NewTicker(a.handler.cfg.Heartbeat)
	defer heartbeat.Stop()
	opened := false
	for {
		select {
		case <-heartbeat.C:
			if out.Ping() != nil {
				return // a client that is gone or does not read; closing the stream ends the work
			}
		case n := <-parts:
			if n.err != nil {
				a.breakOff(out, n.err)
				return
			}
			heartbeat.Reset(a.handler.cfg.Heartbeat)
			if !opened {
				opened = true
				if a.send(out, chunkChoice{Delta: opening{Role: "assistant"}}) != nil {
					return
				}
			}
			if (n.delta.Text != "" || len(n.delta.Logprobs) > 0) && a.more(out, n.delta) != nil {
				return
			}
			if n.delta.Finish != "" {
				a.finish(out, n.delta)
				return
			}
		}
	}
}

// pump reads a stream beside the handler, which also has heartbeats to send. It ends with the stream's first error or
// its last part, or when the handler is done, which closes the stream.
func (h *Handler) pump(s Stream, parts chan<- next, done <-chan struct{}) {
	send := func(n next) bool {
		select {
		case parts <- n:
			return n.err == nil && n.delta.Finish == ""
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
			err = errUnfinished // the part with the finish reason would have come before
		}
		if !send(next{d, err}) {
			return
		}
	}
}

// breakOff ends a stream with an error: as a status if none is out yet, otherwise as the one event that has an error
// key. There is no [DONE] after it.
func (a *answer) breakOff(out *sse.Writer, err error) {
	e := a.handler.report(a.w, a.r, err)
	if !out.Started() {
		WriteError(a.w, e)
		return
	}
	a.event(out, e)
}

// finish sends the reason, the usage if it was asked for, and the end mark.
func (a *answer) finish(out *sse.Writer, d engine.Delta) {
	reason := string(d.Finish)
	if a.send(out, chunkChoice{Delta: struct{}{}, FinishReason: &reason}) != nil {
		return
	}
	if a.usage {
		c := chunkWithUsage{chunk: a.chunk(), Usage: usageOf(d.Usage)}
		c.Choices = []chunkChoice{}
		if a.event(out, c) != nil {
			return
		}
	}
	_ = out.Event([]byte("[DONE]")) // nothing follows
}

func (a *answer) chunk() chunk {
	return chunk{
		ID: a.id, Object: "chat.completion.chunk", Created: a.created, Model: a.model.ID, Fingerprint: a.model.fingerprint,
	}
}

// more sends text. Log-probabilities come with the tokens: the text of one may be empty, or come later.
func (a *answer) more(out *sse.Writer, d engine.Delta) error {
	c := chunkChoice{Delta: more{d.Text}}
	if len(d.Logprobs) > 0 {
		c.Logprobs = logprobsOf(d.Logprobs)
	}
	return a.send(out, c)
}

// send sends one delta.
func (a *answer) send(out *sse.Writer, choice chunkChoice) error {
	c := a.chunk()
	c.Choices = []chunkChoice{choice}
	if a.usage {
		return a.event(out, chunkWithUsage{chunk: c})
	}
	return a.event(out, c)
}

func (a *answer) event(out *sse.Writer, v any) error {
	data, err := marshal(v)
	if err != nil {
		return err
	}
	return out.Event(data)
}
