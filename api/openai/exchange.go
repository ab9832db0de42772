package openai

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"aquifer/api/sse"
)

// exchange is a request and the way back to the client of a request.
type exchange struct {
	handler *Handler
	w       http.ResponseWriter
	r       *http.Request
	out     *sse.Writer // nil unless the answer is streamed
	note    *Note
}

// fail answers with an error of the engine's or of a source's.
func (p *exchange) fail(err error) { p.refuse(p.handler.report(p.w, p.r, err)) }

// refuse answers with an error: as a status if none is out yet, otherwise as the one event that has an error key. There is
// no [DONE] after it.
func (p *exchange) refuse(e *Error) {
	if p.out == nil || !p.out.Started() {
		WriteError(p.w, e)
		return
	}
	p.note.Failed = e.Code
	_ = p.event(e) // nothing follows
}

func (p *exchange) event(v any) error {
	data, err := marshal(v)
	if err != nil {
		return err
	}
	return p.out.Event(data)
}

// acquire returns the model of a name, held until release is called. Who waits for a stream gets heartbeats meanwhile, and
// with the first of them the status 200. ok is false if the client has been answered, or is gone.
func (p *exchange) acquire(name string, keep *time.Duration) (m served, release func(), ok bool) {
	var err error
	if p.out == nil {
		m, release, err = p.handler.acquire(p.r.Context(), name, keep)
	} else {
		m, release, err = p.await(name, keep)
	}
	if err != nil {
		p.fail(err)
		return served{}, nil, false
	}
	return m, release, true
}

// acquired is what acquire of a handler returned.
type acquired struct {
	model   served
	release func()
	err     error
}

// await acquires a model beside the heartbeats.
func (p *exchange) await(name string, keep *time.Duration) (served, func(), error) {
	ctx, cancel := context.WithCancel(p.r.Context())
	defer cancel()
	done := make(chan acquired, 1)
	go func() {
		var a acquired
		defer func() { // net/http only recovers its own goroutine
			if v := recover(); v != nil {
				p.handler.panics.Add(1)
				a = acquired{err: fmt.Errorf("openai: panic in a source of models: %v\n%s", v, debug.Stack())}
			}
			done <- a
		}()
		a.model, a.release, a.err = p.handler.acquire(ctx, name, keep)
	}()
	heartbeat := time.NewTicker(p.handler.cfg.Heartbeat)
	defer heartbeat.Stop()
	for {
		select {
		case a := <-done:
			return a.model, a.release, a.err
		case <-heartbeat.C:
			err := p.out.Ping()
			if err == nil {
				continue
			}
			// A client that is gone or does not read. What comes of the wait is not for it.
			cancel()
			if a := <-done; a.err == nil {
				a.release()
			}
			return served{}, nil, context.Canceled
		}
	}
}
