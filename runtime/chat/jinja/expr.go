package jinja

import "math"

// expr is a node with a value.
type expr interface {
	eval(r *run, s *scope) (Value, error)
}

// blockVar holds the text of the block a filter chain is applied to. No template can spell the name.
const blockVar = "|"

type (
	constExpr struct{ v Value }
	nameExpr  struct{ name string }
	blockText struct{}
	listExpr  struct {
		items []expr
		kind  listKind
	}
	dictExpr struct{ keys, vals []expr }
	attrExpr struct {
		x    expr
		name string
	}
	indexExpr struct{ x, i expr }
	sliceExpr struct{ x, from, to, step expr }
	notExpr   struct{ x expr }
	signExpr  struct {
		x     expr
		minus bool
	}
	logicExpr struct {
		and  bool
		x, y expr
	}
	compareExpr struct {
		first expr
		ops   []string
		rest  []expr
	}
	binExpr struct {
		op   string
		x, y expr
	}
	condExpr struct{ cond, yes, no expr } // no may be nil
	callExpr struct {
		fn    expr
		args  []expr
		names []string
		named []expr
	}
	filterExpr struct {
		x    expr
		name string
		args *callExpr // its fn is not used
	}
	testExpr struct {
		x    expr
		name string
		args *callExpr
		not  bool
	}
)

func (e constExpr) eval(r *run, _ *scope) (Value, error) { return e.v, r.step(1) }

func (e *nameExpr) eval(r *run, s *scope) (Value, error) {
	if v, ok := s.get(e.name); ok {
		return v, r.step(1)
	}
	if v := global(e.name); v != nil {
		return v, r.step(1)
	}
	return undefined{"\"" + e.name + "\""}, r.step(1)
}

func (blockText) eval(_ *run, s *scope) (Value, error) {
	v, _ := s.get(blockVar)
	return v, nil
}

