package jinja

import "slices"

// stmt is a node that writes output or assigns variables.
type stmt interface {
	exec(r *run, s *scope, out *builder) (flow, error)
	lineNo() int
}

// flow is how a statement ended.
type flow uint8

const (
	flowNext flow = iota
	flowBreak
	flowContinue
)

type at struct{ line int }

func (a at) lineNo() int { return a.line }

type (
	textStmt struct {
		at
		text text
	}
	printStmt struct {
		at
		x expr
	}
	groupStmt struct {
		at
		body []stmt
	}
	jumpStmt struct {
		at
		flow flow
	}
	// ifStmt has one body more than conditions when there is an else.
	ifStmt struct {
		at
		conds  []expr
		bodies [][]stmt
	}
	forStmt struct {
		at
		targets      []string
		iter, filter expr // filter may be nil
		body, orElse []stmt
	}
	// setStmt assigns value, or the filtered text of body when value is nil.
	setStmt struct {
		at
		targets []string
		attr    string // of the namespace targets[0]
		value   expr
		filters expr
		body    []stmt
	}
	param struct {
		name string
		def  expr // nil: undefined
	}
	macroStmt struct {
		at
		name   string
		params []param
		body   []stmt
	}
	callStmt struct {
		at
		params []param
		call   *callExpr
		body   []stmt
	}
	filterStmt struct {
		at
		filters expr
		body    []stmt
	}
	withStmt struct {
		at
		names  []string
		values []expr
		body   []stmt
	}
)

func execAll(r *run, s *scope, out *builder, body []stmt) (flow, error) {
	for _, st := range body {
		if err := r.step(1); err != nil {
			return 0, atLine(err, st.lineNo())
		}
		fl, err := st.exec(r, s, out)
		if err != nil {
			return 0, atLine(err, st.lineNo())
		}
		if fl != flowNext {
			return fl, nil
		}
	}
	return flowNext, nil
}

// capture runs a body and returns what it wrote.
func capture(r *run, s *scope, body []stmt) (text, error) {
	b := builder{run: r}
	if _, err := execAll(r, s, &b, body); err != nil {
		return text{}, err
	}
	return b.text(), nil
}

func (st *textStmt) exec(_ *run, _ *scope, out *builder) (flow, error) {
	return flowNext, out.add(st.text)
}

func (st *printStmt) exec(r *run, s *scope, out *builder) (flow, error) {
	v, err := st.x.eval(r, s)
	if err != nil {
		return 0, err
	}
	t, err := toText(r, v)
	if err != nil {
		return 0, err
	}
	return flowNext, out.add(t)
}

func (st *groupStmt) exec(r *run, s *scope, out *builder) (flow, error) {
	return execAll(r, &scope{parent: s}, out, st.body)
}

func (st *jumpStmt) exec(*run, *scope, *builder) (flow, error) { return st.flow, nil }

func (st *ifStmt) exec(r *run, s *scope, out *builder) (flow, error) {
	for i, c := range st.conds {
		v, err := c.eval(r, s)
		if err != nil {
			return 0, err
		}
		if truth(v) {
			return execAll(r, s, out, st.bodies[i])
		}
	}
	if len(st.bodies) > len(st.conds) {
		return execAll(r, s, out, st.bodies[len(st.conds)])
	}
	return flowNext, nil
}

func (st *forStmt) exec(r *run, s *scope, out *builder) (flow, error) {
	v, err := st.iter.eval(r, s)
	if err != nil {
		return 0, err
	}
	all, err := items(r, v)
	if err != nil {
		return 0, err
	}
	if st.filter != nil {
		if all, err = st.filtered(r, s, all); err != nil {
			return 0, err
		}
	}
	if len(all) == 0 {
		return execAll(r, &scope{parent: s}, out, st.orElse)
	}
	lp := &loop{items: all}
	for lp.i = range all {
		if err := r.step(1); err != nil {
			return 0, err
		}
		inner := &scope{parent: s}
		if err := assign(inner, st.targets, all[lp.i]); err != nil {
			return 0, err
		}
		inner.set("loop", lp)
		fl, err := execAll(r, inner, out, st.body)
		if err != nil {
			return 0, err
		}
		if fl == flowBreak {
			break
		}
	}
	return flowNext, nil
}

func (st *forStmt) filtered(r *run, s *scope, all []Value) ([]Value, error) {
	var kept []Value
	for _, x := range all {
		inner := &scope{parent: s}
		if err := assign(inner, st.targets, x); err != nil {
			return nil, err
		}
		ok, err := st.filter.eval(r, inner)
		if err != nil {
			return nil, err
		}
		if truth(ok) {
			if err := r.allocList(1); err != nil {
				return nil, err
			}
			kept = append(kept, x)
		}
	}
	return kept, nil
}

