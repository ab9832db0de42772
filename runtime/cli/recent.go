package cli

import (
	"sync"
	"time"
)

// recent remembers for a moment what a question was answered with, where every request asks the same.
type recent[V any] struct {
	mu      sync.Mutex
	answers map[string]remembered[V]
}

type remembered[V any] struct {
	value V
	at    time.Time
}

const (
	recentTime = time.Second
	maxRecent  = 256 // names
)

// get returns what ask says of a name, or has said within the last second. Errors are not remembered.
func (r *recent[V]) get(name string, ask func(string) (V, error)) (V, error) {
	r.mu.Lock()
	a, ok := r.answers[name]
	r.mu.Unlock()
	if ok && time.Since(a.at) < recentTime {
		return a.value, nil
	}
	v, err := ask(name)
	if err != nil {
		return v, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answers == nil || len(r.answers) >= maxRecent {
		r.answers = map[string]remembered[V]{}
	}
	r.answers[name] = remembered[V]{v, time.Now()}
	return v, nil
}
