package engine

import (
	"time"

	"aquifer/runtime/sched"
)

// Stats are counters since the start, and what is at the moment.
type Stats struct {
	Running, Queued  int
	KVBlocks, KVFree int
	Steps            int64
	KVKnown          int   // blocks, free or not, whose contents could be used again
	KVCached         int   // the free ones of those
	Prefill, Decoded int64 // tokens: of prompts that were run, of answers that were generated
	Drafted          int64 // proposed tokens that steps have tried
	Accepted         int64 // those of them that answers got
	Reused           int64 // tokens of prompts that were not run, because they were cached
	Again            int64 // tokens that were run once more: of long sequences, and of those that had to wait for memory
	Paused           int64 // how often that happened
	Stopped, Cut     int64 // answers that ended with FinishStop and with FinishLength; a request may have several
	Called           int64 // with FinishCalls
	Finished         int64 // requests by how they ended, this and the next four
	Cancelled        int64
	Expired          int64 // queue timeout or deadline
	Failed           int64
	Refused          int64 // queue full
	Panics           int64

	QueueWait  Histogram // of answers, from the request to the first step
	FirstToken Histogram // of answers, from the request to the first token
	TokenGap   Histogram // of tokens but an answer's first, from the one before
}

// HistogramBounds are the upper bounds of a Histogram's buckets, in seconds and inclusive; above the last one there is
// one more bucket.
var HistogramBounds = [...]float64{
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
}

// Histogram counts durations. It is a value: copying it takes no memory.
type Histogram struct {
	Buckets [len(HistogramBounds) + 1]uint64 // each counts what lies above the bound before
	Sum     time.Duration
}

// add counts a duration n times.
func (h *Histogram) add(d time.Duration, n uint64) {
	i := 0
	for s := d.Seconds(); i < len(HistogramBounds) && s > HistogramBounds[i]; {
		i++
	}
	h.Buckets[i] += n
	h.Sum += d * time.Duration(n)
}

// Count returns how many durations were counted.
func (h *Histogram) Count() uint64 {
	n := uint64(0)
	for _, b := range h.Buckets {
		n += b
	}
	return n
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Running, s.Queued, s.Paused = e.sched.Running(), e.sched.Waiting(), e.sched.Pauses()
	s.KVBlocks, s.KVFree, s.KVKnown, s.KVCached = e.pool.Total(), e.pool.Free(), e.pool.Known(), e.pool.Cached()
	return s
}

// tally counts the tokens that an answer got from a step. Engine.mu is held.
func (e *Engine) tally(q *sequence, o outcome) {
	now, more := e.loop.now, o.tokens
	e.stats.Decoded += int64(more)
	e.stats.Accepted += int64(o.right)
	if more > 0 && q.last.IsZero() {
		e.stats.FirstToken.add(now.Sub(q.created), 1)
		q.last = now
		more--
	}
	if more > 0 {
		e.stats.TokenGap.add(now.Sub(q.last)/time.Duration(more), uint64(more))
		q.last = now
	}
	switch {
	case q.raw:
	case o.finish == FinishStop:
		e.stats.Stopped++
	case o.finish == FinishLength:
		e.stats.Cut++
	case o.finish == FinishCalls:
		e.stats.Called++
	}
}

// Slot is one of the places for sequences that run, as a monitor sees it. Nothing of the text is in it.
type Slot struct {
	Busy      bool
	Sequence  int64 // which answer since the start has it, or had it last; 0 for none yet
	Prompt    int   // tokens
	Cached    int   // of them
	Run       int   // tokens of the prompt that have been run or were cached
	Generated int   // tokens
	Left      int   // tokens that the answer may still have
	Sampling  Sampling
}

// Slots describes Config.MaxSeqs places. A sequence keeps its place while it runs.
func (e *Engine) Slots() []Slot {
	e.mu.Lock()
	defer e.mu.Unlock()
	slots := make([]Slot, e.cfg.MaxSeqs)
	e.sched.All(func(s *sched.Seq) {
		if s.Running() {
			q := s.Owner.(*sequence)
			slots[s.Slot] = Slot{
				Busy: true, Sequence: q.number, Prompt: q.prompt, Cached: s.Hit, Run: min(s.Done(), q.prompt),
				Generated: s.Len - q.prompt, Left: s.Max - s.Len, Sampling: q.params,
			}
		}
	})
	return slots
}