// assign binds a value to one name, or unpacks it to several.
func assign(s *scope, names []string, v Value) error {
	if len(names) == 1 {
		s.set(names[0], v)
		return nil
	}
	l, ok := v.(*list)
	if !ok || len(l.items) != len(names) {
		return fail("cannot unpack %s into %d names", describe(v), len(names))
	}
	for i, n := range names {
		s.set(n, l.items[i])
	}
	return nil
}

func (st *setStmt) exec(r *run, s *scope, _ *builder) (flow, error) {
	v, err := st.eval(r, s)
	if err != nil {
		return 0, err
	}
	if st.attr == "" {
		return flowNext, assign(s, st.targets, v)
	}
	target, _ := s.get(st.targets[0])
	ns, ok := target.(*namespace)
	if !ok {
		return 0, fail("cannot assign an attribute of %q: it is not a namespace", st.targets[0])
	}
	return flowNext, ns.attrs.set(str(st.attr), v)
}

func (st *setStmt) eval(r *run, s *scope) (Value, error) {
	if st.value != nil {
		return st.value.eval(r, s)
	}
	return filterBlock(r, s, st.filters, st.body)
}

// filterBlock runs a body and puts its text through a chain of filters that starts at blockText.
func filterBlock(r *run, s *scope, filters expr, body []stmt) (Value, error) {
	t, err := capture(r, &scope{parent: s}, body)
	if err != nil {
		return nil, err
	}
	inner := &scope{parent: s}
	inner.set(blockVar, t)
	return filters.eval(r, inner)
}

func (st *filterStmt) exec(r *run, s *scope, out *builder) (flow, error) {
	v, err := filterBlock(r, s, st.filters, st.body)
	if err != nil {
		return 0, err
	}
	t, err := toText(r, v)
	if err != nil {
		return 0, err
	}
	return flowNext, out.add(t)
}

func (st *withStmt) exec(r *run, s *scope, out *builder) (flow, error) {
	inner := &scope{parent: s}
	for i, x := range st.values {
		v, err := x.eval(r, s)
		if err != nil {
			return 0, err
		}
		inner.set(st.names[i], v)
	}
	return execAll(r, inner, out, st.body)
}

func (st *macroStmt) exec(_ *run, s *scope, _ *builder) (flow, error) {
	s.set(st.name, newMacro(st.name, st.params, st.body, s))
	return flowNext, nil
}

// callStmt calls a macro that finds the block's body under the name caller.
func (st *callStmt) exec(r *run, s *scope, out *builder) (flow, error) {
	fn, a, err := st.call.prepare(r, s)
	if err != nil {
		return 0, err
	}
	a.caller = newMacro("caller", st.params, st.body, s)
	v, err := call(r, fn, a)
	if err != nil {
		return 0, err
	}
	t, err := toText(r, v)
	if err != nil {
		return 0, err
	}
	return flowNext, out.add(t)
}

// newMacro closes over the scope the macro is defined in; variables are looked up when it runs.
func newMacro(name string, params []param, body []stmt, defined *scope) *function {
	return &function{name: name, call: func(r *run, a args) (Value, error) {
		if len(a.pos) > len(params) {
			return nil, fail("macro %q takes %d arguments, not %d", name, len(params), len(a.pos))
		}
		for _, n := range a.names {
			if !slices.ContainsFunc(params, func(p param) bool { return p.name == n }) {
				return nil, fail("macro %q has no argument %q", name, n)
			}
		}
		s := &scope{parent: defined}
		if a.caller != nil {
			s.set("caller", a.caller)
		}
		for i, p := range params {
			v, ok := a.get(i, p.name)
			switch {
			case ok:
			case p.def != nil:
				var err error
				if v, err = p.def.eval(r, s); err != nil {
					return nil, err
				}
			default:
				v = undefined{"parameter \"" + p.name + "\""}
			}
			s.set(p.name, v)
		}
		return capture(r, s, body)
	}}
}

// loop is the variable of that name inside a for block.
type loop struct {
	items []Value
	i     int
}

func (l *loop) attr(name string) (Value, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return integer(l.i + 1), true
	case "index0":
		return integer(l.i), true
	case "revindex":
		return integer(n - l.i), true
	case "revindex0":
		return integer(n - l.i - 1), true
	case "first":
		return boolean(l.i == 0), true
	case "last":
		return boolean(l.i == n-1), true
	case "length":
		return integer(n), true
	case "depth":
		return integer(1), true
	case "depth0":
		return integer(0), true
	case "previtem":
		if l.i > 0 {
			return l.items[l.i-1], true
		}
		return undefined{"there is no previous item"}, true
	case "nextitem":
		if l.i < n-1 {
			return l.items[l.i+1], true
		}
		return undefined{"there is no next item"}, true
	case "cycle":
		return &function{name: "cycle", call: func(_ *run, a args) (Value, error) {
			if len(a.pos) == 0 {
				return nil, fail("cycle needs an argument")
			}
			return a.pos[l.i%len(a.pos)], nil
		}}, true
	}
	return nil, false
}
