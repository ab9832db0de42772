package sched

import (
	"cmp"
	"slices"

	"aquifer/runtime/kv"
)

// ahead is how many tokens more than it has a sequence gets blocks for when it starts. A smaller number would
// have sequences start that must give their blocks back after a few steps.
const ahead = 2 * kv.BlockSize

// extent is the length that a sequence must have blocks for when it starts.
func (s *Scheduler) extent(q *Seq) int { return min(q.Len+ahead, q.Max) }

// fits reports whether there are blocks for a sequence to start, and one left over for each of those that run.
func (s *Scheduler) fits(q *Seq) bool { return s.missing(q)+len(s.running) <= s.pool.Free() }

// byOrder sorts by first admission: the older sequence comes first.
func byOrder(a, b *Seq) int { return cmp.Compare(a.order, b.order) }

// supply gives running sequences the blocks that their next tokens need, the oldest first. What there is not, the youngest
// have to give back.
func (s *Scheduler) supply() {
	for i := 0; i < len(s.running); i++ {
		q := s.running[i]
		for q.state == running && !s.pool.Grow(&q.Table, q.Len) {
			s.reclaim()
		}
		// Proposed tokens are worth a block, but nobody else's.
		if q.state == running && q.Draft > 0 && s.pool.Free() > len(s.running) {
			s.pool.Grow(&q.Table, min(q.Len+min(q.Draft, kv.BlockSize), q.Max))
		}
	}
}

// reclaim frees blocks: those of a child that waits behind its parent's prompt, or those of the youngest running sequence.
// Every call leaves less to give, and a sequence that runs alone has enough.
func (s *Scheduler) reclaim() {
	if !s.unfork() {
		s.pause(s.running[len(s.running)-1])
	}
}

// unfork takes its parent's prompt from a waiting child, which runs it itself then. It reports false if there is none.
func (s *Scheduler) unfork() bool {
	for _, l := range s.turns {
		for i := len(l.waiting) - 1; i >= 0; i-- {
			if c := l.waiting[i]; c.forked {
				s.pool.Drop(&c.Table)
				c.forked, c.done, c.published = false, 0, 0
				return true
			}
		}
	}
	return false
}

// pause takes the blocks of a running sequence. What is known of its text stays; all of it is run again later, but what can
// still be found then. Rows that have been scored are not asked for again.
func (s *Scheduler) pause(q *Seq) {
	s.leave(q)
	s.pool.Drop(&q.Table)
	s.dropSpare(q)
	q.from, q.ran, q.done, q.published = max(q.from, q.done), max(q.ran, q.done), 0, 0
	q.state = paused
	place, _ := slices.BinarySearchFunc(s.paused, q, byOrder)
	s.paused = slices.Insert(s.paused, place, q)
	s.pauses++
}

// resume lets the oldest paused sequence go on, if there are blocks for it.
func (s *Scheduler) resume() bool {
	q := s.paused[0]
	for !s.obtain(q) {
		if len(s.running) > 0 || !s.unfork() {
			return false
		}
	}
	s.paused = slices.Delete(s.paused, 0, 1)
	s.run(q)
	return true
}
