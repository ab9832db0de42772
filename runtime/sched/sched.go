// Package sched decides which sequences take part in the next step and with how many tokens. It is logic only: no
// goroutines, no clock (the time is an argument), no tokens and no device. The engine calls it under one lock. The
// package imports runtime/kv, nothing else of ours.
//
// Admission. A waiting sequence starts when a slot is free and the KV blocks it needs are. Keys (API clients) take turns;
// within a key the order is first come, first served. A sequence at the head that does not fit yet is not overtaken, so a
// large one starts as soon as enough others have ended.
//
// Credit. A sequence starts with blocks for what is known of it and a little more, and gets others as it grows. That fills the
// memory better, since most answers end long before they must. When it is short, the sequence that was admitted last gives
// its blocks back and waits (credit.go). It starts again before any other does, finds of its text what has not been
// overwritten, and runs the rest anew. The oldest sequence can take from all others, so it always ends, then the next does:
// none waits for ever.
//
// Batching. Every started sequence moves on in every step. Those with a single token left to run (the usual decode)
// get it first. The rest of the step's tokens go to prompts: one token each, then equal shares for the keys, and
// within a key for its sequences, where the share that a short prompt does not need passes to the longer ones. So a
// short prompt behind a long one is through after a few steps. The caller, who knows what tokens take, may bound those of
// prompts further (Limit), so that no step holds others up for long; each prompt still gets its one token.
//
// Reuse. What is cached of a text can be found under its hashes (Seq.Chain), while a sequence runs and afterwards until
// its blocks are needed. A sequence that starts takes the blocks it finds for the beginning of its prompt, asks only for
// what is missing, and runs what is left: at least its last token, for the logits. Sequences that may have to run
// everything anew (Seq.Turns) can be found only when they have ended, and reserve blocks for what they found as well: they
// save time, not memory.
//
// Choices. A sequence may have children: sequences with the same prompt, which wait until it has been run, once, and
// then start behind it (Add, Work). They hold its blocks from that moment on, so that the parent may end before the last
// of them starts. Full blocks are only read from then on; the block where the prompt ends is copied for everyone who
// writes to it. Blocks that waiting children hold could keep all others from starting for ever, and them from being
// freed; so when nothing runs and the sequence whose turn it is does not fit, a child that does may overtake it. One
// always fits: it needs no more than its parent had.
//
// Drafts. A caller may propose how a sequence goes on (Seq.Draft). Steps without prompts take the proposed tokens along
// behind its last known one, as far as there are tokens and outputs; what the logits behind each say decides which of them
// become known (Accept). The cache holds the others as well then, at positions that the next tokens write to again.
//
// Outputs. A device selects at most Config.Outputs rows of a step for logits. Each running sequence owns one of them; a
// prompt whose scores are wanted (Seq.Rows) owns an equal share of the others besides, and gets no more tokens in a step
// than it has rows for. So it never takes from an answer what that needs, and with a single output to each sequence it
// still gets through, a token a step.
package sched

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"aquifer/runtime/kv"
)

// Errors of Add and reasons of Expired.
var (
	ErrFull         = errors.New("sched: the queue is full")
	ErrQueueTimeout = errors.New("sched: waited too long in the queue")
	ErrDeadline     = errors.New("sched: the deadline has passed")
)

// Config has the limits of a scheduler.
type Config struct {
	Seqs         int           // sequences that run at a time, at least 1
	StepTokens   int           // tokens of a step, at least Seqs
	MixTokens    int           // prompt tokens of a step in which other sequences decode, at least 1; it bounds their delay
	Outputs      int           // rows of a step that may be selected for logits, at least Seqs; 0 means Seqs
	Queue        int           // sequences that may wait when all slots are taken; children don't count
	QueueTimeout time.Duration // longest wait; 0 means no limit
}

