package engine

import (
	"context"
	"errors"
	"slices"

	"aquifer/runtime/kv"
	"aquifer/runtime/sched"
)

// request is what one caller waits for: a sequence, or several that answer the same prompt. They end together unless
// they end well. Engine.mu guards the first group of fields; the others belong to the loop.
type request struct {
	seqs    []*sequence
	open    int         // sequences that have not ended
	begun   bool        // one of them has been in a step
	unwatch func() bool // stops watching the caller's context
	stream  *Stream

	starts int       // sequences that will start behind the prompt when the first has run it
	logits []float32 // (vocab): those behind the prompt, for them
}

// first keeps the logits behind the prompt, which its first sequence has just run, and hands them to the others.
func (r *request) first(q *sequence, logits []float32) []float32 {
	switch {
	case r.starts == 0 || !q.first.IsZero():
		return logits
	case q.index == 0:
		r.logits = slices.Clone(logits)
		return logits
	}
	logits = r.logits
	if r.starts--; r.starts == 0 {
		r.logits = nil
	}
	return logits
}

// failAll fails the requests that match. Engine.mu is held.
func (e *Engine) failAll(err error, match func(*request) bool) {
	var list []*request
	e.sched.All(func(s *sched.Seq) {
		if r := s.Owner.(*sequence).request; match(r) {
			list = append(list, r)
		}
	})
	for _, r := range list {
		e.end(r, err) // a second time does nothing
	}
}

// end takes a request out, with an error for its stream unless that has its end. Engine.mu is held.
func (e *Engine) end(r *request, err error) {
	if r.open == 0 {
		return
	}
	failed := r.stream.fail(err)
	if failed {
		switch {
		case errors.Is(err, context.Canceled):
			e.stats.Cancelled++
		case errors.Is(err, ErrQueueTimeout), errors.Is(err, context.DeadlineExceeded):
			e.stats.Expired++
		default:
			e.stats.Failed++
		}
	}
	for _, q := range r.seqs {
		if q.ended || !failed && e.stepping && q.Running() {
			continue // complete, and the loop is about to say so
		}
		e.release(q)
	}
}

// release forgets a sequence whose part of the stream has its end. Engine.mu is held.
func (e *Engine) release(q *sequence) {
	if !q.ended {
		q.ended = true
		if q.request.open--; q.request.open == 0 {
			q.request.unwatch()
			q.request.stream.cancel()
		}
	}
	if e.stepping && q.Running() {
		return // its blocks are in use; the loop releases them after the step
	}
	e.sched.End(&q.Seq)
	if q.sampler != nil {
		e.loop.samplers = append(e.loop.samplers, q.sampler)
		q.sampler = nil
	}
}

// abandon fails all requests after a panic. What the panic left of the scheduler is not trusted any more: streams are
// ended one by one, and an empty scheduler takes its place.
func (e *Engine) abandon() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken, e.stepping = true, false
	e.stats.Panics++
	e.sched.All(func(s *sched.Seq) {
		q := s.Owner.(*sequence)
		if q.request.stream.fail(ErrBroken) {
			e.stats.Failed++
		}
		q.ended, q.request.open = true, 0
		q.request.unwatch()
		q.request.stream.cancel()
	})
	e.pool = kv.NewPool(e.pool.Total())
	e.sched = e.newScheduler()
}
