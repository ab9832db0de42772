package grammar

import (
	"encoding/binary"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxShapes bounds the alternatives of one schema once its choices are multiplied out.
const maxShapes = 1000

// schemas compiles one schema document.
type schemas struct {
	b      *builder
	j      *jsonRules
	root   *value
	shapes map[*value][]*shape // alternatives of a schema
	open   map[*value]bool     // being expanded
	rules  map[string]int32    // by the ids of the schemas that apply
	todo   []task

	matchers map[*value]patternMatcher
}

// A task is a rule that is still to be defined. Rules are made one after the other, so schemas that nest or refer to
// themselves need no recursion here.
type task struct {
	rule   int32
	schema all
}

// schema builds the rules of a JSON Schema and what reads a value of it in front of next.
func (b *builder) schema(text string, j *jsonRules, next int32) (int32, error) {
	root, err := parseJSON(text, b.budget.Depth)
	if err != nil {
		return 0, err
	}
	s := &schemas{
		b: b, j: j, root: root,
		shapes: map[*value][]*shape{}, open: map[*value]bool{}, rules: map[string]int32{},
		matchers: map[*value]patternMatcher{},
	}
	rule, err := s.rule(all{root})
	if err != nil {
		return 0, err
	}
	for len(s.todo) > 0 {
		t := s.todo[0]
		s.todo = s.todo[1:]
		if b.rules[t.rule].start, err = s.lower(t.schema); err != nil {
			return 0, err
		}
	}
	return b.call(rule, next)
}

// rule returns the rule for values that all of some schemas accept.
func (s *schemas) rule(schema all) (int32, error) {
	schema = slices.DeleteFunc(slices.Clone(schema), func(v *value) bool {
		return v.kind == kindBool && v.truth || v.kind == kindObject && len(v.keys) == 0
	})
	if len(schema) == 0 {
		return s.j.anyValue()
	}
	var key []byte
	for _, v := range schema {
		key = binary.LittleEndian.AppendUint32(key, uint32(v.id))
	}
	if r, ok := s.rules[string(key)]; ok {
		return r, nil
	}
	r, err := s.b.rule("#" + schema[0].path())
	if err != nil {
		return 0, err
	}
	s.rules[string(key)] = r
	s.todo = append(s.todo, task{r, schema})
	return r, s.b.budget.keep(len(key) + 32)
}

// alternatives returns shapes that together accept what all schemas do.
func (s *schemas) alternatives(schema all) ([]*shape, error) {
	shapes := []*shape{anyShape()}
	for _, v := range schema {
		more, err := s.expand(v)
		if err != nil {
			return nil, err
		}
		if shapes, err = s.cross(shapes, more); err != nil {
			return nil, err
		}
	}
	return shapes, nil
}

// cross merges each shape of a with each of b.
func (s *schemas) cross(a, b []*shape) ([]*shape, error) {
	var out []*shape
	for _, x := range a {
		for _, y := range b {
			n := 1 + len(x.props) + len(y.props) + len(x.enum) + len(y.enum)
			if x.limited && y.limited {
				n += len(x.enum) * len(y.enum)
			}
			if len(x.props) > 0 && len(y.props) > 0 {
				n += len(x.props) * len(y.props)
			}
			if err := s.b.budget.work(8 * n); err != nil {
				return nil, err
			}
			if m := merge(x, y); m != nil && (!m.limited || len(m.enum) > 0) {
				out = append(out, m)
			}
			if len(out) > maxShapes {
				return nil, overLimit("the schema has more than %d alternatives at one place", maxShapes)
			}
		}
	}
	return out, nil
}

// expand returns the alternatives of one schema. It recurses through allOf, anyOf, oneOf and $ref, so at most as deep
// as there are schemas in the document.
func (s *schemas) expand(v *value) ([]*shape, error) {
	if v.kind == kindBool {
		if v.truth {
			return []*shape{anyShape()}, nil
		}
		return nil, nil
	}
	if v.kind != kindObject {
		return nil, &Error{Path: v.path(), Msg: "a schema must be an object or a boolean, at " + quote("#"+v.path()), Err: ErrInvalid}
	}
	if out, ok := s.shapes[v]; ok {
		return out, nil
	}
	if s.open[v] {
		return nil, v.keyword("$ref", ErrInvalid, "leads back to itself without anything in between")
	}
	s.open[v] = true
	defer delete(s.open, v)
	own, err := shapeOf(v)
	if err != nil {
		return nil, err
	}
	if err := s.b.budget.keep(256 + 64*(len(own.props)+len(own.enum))); err != nil {
		return nil, err
	}
	var out []*shape
	if own.types != 0 && (!own.limited || len(own.enum) > 0) {
		out = []*shape{own}
	}
	for i, key := range v.keys {
		var more []*shape
		switch arg := v.items[i]; key {
		default:
			continue
		case "$ref":
			target, err := s.resolve(v, arg)
			if err != nil {
				return nil, err
			}
			if more, err = s.expand(target); err != nil {
				return nil, err
			}
		case "allOf", "anyOf", "oneOf":
			if arg.kind != kindArray || len(arg.items) == 0 {
				return nil, v.keyword(key, ErrInvalid, "must be an array of schemas")
			}
			if more, err = s.combine(v, key, arg.items); err != nil {
				return nil, err
			}
		}
		if out, err = s.cross(out, more); err != nil {
			return nil, err
		}
	}
	s.shapes[v] = out
	return out, nil
}

func (s *schemas) combine(v *value, key string, subs []*value) ([]*shape, error) {
	if key == "allOf" {
		out := []*shape{anyShape()}
		for _, sub := range subs {
			more, err := s.expand(sub)
			if err != nil {
				return nil, err
			}
			if out, err = s.cross(out, more); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	var out []*shape
	for i, sub := range subs {
		more, err := s.expand(sub)
		if err != nil {
			return nil, err
		}
		if key == "oneOf" {
			for j := range i {
				before, err := s.expand(subs[j])
				if err != nil {
					return nil, err
				}
				ok, err := s.disjoint(before, more, 0)
				if err != nil {
					return nil, err
				}
				if !ok {
					return nil, v.keyword(key, ErrUnsupported,
						"is supported only where no value can match two of its schemas; %d and %d may overlap; use anyOf", j, i)
				}
			}
		}
		out = append(out, more...)
		if len(out) > maxShapes {
			return nil, overLimit("the schema has more than %d alternatives at one place", maxShapes)
		}
	}
	return out, nil
}

// resolve finds what a $ref points to: a place in the same document.
func (s *schemas) resolve(v, arg *value) (*value, error) {
	if arg.kind != kindString {
		return nil, v.keyword("$ref", ErrInvalid, "must be a string")
	}
	pointer, ok := strings.CutPrefix(arg.text, "#")
	if !ok || pointer != "" && pointer[0] != '/' {
		return nil, v.keyword("$ref", ErrUnsupported, "to %s is not supported; only places in the schema itself are, as #/...", quote(arg.text))
	}
	pointer, err := url.PathUnescape(pointer)
	if err != nil {
		return nil, v.keyword("$ref", ErrInvalid, "%s is malformed", quote(arg.text))
	}
	at := s.root
	if pointer != "" {
		for part := range strings.SplitSeq(pointer[1:], "/") {
			if err := s.b.budget.work(8 + len(at.keys)); err != nil {
				return nil, err
			}
			part = pointerUnescape.Replace(part)
			next := at.get(part)
			if i, err := strconv.Atoi(part); at.kind == kindArray && err == nil && i >= 0 && i < len(at.items) {
				next = at.items[i]
			}
			if next == nil {
				return nil, v.keyword("$ref", ErrInvalid, "%s does not exist in the schema", quote(arg.text))
			}
			at = next
		}
	}
	return at, nil
}
