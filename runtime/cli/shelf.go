package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"aquifer/api/openai"
	"aquifer/backends"
	"aquifer/runtime/engine"
	"aquifer/runtime/host"
	"aquifer/runtime/kv/prefixfile"
	"aquifer/runtime/store"
)

// shelf is what a server offers: the models that the command line names, which stay loaded, or else the embedded one
// and those of the store, each loaded when it is asked for. It implements openai.Source.
type shelf struct {
	*app
	s       settings
	log     *slog.Logger
	options loadOptions // of every model; the backend is shared, and its programs take turns
	pinned  []offer
	host    *host.Host[*shelved]
	recent  recent[offer] // what names stood for lately
}

// shelved is a loaded model.
type shelved struct {
	*session
	lock  *store.Lock // keeps the files from being removed
	model openai.Model
}

// newShelf opens the backend. Without pinned models it offers all there are.
func (a *app) newShelf(s settings, log *slog.Logger, pinned []offer) (*shelf, error) {
	h := &shelf{app: a, s: s, log: log, pinned: pinned, options: loadOptions{
		maxSeqs: s.integer("parallel"), maxQueue: s.integer("queue"), queueTimeout: s.duration("queue-timeout"),
	}}
	err := speculation(&engine.Config{}, s.str("speculate")) // now, and not when the first model is loaded
	if err != nil {
		return nil, err
	}
	if h.options.prefixes, err = a.openPrefixCache(s); err != nil {
		return nil, err
	}
	if h.options.backend, _, err = a.openBackend(s); err != nil {
		return nil, errors.Join(err, closePrefixCache(h.options.prefixes))
	}
	keep := s.duration("keep-alive")
	if keep == 0 {
		keep = time.Nanosecond // host takes 0 for its default
	}
	h.host = host.New(host.Config[*shelved]{
		Load: h.load, Unload: h.unload, Hurry: func(m *shelved) { m.engine.Hurry() }, Keep: keep,
		Max: s.integer("max-models"), MaxWaiting: s.integer("queue"), WaitTimeout: s.duration("queue-timeout"),
		NoRoom: func(err error) bool {
			var memory *backends.MemoryError
			return errors.As(err, &memory)
		},
		Broken: func(m *shelved) bool { return m.engine.Broken() },
	})
	return h, nil
}

// close unloads everything.
func (h *shelf) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	h.host.Close(ctx)
	return errors.Join(h.options.backend.Close(), closePrefixCache(h.options.prefixes))
}

// prefixTotals returns what counts the work of the prefix cache; nil if there is none.
func (h *shelf) prefixTotals() func() prefixfile.Totals {
	if h.options.prefixes == nil {
		return nil
	}
	return h.options.prefixes.Totals
}

// offers lists what can be asked for. Who takes any gets a model of the store before the embedded one, which is there to
// try things with.
func (h *shelf) offers() ([]offer, error) {
	if len(h.pinned) > 0 {
		return h.pinned, nil
	}
	st, err := openStore(false)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	offers, err := storedOffers(st)
	if err != nil {
		return nil, err
	}
	if o, ok := embeddedOffer(); ok {
		offers = append(offers, o)
	}
	return offers, nil
}

// find returns the offer of a name, as the store has it now.
func (h *shelf) find(name string) (offer, error) {
	for _, o := range h.pinned {
		if o.id == name || slices.Contains(o.aliases, name) {
			return o, nil
		}
	}
	if len(h.pinned) > 0 {
		return offer{}, openai.ErrNoModel
	}
	if o, ok := embeddedOffer(); ok && o.id == name {
		return o, nil
	}
	st, err := openStore(false)
	if err != nil {
		return offer{}, err
	}
	defer st.Close()
	return h.storedOffer(st, name)
}

// Models implements openai.Source.
func (h *shelf) Models() ([]openai.Listing, error) {
	offers, err := h.offers()
	if err != nil {
		return nil, err
	}
	list := make([]openai.Listing, len(offers))
	for i, o := range offers {
		list[i] = o.listing()
	}
	return list, nil
}

