// Package host keeps models loaded for as long as they are wanted: one is loaded when it is first asked for, stays while
// somebody uses it and for a time after that, and makes room for another when it has to. It knows names and times only:
// what a model is, how it is loaded and what it weighs is its caller's business. It imports nothing of ours.
package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Errors of Acquire; the others are those of its context and *LoadError.
var (
	ErrBusy    = errors.New("host: too many requests wait for models")
	ErrTimeout = errors.New("host: the model was not ready in time")
	ErrClosed  = errors.New("host: closed")
)

// LoadError says that a model could not be loaded. Everybody who waited for it gets the same one.
type LoadError struct {
	ID  string
	Err error
}

func (e *LoadError) Error() string { return fmt.Sprintf("loading %s: %v", e.ID, e.Err) }

// Unwrap returns why.
func (e *LoadError) Unwrap() error { return e.Err }

// Load is one attempt to load a model.
type Load struct {
	ID string
	// Last says that nothing more can be unloaded: the model has to do with the room there is, or fail.
	Last bool
	// Progress takes how much of the model is there, in bytes. It may be called from any goroutine.
	Progress func(done, total int64)
}

// Defaults of Config.
const (
	DefaultMaxWaiting  = 512
	DefaultWaitTimeout = time.Minute
	DefaultKeep        = 5 * time.Minute
)

// Config of a Host. The functions are called without any lock, Load and Unload by one goroutine at a time for a model.
type Config[M any] struct {
	// Load makes a model ready. Only one is loaded at a time, so that each finds the memory that the one before left.
	Load func(context.Context, Load) (M, error)
	// Unload gives back what a model holds. Nobody uses it any more.
	Unload func(M)
	// Hurry says that somebody waits for the end of Unload, for the model itself or for its room. It may be called more than
	// once, also before Unload, and must return at once. nil: nobody wants to know.
	Hurry func(M)
	// NoRoom reports whether an error of Load means that it would go if other models were unloaded. nil: none does.
	NoRoom func(error) bool
	// Broken reports whether a loaded model can't be used any more. It is loaded again for the next who wants it. nil: never.
	Broken func(M) bool

	Max         int           // models loaded at a time, those that are kept for good not counted; 0 means no limit
	MaxWaiting  int           // requests that wait for models; 0 means DefaultMaxWaiting, negative none
	WaitTimeout time.Duration // longest wait without progress of the load; 0 means DefaultWaitTimeout, negative no limit
	Keep        time.Duration // how long an unused model stays; 0 means DefaultKeep, negative for good
}

func (c *Config[M]) complete() {
	if c.MaxWaiting == 0 {
		c.MaxWaiting = DefaultMaxWaiting
	}
	if c.WaitTimeout == 0 {
		c.WaitTimeout = DefaultWaitTimeout
	}
	if c.Keep == 0 {
		c.Keep = DefaultKeep
	}
	if c.NoRoom == nil {
		c.NoRoom = func(error) bool { return false }
	}
	if c.Broken == nil {
		c.Broken = func(M) bool { return false }
	}
}

// Host holds models. All methods may be called concurrently.
type Host[M any] struct {
	cfg  Config[M]
	ctx  context.Context // ends loading
	stop context.CancelFunc
	work sync.WaitGroup // goroutines that load or unload

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, whenever something has changed
	entries map[string]*entry[M]
	pinned  map[string]bool
	queue   []*entry[M] // to be loaded; the first one is being loaded
	waiting int         // calls of Acquire that wait
	uses    int64       // counts them, for the order of use
	closing bool
}

// New makes a host that holds no models yet.
func New[M any](cfg Config[M]) *Host[M] {
	cfg.complete()
	h := &Host[M]{cfg: cfg, changed: make(chan struct{}), entries: map[string]*entry[M]{}, pinned: map[string]bool{}}
	h.ctx, h.stop = context.WithCancel(context.Background())
	return h
}

// Acquire returns a model, ready for use, and what to call once it is not used any more. It loads the model if it is not
// there, and waits for that within the limits of Config: as long as the load makes progress. A load goes on when ctx ends, for whoever asks next.
//
// keep, if it is not nil, says how long the model stays after its last use from now on: zero lets it go at once, a
// negative time keeps it until its room is needed.
func (h *Host[M]) Acquire(ctx context.Context, id string, keep *time.Duration) (model M, release func(), err error) {
	if h.cfg.WaitTimeout > 0 {
		var end func()
		ctx, end = h.patience(ctx, id)
		defer end()
	}
	return h.acquire(ctx, id, keep, max(h.cfg.MaxWaiting, 0))
}

