package openai

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// turns bounds how many do something at a time. Others wait, in the order of coming.
type turns struct {
	slots    chan struct{}
	patience time.Duration
}

func newTurns(n int, patience time.Duration) turns {
	return turns{make(chan struct{}, n), patience}
}

// take waits for a turn and returns what ends it, which may be called twice.
func (t turns) take(ctx context.Context) (done func(), e *Error) {
	patience := time.NewTimer(t.patience)
	defer patience.Stop()
	select {
	case t.slots <- struct{}{}:
		return sync.OnceFunc(func() { <-t.slots }), nil
	case <-patience.C:
		return nil, Unavailable("busy", "other large requests are being worked on; try again later", 5*time.Second)
	case <-ctx.Done():
		return nil, closing()
	}
}

// Requests that are expensive before they run take turns: those whose body is longer than heavyBody bytes, or that need a
// grammar. The processors they would take are those that all answers run on.
const heavyBody = 64 << 10

// heavyAtOnce is how many of them are worked on at a time.
func heavyAtOnce() int { return max(runtime.GOMAXPROCS(0)/4, 1) }

// heavy reports whether it takes time to make the prompt and the grammar of a request.
func (r *chatRequest) heavy(body int) bool {
	return body > heavyBody || r.constraint != nil || len(r.tools) > 0
}
