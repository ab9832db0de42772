package grammar

import (
	"errors"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type exprOp uint8

const (
	exprEmpty  exprOp = iota
	exprNone          // matches nothing, not even the empty text
	exprText          // text
	exprClass         // one character of set
	exprCat           // subs one after the other
	exprAlt           // one of subs
	exprRepeat        // subs[0], min to max times; max < 0 is no limit
	exprBegin         // the begin of the text
	exprEnd           // the end of the text
	exprRule          // what rule number min of a grammar matches
)

// expr is a regular expression over characters.
type expr struct {
	op       exprOp
	text     string
	set      []rune // ranges, as in regexp/syntax: lo, hi, lo, hi, ... ascending
	subs     []*expr
	min, max int
}

func text(s string) *expr     { return &expr{op: exprText, text: s} }
func class(set ...rune) *expr { return &expr{op: exprClass, set: set} }
func cat(subs ...*expr) *expr { return &expr{op: exprCat, subs: subs} }
func alt(subs ...*expr) *expr { return &expr{op: exprAlt, subs: subs} }
func repeat(e *expr, lo, hi int) *expr {
	return &expr{op: exprRepeat, subs: []*expr{e}, min: lo, max: hi}
}
func optional(e *expr) *expr { return repeat(e, 0, 1) }

// anyRune is the class of all characters.
func anyRune() *expr { return class(0, unicode.MaxRune) }

// parseRegex reads a regular expression in RE2's syntax, which is Go's. Its ^ and $ are the ends of the text.
func parseRegex(pattern string) (*expr, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	var se *syntax.Error
	if errors.As(err, &se) {
		if se.Code == syntax.ErrInvalidPerlOp {
			return nil, unsupported("%s in a regular expression: look-around and back-references are not supported", quote(se.Expr))
		}
		if se.Code == syntax.ErrInvalidRepeatSize || se.Code == syntax.ErrLarge || se.Code == syntax.ErrNestingDepth {
			return nil, overLimit("regular expression: %s: %s", se.Code, quote(se.Expr))
		}
		return nil, invalid("regular expression: %s: %s", se.Code, quote(se.Expr))
	}
	if err != nil {
		return nil, invalid("regular expression: %v", err)
	}
	return fromSyntax(re)
}

// fromSyntax converts what regexp/syntax parsed. It recurses as deep as that parser lets expressions nest (1,000).
func fromSyntax(re *syntax.Regexp) (*expr, error) {
	var subs []*expr
	for _, s := range re.Sub {
		e, err := fromSyntax(s)
		if err != nil {
			return nil, err
		}
		subs = append(subs, e)
	}
	switch re.Op {
	case syntax.OpNoMatch:
		return &expr{op: exprNone}, nil
	case syntax.OpEmptyMatch:
		return &expr{}, nil
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return text(string(re.Rune)), nil
		}
		for _, r := range re.Rune {
			subs = append(subs, folded(r))
		}
		return cat(subs...), nil
	case syntax.OpCharClass:
		return class(re.Rune...), nil
	case syntax.OpAnyCharNotNL:
		return class(0, '\n'-1, '\n'+1, unicode.MaxRune), nil
	case syntax.OpAnyChar:
		return anyRune(), nil
	case syntax.OpBeginText:
		return &expr{op: exprBegin}, nil
	case syntax.OpEndText:
		return &expr{op: exprEnd}, nil
	case syntax.OpCapture:
		return subs[0], nil
	case syntax.OpStar:
		return repeat(subs[0], 0, -1), nil
	case syntax.OpPlus:
		return repeat(subs[0], 1, -1), nil
	case syntax.OpQuest:
		return optional(subs[0]), nil
	case syntax.OpRepeat:
		return repeat(subs[0], re.Min, re.Max), nil
	case syntax.OpConcat:
		return cat(subs...), nil
	case syntax.OpAlternate:
		return alt(subs...), nil
	}
	return nil, unsupported("%s in a regular expression is not supported", quote(re.String())) // \b, \B, (?m)^, (?m)$
}

// trimAnchors takes ^ from the begin and $ from the end of an expression. ok is false if others are left.
func trimAnchors(e *expr) (trimmed *expr, begin, end, ok bool) {
	parts := []*expr{e}
	if e.op == exprCat {
		parts = e.subs
	}
	for len(parts) > 0 && parts[0].op == exprBegin {
		parts, begin = parts[1:], true
	}
	for len(parts) > 0 && parts[len(parts)-1].op == exprEnd {
		parts, end = parts[:len(parts)-1], true
	}
	trimmed = cat(parts...)
	return trimmed, begin, end, !trimmed.asserts()
}

func (e *expr) asserts() bool {
	return e.op == exprBegin || e.op == exprEnd || slices.ContainsFunc(e.subs, (*expr).asserts)
}

// folded is the class of the characters that equal r without regard to case.
func folded(r rune) *expr {
	e := alt(class(r, r))
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		e.subs = append(e.subs, class(f, f))
	}
	return e
}

// An encoding says how characters become bytes.
type encoding uint8

const (
	plain  encoding = iota // UTF-8
	quoted                 // inside a JSON string: UTF-8, and the shortest escape where JSON wants one
)

// appendText appends the bytes of s.
func (enc encoding) appendText(b []byte, s string) []byte {
	if enc == plain {
		return append(b, s...)
	}
	const hex = "0123456789abcdef"
	for i := range len(s) {
		c := s[i]
		switch j := strings.IndexByte("\"\\\b\f\n\r\t", c); {
		case j >= 0:
			b = append(b, '\\', `"\bfnrt`[j])
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

// quoteJSON returns s as a JSON string.
func quoteJSON(s string) string {
	return string(append(quoted.appendText([]byte{'"'}, s), '"'))
}

// sequences calls yield with the byte sequences of the characters of a set.
func (enc encoding) sequences(set []rune, yield func([]byteRange)) {
	for i := 0; i+1 < len(set); i += 2 {
		lo, hi := max(set[i], 0), min(set[i+1], unicode.MaxRune)
		if enc == plain {
			utf8Sequences(lo, hi, yield)
			continue
		}
		for r := lo; r <= min(hi, ' '-1); r++ {
			yield(singles(enc.appendText(nil, string(r))))
		}
		lo = max(lo, ' ')
		for _, special := range []rune{'"', '\\'} {
			if lo <= special && special <= hi {
				utf8Sequences(lo, special-1, yield)
				yield(singles(enc.appendText(nil, string(special))))
				lo = special + 1
			}
		}
		utf8Sequences(lo, hi, yield)
	}
}

func singles(b []byte) []byteRange {
	seq := make([]byteRange, len(b))
	for i, c := range b {
		seq[i] = byteRange{c, c}
	}
	return seq
}

// spelledWrong reports whether a text holds what no UTF-8 answer can.
func spelledWrong(s string) bool { return !utf8.ValidString(s) }
