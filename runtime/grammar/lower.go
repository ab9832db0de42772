package grammar

import "fmt"

// lower returns the start of a rule for the values that all of some schemas accept.
//
// The language is at places narrower than the schema's, never wider. What a schema leaves open only because it doesn't
// speak of it is left out: types without a keyword where others have one, properties beside "properties" unless
// additionalProperties is stated, items behind prefixItems unless items or maxItems is.
func (s *schemas) lower(schema all) (int32, error) {
	shapes, err := s.alternatives(schema)
	if err != nil {
		return 0, err
	}
	var starts []int32
	var literals []string // of all shapes: one terminal
	add := func(start int32, err error) error {
		starts = append(starts, start)
		return err
	}
	for _, sh := range shapes {
		types := sh.types
		if types == typeAny && sh.touched != 0 && !sh.limited {
			types = sh.touched
		}
		switch {
		case sh.isAny():
			r, err := s.j.anyValue()
			if err != nil {
				return 0, err
			}
			if err := add(s.b.call(r, endOfRule)); err != nil {
				return 0, err
			}
			continue
		case sh.limited:
			for _, v := range sh.enum {
				ok, err := s.fits(sh, v)
				if err != nil {
					return 0, placedAt(err, schema[0])
				}
				if ok {
					literals = append(literals, v.json())
				}
			}
			continue
		}
		if types&typeNull != 0 {
			literals = append(literals, "null")
		}
		if types&typeBool != 0 {
			literals = append(literals, "true", "false")
		}
		for _, t := range []struct {
			is   bool
			term func(*shape) (int32, error)
		}{
			{types&typeNumber == typeWhole, s.wholeTerm},
			{types&typeFraction != 0, s.numberTerm},
		} {
			if t.is {
				term, err := t.term(sh)
				if err != nil {
					return 0, placedAt(err, schema[0])
				}
				if err := add(s.b.read(term, endOfRule)); err != nil {
					return 0, err
				}
			}
		}
		if types&typeString != 0 {
			p, err := s.text(sh, endOfRule)
			if err != nil {
				return 0, placedAt(err, schema[0])
			}
			if err := add(p, nil); err != nil {
				return 0, err
			}
		}
		if types&typeArray != 0 {
			if err := add(s.array(sh)); err != nil {
				return 0, err
			}
		}
		if types&typeObject != 0 {
			if err := add(s.object(sh, schema[0])); err != nil {
				return 0, err
			}
		}
	}
	if len(literals) > 0 {
		term, err := s.b.literals(literals)
		if err != nil {
			return 0, err
		}
		if err := add(s.b.read(term, endOfRule)); err != nil {
			return 0, err
		}
	}
	return s.b.alt(starts...)
}

// placedAt says at which schema an error arose, if it doesn't say so itself.
func placedAt(err error, v *value) error {
	if e, ok := err.(*Error); ok && e.Path == "" && e.Keyword == "" {
		return &Error{Path: v.path(), Msg: fmt.Sprintf("schema at %s: %s", quote("#"+v.path()), e.Msg), Err: e.Err}
	}
	return err
}

func (s *schemas) array(sh *shape) (int32, error) {
	rest := int32(-1)
	if len(sh.prefix) == 0 || sh.hasItems || sh.maxItems >= 0 {
		if !sh.items.refuses() {
			var err error
			if rest, err = s.rule(sh.items); err != nil {
				return 0, err
			}
		}
	}
	var prefix []int32
	for _, schema := range sh.prefix {
		r, err := s.rule(schema)
		if err != nil {
			return 0, err
		}
		prefix = append(prefix, r)
	}
	if sh.maxItems >= 0 && sh.minItems > sh.maxItems {
		return s.b.alt()
	}
	return s.j.array(prefix, rest, sh.minItems, sh.maxItems, endOfRule)
}

func (s *schemas) object(sh *shape, at *value) (int32, error) {
	b := s.b
	names, err := s.namesOf(sh)
	if err != nil {
		return 0, err
	}
	named := map[string]bool{}
	var members []member
	one := func(name string, schema all, required bool) error {
		named[name] = true
		can, err := names.admit(name)
		if err != nil {
			return placedAt(err, at)
		}
		if !can {
			schema = all{{kind: kindBool, id: -1}}
		}
		if schema.refuses() && !required {
			return nil
		}
		value, err := s.rule(schema)
		if err != nil {
			return err
		}
		name = quoteJSON(name)
		key, err := b.expr("text:"+name, text(name))
		if err != nil {
			return placedAt(err, at)
		}
		members = append(members, member{key, value, required})
		return nil
	}
	required := map[string]bool{}
	for _, name := range sh.required {
		required[name] = true
	}
	for _, p := range sh.props {
		if err := one(p.name, p.schema, required[p.name]); err != nil {
			return 0, err
		}
	}
	for _, name := range sh.required {
		if !named[name] {
			if err := one(name, sh.others, true); err != nil {
				return 0, err
			}
		}
	}
	open := (sh.hasOther || len(sh.props) == 0) && !sh.others.refuses()
	if open && names.listed {
		for _, name := range names.list {
			if !named[name] {
				if err := one(name, sh.others, false); err != nil {
					return 0, err
				}
			}
		}
	}
	if !open || names.listed {
		return s.j.members(members, nil, endOfRule)
	}
	value, err := s.rule(sh.others)
	if err != nil {
		return 0, err
	}
	key, err := names.otherKey(named)
	if err != nil {
		return 0, placedAt(err, at)
	}
	return s.j.members(members, &member{key: key, value: value}, endOfRule)
}