// Seq is one sequence. The caller fills in the first fields before Add and then leaves it to the scheduler.
type Seq struct {
	Key      string    // whose turn it is; sequences of one client share a key
	Len      int       // tokens known so far: first the prompt, then Append adds
	Max      int       // tokens it may grow to
	Rows     int       // how many of its first Len tokens need logits, counted from the last; 0 means that one only
	Cut      int       // no step has tokens on both sides of this position; 0 for none
	Draft    int       // tokens proposed for the next round, which sets it to 0
	Deadline time.Time // it is expired from then on, waiting or running; zero means none
	Apart    bool      // a child that runs its prompt itself
	Turns    bool      // it may be rewound; not for one with children but those apart
	Owner    any       // the caller's

	// Chain has the hashes of the full blocks of its tokens, the first at least: cached contents are found and made known
	// under them. The caller appends to it as the text grows; nil finds nothing and makes nothing known.
	Chain []kv.Hash
	Hit   int // tokens of the prompt that were found when it started
	Slot  int // while it runs, its place among Config.Seqs

	Table kv.Table // blocks for Len positions at least while it runs; of a waiting child, those of the prompt

	state state
	lane  *lane
	done  int       // tokens that have been run
	from  int       // the first token that needs logits
	until time.Time // end of the wait, zero for none
	most  int       // tokens that the outputs of the round being made allow it
	grant int       // known tokens in that round
	tried int       // proposed ones

	child    bool
	parent   *Seq    // whose prompt it waits for; nil when it may start
	children []*Seq  // that wait for its prompt
	spare    []int32 // blocks it holds besides those of the table
	forked   bool    // its prompt was run by its parent, and the token behind is not known yet

	order int64 // of its first admission
	ran   int   // tokens that have been run before it had to give its blocks back

	published int // blocks of the table whose contents were made known, or found
}

type state uint8

const (
	idle state = iota // before Add, after the end
	waiting
	running
	paused // had to give its blocks back
)

// Running reports whether the sequence has been admitted, holds its blocks and has not ended.
func (s *Seq) Running() bool { return s.state == running }

// Done returns how many of its tokens have been run or were found.
func (s *Seq) Done() int { return s.done }

// left returns the number of known tokens that still have to be run.
func (s *Seq) left() int { return s.Len - s.done }

// rows returns how many of its next n tokens need logits.
func (s *Seq) rows(n int) int { return max(s.done+n-max(s.done, s.from), 0) }

// lane holds the sequences of a key.
type lane struct {
	key     string
	waiting []*Seq // first come first
	running int    // those that are paused included

	round uint64 // in which want and share are meant
	want  int    // prompt tokens
	share int
}

// Scheduler is the state of all sequences from Add until they end.
type Scheduler struct {
	cfg     Config
	pool    *kv.Pool
	lanes   map[string]*lane // those with waiting or running sequences
	turns   []*lane          // those with waiting ones, the next to be served first
	waiting int
	brood   int    // children among the waiting
	running []*Seq // in order of first admission
	paused  []*Seq // likewise
	alone   int    // tokens of prompts in a step, if nothing else runs in it
	mixed   int    // and if other sequences decode
	pauses  int64  // since the start
	admits  int64  // likewise, without those that start again
	slots   []bool // taken
	copies  []Copy // to be made before the next step

	round   uint64
	prompts []*Seq  // scratch of share
	claims  []*lane // likewise
	expired []Expired
	out     Round
}

// New returns a scheduler that takes KV blocks from pool. It panics if the limits break the rules of Config.
func New(cfg Config, pool *kv.Pool) *Scheduler {
	if cfg.Outputs == 0 {
		cfg.Outputs = cfg.Seqs
	}
	if cfg.Seqs < 1 || cfg.StepTokens < cfg.Seqs || cfg.MixTokens < 1 || cfg.Outputs < cfg.Seqs || cfg.Queue < 0 ||
		cfg.QueueTimeout < 0 {
		panic(fmt.Sprintf("sched: invalid limits %+v", cfg))
	}
	return &Scheduler{
		cfg: cfg, pool: pool, lanes: map[string]*lane{}, slots: make([]bool, cfg.Seqs), alone: cfg.StepTokens, mixed: cfg.MixTokens,
	}
}

// Limit bounds how many tokens prompts get in the rounds to come: alone in steps that run nothing else, mixed in those in
// which other sequences decode. More than Config.StepTokens and Config.MixTokens change nothing, and every prompt gets a
// token whatever the limit.
func (s *Scheduler) Limit(alone, mixed int) {
	s.alone, s.mixed = min(alone, s.cfg.StepTokens), min(mixed, s.cfg.MixTokens)
}