func evalAll(r *run, s *scope, xs []expr) ([]Value, error) {
	if err := r.allocList(len(xs)); err != nil {
		return nil, err
	}
	out := make([]Value, len(xs))
	for i, x := range xs {
		var err error
		if out[i], err = x.eval(r, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *listExpr) eval(r *run, s *scope) (Value, error) {
	vs, err := evalAll(r, s, e.items)
	return &list{items: vs, kind: e.kind}, err
}

func (e *dictExpr) eval(r *run, s *scope) (Value, error) {
	keys, err := evalAll(r, s, e.keys)
	if err != nil {
		return nil, err
	}
	vals, err := evalAll(r, s, e.vals)
	if err != nil {
		return nil, err
	}
	d := &dict{}
	for i, k := range keys {
		if err := d.set(k, vals[i]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (e *notExpr) eval(r *run, s *scope) (Value, error) {
	v, err := e.x.eval(r, s)
	if err != nil {
		return nil, err
	}
	return boolean(!truth(v)), nil
}

func (e *signExpr) eval(r *run, s *scope) (Value, error) {
	v, err := e.x.eval(r, s)
	if err != nil {
		return nil, err
	}
	if !e.minus {
		if _, ok := number(v); !ok {
			return nil, fail("cannot put '+' before %s", describe(v))
		}
		return v, nil
	}
	if n, ok := asInt(v); ok && n != math.MinInt64 {
		return integer(-n), nil
	}
	if f, ok := v.(float); ok {
		return -f, nil
	}
	return nil, fail("cannot put '-' before %s", describe(v))
}

func (e *logicExpr) eval(r *run, s *scope) (Value, error) {
	v, err := e.x.eval(r, s)
	if err != nil || truth(v) != e.and {
		return v, err
	}
	return e.y.eval(r, s)
}

func (e *condExpr) eval(r *run, s *scope) (Value, error) {
	c, err := e.cond.eval(r, s)
	if err != nil {
		return nil, err
	}
	switch {
	case truth(c):
		return e.yes.eval(r, s)
	case e.no != nil:
		return e.no.eval(r, s)
	}
	return undefined{"the inline if, which has no else part"}, nil
}

// eval chains comparisons as Python does: a < b < c is a < b and b < c.
func (e *compareExpr) eval(r *run, s *scope) (Value, error) {
	x, err := e.first.eval(r, s)
	if err != nil {
		return nil, err
	}
	for i, op := range e.ops {
		y, err := e.rest[i].eval(r, s)
		if err != nil {
			return nil, err
		}
		ok, err := compare(r, op, x, y)
		if err != nil || !ok {
			return boolean(false), err
		}
		x = y
	}
	return boolean(true), nil
}

func compare(r *run, op string, x, y Value) (bool, error) {
	switch op {
	case "==":
		return equal(r, x, y, 0)
	case "!=":
		eq, err := equal(r, x, y, 0)
		return !eq, err
	case "in":
		return contains(r, y, x)
	case "not in":
		in, err := contains(r, y, x)
		return !in, err
	}
	c, err := order(r, x, y, 0)
	switch op {
	case "<":
		return c < 0, err
	case "<=":
		return c <= 0, err
	case ">":
		return c > 0, err
	}
	return c >= 0, err
}

func (e *attrExpr) eval(r *run, s *scope) (Value, error) {
	x, err := e.x.eval(r, s)
	if err != nil {
		return nil, err
	}
	return attribute(x, e.name)
}

// attribute is x.name: a method or attribute first, an entry second.
func attribute(x Value, name string) (Value, error) {
	switch x := x.(type) {
	case undefined:
		return nil, fail("cannot read %q of %s", name, describe(x))
	case text:
		if m := stringMethod(x, name); m != nil {
			return m, nil
		}
	case *dict:
		if m := dictMethod(x, name); m != nil {
			return m, nil
		}
		if v, ok := x.lookup(name); ok {
			return v, nil
		}
	case *list:
		if m := listMethod(x, name); m != nil {
			return m, nil
		}
	case *namespace:
		if v, ok := x.attrs.lookup(name); ok {
			return v, nil
		}
	case *loop:
		if v, ok := x.attr(name); ok {
			return v, nil
		}
	case *function:
		if name == "name" {
			return str(x.name), nil
		}
	}
	return undefined{"attribute \"" + name + "\" of a value of type " + x.typeName()}, nil
}

func (e *indexExpr) eval(r *run, s *scope) (Value, error) {
	x, err := e.x.eval(r, s)
	if err != nil {
		return nil, err
	}
	i, err := e.i.eval(r, s)
	if err != nil {
		return nil, err
	}
	return subscript(r, x, i)
}

// subscript is x[i]: an entry first, an attribute second.
func subscript(r *run, x, i Value) (Value, error) {
	if u, ok := x.(undefined); ok {
		return nil, fail("cannot index %s", describe(u))
	}
	if d, ok := x.(*dict); ok {
		if v, ok := d.get(i); ok {
			return v, nil
		}
	}
	if n, ok := asInt(i); ok {
		switch x := x.(type) {
		case *list:
			if n < 0 {
				n += int64(len(x.items))
			}
			if x.kind != isGenerator && n >= 0 && n < int64(len(x.items)) {
				return x.items[n], nil
			}
		case text:
			all, err := items(r, x)
			if err != nil {
				return nil, err
			}
			if n < 0 {
				n += int64(len(all))
			}
			if n >= 0 && n < int64(len(all)) {
				return all[n], nil
			}
		}
		return undefined{"element of a value of type " + x.typeName()}, nil
	}
	if name, ok := i.(text); ok {
		return attribute(x, name.s)
	}
	return undefined{"element of a value of type " + x.typeName()}, nil
}

func (e *sliceExpr) eval(r *run, s *scope) (Value, error) {
	x, err := e.x.eval(r, s)
	if err != nil {
		return nil, err
	}
	var bounds [3]*int64
	for i, b := range []expr{e.from, e.to, e.step} {
		if b == nil {
			continue
		}
		v, err := b.eval(r, s)
		if err != nil {
			return nil, err
		}
		if _, ok := v.(none); ok {
			continue
		}
		n, ok := asInt(v)
		if !ok {
			return nil, fail("slice bounds must be integers, not %s", describe(v))
		}
		bounds[i] = &n
	}
	switch x := x.(type) {
	case *list:
		if x.kind == isGenerator {
			break
		}
		picked, err := pick(r, x.items, bounds)
		return &list{items: picked, kind: x.kind}, err
	case text:
		if bounds[2] == nil && isASCII(x.s) {
			from, to, _ := sliceRange(len(x.s), bounds)
			return x.slice(from, max(from, to)), r.work(to - min(from, to))
		}
		all, err := items(r, x)
		if err != nil {
			return nil, err
		}
		if all, err = pick(r, all, bounds); err != nil {
			return nil, err
		}
		parts := make([]text, len(all))
		for i, v := range all {
			parts[i] = v.(text)
		}
		return concat(r, parts...)
	}
	return nil, fail("%s cannot be sliced", describe(x))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// sliceRange clamps [from:to:step] to a sequence of n elements as Python does.
func sliceRange(n int, b [3]*int64) (from, to, step int) {
	step = 1
	if b[2] != nil {
		step = int(min(max(*b[2], -math.MaxInt32), math.MaxInt32))
	}
	low, high := 0, n
	from, to = 0, n
	if step < 0 {
		low, high = -1, n-1
		from, to = n-1, -1
	}
	clamp := func(p *int64, def int) int {
		if p == nil {
			return def
		}
		v := *p
		if v < 0 {
			v = max(v, -math.MaxInt32) + int64(n)
		}
		return int(min(max(v, int64(low)), int64(high)))
	}
	return clamp(b[0], from), clamp(b[1], to), step
}

func pick(r *run, all []Value, b [3]*int64) ([]Value, error) {
	from, to, step := sliceRange(len(all), b)
	if step == 0 {
		return nil, fail("slice step must not be 0")
	}
	if step == 1 {
		return all[from:max(from, to):max(from, to)], nil
	}
	var out []Value
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		if err := r.allocList(1); err != nil {
			return nil, err
		}
		out = append(out, all[i])
	}
	return out, nil
}
