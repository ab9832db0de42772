package jinja

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// args are the arguments of one call.
type args struct {
	pos    []Value
	names  []string
	named  []Value
	caller *function // the body of a call block
}

// get returns argument i, which may also be given by name.
func (a args) get(i int, name string) (Value, bool) {
	if i < len(a.pos) {
		return a.pos[i], true
	}
	if j := slices.Index(a.names, name); j >= 0 {
		return a.named[j], true
	}
	return nil, false
}

// bind spreads the arguments over the parameters of a built-in; those not given are nil.
func (a args) bind(fn string, params ...string) ([]Value, error) {
	if len(a.pos) > len(params) {
		return nil, fail("%s takes at most %d arguments, not %d", fn, len(params), len(a.pos))
	}
	for _, n := range a.names {
		if !slices.Contains(params, n) {
			return nil, fail("%s has no argument %q", fn, n)
		}
	}
	out := make([]Value, len(params))
	for i, p := range params {
		out[i], _ = a.get(i, p)
	}
	return out, nil
}

// wantText returns a string argument, or def when it is absent or None.
func wantText(fn string, v Value, def text) (text, error) {
	switch v := v.(type) {
	case nil, none:
		return def, nil
	case text:
		return v, nil
	}
	return text{}, fail("%s needs a string, not %s", fn, describe(v))
}

// wantInt returns an integer argument, or def when it is absent or None.
func wantInt(fn string, v Value, def int64) (int64, error) {
	switch v.(type) {
	case nil, none:
		return def, nil
	}
	if n, ok := asInt(v); ok {
		return n, nil
	}
	return 0, fail("%s needs an integer, not %s", fn, describe(v))
}

func (e *callExpr) eval(r *run, s *scope) (Value, error) {
	fn, a, err := e.prepare(r, s)
	if err != nil {
		return nil, err
	}
	return call(r, fn, a)
}

// prepare evaluates what is called and its arguments.
func (e *callExpr) prepare(r *run, s *scope) (*function, args, error) {
	v, err := e.fn.eval(r, s)
	if err != nil {
		return nil, args{}, err
	}
	fn, ok := v.(*function)
	if !ok {
		return nil, args{}, fail("%s cannot be called", describe(v))
	}
	a, err := e.evalArgs(r, s)
	return fn, a, err
}

func (e *callExpr) evalArgs(r *run, s *scope) (args, error) {
	pos, err := evalAll(r, s, e.args)
	if err != nil {
		return args{}, err
	}
	named, err := evalAll(r, s, e.named)
	return args{pos: pos, names: e.names, named: named}, err
}

// call runs a function one level deeper.
func call(r *run, fn *function, a args) (Value, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	if err := r.step(1); err != nil {
		return nil, err
	}
	return fn.call(r, a)
}

func (e *filterExpr) eval(r *run, s *scope) (Value, error) {
	x, err := e.x.eval(r, s)
	if err != nil {
		return nil, err
	}
	a, err := e.args.evalArgs(r, s)
	if err != nil {
		return nil, err
	}
	return applyFilter(r, e.name, x, a)
}

func applyFilter(r *run, name string, x Value, a args) (Value, error) {
	f := filterNamed(name)
	if f == nil {
		return nil, fail("filter %q is not supported", name)
	}
	if err := r.step(1); err != nil {
		return nil, err
	}
	return f(r, x, a)
}

func (e *testExpr) eval(r *run, s *scope) (Value, error) {
	x, err := e.x.eval(r, s)
	if err != nil {
		return nil, err
	}
	a, err := e.args.evalArgs(r, s)
	if err != nil {
		return nil, err
	}
	ok, err := applyTest(r, e.name, x, a)
	return boolean(ok != e.not), err
}

// global returns the built-in function of that name, or nil.
func global(name string) Value {
	switch name {
	case "range":
		return &function{name, globalRange}
	case "namespace":
		return &function{name, func(_ *run, a args) (Value, error) {
			d, err := dictOf(a)
			return &namespace{d}, err
		}}
	case "dict":
		return &function{name, func(_ *run, a args) (Value, error) { return dictOf(a) }}
	case "raise_exception":
		return &function{name, globalRaise}
	case "strftime_now":
		return &function{name, globalStrftime}
	case "cycler":
		return &function{name, globalCycler}
	case "joiner":
		return &function{name, globalJoiner}
	}
	return nil
}