// Waiting returns the number of sequences that wait for their first step, or for memory to go on.
func (s *Scheduler) Waiting() int { return s.waiting + len(s.paused) }

// Running returns the number of admitted sequences that have not had to give their blocks back.
func (s *Scheduler) Running() int { return len(s.running) }

// Pauses returns how often a sequence had to give its blocks back.
func (s *Scheduler) Pauses() int64 { return s.pauses }

// All calls f for every sequence, running or waiting.
func (s *Scheduler) All(f func(*Seq)) {
	for _, q := range s.running {
		f(q)
	}
	for _, q := range s.paused {
		f(q)
	}
	for _, l := range s.turns {
		for _, q := range l.waiting {
			f(q)
		}
	}
}

// Add queues a sequence and its children, all or none. It fails with ErrFull if too many wait already (a sequence for
// which there is a free slot does not count), and in other ways if the sequence could never run. Children have the same
// Key, Len and Max and no Rows; there is no limit to their wait in the queue, since their parent runs.
func (s *Scheduler) Add(q *Seq, now time.Time, children ...*Seq) error {
	if err := s.check(q); err != nil {
		return err
	}
	for _, c := range children {
		if err := s.check(c); err != nil {
			return err
		}
		if c.Turns && !c.Apart || q.Turns && !c.Apart || c.Key != q.Key || c.Len != q.Len || c.Max != q.Max || c.Rows != 0 || !c.Apart && Together(q.Max) > s.pool.Total() {
			return fmt.Errorf("sched: a sequence of %d to %d tokens cannot be a child of one of %d to %d", c.Len, c.Max, q.Len, q.Max)
		}
	}
	if s.waiting-s.brood-max(s.cfg.Seqs-len(s.running)-len(s.paused), 0) >= s.cfg.Queue {
		return ErrFull
	}
	s.enqueue(q)
	if s.cfg.QueueTimeout > 0 {
		q.until = now.Add(s.cfg.QueueTimeout)
	}
	for _, c := range children {
		s.enqueue(c)
		c.child = true
		s.brood++
		if !c.Apart {
			c.parent = q
			q.children = append(q.children, c)
		}
	}
	return nil
}

// Together returns the KV blocks that must exist for sequences of at most so many tokens to share a prompt: those of
// one, and one for the block where the prompt ends.
func Together(most int) int { return kv.Blocks(most) + 1 }

// check reports whether a sequence could run.
func (s *Scheduler) check(q *Seq) error {
	switch {
	case q.state != idle:
		return errors.New("sched: the sequence has been added already")
	case q.Len < 1 || q.Max < q.Len:
		return fmt.Errorf("sched: a sequence of %d tokens that may grow to %d", q.Len, q.Max)
	case q.Rows < 0 || q.Rows > q.Len:
		return fmt.Errorf("sched: %d of %d tokens need logits", q.Rows, q.Len)
	case kv.Blocks(q.Max) > s.pool.Total():
		return fmt.Errorf("sched: a sequence of %d tokens needs %d KV blocks of %d", q.Max, kv.Blocks(q.Max), s.pool.Total())
	}
	return nil
}

func (s *Scheduler) enqueue(q *Seq) {
	l := s.lanes[q.Key]
	if l == nil {
		l = &lane{key: q.Key}
		s.lanes[q.Key] = l
	}
	if len(l.waiting) == 0 {
		s.turns = append(s.turns, l)
	}
	l.waiting = append(l.waiting, q)
	s.waiting++
	q.state, q.lane, q.done, q.from, q.until = waiting, l, 0, q.Len-max(q.Rows, 1), time.Time{}
	q.child, q.parent, q.children, q.forked, q.Hit, q.published, q.ran = false, nil, nil, false, 0, 0, 0
}

// Ran records that a share of the last round has been run. It does nothing if the sequence has ended since.
func (s *Scheduler) Ran(w Work) {
	q := w.Seq
	if q.state != running {
		return
	}
	q.done += w.N - w.Draft
	if !q.Turns {
		s.publish(q)
	}
	if len(q.children) > 0 && q.left() == 0 {
		s.fork(q)
	}
}

