package grammar

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
)

// text builds the JSON strings of a shape.
func (s *schemas) text(sh *shape, next int32) (int32, error) {
	if len(sh.patterns)+len(sh.formats) == 0 {
		t, err := s.b.countedString(sh.minLength, sh.maxLength)
		if err != nil {
			return 0, err
		}
		return s.b.read(t, next)
	}
	var key strings.Builder
	key.WriteString("content:" + strconv.Itoa(sh.minLength) + ":" + strconv.Itoa(sh.maxLength))
	for _, v := range sh.patterns {
		key.WriteString("\xffp" + v.text)
	}
	for _, v := range sh.formats {
		key.WriteString("\xfff" + v.text)
	}
	t, err := s.b.terminal(key.String(), func() (terminal, error) {
		d, err := s.content(sh)
		if err == nil {
			d, err = enclose(d, s.b.alphabet, s.b.budget)
		}
		return terminal{dfa: d}, err
	})
	switch {
	case err == nil:
		return s.b.read(t, next)
	case !errors.Is(err, ErrLimit) || s.b.budget.work(0) != nil:
	case len(sh.patterns) == 1 && len(sh.formats) == 0 && sh.minLength == 0 && sh.maxLength < 0:
		return s.largePattern(sh.patterns[0], err, next)
	}
	return 0, err
}

// largePattern builds the strings in which a pattern matches where its automaton is too large: repetitions become
// loops of rules. cause is returned where that is impossible.
func (s *schemas) largePattern(v *value, cause error, next int32) (int32, error) {
	e, err := parseRegex(ecmaToRE2(v.text))
	if err != nil {
		return 0, err
	}
	e, begin, end, ok := trimAnchors(e)
	if !ok {
		return 0, cause
	}
	anything := repeat(anyRune(), 0, -1)
	if !begin {
		e = cat(anything, e)
	}
	if !end {
		e = cat(e, anything)
	}
	p, err := s.b.readText(`"`, next)
	if err == nil {
		p, err = newLowering(&gbnfGrammar{}, s.b, quoted).lower(e, p)
	}
	if err != nil {
		return 0, placed(err, v)
	}
	return s.b.readText(`"`, p)
}

// content returns the automaton of what stands between the quotes where patterns or formats are given: every character
// as it is or with its shortest escape.
func (s *schemas) content(sh *shape) (*dfa, error) {
	var d *dfa
	var last *value
	and := func(v *value, e *dfa, err error) error {
		last = v
		if err == nil && d != nil {
			e, err = intersect(d, e, s.b.budget)
		}
		d = e
		return placed(err, last)
	}
	for _, p := range sh.patterns {
		e, err := s.patternContent(p)
		if err := and(p, e, err); err != nil {
			return nil, err
		}
	}
	for _, f := range sh.formats {
		e, err := s.formatContent(f)
		if err := and(f, e, err); err != nil {
			return nil, err
		}
	}
	if sh.minLength == 0 && sh.maxLength < 0 {
		return d, nil
	}
	e, err := s.lengths(sh)
	err = and(last, e, err) // before d is read
	return d, err
}

// lengths returns the automaton of the texts of a shape's lengths.
func (s *schemas) lengths(sh *shape) (*dfa, error) {
	if sh.minLength > maxRepeat || sh.maxLength > maxRepeat {
		return nil, overLimit("is supported beside lengths of at most %d", maxRepeat)
	}
	if sh.maxLength >= 0 && sh.minLength > sh.maxLength {
		return &dfa{}, nil
	}
	return s.b.dfa(repeat(anyRune(), sh.minLength, sh.maxLength), quoted)
}

// placed says which keyword an error is about, if it doesn't yet.
func placed(err error, v *value) error {
	var e *Error
	if errors.As(err, &e) && e.Keyword == "" && v.parent != nil {
		return v.parent.keyword(v.name, e.Err, "%s", e.Msg)
	}
	return err
}

// patternContent returns the automaton of the strings in which a pattern matches somewhere.
func (s *schemas) patternContent(v *value) (*dfa, error) {
	e, err := parseRegex(ecmaToRE2(v.text))
	if err != nil {
		return nil, err
	}
	anything := repeat(anyRune(), 0, -1)
	return s.b.dfa(cat(anything, e, anything), quoted)
}

func (s *schemas) formatContent(v *value) (*dfa, error) {
	re, ok := formats[v.text]
	if !ok {
		return nil, v.parent.keyword("format", ErrUnsupported, "%s is not supported", quote(v.text))
	}
	e, err := parseRegex(re)
	if err != nil {
		return nil, err
	}
	return s.b.dfa(e, quoted)
}

// ecmaToRE2 rewrites what JavaScript's regular expressions spell in another way. Everything else means the same in
// both, or is refused.
func ecmaToRE2(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '\\' || i+1 == len(pattern) {
			b.WriteByte(pattern[i])
			continue
		}
		if rest := pattern[i+1:]; len(rest) >= 5 && rest[0] == 'u' && isHex(rest[1:5]) {
			b.WriteString(`\x{` + rest[1:5] + `}`)
			i += 5
			continue
		}
		b.WriteString(pattern[i : i+2])
		i++
	}
	return b.String()
}

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.Is(unicode.ASCII_Hex_Digit, r) })
}
