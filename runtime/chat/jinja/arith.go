package jinja

import (
	"math"
	"math/bits"
	"slices"
	"strings"
)

func (e *binExpr) eval(r *run, s *scope) (Value, error) {
	x, err := e.x.eval(r, s)
	if err != nil {
		return nil, err
	}
	y, err := e.y.eval(r, s)
	if err != nil {
		return nil, err
	}
	switch e.op {
	case "~":
		a, err := toText(r, x)
		if err != nil {
			return nil, err
		}
		b, err := toText(r, y)
		if err != nil {
			return nil, err
		}
		return concat(r, a, b)
	case "+":
		if v, ok, err := add(r, x, y); ok || err != nil {
			return v, err
		}
	case "*":
		if v, ok, err := repeat(r, x, y); ok || err != nil {
			return v, err
		}
	}
	if v, ok, err := arith(e.op, x, y); ok || err != nil {
		return v, err
	}
	return nil, fail("cannot apply '%s' to %s and %s", e.op, describe(x), describe(y))
}

// add joins strings or lists.
func add(r *run, x, y Value) (Value, bool, error) {
	switch x := x.(type) {
	case text:
		if y, ok := y.(text); ok {
			v, err := addText(r, x, y)
			return v, true, err
		}
	case *list:
		y, ok := y.(*list)
		if !ok || x.kind != y.kind || x.kind == isGenerator {
			break
		}
		if err := r.allocList(len(x.items) + len(y.items)); err != nil {
			return nil, false, err
		}
		return &list{items: slices.Concat(x.items, y.items), kind: x.kind}, true, nil
	}
	return nil, false, nil
}

// addText joins two strings. Where one is markup the other is escaped.
func addText(r *run, x, y text) (text, error) {
	var err error
	switch {
	case x.markup && !y.markup:
		y, err = escapeHTML(r, y)
	case y.markup && !x.markup:
		x, err = escapeHTML(r, x)
	}
	if err != nil {
		return text{}, err
	}
	sum, err := concat(r, x, y)
	sum.markup = x.markup
	return sum, err
}

// repeat is a string or list times an integer.
func repeat(r *run, x, y Value) (Value, bool, error) {
	if _, ok := x.(integer); ok {
		x, y = y, x
	}
	n, ok := asInt(y)
	if !ok {
		return nil, false, nil
	}
	switch x := x.(type) {
	case text:
		total, ok := times(len(x.s), n)
		if !ok || total > r.lim.Output {
			return nil, false, limitError("template repeats a string to more than %d bytes", r.lim.Output)
		}
		if err := r.alloc(total); err != nil || total == 0 {
			return text{}, err == nil, err
		}
		return x.derived(strings.Repeat(x.s, int(n))), true, nil
	case *list:
		total, ok := times(len(x.items), n)
		if !ok {
			total = -1
		}
		if err := r.allocList(total); err != nil || total == 0 {
			return &list{kind: x.kind}, err == nil, err
		}
		return &list{items: slices.Repeat(x.items, int(n)), kind: x.kind}, true, nil
	}
	return nil, false, nil
}

// times multiplies a length by a count; ok is false when it does not fit an int32.
func times(length int, n int64) (total int, ok bool) {
	if n <= 0 || length == 0 {
		return 0, true
	}
	hi, lo := bits.Mul64(uint64(length), uint64(n))
	return int(lo & math.MaxInt32), hi == 0 && lo <= math.MaxInt32
}

// arith computes with numbers. Integers that would overflow are an error: Python's would grow.
func arith(op string, x, y Value) (Value, bool, error) {
	a, aInt := asInt(x)
	b, bInt := asInt(y)
	if aInt && bInt && op != "/" {
		v, err := arithInt(op, a, b)
		return v, v != nil, err
	}
	f, ok := number(x)
	g, ok2 := number(y)
	if !ok || !ok2 {
		return nil, false, nil
	}
	switch op {
	case "+":
		return float(f + g), true, nil
	case "-":
		return float(f - g), true, nil
	case "*":
		return float(f * g), true, nil
	case "**":
		return float(math.Pow(f, g)), true, nil
	}
	if g == 0 {
		return nil, false, fail("division by zero")
	}
	switch op {
	case "/":
		return float(f / g), true, nil
	case "//":
		return float(math.Floor(f / g)), true, nil
	case "%":
		return float(f - g*math.Floor(f/g)), true, nil
	}
	return nil, false, nil
}

func arithInt(op string, a, b int64) (Value, error) {
	switch op {
	case "+":
		if c := a + b; (c > a) == (b > 0) {
			return integer(c), nil
		}
	case "-":
		if c := a - b; (c < a) == (b > 0) {
			return integer(c), nil
		}
	case "*":
		if c, ok := mulInt(a, b); ok {
			return integer(c), nil
		}
	case "**":
		return powInt(a, b)
	case "//", "%":
		if b == 0 {
			return nil, fail("division by zero")
		}
		if a == math.MinInt64 && b == -1 {
			break
		}
		q, m := a/b, a%b
		if m != 0 && (m < 0) != (b < 0) { // round towards minus infinity
			q, m = q-1, m+b
		}
		if op == "%" {
			return integer(m), nil
		}
		return integer(q), nil
	}
	return nil, fail("integer overflow in '%s'", op)
}

func mulInt(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	c := a * b
	return c, c/b == a && !(a == -1 && b == math.MinInt64) && !(b == -1 && a == math.MinInt64)
}

func powInt(a, b int64) (Value, error) {
	if b < 0 {
		if a == 0 {
			return nil, fail("division by zero")
		}
		return float(math.Pow(float64(a), float64(b))), nil
	}
	out := int64(1)
	for ; b > 0; b-- {
		if a == 0 || a == 1 {
			return integer(a), nil
		}
		if a == -1 {
			return integer(1 - 2*(b&1)), nil
		}
		var ok bool
		if out, ok = mulInt(out, a); !ok {
			return nil, fail("integer overflow in '**'")
		}
	}
	return integer(out), nil
}
