package host

import (
	"context"
	"time"
)

// patience returns a context that ends with ErrTimeout when the model has not come closer for all of Config.WaitTimeout.
// So nobody waits longer than that for a turn, for room, or for a load that stands still; one that goes on is waited for.
func (h *Host[M]) patience(ctx context.Context, id string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	seen := int64(0) // bytes that were there at the last look
	var timer *time.Timer
	h.mu.Lock() // until timer is set
	defer h.mu.Unlock()
	timer = time.AfterFunc(h.cfg.WaitTimeout, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if e := h.entries[id]; e != nil && e.phase == Loading && e.done != seen {
			seen = e.done
			timer.Reset(h.cfg.WaitTimeout)
			return
		}
		cancel(ErrTimeout)
	})
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}
