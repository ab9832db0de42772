package grammar

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"unicode/utf8"
)

// size returns the bytes of a source.
func (s *Source) size() int {
	n := len(s.Text)
	for _, c := range s.Choices {
		n += len(c) + 1
	}
	for i := range s.Parts {
		n += s.Parts[i].size() + 1
	}
	return n
}

// hash returns a number that equal sources share, and no others.
func (s *Source) hash() (sum [sha256.Size]byte) {
	h := sha256.New()
	s.write(h)
	h.Sum(sum[:0])
	return sum
}

// write writes a form of s that can be read back in one way only.
func (s *Source) write(h hash.Hash) {
	number := func(n int) { h.Write(binary.AppendUvarint(nil, uint64(n))) }
	text := func(t string) {
		number(len(t))
		h.Write([]byte(t))
	}
	compact := 0
	if s.Compact {
		compact = 1
	}
	number(int(s.Kind))
	number(compact)
	text(s.Text)
	number(len(s.Choices))
	for _, c := range s.Choices {
		text(c)
	}
	number(len(s.Parts))
	for i := range s.Parts {
		s.Parts[i].write(h)
	}
}

// source builds what a source accepts in front of the position next; parts may nest depth deep.
func (b *builder) source(s Source, next int32, depth int) (int32, error) {
	if depth == 0 {
		return 0, overLimit("sources are nested too deep")
	}
	j := b.json(s.Compact)
	switch s.Kind {
	case JSONObject, JSONValue:
		rule, err := j.anyObject()
		if s.Kind == JSONValue && err == nil {
			rule, err = j.anyValue()
		}
		if err != nil {
			return 0, err
		}
		return b.call(rule, next)
	case JSONSchema:
		return b.schema(s.Text, j, next)
	case GBNF:
		return b.gbnf(s.Text, next)
	case Regex:
		return b.regex(s.Text, next)
	case Choice:
		return b.choices(s.Choices, next)
	case Literal:
		t, err := b.literals([]string{s.Text})
		if err != nil {
			return 0, err
		}
		return b.read(t, next)
	case Prose:
		return b.prose(s.Text, next)
	case Sequence, Either, Many:
		return b.parts(s, next, depth)
	}
	return 0, invalid("no such kind of source: %d", s.Kind)
}

// json returns the rules of JSON with or without white space.
func (b *builder) json(compact bool) *jsonRules {
	i := 0
	if compact {
		i = 1
	}
	if b.plainJSON[i] == nil {
		b.plainJSON[i] = &jsonRules{b: b, space: newSpacing(compact)}
	}
	return b.plainJSON[i]
}

func (b *builder) parts(s Source, next int32, depth int) (int32, error) {
	if len(s.Parts) == 0 {
		return 0, invalid("no parts")
	}
	var err error
	if s.Kind == Either {
		starts := make([]int32, len(s.Parts))
		for i, part := range s.Parts {
			if starts[i], err = b.source(part, next, depth-1); err != nil {
				return 0, err
			}
		}
		return b.alt(starts...)
	}
	after := next
	if s.Kind == Many {
		after = endOfRule
	}
	for i := len(s.Parts) - 1; i >= 0; i-- {
		if after, err = b.source(s.Parts[i], after, depth-1); err != nil {
			return 0, err
		}
	}
	if s.Kind == Sequence {
		return after, nil
	}
	round, err := b.rule("repetition")
	if err != nil {
		return 0, err
	}
	b.rules[round].start = after
	if s.Text == "" {
		return b.loop(round, 1, -1, next)
	}
	again, err := b.rule("round")
	if err != nil {
		return 0, err
	}
	if after, err = b.call(round, endOfRule); err != nil {
		return 0, err
	}
	if b.rules[again].start, err = b.regex(s.Text, after); err != nil {
		return 0, err
	}
	if after, err = b.loop(again, 0, -1, next); err != nil {
		return 0, err
	}
	return b.call(round, after)
}

func (b *builder) regex(pattern string, next int32) (int32, error) {
	e, err := parseRegex(pattern)
	if err != nil {
		return 0, err
	}
	t, err := b.expr("regex:"+pattern, e)
	if err == nil {
		return b.read(t, next)
	}
	// Repetitions can make an automaton too large; as loops of rules they cost nothing.
	if e, _, _, ok := trimAnchors(e); ok && errors.Is(err, ErrLimit) && b.budget.work(0) == nil {
		return newLowering(&gbnfGrammar{}, b, plain).lower(e, next)
	}
	return 0, err
}

func (b *builder) choices(texts []string, next int32) (int32, error) {
	if len(texts) == 0 {
		return 0, invalid("no choices")
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return 0, invalid("choice %s is not UTF-8", quote(s))
		}
	}
	t, err := b.literals(texts)
	if err != nil {
		return 0, err
	}
	return b.read(t, next)
}
