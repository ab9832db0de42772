package grammar

import (
	"math/big"
	"slices"
	"strings"
)

// typeSet is a set of JSON types. Numbers are two: whole ones, which are "integer", and all others.
type typeSet uint8

const (
	typeNull typeSet = 1 << iota
	typeBool
	typeWhole
	typeFraction
	typeString
	typeArray
	typeObject

	typeNumber = typeWhole | typeFraction
	typeAny    = 1<<7 - 1
)

var typeNames = map[string]typeSet{
	"null": typeNull, "boolean": typeBool, "integer": typeWhole, "number": typeNumber,
	"string": typeString, "array": typeArray, "object": typeObject,
}

// all is a set of schemas that apply together, by id; empty, it accepts anything.
type all []*value

func (a all) and(b all) all {
	if len(a) == 0 || len(b) == 0 {
		return append(a, b...)
	}
	both := slices.Concat(a, b)
	slices.SortFunc(both, func(x, y *value) int { return x.id - y.id })
	return slices.Compact(both)
}

// refuses reports whether one of the schemas is false.
func (a all) refuses() bool {
	return slices.ContainsFunc(a, func(v *value) bool { return v.kind == kindBool && !v.truth })
}

// A shape is what a schema without choices says: one conjunction of keywords. Shapes don't change once they are made.
type shape struct {
	types   typeSet
	touched typeSet  // types that some keyword speaks of
	limited bool     // to the values of enum
	enum    []*value // where limited

	minLength, maxLength int      // maxLength < 0: no limit
	patterns, formats    []*value // strings

	low, high bound
	multiples []*value

	prefix             []all
	items              all // of the items behind prefix
	hasItems           bool
	minItems, maxItems int // maxItems < 0: no limit

	props    []property // in the order of the schema
	required []string
	others   all  // of properties that are not in props
	hasOther bool // others was stated
	names    all  // of the names of all properties, as strings
}

type property struct {
	name   string
	schema all
}

// A bound is a limit for numbers; nil means none.
type bound struct {
	at        *big.Rat
	exclusive bool
}

func anyShape() *shape { return &shape{types: typeAny, maxLength: -1, maxItems: -1} }

// isAny reports whether s accepts everything.
func (s *shape) isAny() bool { return s.types == typeAny && s.touched == 0 && !s.limited }

// prop returns the schemas for the value of a property.
func (s *shape) prop(name string) (schema all, named bool) {
	for i := range s.props {
		if s.props[i].name == name {
			return s.props[i].schema, true
		}
	}
	return s.others, false
}

func (s *shape) item(i int) all {
	if i < len(s.prefix) {
		return s.prefix[i]
	}
	return s.items
}

// merge returns the shape that accepts what both do, nil if it is plain that nothing is.
func merge(a, b *shape) *shape {
	switch {
	case a.isAny():
		return b
	case b.isAny():
		return a
	}
	m := *a
	m.types &= b.types
	m.touched |= b.touched
	if b.limited {
		m.limited, m.enum = true, b.enum
		if a.limited {
			m.enum = nil
			for _, v := range a.enum {
				if slices.ContainsFunc(b.enum, v.equal) {
					m.enum = append(m.enum, v)
				}
			}
		}
	}
	if m.limited {
		kinds := typeSet(0)
		for _, v := range m.enum {
			kinds |= v.typeOf()
		}
		m.types &= kinds
	}
	m.minLength, m.maxLength = max(a.minLength, b.minLength), least(a.maxLength, b.maxLength)
	m.patterns, m.formats = union(a.patterns, b.patterns), union(a.formats, b.formats)
	m.low, m.high = tighter(a.low, b.low, 1), tighter(a.high, b.high, -1)
	m.multiples = union(a.multiples, b.multiples)

	m.prefix = nil
	for i := range max(len(a.prefix), len(b.prefix)) {
		m.prefix = append(m.prefix, a.item(i).and(b.item(i)))
	}
	m.items, m.hasItems = a.items.and(b.items), a.hasItems || b.hasItems
	m.minItems, m.maxItems = max(a.minItems, b.minItems), least(a.maxItems, b.maxItems)

	m.props = nil
	for _, p := range a.props {
		schema, _ := b.prop(p.name)
		m.props = append(m.props, property{p.name, p.schema.and(schema)})
	}
	for _, p := range b.props {
		if schema, named := a.prop(p.name); !named {
			m.props = append(m.props, property{p.name, p.schema.and(schema)})
		}
	}
	m.required = slices.Clone(a.required)
	for _, name := range b.required {
		if !slices.Contains(m.required, name) {
			m.required = append(m.required, name)
		}
	}
	m.others, m.hasOther = a.others.and(b.others), a.hasOther || b.hasOther
	m.names = a.names.and(b.names)
	if m.types == 0 {
		return nil
	}
	return &m
}

// least returns the smaller limit; a negative one is none.
func least(a, b int) int {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// tighter returns the bound that leaves less: the greater one for sign 1, the smaller for -1.
func tighter(a, b bound, sign int) bound {
	if a.at == nil {
		return b
	}
	if b.at == nil {
		return a
	}
	if c := sign * a.at.Cmp(b.at); c < 0 || c == 0 && b.exclusive {
		return b
	}
	return a
}

func union(a, b []*value) []*value {
	out := a[:len(a):len(a)]
	for _, v := range b {
		if !slices.ContainsFunc(a, v.equal) {
			out = append(out, v)
		}
	}
	return out
}

func (v *value) typeOf() typeSet {
	switch v.kind {
	case kindNull:
		return typeNull
	case kindBool:
		return typeBool
	case kindString:
		return typeString
	case kindArray:
		return typeArray
	case kindObject:
		return typeObject
	}
	if r, err := parseNumber(v.text); err == nil && r.IsInt() {
		return typeWhole
	}
	return typeFraction
}

// equal compares as JSON Schema does: numbers by value, objects without regard to the order of keys.
func (v *value) equal(w *value) bool {
	if v.kind != w.kind || len(v.items) != len(w.items) {
		return false
	}
	switch v.kind {
	case kindNull:
		return true
	case kindBool:
		return v.truth == w.truth
	case kindString:
		return v.text == w.text
	case kindNumber:
		a, errA := parseNumber(v.text)
		b, errB := parseNumber(w.text)
		return v.text == w.text || errA == nil && errB == nil && a.Cmp(b) == 0
	}
	for i, x := range v.items {
		y := w.items[i]
		if v.kind == kindObject {
			y = w.get(v.keys[i])
		}
		if y == nil || !x.equal(y) {
			return false
		}
	}
	return true
}

// json returns v as JSON without white space, its numbers as they stand.
func (v *value) json() string {
	var b strings.Builder
	v.write(&b)
	return b.String()
}

func (v *value) write(b *strings.Builder) {
	switch v.kind {
	case kindNull:
		b.WriteString("null")
	case kindBool:
		if v.truth {
			b.WriteString("true")
		} else {
			b.WriteString("false")
		}
	case kindNumber:
		b.WriteString(v.text)
	case kindString:
		b.WriteString(quoteJSON(v.text))
	case kindArray, kindObject:
		ends := "[]"
		if v.kind == kindObject {
			ends = "{}"
		}
		b.WriteByte(ends[0])
		for i, item := range v.items {
			if i > 0 {
				b.WriteByte(',')
			}
			if v.kind == kindObject {
				b.WriteString(quoteJSON(v.keys[i]) + ":")
			}
			item.write(b)
		}
		b.WriteByte(ends[1])
	}
}
