package sched

import (
	"slices"

	"aquifer/runtime/kv"
)

// admit starts waiting sequences while there are slots and blocks.
func (s *Scheduler) admit() {
	for len(s.running) < s.cfg.Seqs {
		if len(s.paused) > 0 {
			if !s.resume() {
				return
			}
			continue
		}
		l, i := s.first(func(q *Seq) bool { return q.parent == nil })
		if l == nil {
			return
		}
		if s.start(l, i) {
			continue
		}
		if len(s.running) > 0 {
			return
		}
		// Nothing runs, so what it waits for is held by children that wait themselves.
		l, i = s.first(func(q *Seq) bool { return q.forked && s.fits(q) })
		if l == nil || !s.start(l, i) {
			return
		}
	}
}

// first returns the lane whose turn it is among those with a sequence that will do, and the place of the first such
// sequence in it; nil if there is none.
func (s *Scheduler) first(ok func(*Seq) bool) (*lane, int) {
	for _, l := range s.turns {
		if i := slices.IndexFunc(l.waiting, ok); i >= 0 {
			return l, i
		}
	}
	return nil, 0
}

// missing returns how many free blocks a sequence needs to start.
func (s *Scheduler) missing(q *Seq) int {
	n := kv.Blocks(s.extent(q)) - len(q.Table.Blocks)
	if len(q.children) > 0 && q.Len%kv.BlockSize != 0 {
		n++ // the block where the prompt ends stays as it is for the children
	}
	if _, shared := s.end(q); shared {
		n++
	}
	if q.Turns {
		n += len(q.Table.Blocks) // those found are others'
	}
	return n
}

// find puts the blocks into the table of a sequence that are known to hold the beginning of its prompt, up to the first
// token that needs logits.
func (s *Scheduler) find(q *Seq) {
	for _, h := range q.Chain[:min(len(q.Chain), q.from/kv.BlockSize)] {
		block, ok := s.pool.Reuse(h)
		if !ok {
			return
		}
		q.Table.Blocks = append(q.Table.Blocks, block)
	}
}

// end returns the place in a forked sequence's table of the block where the prompt ends, and whether others hold it: who
// writes to it needs one of their own, then.
func (s *Scheduler) end(q *Seq) (place int, shared bool) {
	place = q.Len / kv.BlockSize
	return place, q.forked && place < len(q.Table.Blocks) && s.pool.Shares(q.Table.Blocks[place]) > 1
}

// obtain puts into a sequence's table what is known of its text and reports whether there are blocks for the rest of what it
// needs to start. If not, the table is as before.
func (s *Scheduler) obtain(q *Seq) bool {
	if q.forked {
		return s.fits(q)
	}
	s.find(q)
	if s.fits(q) {
		return true
	}
	s.pool.Drop(&q.Table)
	// What it finds may take room that a sequence which turns needs besides. If nothing else runs, it has to do without.
	return q.Turns && len(s.running) == 0 && s.fits(q)
}

// start admits the i-th waiting sequence of a lane, if there are blocks for it.
func (s *Scheduler) start(l *lane, i int) bool {
	q := l.waiting[i]
	if !s.obtain(q) {
		return false
	}
	if !q.forked {
		q.Hit = len(q.Table.Blocks) * kv.BlockSize
	}
	s.dequeue(l, i)
	l.running++
	// The lane goes to the end of the turns, unless it left them.
	if i := slices.Index(s.turns, l); i >= 0 {
		s.turns = append(slices.Delete(s.turns, i, i+1), l)
	}
	s.admits++
	q.order = s.admits
	s.run(q)
	return true
}

// run makes a sequence run that fits, with what was found of it in its table.
func (s *Scheduler) run(q *Seq) {
	if !q.forked {
		q.published = len(q.Table.Blocks)
		q.done = q.published * kv.BlockSize
	}
	if q.Turns {
		for range q.published {
			q.spare = append(q.spare, s.take())
		}
	}
	if len(q.children) > 0 && q.Len%kv.BlockSize != 0 {
		q.spare = append(q.spare, s.take())
	}
	if place, shared := s.end(q); shared {
		s.own(q, place, s.take())
	}
	s.pool.Grow(&q.Table, s.extent(q))
	q.state, q.Slot = running, slices.Index(s.slots, false)
	s.slots[q.Slot] = true
	place, _ := slices.BinarySearchFunc(s.running, q, byOrder)
	s.running = slices.Insert(s.running, place, q)
}

// take returns a block that is known to be free.
func (s *Scheduler) take() int32 {
	block, ok := s.pool.Alloc()
	if !ok {
		panic("sched: a block was counted that is not there")
	}
	return block
}

// own replaces a shared block of a sequence by a copy.
func (s *Scheduler) own(q *Seq, place int, block int32) {
	old := q.Table.Blocks[place]
	q.Table.Blocks[place] = block
	s.copies = append(s.copies, Copy{Dst: block, Src: old})
	s.pool.Release(old)
}

// fork gives the children of a sequence its prompt, which has just been run.
func (s *Scheduler) fork(q *Seq) {
	shared := false
	for _, c := range q.children {
		if c.parent != q {
			continue // ended
		}
		shared = true
		c.parent, c.forked, c.done, c.published = nil, true, c.Len, c.Len/kv.BlockSize
		c.Table.Blocks = slices.Clone(q.Table.Blocks[:kv.Blocks(q.Len)])
		for _, b := range c.Table.Blocks {
			s.pool.Retain(b)
		}
	}
	if shared && len(q.spare) > 0 {
		s.own(q, q.Len/kv.BlockSize, q.spare[0])
		q.spare = q.spare[:0]
	}
	s.dropSpare(q)
	q.children = nil
}

// dropSpare releases the blocks that a sequence holds besides its table.
func (s *Scheduler) dropSpare(q *Seq) {
	for _, b := range q.spare {
		s.pool.Release(b)
	}
	q.spare = nil
}
