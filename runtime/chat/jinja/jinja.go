// Package jinja interprets the Jinja templates that chat models ship in their checkpoints. A template is a program
// written by a stranger, so the interpreter is closed: values are a fixed set of types of its own, nothing reaches a
// Go value by reflection, nothing reads a file, and every run has a budget of steps, bytes, depth and time. It renders
// what transformers renders (jinja2's sandbox with trim_blocks, lstrip_blocks, loop controls and the generation tag),
// and besides it tells which bytes of the result came from outside the template. It imports nothing of ours.
package jinja

import (
	"context"
	"fmt"
	"time"
)

// MaxSource is the largest template Compile accepts, in bytes.
const MaxSource = 1 << 20

// Limits bounds one rendering. A zero field means the default.
type Limits struct {
	Steps  int           // evaluated nodes, loop rounds and 256-byte pieces of string work; default 1,000,000
	Output int           // bytes of the result and of any single string; default 8 MiB
	Built  int           // bytes of all strings and lists made on the way; default 64 MiB
	Depth  int           // nested macro calls, and nesting of printed values; default 64
	Time   time.Duration // default 250 ms; looked at every 4,096 steps
}

func (l Limits) withDefaults() Limits {
	if l.Steps == 0 {
		l.Steps = 1_000_000
	}
	if l.Output == 0 {
		l.Output = 8 << 20
	}
	if l.Built == 0 {
		l.Built = 64 << 20
	}
	if l.Depth == 0 {
		l.Depth = 64
	}
	if l.Time == 0 {
		l.Time = 250 * time.Millisecond
	}
	return l
}

// Kind says whose fault an Error is.
type Kind uint8

// The kinds of Error.
const (
	Syntax  Kind = iota // the template does not compile
	Runtime             // an operation failed: wrong type, unknown filter, ...
	Raised              // the template called raise_exception
	Limit               // a budget was used up
)

// Error is what Compile and Render return for a bad template or a conversation the template refuses.
type Error struct {
	Kind Kind
	Line int // 1-based line of the template; 0 when unknown
	Msg  string
}

// Error returns the message with its line. What a template raised is returned as it is: it is meant for the reader.
func (e *Error) Error() string {
	if e.Kind == Raised || e.Line == 0 {
		return e.Msg
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
}

// Span is a piece of a rendering. Trusted bytes come from the template or from a variable given as String; all other
// bytes go back to a variable given as Untrusted.
type Span struct {
	Text    string
	Trusted bool
}

// Options of one rendering.
type Options struct {
	Limits Limits
	Now    func() time.Time // clock of strftime_now; default time.Now
}

// Template is a compiled template. It does not change, so it may be rendered concurrently.
type Template struct {
	body []stmt
}

// Compile parses a template. The error is an *Error of kind Syntax.
func Compile(src string) (*Template, error) {
	if len(src) > MaxSource {
		return nil, &Error{Kind: Syntax, Msg: fmt.Sprintf("template of %d bytes is over the limit of %d", len(src), MaxSource)}
	}
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks}
	body, err := p.parseTemplate()
	if err != nil {
		return nil, err
	}
	return &Template{body: body}, nil
}

// Render runs the template over vars. Adjacent spans differ in trust and none is empty. The error is an *Error, or
// that of ctx.
func (t *Template) Render(ctx context.Context, vars map[string]Value, o Options) ([]Span, error) {
	r := &run{ctx: ctx, lim: o.Limits.withDefaults(), now: o.Now}
	if r.now == nil {
		r.now = time.Now
	}
	r.deadline = time.Now().Add(r.lim.Time)
	root := &scope{vars: make(map[string]Value, len(vars)+8)}
	for name, v := range vars {
		root.vars[name] = v
	}
	out := &builder{run: r}
	if _, err := execAll(r, &scope{parent: root}, out, t.body); err != nil {
		return nil, err
	}
	return out.spans(), nil
}
