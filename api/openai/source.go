package openai

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"aquifer/runtime/engine"
	"aquifer/runtime/host"
)

// Source is where a handler's models come from. Its methods may be called concurrently.
type Source interface {
	// Models lists what clients may ask for. A client that takes any takes the first.
	Models() ([]Listing, error)
	// Acquire makes the model of a name ready, waiting for it if need be, and keeps it loaded until release is called.
	// keep says how long it stays loaded after that, see host.Host.Acquire. Besides the errors of host it returns
	// ErrNoModel for a name that stands for none.
	Acquire(ctx context.Context, name string, keep *time.Duration) (m Model, release func(), err error)
	// Loaded describes the models that are in memory, or on their way there.
	Loaded() []Loaded
}

// ErrNoModel says that a name stands for no model.
var ErrNoModel = errors.New("openai: no model has that name")

// Listing is a model that clients may ask for.
type Listing struct {
	ID      string   // what it is called here
	Aliases []string // what else it can be asked for by
	Created time.Time
}

// Loaded is a model in memory, or on its way there.
type Loaded struct {
	ID          string
	Phase       host.Phase
	Engine      Engine // nil while it loads
	Defaults    engine.Sampling
	Done, Total int64 // bytes, while it loads
	Requests    int   // that use it
	Pinned      bool  // it stays for good, and the server is not ready without it
	Until       time.Time
}

// Fixed is a source of models that are loaded already and stay.
func Fixed(models ...Model) (Source, error) {
	seen := map[string]bool{}
	for i, m := range models {
		if m.ID == "" || m.Engine == nil || seen[m.ID] {
			return nil, fmt.Errorf("openai: model %d (%q) needs an engine and an id of its own", i, m.ID)
		}
		seen[m.ID] = true
	}
	return fixed(slices.Clone(models)), nil
}

type fixed []Model

func (f fixed) Models() ([]Listing, error) {
	list := make([]Listing, len(f))
	for i, m := range f {
		list[i] = Listing{ID: m.ID, Created: m.Created}
	}
	return list, nil
}

func (f fixed) Acquire(_ context.Context, name string, _ *time.Duration) (Model, func(), error) {
	for _, m := range f {
		if m.ID == name {
			return m, func() {}, nil
		}
	}
	return Model{}, nil, ErrNoModel
}

func (f fixed) Loaded() []Loaded {
	list := make([]Loaded, len(f))
	for i, m := range f {
		list[i] = Loaded{ID: m.ID, Phase: host.Ready, Engine: m.Engine, Defaults: m.Defaults, Pinned: true}
	}
	return list
}
