package host

import "time"

// Phase is where a model is on its way through the host.
type Phase uint8

// Phases.
const (
	Loading Phase = iota // or waiting for its turn to be loaded
	Ready
	Unloading
)

func (p Phase) String() string { return [...]string{"loading", "ready", "unloading"}[p] }

// entry is a model that is in the host. Host.mu guards it.
type entry[M any] struct {
	id          string
	born        int64 // number of the use that brought it
	phase       Phase
	model       M // from Ready on
	done, total int64
	err         error // why it could not be loaded; the entry is out of the host then

	waiters int // who wait for it, whether for the load or for the room
	users   int // who hold it
	lastUse int64
	keep    time.Duration
	until   time.Time
	timer   *time.Timer // ends the rest; nil if there is none

	leaving bool // who asks now waits until it is gone, and then for its return
	broken  bool // and that is not taken back
}

// take hands the model to one more user. Host.mu is held.
func (h *Host[M]) take(e *entry[M], keep *time.Duration) (release func()) {
	if keep != nil {
		e.keep = *keep
	}
	e.users++
	h.uses++
	e.lastUse = h.uses
	h.wake(e)
	if len(h.queue) > 0 {
		h.broadcast() // for evict, which lets waiters in
	}
	released := false
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if released {
			return
		}
		released = true
		e.users--
		h.uses++
		e.lastUse = h.uses
		h.rest(e)
		h.broadcast()
	}
}

// wake ends the rest of a model. Host.mu is held.
func (h *Host[M]) wake(e *entry[M]) {
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	e.until = time.Time{}
}

// idle reports whether nobody uses the model, nor is about to. Who waits until it is gone does not count.
func (e *entry[M]) idle() bool {
	return e.phase == Ready && e.users == 0 && (e.waiters == 0 || e.leaving)
}

// rest decides how long a model stays that nobody uses any more. Host.mu is held.
func (h *Host[M]) rest(e *entry[M]) {
	if !e.idle() || h.closing {
		return
	}
	h.wake(e)
	switch {
	case e.broken:
		h.drop(e)
	case h.pinned[e.id] || e.leaving || e.keep < 0:
		// Kept, or about to be unloaded by the load that needs its room.
	case e.keep == 0:
		h.drop(e)
	default:
		e.until = time.Now().Add(e.keep)
		var timer *time.Timer
		timer = time.AfterFunc(e.keep, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if e.timer == timer && e.idle() && !h.closing {
				h.drop(e)
			}
		})
		e.timer = timer
	}
}

// retire lets a broken model go as soon as its users have. Host.mu is held.
func (h *Host[M]) retire(e *entry[M]) {
	e.leaving, e.broken = true, true
	h.rest(e)
}

// drop unloads an idle model in the background. Host.mu is held.
func (h *Host[M]) drop(e *entry[M]) {
	h.wake(e)
	e.phase = Unloading
	h.work.Go(func() { h.unload(e) })
}

// hurry tells who unloads a model, if somebody does, that it is waited for. Host.mu is held.
func (h *Host[M]) hurry(e *entry[M]) {
	if e.phase == Unloading && h.cfg.Hurry != nil {
		h.cfg.Hurry(e.model)
	}
}

// unload is the goroutine that unloads a model, which is in the phase Unloading.
func (h *Host[M]) unload(e *entry[M]) {
	h.cfg.Unload(e.model)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.entries, e.id)
	if h.pinned[e.id] && !h.closing {
		h.begin(e.id) // it was broken
	}
	h.broadcast()
}
