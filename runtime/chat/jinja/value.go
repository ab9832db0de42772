package jinja

import (
	"cmp"
	"math"
	"strings"
	"unicode/utf8"
)

// Value is what a template computes with. The set of types is closed; String, Untrusted, Bool, Int, Float, None,
// NewList and NewDict make them. Lists and dictionaries never change once made (the sandbox transformers uses forbids
// it too), only namespaces do.
type Value interface {
	// typeName is the type's name in Python, for messages.
	typeName() string
}

type (
	undefined struct{ what string } // what was looked up in vain
	none      struct{}
	boolean   bool
	integer   int64
	float     float64
	namespace struct{ attrs *dict }
	// function is a built-in or a macro.
	function struct {
		name string
		call func(r *run, a args) (Value, error)
	}
)

type listKind uint8

const (
	isList listKind = iota
	isTuple
	isGenerator // what map, select and the like return: it has no length, no index, no JSON
)

type list struct {
	items []Value
	kind  listKind
}

func (undefined) typeName() string  { return "undefined" }
func (none) typeName() string       { return "NoneType" }
func (boolean) typeName() string    { return "bool" }
func (integer) typeName() string    { return "int" }
func (float) typeName() string      { return "float" }
func (text) typeName() string       { return "str" }
func (*dict) typeName() string      { return "dict" }
func (*namespace) typeName() string { return "namespace" }
func (*function) typeName() string  { return "function" }
func (*loop) typeName() string      { return "loop" }
func (l *list) typeName() string {
	return [...]string{"list", "tuple", "generator"}[l.kind]
}

// String makes a trusted string: one that may spell control tokens.
func String(s string) Value { return str(s) }

// Untrusted makes a string whose bytes stay marked wherever the template puts them.
func Untrusted(s string) Value { return untrusted(s) }

// Bool makes a boolean.
func Bool(b bool) Value { return boolean(b) }

// Int makes an integer.
func Int(n int64) Value { return integer(n) }

// Float makes a floating-point number.
func Float(f float64) Value { return float(f) }

// None makes Python's None.
func None() Value { return none{} }

// NewList makes a list. It keeps items.
func NewList(items ...Value) Value { return &list{items: items} }

// Pair is one entry of NewDict.
type Pair struct {
	Key   string
	Value Value
}

// NewDict makes a dictionary with trusted string keys in the given order. A repeated key keeps its first place and its
// last value.
func NewDict(pairs ...Pair) Value {
	d := &dict{}
	for _, p := range pairs {
		d.set(str(p.Key), p.Value)
	}
	return d
}

// dict keeps its entries in order of insertion.
type dict struct {
	keys  []Value
	vals  []Value
	index map[dictKey]int
}

// dictKey is a key's identity: equal numbers of different types are one key, as in Python.
type dictKey struct {
	kind byte // 's'tring, 'n'umber, 'z' none
	s    string
	n    float64
}

func keyOf(v Value) (dictKey, error) {
	switch v := v.(type) {
	case text:
		return dictKey{kind: 's', s: v.s}, nil
	case none:
		return dictKey{kind: 'z'}, nil
	case boolean, integer, float:
		f, _ := number(v)
		return dictKey{kind: 'n', n: f}, nil
	}
	return dictKey{}, fail("unhashable key of type %s", v.typeName())
}

func (d *dict) get(k Value) (Value, bool) {
	id, err := keyOf(k)
	if err != nil {
		return nil, false
	}
	if i, ok := d.index[id]; ok {
		return d.vals[i], true
	}
	return nil, false
}

func (d *dict) lookup(name string) (Value, bool) {
	if i, ok := d.index[dictKey{kind: 's', s: name}]; ok {
		return d.vals[i], true
	}
	return nil, false
}

// set is for a dictionary nobody else has seen yet.
func (d *dict) set(k, v Value) error {
	id, err := keyOf(k)
	if err != nil {
		return err
	}
	if i, ok := d.index[id]; ok {
		d.vals[i] = v
		return nil
	}
	if d.index == nil {
		d.index = make(map[dictKey]int)
	}
	d.index[id] = len(d.keys)
	d.keys = append(d.keys, k)
	d.vals = append(d.vals, v)
	return nil
}