// Append records that a running sequence, all of whose tokens have been run, got one more.
func (s *Scheduler) Append(q *Seq) {
	if q.state != running || q.left() != 0 || q.Len == q.Max {
		panic(fmt.Sprintf("sched: append to a sequence in state %d with %d of %d tokens, %d run", q.state, q.Len, q.Max, q.done))
	}
	q.Len++
	q.forked = false
}

// Accept records that a running sequence, all of whose tokens have been run, got one more, which was run as a proposed one.
func (s *Scheduler) Accept(q *Seq) {
	s.Append(q)
	q.done++
}

// Singles calls f for every running sequence that has a single token left to run: those that may propose more.
func (s *Scheduler) Singles(f func(*Seq)) {
	for _, q := range s.running {
		if q.left() == 1 && len(q.children) == 0 {
			f(q)
		}
	}
}

// publish makes known what the full blocks of a sequence hold.
func (s *Scheduler) publish(q *Seq) {
	for n := min(len(q.Chain), q.done/kv.BlockSize); q.published < n; q.published++ {
		var before kv.Hash
		if q.published > 0 {
			before = q.Chain[q.published-1]
		}
		s.pool.Publish(q.Table.Blocks[q.published], q.Chain[q.published], before)
	}
}

// Rewind makes a running sequence, one that Turns, run all of its tokens once more, to choose the next one: what is
// cached of them no longer counts. It keeps its blocks but those it found, and does not turn again. Its Chain is nil
// then; the caller may set one for what it will hold.
func (s *Scheduler) Rewind(q *Seq) {
	if q.state != running {
		return
	}
	if !q.Turns {
		panic("sched: a sequence is rewound that was not said to turn")
	}
	for i, b := range q.spare {
		s.pool.Release(q.Table.Blocks[i])
		q.Table.Blocks[i] = b
	}
	q.spare = nil
	q.done, q.from, q.published, q.Chain, q.Turns, q.ran = 0, q.Len-1, 0, nil, false, q.done
}

// End removes a sequence, waiting or running, and frees its blocks. It does nothing if the sequence has ended. Children
// that wait for its prompt run it themselves.
func (s *Scheduler) End(q *Seq) {
	l := q.lane
	switch q.state {
	case idle:
		return
	case waiting:
		s.dequeue(l, slices.Index(l.waiting, q))
	case running:
		s.leave(q)
		l.running--
	case paused:
		i := slices.Index(s.paused, q)
		s.paused = slices.Delete(s.paused, i, i+1)
		l.running--
	}
	s.pool.Drop(&q.Table)
	s.dropSpare(q)
	for _, c := range q.children {
		if c.parent == q {
			c.parent = nil
		}
	}
	q.state, q.lane, q.parent, q.children = idle, nil, nil, nil
	if l.running == 0 && len(l.waiting) == 0 {
		delete(s.lanes, l.key)
	}
}

// leave takes a sequence out of the running ones.
func (s *Scheduler) leave(q *Seq) {
	i := slices.Index(s.running, q)
	s.running = slices.Delete(s.running, i, i+1)
	s.slots[q.Slot] = false
	s.publish(q)
}

// dequeue takes the i-th waiting sequence out of a lane.
func (s *Scheduler) dequeue(l *lane, i int) {
	if l.waiting[i].child {
		s.brood--
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	s.waiting--
	if len(l.waiting) == 0 {
		i := slices.Index(s.turns, l)
		s.turns = slices.Delete(s.turns, i, i+1)
	}
}

// Expire removes the sequences whose time is over and returns them. The caller calls it before each Round and ends what
// belongs to them first: a child whose parent is gone could start in that round otherwise. The result is valid until the
// next call.
func (s *Scheduler) Expire(now time.Time) []Expired {
	s.expired = s.expired[:0]
	past := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	s.All(func(q *Seq) {
		switch {
		case past(q.Deadline):
			s.expired = append(s.expired, Expired{q, ErrDeadline})
		case q.state == waiting && past(q.until):
			s.expired = append(s.expired, Expired{q, ErrQueueTimeout})
		}
	})
	for _, e := range s.expired {
		s.End(e.Seq)
	}
	return s.expired
}