// Acquire implements openai.Source.
func (h *shelf) Acquire(ctx context.Context, name string, keep *time.Duration) (openai.Model, func(), error) {
	o, err := h.recent.get(name, h.find)
	var public *openai.PublicError
	if errors.As(err, &public) {
		err = &host.LoadError{ID: name, Err: err}
	}
	if err != nil {
		return openai.Model{}, nil, err
	}
	m, release, err := h.host.Acquire(ctx, o.id, keep)
	if err != nil {
		return openai.Model{}, nil, err
	}
	return m.model, release, nil
}

// Loaded implements openai.Source.
func (h *shelf) Loaded() []openai.Loaded {
	var list []openai.Loaded
	status := h.host.Status()
	for _, o := range h.pinned {
		if !slices.ContainsFunc(status, func(st host.Status[*shelved]) bool { return st.ID == o.id }) {
			list = append(list, openai.Loaded{ID: o.id, Pinned: true}) // its turn comes
		}
	}
	for _, st := range status {
		l := openai.Loaded{
			ID: st.ID, Phase: st.Phase, Done: st.Done, Total: st.Total, Requests: st.Users, Pinned: st.Pinned, Until: st.Until,
		}
		if st.Model != nil {
			l.Engine, l.Defaults = st.Model.model.Engine, st.Model.model.Defaults
		}
		list = append(list, l)
	}
	return list
}

// load is host.Config.Load. A panic in it, over files that nobody has vetted, is the error of that model alone.
func (h *shelf) load(ctx context.Context, l host.Load) (m *shelved, err error) {
	o, err := h.find(l.ID)
	if err != nil {
		return nil, h.failed(l, offer{}, err)
	}
	m = &shelved{}
	defer func() {
		if v := recover(); v != nil {
			err = panicError{fmt.Sprintf("panic: %v\n%s", v, debug.Stack())}
		}
		if err != nil {
			err = errors.Join(h.failed(l, o, err), m.lock.Release())
			m = nil
		}
	}()
	if m.lock, err = lockOffer(ctx, o); err != nil {
		return m, err
	}
	options := h.options
	options.whole, options.others, options.progress = !l.Last, h.occupied(), l.Progress
	if m.session, err = h.app.load(ctx, h.s, o.path, options); err != nil {
		return m, err
	}
	h.tellPrefixes("restored", l.ID, m.engine.Restored())
	m.model = openai.Model{
		ID: o.id, Engine: openai.Use(m.engine), Created: o.created, Defaults: recommended(m.ck.Generation()),
	}
	return m, nil
}

// lockOffer keeps the files of a model from being removed. Those of the user's own paths are the user's business.
func lockOffer(ctx context.Context, o offer) (*store.Lock, error) {
	if o.repo == (store.Repo{}) {
		return nil, nil
	}
	st, err := openStore(false)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return st.Use(ctx, o.repo)
}

// occupied is the memory that the loaded models may come to fill.
func (h *shelf) occupied() int64 {
	var sum int64
	for _, st := range h.host.Status() {
		if st.Model != nil {
			sum += st.Model.engine.Info().Memory.Total()
		}
	}
	return sum
}

// failed logs why a model can't be loaded and makes of it what clients may read: without the machine's paths.
func (h *shelf) failed(l host.Load, o offer, err error) error {
	var memory *backends.MemoryError
	var stated *engine.MemoryError
	switch {
	case errors.Is(err, errInterrupted):
		return context.Canceled
	case errors.As(err, &memory) && !l.Last:
		return err // others will be unloaded for it
	case errors.As(err, &stated), errors.As(err, &panicError{}):
	default:
		text := oneLine(err.Error())
		if o.path != "" {
			text = strings.ReplaceAll(text, o.path, l.ID)
		}
		err = &openai.PublicError{Msg: text, Err: err}
	}
	h.log.Error("a model can't be loaded", "model", l.ID, "err", err)
	return err
}

// panicError is a panic while a model was loaded. Only the log says what it was.
type panicError struct{ text string }

func (e panicError) Error() string { return e.text }

// unload is host.Config.Unload.
func (h *shelf) unload(m *shelved) {
	err := errors.Join(m.close(), m.lock.Release())
	h.tellPrefixes("saved", m.model.ID, m.engine.Saved())
	if err != nil {
		h.log.Error("unloading a model", "model", m.model.ID, "err", err)
		return
	}
	debug.FreeOSMemory() // what the model leaves in Go's heap is for the next one
	h.tell("unloaded %s", m.model.ID)
}
