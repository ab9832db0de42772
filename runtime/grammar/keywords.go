package grammar

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// keyword returns an error about a keyword of the schema v.
func (v *value) keyword(name string, cause error, format string, a ...any) *Error {
	return &Error{Path: v.path(), Keyword: name, Msg: fmt.Sprintf(format, a...), Err: cause}
}

// shapeOf reads the keywords of one schema object, those that combine schemas aside.
func shapeOf(v *value) (*shape, error) {
	s := anyShape()
	for i, key := range v.keys {
		if err := s.keyword(v, key, v.items[i]); err != nil {
			return nil, err
		}
	}
	if s.limited {
		kinds := typeSet(0)
		for _, e := range s.enum {
			kinds |= e.typeOf()
		}
		s.types &= kinds
	}
	return s, nil
}

// keyword takes in one keyword of v.
func (s *shape) keyword(v *value, key string, arg *value) (err error) {
	wrong := func(want string) error { return v.keyword(key, ErrInvalid, "must be %s", want) }
	touch := func(t typeSet) { s.touched |= t }
	switch key {
	case "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema",
		"discriminator": // annotations: they don't change what is accepted
	case "$ref", "allOf", "anyOf", "oneOf": // see schemas.expand
	case "$defs", "definitions":
		if arg.kind != kindObject {
			return wrong("an object")
		}
	case "$id":
		if v.parent != nil {
			return v.keyword(key, ErrUnsupported, "is supported at the root only")
		}
	case "type":
		return s.typeKeyword(v, arg)
	case "const":
		s.limit([]*value{arg})
	case "enum":
		if arg.kind != kindArray {
			return wrong("an array")
		}
		s.limit(arg.items)
	case "minLength":
		touch(typeString)
		s.minLength, err = v.count(key, arg)
	case "maxLength":
		touch(typeString)
		s.maxLength, err = v.count(key, arg)
	case "pattern", "format":
		if arg.kind != kindString {
			return wrong("a string")
		}
		touch(typeString)
		if key == "pattern" {
			s.patterns = []*value{arg}
		} else {
			s.formats = []*value{arg}
		}
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		touch(typeNumber)
		if arg.kind != kindNumber {
			return wrong("a number")
		}
		var at *big.Rat
		if at, err = parseNumber(arg.text); err != nil {
			return v.keyword(key, ErrLimit, "%v", err)
		}
		b := bound{at, strings.HasPrefix(key, "exclusive")}
		if strings.HasSuffix(strings.ToLower(key), "minimum") {
			s.low = tighter(s.low, b, 1)
		} else {
			s.high = tighter(s.high, b, -1)
		}
	case "multipleOf":
		touch(typeNumber)
		if r, err := parseNumber(arg.text); arg.kind != kindNumber || err != nil || r.Sign() <= 0 {
			return wrong("a positive number")
		}
		s.multiples = []*value{arg}
	case "items":
		touch(typeArray)
		if arg.kind == kindArray {
			return v.keyword(key, ErrUnsupported, "as a list of schemas is not supported; use prefixItems")
		}
		s.items, s.hasItems = all{arg}, true
	case "prefixItems":
		touch(typeArray)
		if arg.kind != kindArray || len(arg.items) == 0 {
			return wrong("an array of schemas")
		}
		for _, item := range arg.items {
			s.prefix = append(s.prefix, all{item})
		}
	case "minItems":
		touch(typeArray)
		s.minItems, err = v.count(key, arg)
	case "maxItems":
		touch(typeArray)
		s.maxItems, err = v.count(key, arg)
	case "uniqueItems":
		if arg.kind != kindBool {
			return wrong("a boolean")
		}
		if arg.truth {
			return v.keyword(key, ErrUnsupported, "is not supported")
		}
	case "properties":
		touch(typeObject)
		if arg.kind != kindObject {
			return wrong("an object of schemas")
		}
		for i, name := range arg.keys {
			s.props = append(s.props, property{name, all{arg.items[i]}})
		}
	case "required":
		touch(typeObject)
		return s.requiredKeyword(v, arg)
	case "additionalProperties":
		touch(typeObject)
		s.others, s.hasOther = all{arg}, true
	case "propertyNames":
		touch(typeObject)
		s.names = all{arg}
	default:
		return v.keyword(key, ErrUnsupported, "is not supported")
	}
	return err
}

func (s *shape) limit(values []*value) {
	if s.limited { // const beside enum
		o := shape{types: typeAny, limited: true, enum: values, maxLength: -1, maxItems: -1}
		if m := merge(s, &o); m != nil {
			*s = *m
		} else {
			s.enum = nil
		}
		return
	}
	s.limited, s.enum = true, values
}

func (s *shape) typeKeyword(v, arg *value) error {
	names := []*value{arg}
	if arg.kind == kindArray {
		names = arg.items
	}
	types := typeSet(0)
	for _, n := range names {
		t, ok := typeNames[n.text]
		if n.kind != kindString || !ok {
			return v.keyword("type", ErrInvalid, "must name JSON types")
		}
		types |= t
	}
	s.types &= types
	return nil
}

func (s *shape) requiredKeyword(v, arg *value) error {
	if arg.kind != kindArray {
		return v.keyword("required", ErrInvalid, "must be an array of strings")
	}
	seen := map[string]bool{}
	for _, n := range arg.items {
		if n.kind != kindString {
			return v.keyword("required", ErrInvalid, "must be an array of strings")
		}
		if !seen[n.text] {
			seen[n.text] = true
			s.required = append(s.required, n.text)
		}
	}
	return nil
}

// count reads a number of characters or items.
func (v *value) count(key string, arg *value) (int, error) {
	const most = 1 << 30
	if arg.kind == kindNumber {
		r, err := parseNumber(arg.text)
		if err == nil && r.IsInt() && r.Sign() >= 0 {
			if !r.Num().IsInt64() || r.Num().Int64() > most {
				return 0, v.keyword(key, ErrLimit, "is more than %d", most)
			}
			return int(r.Num().Int64()), nil
		}
	}
	return 0, v.keyword(key, ErrInvalid, "must be a whole number, not negative")
}

// parseNumber reads a JSON number. Exponents are bounded, so that the result is.
func parseNumber(text string) (*big.Rat, error) {
	const most = 400
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		if e, err := strconv.Atoi(text[i+1:]); err != nil || e > most || e < -most {
			return nil, overLimit("the exponent of %s is out of range", quote(text))
		}
	}
	if len(text) > 2*most {
		return nil, overLimit("a number of %d digits is out of range", len(text))
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, invalid("%s is no number", quote(text))
	}
	return r, nil
}
