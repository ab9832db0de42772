package host

import (
	"context"
	"errors"
	"slices"
)

// begin puts a model at the end of the queue of loads. Host.mu is held.
func (h *Host[M]) begin(id string) *entry[M] {
	h.uses++
	e := &entry[M]{id: id, born: h.uses, lastUse: h.uses, keep: h.cfg.Keep}
	h.entries[id] = e
	h.queue = append(h.queue, e)
	h.work.Go(func() { h.load(e) })
	return e
}

// errUnwanted ends a load that nobody waits for any more before it has begun.
var errUnwanted = errors.New("host: nobody waits for the model any more")

// load is the goroutine that loads a model when its turn has come and there is room.
func (h *Host[M]) load(e *entry[M]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.turn(e)
	for err == nil {
		if err = h.reduce(e); err != nil {
			break
		}
		last := h.victims(e) == 0
		if err = h.attempt(e, last); err == nil || last || !h.cfg.NoRoom(err) {
			break
		}
		err = h.evict(e)
	}
	h.leaveQueue(e)
	for _, other := range h.entries {
		if other.leaving && !other.broken { // its room was not needed in the end
			other.leaving = false
			h.rest(other)
		}
	}
	if err != nil {
		e.err = &LoadError{e.id, err}
		delete(h.entries, e.id)
	} else {
		e.phase = Ready
		h.rest(e)
	}
	h.broadcast()
}

// attempt loads the model. Host.mu is held, but not while it loads.
func (h *Host[M]) attempt(e *entry[M], last bool) error {
	h.mu.Unlock()
	model, err := h.cfg.Load(h.ctx, Load{ID: e.id, Last: last, Progress: func(done, total int64) {
		h.mu.Lock()
		e.done, e.total = done, total
		h.mu.Unlock()
	}})
	h.mu.Lock()
	if err == nil {
		e.model = model
	}
	return err
}

// turn waits until the model is the first of the queue. Host.mu is held.
func (h *Host[M]) turn(e *entry[M]) error {
	for h.queue[0] != e {
		if err := h.pause(e); err != nil {
			return err
		}
	}
	return h.open(e)
}

// pause waits until something has changed that may let a load go on. Host.mu is held.
func (h *Host[M]) pause(e *entry[M]) error {
	if err := h.open(e); err != nil {
		return err
	}
	return h.sleep(context.Background())
}

// open reports why a load that has not begun need not begin.
func (h *Host[M]) open(e *entry[M]) error {
	switch {
	case h.closing:
		return ErrClosed
	case e.waiters == 0 && !h.pinned[e.id]:
		return errUnwanted
	}
	return nil
}

func (h *Host[M]) leaveQueue(e *entry[M]) {
	h.queue = slices.DeleteFunc(h.queue, func(q *entry[M]) bool { return q == e })
}

// reduce unloads models until one more may be loaded. Host.mu is held.
func (h *Host[M]) reduce(e *entry[M]) error {
	if h.cfg.Max <= 0 || h.pinned[e.id] {
		return nil
	}
	for h.victims(e) >= h.cfg.Max {
		if err := h.evict(e); err != nil {
			return err
		}
	}
	return nil
}

// victims counts the models that can be unloaded for another, now or when their users have gone.
func (h *Host[M]) victims(e *entry[M]) int {
	n := 0
	for _, other := range h.entries {
		if other != e && other.phase != Loading && !h.pinned[other.id] {
			n++
		}
	}
	return n
}

// evict waits until one model less is loaded. It takes one that nobody uses, and of those the one that was used longest
// ago. If all are in use nobody new is let into the one that is next, so that it becomes free however many want it.
// Host.mu is held.
func (h *Host[M]) evict(e *entry[M]) error {
	for before := h.victims(e); before > 0 && h.victims(e) >= before; {
		if victim := h.victim(e); victim != nil && victim.idle() {
			h.drop(victim)
		} else if victim != nil && victim.users > 0 && victim.waiters == 0 {
			victim.leaving = true // but who has waited for it is let in first
		}
		for _, other := range h.entries {
			h.hurry(other)
		}
		if err := h.pause(e); err != nil {
			return err
		}
	}
	return nil
}

// victim chooses which model is to go; nil if one is about to. Host.mu is held.
func (h *Host[M]) victim(e *entry[M]) *entry[M] {
	var best *entry[M]
	for _, other := range h.entries {
		switch {
		case other == e || other.phase == Loading || h.pinned[other.id]:
		case other.phase == Unloading:
			return nil
		case best == nil, other.idle() && !best.idle(), other.idle() == best.idle() && other.lastUse < best.lastUse:
			best = other
		}
	}
	if best != nil && !best.idle() {
		for _, other := range h.entries {
			if other.leaving && other != e && !h.pinned[other.id] {
				return other // one at a time is asked to go
			}
		}
	}
	return best
}
