package grammar

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// disjoint reports whether it is certain that no value matches a shape of a and one of b. It looks at what schemas
// mean, not at the narrower language that answers are held to.
func (s *schemas) disjoint(a, b []*shape, depth int) (bool, error) {
	for _, x := range a {
		for _, y := range b {
			ok, err := s.apart(x, y, depth)
			if err != nil || !ok {
				return false, err
			}
		}
	}
	return true, nil
}

func (s *schemas) apart(a, b *shape, depth int) (bool, error) {
	if err := s.b.budget.work(32 + len(a.props) + len(b.props)); err != nil {
		return false, err
	}
	types := a.types & b.types
	if types == 0 {
		return true, nil
	}
	for _, pair := range [][2]*shape{{a, b}, {b, a}} {
		if pair[0].limited {
			return s.noneAdmitted(pair[0].enum, pair[1])
		}
	}
	if types&(typeNull|typeBool) != 0 {
		return false, nil
	}
	if types&typeNumber != 0 && !below(a.high, b.low) && !below(b.high, a.low) {
		return false, nil
	}
	over := func(most, least int) bool { return most >= 0 && most < least }
	if types&typeString != 0 && !over(a.maxLength, b.minLength) && !over(b.maxLength, a.minLength) {
		m := merge(a, b)
		if len(a.patterns)+len(a.formats) == 0 || len(b.patterns)+len(b.formats) == 0 || m == nil {
			return false, nil
		}
		d, err := s.content(m)
		if err != nil || d.states() > 0 {
			return false, onlyLimits(err)
		}
	}
	if types&typeArray != 0 && !over(a.maxItems, b.minItems) && !over(b.maxItems, a.minItems) {
		return false, nil
	}
	if types&typeObject != 0 {
		return s.objectsApart(a, b, depth)
	}
	return true, nil
}

// objectsApart looks for a property that both require with values apart, or that one requires and the other forbids.
func (s *schemas) objectsApart(a, b *shape, depth int) (bool, error) {
	const deepest = 4
	if depth > deepest {
		return false, nil
	}
	for _, pair := range [][2]*shape{{a, b}, {b, a}} {
		for _, name := range pair[0].required {
			other, _ := pair[1].prop(name)
			if other.refuses() {
				return true, nil
			}
			if !slices.Contains(pair[1].required, name) {
				continue
			}
			own, _ := pair[0].prop(name)
			x, err := s.alternatives(own)
			if err == nil {
				var y []*shape
				if y, err = s.alternatives(other); err == nil {
					ok, err := s.disjoint(x, y, depth+1)
					if err != nil || ok {
						return ok, err
					}
				}
			}
			// A schema that refers back to the one at hand proves nothing; what is wrong with one is said when it is used.
			if err = onlyLimits(err); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// onlyLimits drops an error that doesn't say that the compilation must stop.
func onlyLimits(err error) error {
	if errors.Is(err, ErrInvalid) || errors.Is(err, ErrUnsupported) {
		return nil
	}
	return err
}

// below reports whether all numbers up to high are less than those from low on.
func below(high, low bound) bool {
	if high.at == nil || low.at == nil {
		return false
	}
	c := high.at.Cmp(low.at)
	return c < 0 || c == 0 && (high.exclusive || low.exclusive)
}

func (s *schemas) noneAdmitted(values []*value, by *shape) (bool, error) {
	for _, v := range values {
		ok, err := s.admits(by, v)
		if err != nil || ok {
			return false, onlyLimits(err)
		}
	}
	return true, nil
}

// admits reports whether a shape accepts a value.
func (s *schemas) admits(sh *shape, v *value) (bool, error) {
	if err := s.b.budget.work(4 * len(sh.enum)); err != nil {
		return false, err
	}
	if sh.limited && !slices.ContainsFunc(sh.enum, v.equal) {
		return false, nil
	}
	return s.fits(sh, v)
}

// fits reports whether a value meets the keywords of a shape, an enum aside. Arrays and objects can only be judged by
// their type.
func (s *schemas) fits(sh *shape, v *value) (bool, error) {
	if err := s.b.budget.work(32); err != nil {
		return false, err
	}
	t := v.typeOf()
	if sh.types&t == 0 {
		return false, nil
	}
	if sh.touched&t == 0 {
		return true, nil
	}
	switch {
	case t == typeString:
		return s.admitsText(sh, v.text)
	case t&typeNumber != 0:
		r, err := parseNumber(v.text)
		if err != nil {
			return false, err
		}
		own := bound{at: r}
		if below(own, sh.low) || below(sh.high, own) {
			return false, nil
		}
		for _, m := range sh.multiples {
			if ok, err := isMultiple(r, m); !ok {
				return false, err
			}
		}
		return true, nil
	}
	return false, unsupported("enum or const with an array or object beside keywords for these is not supported")
}

func (s *schemas) admitsText(sh *shape, text string) (bool, error) {
	n := utf8.RuneCountInString(text)
	if n < sh.minLength || sh.maxLength >= 0 && n > sh.maxLength {
		return false, nil
	}
	for _, p := range sh.patterns {
		re, err := s.matcherOf(p)
		if err != nil {
			return false, err
		}
		if err := s.b.budget.work(re.size * (len(text) + 1) / 4); err != nil {
			return false, err
		}
		if !re.MatchString(text) {
			return false, nil
		}
	}
	for _, f := range sh.formats {
		d, err := s.formatContent(f)
		if err != nil {
			return false, err
		}
		if !d.matches(string(quoted.appendText(nil, text))) {
			return false, nil
		}
	}
	return true, nil
}

// A patternMatcher is a pattern for texts that are known when the schema is compiled.
type patternMatcher struct {
	*regexp.Regexp
	size int // instructions; a match takes some time for each of them at each byte
}

func (s *schemas) matcherOf(p *value) (patternMatcher, error) {
	if m, ok := s.matchers[p]; ok {
		return m, nil
	}
	source := ecmaToRE2(p.text)
	parsed, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return patternMatcher{}, p.parent.keyword("pattern", ErrInvalid, "%v", err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err == nil {
		err = s.b.budget.work(64 * len(prog.Inst))
	}
	if err != nil {
		return patternMatcher{}, err
	}
	m := patternMatcher{size: len(prog.Inst)}
	if m.Regexp, err = regexp.Compile(source); err != nil {
		return patternMatcher{}, p.parent.keyword("pattern", ErrInvalid, "%v", err)
	}
	s.matchers[p] = m
	return m, nil
}
