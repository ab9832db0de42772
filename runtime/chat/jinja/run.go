package jinja

import (
	"context"
	"fmt"
	"time"
)

// run is the state of one rendering: what is left of its budgets.
type run struct {
	ctx      context.Context
	lim      Limits
	now      func() time.Time
	deadline time.Time
	steps    int
	built    int
	depth    int
}

const (
	clockEvery = 4096 // steps between two looks at the clock: small renderings never look
	workUnit   = 256  // bytes of string work that count as one step
	valueSize  = 16   // bytes charged for one list element
)

// step charges n steps.
func (r *run) step(n int) error {
	before := r.steps
	r.steps += n
	if r.steps > r.lim.Steps || r.steps < before {
		return limitError("template takes more than %d steps", r.lim.Steps)
	}
	if before/clockEvery != r.steps/clockEvery {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if time.Now().After(r.deadline) {
			return limitError("template takes longer than %s", r.lim.Time)
		}
	}
	return nil
}

// work charges for looking at n bytes.
func (r *run) work(n int) error { return r.step(1 + n/workUnit) }

// alloc charges for a new string of n bytes; call it before making the string.
func (r *run) alloc(n int) error {
	if n < 0 || n > r.lim.Output {
		return limitError("template makes a string of more than %d bytes", r.lim.Output)
	}
	r.built += n
	if r.built > r.lim.Built {
		return limitError("template makes more than %d bytes of strings and lists", r.lim.Built)
	}
	return r.work(n)
}

// allocList charges for a new list of n elements.
func (r *run) allocList(n int) error {
	if n < 0 || n > r.lim.Built/valueSize {
		return limitError("template makes a list of more than %d elements", r.lim.Built/valueSize)
	}
	return r.alloc(min(n*valueSize, r.lim.Output))
}

// enter opens one level of calls; leave closes it.
func (r *run) enter() error {
	if r.depth >= r.lim.Depth {
		return limitError("template nests calls more than %d deep", r.lim.Depth)
	}
	r.depth++
	return nil
}

func (r *run) leave() { r.depth-- }

func limitError(format string, a ...any) error {
	return &Error{Kind: Limit, Msg: fmt.Sprintf(format, a...)}
}

func fail(format string, a ...any) error {
	return &Error{Kind: Runtime, Msg: fmt.Sprintf(format, a...)}
}

// atLine gives an error the line it happened on, unless a deeper statement did already.
func atLine(err error, line int) error {
	if e, ok := err.(*Error); ok && e.Line == 0 {
		return &Error{Kind: e.Kind, Line: line, Msg: e.Msg}
	}
	return err
}

// scope is one level of variables. Lookups go outwards, assignments stay.
type scope struct {
	parent *scope
	vars   map[string]Value
}

func (s *scope) get(name string) (Value, bool) {
	for ; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

func (s *scope) set(name string, v Value) {
	if s.vars == nil {
		s.vars = make(map[string]Value, 4)
	}
	s.vars[name] = v
}