// Pin loads a model that is to stay for good, whatever else needs room, and waits until it is there.
func (h *Host[M]) Pin(ctx context.Context, id string) error {
	h.mu.Lock()
	h.pinned[id] = true
	h.mu.Unlock()
	_, release, err := h.acquire(ctx, id, nil, -1)
	if err != nil {
		h.mu.Lock()
		delete(h.pinned, id)
		h.mu.Unlock()
		return err
	}
	release()
	return nil
}

// acquire is Acquire with a bound on how many may wait; a negative one is none.
func (h *Host[M]) acquire(ctx context.Context, id string, keep *time.Duration, most int) (model M, release func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	counted := false
	defer func() {
		if counted {
			h.waiting--
		}
	}()
	for {
		if h.closing {
			return model, nil, ErrClosed
		}
		e := h.entries[id]
		if e != nil && e.phase == Ready && !e.leaving {
			if !h.cfg.Broken(e.model) {
				return e.model, h.take(e, keep), nil
			}
			h.retire(e)
			continue
		}
		if !counted {
			if most >= 0 && h.waiting >= most {
				return model, nil, ErrBusy
			}
			h.waiting++
			counted = true
		}
		if e == nil {
			e = h.begin(id)
		}
		h.hurry(e)
		if err := h.await(ctx, e); err != nil {
			return model, nil, err
		}
	}
}

// await waits until something has changed, as one of those who want the model. The error is the context's, or that of
// the load. Host.mu is held, but not while it waits.
func (h *Host[M]) await(ctx context.Context, e *entry[M]) error {
	e.waiters++
	err := h.sleep(ctx)
	e.waiters--
	if e.err != nil {
		return e.err
	}
	if err != nil && e.waiters == 0 {
		h.broadcast() // a load that has not begun is given up
		h.rest(e)
	}
	return err
}

// sleep waits until something has changed. Host.mu is held, but not while it waits.
func (h *Host[M]) sleep(ctx context.Context) error {
	changed := h.changed
	h.mu.Unlock()
	defer h.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// broadcast wakes all who sleep. Host.mu is held.
func (h *Host[M]) broadcast() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// Close lets nobody in any more, stops loading, waits until ctx ends for those who use models, and unloads them all,
// in use or not.
func (h *Host[M]) Close(ctx context.Context) {
	h.mu.Lock()
	h.closing = true
	h.stop()
	h.broadcast()
	for len(h.queue) > 0 || h.used() && ctx.Err() == nil {
		if len(h.queue) > 0 {
			_ = h.sleep(context.Background()) // a load ends with its context
			continue
		}
		_ = h.sleep(ctx)
	}
	for _, e := range h.entries {
		if e.phase == Ready {
			h.drop(e)
		}
	}
	h.mu.Unlock()
	h.work.Wait()
}

func (h *Host[M]) used() bool {
	for _, e := range h.entries {
		if e.users > 0 {
			return true
		}
	}
	return false
}

// Status describes a model that is loaded, or on its way.
type Status[M any] struct {
	ID          string
	Phase       Phase
	Model       M // the zero value while it loads
	Done, Total int64
	Users       int
	Pinned      bool
	Until       time.Time // when it will be unloaded if nobody asks for it; zero while it is used, and for good
}

// Status describes all of them, in the order in which they were first asked for. The models it names are not held: they
// may be unloaded at any time.
func (h *Host[M]) Status() []Status[M] {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Status[M], 0, len(h.entries))
	for _, e := range h.inOrder() {
		list = append(list, Status[M]{e.id, e.phase, e.model, e.done, e.total, e.users, h.pinned[e.id], e.until})
	}
	return list
}

// inOrder lists the entries in the order of their births. Host.mu is held.
func (h *Host[M]) inOrder() []*entry[M] {
	list := make([]*entry[M], 0, len(h.entries))
	for _, e := range h.entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *entry[M]) int { return int(a.born - b.born) })
	return list
}
