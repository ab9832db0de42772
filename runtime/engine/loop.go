package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"aquifer/backends"
	"aquifer/runtime/sample"
	"aquifer/runtime/sched"
)

// loopState is the memory of the loop, kept from step to step so that a step makes no garbage.
type loopState struct {
	step     backends.Step
	work     []sched.Work
	copies   []sched.Copy
	outcomes []outcome // by work
	text     []byte
	began    time.Time         // when the step began
	now      time.Time         // when its logits came
	pace     pace              // of steps without prompts
	stride   stride            // of those with
	samplers []*sample.Sampler // of ended sequences, for the next ones; guarded by Engine.mu
}

// outcome is what a step brought a sequence.
type outcome struct {
	open   bool   // it wants its logits
	tokens int    // that its answer got
	right  int    // proposed ones among them
	finish Finish // of the answer; "" if it goes on
	err    error  // why the answer cannot go on
}

// step runs one step, waiting for work if there is none. It reports false when the engine is closing and idle.
func (e *Engine) step() bool {
	if !e.gather() {
		return false
	}
	e.loop.began = time.Now()
	e.build()
	if err := e.exec(); err != nil {
		e.failStep(fmt.Errorf("engine: step failed: %w", err))
		return true
	}
	e.record()
	e.loop.now = time.Now()
	e.choose(e.loop.now)
	if width, ok := timed(e.loop.work); ok && e.cfg.Speculate > 0 {
		e.loop.pace.add(width, time.Since(e.loop.began))
	}
	if tokens, ok := prefills(e.loop.work); ok {
		e.loop.stride.add(tokens, e.loop.now.Sub(e.loop.began))
	}
	e.commit()
	return true
}

// gather asks the scheduler for the next step's work.
func (e *Engine) gather() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		now := time.Now()
		for _, x := range e.sched.Expire(now) {
			err := ErrQueueTimeout
			if errors.Is(x.Err, sched.ErrDeadline) {
				err = context.DeadlineExceeded
			}
			e.end(x.Seq.Owner.(*sequence).request, err)
		}
		if e.cfg.Speculate > 0 {
			e.speculate()
		}
		e.limit()
		r := e.sched.Round()
		if len(r.Work) > 0 {
			for _, w := range r.Work {
				q := w.Seq.Owner.(*sequence)
				if q.started.IsZero() {
					e.start(q, now)
				}
				if w.Pos >= q.Cut && q.timed.IsZero() {
					q.timed = now
				}
			}
			e.loop.work, e.loop.copies, e.stepping = r.Work, r.Copies, true
			return true
		}
		if e.closing {
			return false
		}
		e.work.Wait()
	}
}

// start readies a sequence for its first step.
func (e *Engine) start(q *sequence, now time.Time) {
	q.started, q.request.begun = now, true
	e.stats.Reused += int64(q.Hit)
	e.started++
	q.number = e.started
	if q.raw {
		return
	}
	e.stats.QueueWait.add(now.Sub(q.created), 1)
	if n := len(e.loop.samplers); n > 0 {
		q.sampler = e.loop.samplers[n-1]
		e.loop.samplers = e.loop.samplers[:n-1]
		q.sampler.Reset(q.params)
	} else {
		v := sample.Vocab{Size: e.info.Vocab}
		if e.cfg.Tokenizer != nil {
			v.Text = e.cfg.Tokenizer.Text
		}
		q.sampler = sample.New(q.params, v)
	}
}

// build writes the work down as a step.
func (e *Engine) build() {
	s := &e.loop.step
	s.Tokens, s.Runs, s.Out = s.Tokens[:0], s.Runs[:0], s.Out[:0]
	s.Logits, s.Features = nil, nil
	for _, w := range e.loop.work {
		if w.N == 0 {
			continue // its prompt has been run for it
		}
		q := w.Seq.Owner.(*sequence)
		s.Tokens = append(s.Tokens, q.tokens[w.Pos:w.Pos+w.N-w.Draft]...)
		s.Tokens = append(s.Tokens, q.draft.proposal[:w.Draft]...)
		s.Runs = append(s.Runs, backends.Run{Pos: w.Pos, N: w.N, Blocks: w.Seq.Table.Blocks, Length: len(q.tokens) + w.Draft})
		for row := len(s.Tokens) - w.Rows; row < len(s.Tokens); row++ {
			s.Out = append(s.Out, int32(row))
		}
	}
}