// dictOf copies a dictionary argument and adds the named ones.
func dictOf(a args) (*dict, error) {
	d := &dict{}
	if len(a.pos) > 1 {
		return nil, fail("expected at most one dictionary, got %d", len(a.pos))
	}
	if len(a.pos) == 1 {
		from, ok := a.pos[0].(*dict)
		if !ok {
			return nil, fail("expected a dictionary, not %s", describe(a.pos[0]))
		}
		for i, k := range from.keys {
			if err := d.set(k, from.vals[i]); err != nil {
				return nil, err
			}
		}
	}
	for i, n := range a.names {
		if err := d.set(str(n), a.named[i]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func globalRange(r *run, a args) (Value, error) {
	if len(a.pos) < 1 || len(a.pos) > 3 || len(a.names) > 0 {
		return nil, fail("range takes 1 to 3 arguments")
	}
	n := [3]int64{0, 0, 1}
	for i, v := range a.pos {
		var ok bool
		if n[i], ok = asInt(v); !ok {
			return nil, fail("range needs integers, not %s", describe(v))
		}
	}
	from, to, step := n[0], n[1], n[2]
	if len(a.pos) == 1 {
		from, to = 0, n[0]
	}
	if step == 0 {
		return nil, fail("range step must not be 0")
	}
	l := &list{}
	for i := from; step > 0 && i < to || step < 0 && i > to; {
		if err := r.allocList(1); err != nil {
			return nil, err
		}
		l.items = append(l.items, integer(i))
		next := i + step
		if (next > i) != (step > 0) { // past the end of int64
			break
		}
		i = next
	}
	return l, nil
}

func globalRaise(r *run, a args) (Value, error) {
	v, err := a.bind("raise_exception", "message")
	if err != nil {
		return nil, err
	}
	msg := text{}
	if v[0] != nil {
		if msg, err = toText(r, v[0]); err != nil {
			return nil, err
		}
	}
	return nil, &Error{Kind: Raised, Msg: msg.s}
}

func globalStrftime(r *run, a args) (Value, error) {
	v, err := a.bind("strftime_now", "format")
	if err != nil {
		return nil, err
	}
	format, err := wantText("strftime_now", v[0], text{})
	if err != nil {
		return nil, err
	}
	s, err := strftime(format.s, r.now())
	return format.derived(s), err
}

// strftime formats the directives of C's strftime that do not depend on the locale beyond English names.
func strftime(format string, t time.Time) (string, error) {
	layouts := map[byte]string{
		'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'B': "January", 'b': "Jan", 'h': "Jan",
		'A': "Monday", 'a': "Mon", 'p': "PM", 'I': "03", 'y': "06", 'j': "002", 'Z': "MST", 'z': "-0700", 'e': "_2",
		'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", 'f': "000000",
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		i++
		noPad := i < len(format) && format[i] == '-' // glibc: no leading zero
		if noPad {
			i++
		}
		if i == len(format) {
			return "", fail("strftime format ends in '%%'")
		}
		if format[i] == '%' {
			b.WriteByte('%')
			continue
		}
		layout, ok := layouts[format[i]]
		if !ok {
			return "", fail("strftime directive '%%%c' is not supported", format[i])
		}
		s := t.Format(layout)
		if noPad {
			s = strings.TrimLeft(s, "0 ")
			if s == "" {
				s = "0"
			}
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

func globalCycler(_ *run, a args) (Value, error) {
	if len(a.pos) == 0 || len(a.names) > 0 {
		return nil, fail("cycler needs positional arguments")
	}
	i := 0
	ns := &namespace{&dict{}}
	set := func(name string, f func()) error {
		return ns.attrs.set(str(name), &function{name, func(*run, args) (Value, error) {
			v := a.pos[i]
			f()
			return v, ns.attrs.set(str("current"), a.pos[i])
		}})
	}
	if err := set("next", func() { i = (i + 1) % len(a.pos) }); err != nil {
		return nil, err
	}
	if err := set("reset", func() { i = 0 }); err != nil {
		return nil, err
	}
	return ns, ns.attrs.set(str("current"), a.pos[0])
}

func globalJoiner(_ *run, a args) (Value, error) {
	v, err := a.bind("joiner", "sep")
	if err != nil {
		return nil, err
	}
	sep, err := wantText("joiner", v[0], str(", "))
	if err != nil {
		return nil, err
	}
	used := false
	return &function{"joiner", func(*run, args) (Value, error) {
		if !used {
			used = true
			return text{}, nil
		}
		return sep, nil
	}}, nil
}

// sortedBy returns the stable order of n elements.
func sortedBy(n int, compare func(i, j int) int) []int {
	perm := make([]int, n)
	for i := range perm {
		perm[i] = i
	}
	slices.SortStableFunc(perm, compare)
	return perm
}

func permute[T any](s []T, perm []int) []T {
	out := make([]T, len(perm))
	for i, p := range perm {
		out[i] = s[p]
	}
	return out
}

// sortValues returns the stable order of values by key.
func sortValues(r *run, keys []Value, reverse bool) ([]int, error) {
	var failed error
	perm := sortedBy(len(keys), func(i, j int) int {
		if failed != nil {
			return cmp.Compare(i, j)
		}
		c, err := order(r, keys[i], keys[j], 0)
		if err != nil {
			failed = err
		}
		if reverse {
			return -c
		}
		return c
	})
	return perm, failed
}
