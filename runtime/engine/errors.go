package engine

import (
	"errors"
	"fmt"

	"aquifer/backends"
	"aquifer/runtime/sample"
)

// Errors of requests that a caller tells apart.
var (
	// ErrBusy: too many requests are waiting; the same request may succeed later.
	ErrBusy = errors.New("engine: too many requests are waiting")
	// ErrQueueTimeout: the request waited for Config.QueueTimeout and was not started.
	ErrQueueTimeout = errors.New("engine: the request waited too long for its turn")
	// ErrClosed: the engine is shutting down.
	ErrClosed = errors.New("engine: closed")
	// errNoToken: a bias of minus infinity forbids all tokens that the form of an answer allows.
	errNoToken = errors.New("engine: no token can follow")
	// ErrBroken: the engine's loop has panicked; only a new engine helps.
	ErrBroken = errors.New("engine: broken by an internal error")
)

// ParamError says which parameter of a request is wrong. Param is the name that clients use.
type ParamError = sample.ParamError

// ContextError says that a prompt leaves no room for an answer.
type ContextError struct{ Prompt, Context int } // tokens

func (e *ContextError) Error() string {
	return fmt.Sprintf("engine: the prompt has %d tokens, the context has %d and the answer needs at least one of them",
		e.Prompt, e.Context)
}

// MemoryError says that a model does not fit, before anything was allocated for it. It unwraps to a
// *backends.MemoryError, so that a caller can treat all shortages alike.
type MemoryError struct {
	Need      backends.Memory
	Available int64 // bytes that this process may still allocate
}

func (e *MemoryError) Error() string {
	mib := func(n int64) int64 { return (n + 1<<20 - 1) >> 20 }
	return fmt.Sprintf("engine: the model needs %d MiB (weights %d, KV cache %d, scratch %d), %d MiB are available",
		mib(e.Need.Total()), mib(e.Need.Weights), mib(e.Need.KV), mib(e.Need.Scratch), e.Available>>20)
}

func (e *MemoryError) Unwrap() error {
	return &backends.MemoryError{What: "the model", Bytes: e.Need.Total()}
}