// exec makes the copies and runs the step on the device.
func (e *Engine) exec() error {
	for _, c := range e.loop.copies {
		if err := e.prog.CopyBlock(int(c.Dst), int(c.Src)); err != nil {
			return err
		}
	}
	s := &e.loop.step
	if len(s.Tokens) == 0 {
		return nil // all of its sequences only start
	}
	if err := e.prog.Run(s); err != nil {
		return err
	}
	if want := len(s.Out) * e.info.Vocab; len(s.Logits) != want {
		return fmt.Errorf("the backend returned %d logits, expected %d", len(s.Logits), want)
	}
	return nil
}

// failStep fails all sequences of a step. The others, and the engine, go on.
func (e *Engine) failStep(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stepping = false
	e.stats.Steps++
	for _, w := range e.loop.work {
		q := w.Seq.Owner.(*sequence)
		e.end(q.request, err)
		e.release(q)
	}
}

// record tells the scheduler what has been run and notes who still wants a token.
func (e *Engine) record() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.Steps++
	e.loop.outcomes = e.loop.outcomes[:0]
	for _, w := range e.loop.work {
		e.sched.Ran(w)
		q := w.Seq.Owner.(*sequence)
		e.stats.Prefill += int64(max(min(w.Pos+w.N, q.prompt)-w.Pos-w.Again, 0))
		e.stats.Again += int64(w.Again)
		e.stats.Drafted += int64(w.Draft)
		e.loop.outcomes = append(e.loop.outcomes, outcome{open: (w.Rows > 0 || w.N == 0) && !q.ended})
	}
}

// choose picks the next tokens. It holds no lock: requests come and go meanwhile.
func (e *Engine) choose(now time.Time) {
	rest := e.loop.step.Logits
	for i, w := range e.loop.work {
		n := w.Rows * e.info.Vocab
		logits := rest[:n]
		rest = rest[n:]
		q, o := w.Seq.Owner.(*sequence), &e.loop.outcomes[i]
		switch {
		case !o.open:
		case q.score != nil:
			q.scores = logProbs(q.scores, q.score[len(q.scores):], logits, e.info.Vocab)
			if w.Logits {
				q.request.stream.deliver(nil, q.scores)
				o.finish = FinishStop
			}
		case q.raw:
			q.request.stream.deliver(slices.Clone(logits), nil)
			o.finish = FinishStop
		default:
			*o = e.verify(q, w.Draft, logits, now)
		}
	}
}

// verify chooses the next token of an answer and, as long as that is what was proposed, the one behind it: the step has run
// the proposed tokens, so the logits behind each are there (rows of vocab). Every token is chosen from the same logits and
// with the same draws as without proposals.
func (e *Engine) verify(q *sequence, tried int, logits []float32, now time.Time) outcome {
	o, proposal := outcome{open: true}, q.draft.proposal
	for {
		row := logits
		if tried > 0 {
			row = logits[o.tokens*e.info.Vocab : (o.tokens+1)*e.info.Vocab]
		}
		o.finish, e.loop.text, o.err = q.advance(q.request.first(q, row), e.loop.text[:0], now)
		if o.err != nil {
			return o
		}
		if o.tokens++; o.finish != "" || o.tokens > tried || q.tokens[len(q.tokens)-1] != proposal[o.tokens-1] {
			break
		}
		o.right++
	}
	q.draft.count(tried, o.right)
	if o.finish == "" {
		q.draft.follow(q.tokens, o.tokens)
	}
	return o
}

// commit tells the scheduler what became of the sequences.
func (e *Engine) commit() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stepping = false
	for i, w := range e.loop.work {
		q, o := w.Seq.Owner.(*sequence), e.loop.outcomes[i]
		e.tally(q, o)
		if o.err != nil && !q.ended {
			e.end(q.request, o.err)
		}
		switch {
		case q.ended: // while the step ran, or by its own error
			e.release(q)
		case o.finish != "":
			e.release(q)
			if q.request.open == 0 {
				e.stats.Finished++
			}
		case o.tokens > 0:
			e.grow(q, o.tokens)
		}
	}
}
