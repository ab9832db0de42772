// Package apitest holds a scripted engine for tests of the HTTP server, and the tests that drive the server with the
// official clients. Nothing but tests imports it.
package apitest

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

// Part is one step of a scripted answer.
type Part struct {
	After  time.Duration   // wait before it
	Until  <-chan struct{} // and wait for this, if set
	Choice int             // which answer it belongs to; a script without any is every choice's
	Text   string
	Probs  []engine.Logprob

	Reasoning string
	Calls     []engine.CallPart
	Err       error // ends the answer
	Panic     any   // panics in Next
}

// Reply is a scripted answer.
type Reply struct {
	Err    error // of Chat itself
	Panic  any   // panics in Chat
	Parts  []Part
	Finish engine.Finish // of the last part; default engine.FinishStop
	Usage  engine.Usage
}

// Say is a reply of the given pieces of text.
func Say(pieces ...string) Reply {
	r := Reply{Usage: engine.Usage{Prompt: 9, Completion: len(pieces)}}
	for _, p := range pieces {
		r.Parts = append(r.Parts, Part{Text: p})
	}
	return r
}

// Engine answers as Answer tells it and remembers what it was asked. Answer may be nil for a fixed greeting.
type Engine struct {
	Answer func(engine.ChatRequest) Reply

	mu       sync.Mutex
	requests []engine.ChatRequest
	open     int
}

// Chat implements openai.Engine.
func (e *Engine) Chat(ctx context.Context, r engine.ChatRequest) (openai.Stream, error) {
	reply := Say("Hello", " there", "!")
	if e.Answer != nil {
		reply = e.Answer(r)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests = append(e.requests, r)
	if reply.Panic != nil {
		panic(reply.Panic)
	}
	if reply.Err != nil {
		return nil, reply.Err
	}
	reply.Parts = choices(reply.Parts, r.N)
	s := &stream{engine: e, reply: reply}
	s.ctx, s.cancel = context.WithCancel(ctx)
	e.open++
	context.AfterFunc(s.ctx, func() {
		e.mu.Lock()
		e.open--
		e.mu.Unlock()
	})
	return s, nil
}

// choices repeats the parts for every choice, part by part, unless they name choices themselves.
func choices(parts []Part, n int) []Part {
	if n < 2 || slices.ContainsFunc(parts, func(p Part) bool { return p.Choice > 0 }) {
		return parts
	}
	var all []Part
	for _, p := range parts {
		for p.Choice = range n {
			all = append(all, p)
		}
	}
	return all
}

// Info implements openai.Engine.
func (e *Engine) Info() engine.Info {
	info := engine.Info{Name: "scripted", Arch: "none", Scheme: "none", Context: 4096}
	info.Backend.Name = "fake"
	return info
}

// Requests returns what the engine was asked so far.
func (e *Engine) Requests() []engine.ChatRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]engine.ChatRequest(nil), e.requests...)
}

// Open counts the answers that are neither finished and closed nor cancelled: what a real engine would still work on.
func (e *Engine) Open() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open
}

type stream struct {
	engine *Engine
	reply  Reply
	next   int
	ctx    context.Context
	cancel context.CancelFunc
}

// Next implements openai.Stream: every part is a Delta, and the last one of a choice has the finish reason and the usage.
func (s *stream) Next() (engine.Delta, error) {
	if s.next == len(s.reply.Parts) && s.next > 0 {
		return engine.Delta{}, io.EOF
	}
	var p Part
	if s.next < len(s.reply.Parts) {
		p = s.reply.Parts[s.next]
	} else {
		s.reply.Parts = []Part{{}} // an empty answer is one part without text
	}
	s.next++
	timer := time.NewTimer(p.After)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
	if p.Until != nil {
		select {
		case <-p.Until:
		case <-s.ctx.Done():
		}
	}
	if err := s.ctx.Err(); err != nil {
		return engine.Delta{}, err
	}
	if p.Panic != nil {
		panic(p.Panic)
	}
	if p.Err != nil {
		return engine.Delta{}, p.Err
	}
	d := engine.Delta{Index: p.Choice, Text: p.Text, Reasoning: p.Reasoning, Calls: p.Calls, Tokens: 1, Logprobs: p.Probs}
	if !slices.ContainsFunc(s.reply.Parts[s.next:], func(later Part) bool { return later.Choice == p.Choice }) {
		d.Finish = s.reply.Finish
		if d.Finish == "" {
			d.Finish = engine.FinishStop
		}
		u := s.reply.Usage
		d.Usage = &u
	}
	return d, nil
}

// Close implements openai.Stream.
func (s *stream) Close() { s.cancel() }
