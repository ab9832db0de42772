package grammar

import (
	"context"
	"time"
)

// Limits bounds one compilation and the runs of its result. A zero field means the default.
type Limits struct {
	Source int           // bytes of a source; default 256 KiB
	Depth  int           // nesting of a schema or grammar; default 64
	Rules  int           // positions of the rules a source becomes; default 100,000
	States int           // states of one automaton over bytes; default 10,000
	Memory int           // bytes a compiled grammar takes; default 32 MiB
	Steps  int           // units of work of a compilation; default 10,000,000
	Time   time.Duration // of a compilation, a backstop for slow machines; default 250 ms
	Stack  int           // nested rules in an answer; default 128, which is some 60 levels of JSON
}

func (l Limits) withDefaults() Limits {
	or := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	or(&l.Source, 256<<10)
	or(&l.Depth, 64)
	or(&l.Rules, 100_000)
	or(&l.States, 10_000)
	or(&l.Memory, 32<<20)
	or(&l.Steps, 10_000_000)
	or(&l.Stack, 128)
	if l.Time == 0 {
		l.Time = 250 * time.Millisecond
	}
	return l
}

// maxRepeat is the largest number of repetitions a regular expression or schema may ask of one part of a text when
// they have to be written out.
const maxRepeat = 2000

// budget counts what a compilation uses up.
type budget struct {
	Limits
	ctx      context.Context
	deadline time.Time
	steps    int
	memory   int
	look     int // steps at which ctx and the clock are looked at next
}

func newBudget(ctx context.Context, l Limits) *budget {
	return &budget{Limits: l, ctx: ctx, deadline: time.Now().Add(l.Time)}
}

// work takes n units; about a hundred of them are a microsecond.
func (b *budget) work(n int) error {
	b.steps += n
	if b.steps > b.Steps {
		return overLimit("needs more than %d steps to compile", b.Steps)
	}
	if b.steps < b.look {
		return nil
	}
	b.look = b.steps + 4096
	if err := b.ctx.Err(); err != nil {
		return &Error{Msg: "compilation stopped: " + err.Error(), Err: err}
	}
	if time.Now().After(b.deadline) {
		return overLimit("takes longer than %s to compile", b.Time)
	}
	return nil
}

// keep takes n bytes of what the compiled grammar will hold.
func (b *budget) keep(n int) error {
	if b.memory += n; b.memory > b.Memory {
		return overLimit("compiles to more than %d MiB", b.Memory>>20)
	}
	return b.work(n / 64)
}