func truth(v Value) bool {
	switch v := v.(type) {
	case undefined, none:
		return false
	case boolean:
		return bool(v)
	case integer:
		return v != 0
	case float:
		return v != 0
	case text:
		return v.s != ""
	case *list:
		return v.kind == isGenerator || len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}

// number converts numbers and booleans.
func number(v Value) (float64, bool) {
	switch v := v.(type) {
	case boolean:
		if v {
			return 1, true
		}
		return 0, true
	case integer:
		return float64(v), true
	case float:
		return float64(v), true
	}
	return 0, false
}

// asInt converts integers and booleans.
func asInt(v Value) (int64, bool) {
	switch v := v.(type) {
	case boolean:
		if v {
			return 1, true
		}
		return 0, true
	case integer:
		return int64(v), true
	}
	return 0, false
}

// items lists what iterating over v gives.
func items(r *run, v Value) ([]Value, error) {
	switch v := v.(type) {
	case undefined:
		return nil, nil
	case *list:
		return v.items, nil
	case *dict:
		return v.keys, nil
	case text:
		n := utf8.RuneCountInString(v.s)
		if err := r.allocList(n); err != nil {
			return nil, err
		}
		out := make([]Value, 0, n)
		for i := 0; i < len(v.s); {
			w := runeLen(v.s[i:])
			out = append(out, v.slice(i, i+w))
			i += w
		}
		return out, nil
	}
	return nil, fail("%s is not iterable", describe(v))
}

// equal is Python's ==. depth bounds the descent into nested values.
func equal(r *run, a, b Value, depth int) (bool, error) {
	if err := r.step(1); err != nil {
		return false, err
	}
	if depth > r.lim.Depth {
		return false, limitError("template compares values nested more than %d deep", r.lim.Depth)
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y, nil
	}
	switch a := a.(type) {
	case undefined:
		_, ok := b.(undefined)
		return ok, nil
	case none:
		_, ok := b.(none)
		return ok, nil
	case text:
		b, ok := b.(text)
		if !ok || len(a.s) != len(b.s) {
			return false, nil
		}
		return a.s == b.s, r.work(len(a.s))
	case *list:
		b, ok := b.(*list)
		if !ok || a.kind != b.kind || a.kind == isGenerator || len(a.items) != len(b.items) {
			return ok && a == b, nil
		}
		for i := range a.items {
			if eq, err := equal(r, a.items[i], b.items[i], depth+1); !eq || err != nil {
				return false, err
			}
		}
		return true, nil
	case *dict:
		b, ok := b.(*dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false, nil
		}
		for i, k := range a.keys {
			v, ok := b.get(k)
			if !ok {
				return false, nil
			}
			if eq, err := equal(r, a.vals[i], v, depth+1); !eq || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	return a == b, nil
}

// order compares numbers with numbers, strings with strings and lists with lists.
func order(r *run, a, b Value, depth int) (int, error) {
	if depth > r.lim.Depth {
		return 0, limitError("template compares values nested more than %d deep", r.lim.Depth)
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return cmp.Compare(x, y), r.step(1)
		}
	}
	switch a := a.(type) {
	case text:
		if b, ok := b.(text); ok {
			return strings.Compare(a.s, b.s), r.work(min(len(a.s), len(b.s)))
		}
	case *list:
		b, ok := b.(*list)
		if !ok || a.kind != b.kind || a.kind == isGenerator {
			break
		}
		for i := range min(len(a.items), len(b.items)) {
			if eq, err := equal(r, a.items[i], b.items[i], depth+1); err != nil {
				return 0, err
			} else if !eq {
				return order(r, a.items[i], b.items[i], depth+1)
			}
		}
		return cmp.Compare(len(a.items), len(b.items)), nil
	}
	return 0, fail("cannot order %s and %s", describe(a), describe(b))
}

// contains is Python's `item in v`.
func contains(r *run, v, item Value) (bool, error) {
	switch v := v.(type) {
	case text:
		s, ok := item.(text)
		if !ok {
			return false, fail("'in <string>' needs a string on its left, not %s", describe(item))
		}
		return strings.Contains(v.s, s.s), r.work(len(v.s) + len(s.s))
	case *dict:
		_, ok := v.get(item)
		return ok, nil
	case *list:
		for _, x := range v.items {
			if eq, err := equal(r, x, item, 0); eq || err != nil {
				return eq, err
			}
		}
		return false, nil
	case undefined:
		return false, nil
	}
	return false, fail("%s is not iterable", describe(v))
}

// length is Python's len.
func length(v Value) (int, error) {
	switch v := v.(type) {
	case undefined:
		return 0, nil
	case text:
		return utf8.RuneCountInString(v.s), nil
	case *list:
		if v.kind != isGenerator {
			return len(v.items), nil
		}
	case *dict:
		return len(v.keys), nil
	}
	return 0, fail("%s has no length", describe(v))
}

// describe names a value for a message without quoting it: it may be a user's text.
func describe(v Value) string {
	if v == nil {
		return "a missing argument"
	}
	if u, ok := v.(undefined); ok {
		if u.what == "" {
			return "an undefined value"
		}
		return u.what + ", which is undefined"
	}
	return "a value of type " + v.typeName()
}

func runeLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// toInt64 converts a float to an integer if it fits.
func toInt64(f float64) (int64, bool) {
	if math.IsNaN(f) || f < -math.MaxInt64 || f >= math.MaxInt64 {
		return 0, false
	}
	return int64(f), true
}
