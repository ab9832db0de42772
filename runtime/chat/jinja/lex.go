package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokText     tokenKind = iota // template text
	tokExprOpen                  // {{
	tokStmtOpen                  // {%
	tokClose                     // }} or %}
	tokName
	tokString
	tokInt
	tokFloat
	tokOp
	tokEOF
)

type token struct {
	kind tokenKind
	s    string
	line int
}

// maxTagTokens bounds one tag, and with it how deep evaluation of a chain like a+b+c+... recurses.
const maxTagTokens = 8192

// lexer cuts a template into text and the tokens inside its tags, applying white space control on the way.
type lexer struct {
	src  string
	pos  int
	line int
	out  []token
	// lineStart: what was consumed last ended with a newline, so leading blanks of the text to come are at the start
	// of a line.
	lineStart bool
	// stripNext: the last tag ended in -%}, so the text after it loses its leading white space.
	stripNext bool
}

func lex(src string) ([]token, error) {
	src = strings.ReplaceAll(src, "\r\n", "\n")
	src = strings.ReplaceAll(src, "\r", "\n")
	src = strings.TrimSuffix(src, "\n")
	l := &lexer{src: src, line: 1, lineStart: true}
	for l.pos < len(l.src) {
		if err := l.next(); err != nil {
			return nil, err
		}
	}
	l.emit(tokEOF, "")
	return l.out, nil
}

func (l *lexer) emit(k tokenKind, s string) {
	l.out = append(l.out, token{kind: k, s: s, line: l.line})
}

func (l *lexer) fail(format string, a ...any) error {
	return &Error{Kind: Syntax, Line: l.line, Msg: fmt.Sprintf(format, a...)}
}

// next consumes the text up to the next tag, and the tag.
func (l *lexer) next() error {
	open := nextTag(l.src[l.pos:])
	if open < 0 {
		l.text(l.src[l.pos:], 0, true)
		l.pos = len(l.src)
		return nil
	}
	body := l.src[l.pos : l.pos+open]
	kind := l.src[l.pos+open+1]
	l.pos += open + 2
	sign := byte(0)
	if l.pos < len(l.src) && (l.src[l.pos] == '-' || l.src[l.pos] == '+') && !(kind == '{' && l.src[l.pos] == '+') {
		sign = l.src[l.pos]
		l.pos++
	}
	l.text(body, sign, kind == '{')
	switch kind {
	case '#':
		return l.comment()
	case '{':
		l.emit(tokExprOpen, "")
		return l.tag("}}")
	}
	if l.atRaw() {
		return l.raw()
	}
	l.emit(tokStmtOpen, "")
	return l.tag("%}")
}

// nextTag finds {{, {% or {#.
func nextTag(s string) int {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '{' && (s[i+1] == '{' || s[i+1] == '%' || s[i+1] == '#') {
			return i
		}
	}
	return -1
}

// text emits template text before a tag. sign is the tag's left modifier; keep says the tag is an expression (or the
// end), before which blanks of its line stay.
func (l *lexer) text(s string, sign byte, keep bool) {
	lines := strings.Count(s, "\n")
	if l.stripNext {
		s = strings.TrimLeftFunc(s, isSpace)
	}
	switch {
	case sign == '-':
		s = strings.TrimRightFunc(s, isSpace)
	case sign == 0 && !keep:
		at := strings.LastIndexByte(s, '\n') + 1
		if (at > 0 || l.lineStart) && strings.TrimLeftFunc(s[at:], isSpace) == "" {
			s = s[:at]
		}
	}
	l.stripNext, l.lineStart = false, false
	if s != "" {
		l.emit(tokText, s)
	}
	l.line += lines
}

// after handles the right modifier of a tag that was just closed.
func (l *lexer) after(sign byte, block bool) {
	switch {
	case sign == '-':
		l.stripNext = true
	case block && sign != '+' && l.pos < len(l.src) && l.src[l.pos] == '\n':
		l.pos++
		l.line++
		l.lineStart = true
	}
}

func (l *lexer) comment() error {
	end := strings.Index(l.src[l.pos:], "#}")
	if end < 0 {
		return l.fail("comment is not closed")
	}
	body := l.src[l.pos : l.pos+end]
	sign := byte(0)
	if body != "" && (body[len(body)-1] == '-' || body[len(body)-1] == '+') {
		sign = body[len(body)-1]
	}
	l.line += strings.Count(body, "\n")
	l.pos += end + 2
	l.after(sign, true)
	return nil
}

func (l *lexer) atRaw() bool {
	rest := strings.TrimLeftFunc(l.src[l.pos:], isSpace)
	if !strings.HasPrefix(rest, "raw") {
		return false
	}
	rest = strings.TrimLeftFunc(rest[3:], isSpace)
	return strings.HasPrefix(rest, "%}") || strings.HasPrefix(rest, "-%}") || strings.HasPrefix(rest, "+%}")
}

// raw copies everything up to {% endraw %}.
func (l *lexer) raw() error {
	start := strings.Index(l.src[l.pos:], "%}")
	sign := l.src[l.pos+start-1]
	l.pos += start + 2
	l.after(sign, false) // a newline after {% raw %} is part of the raw text
	for from := l.pos; ; {
		i := strings.Index(l.src[from:], "{%")
		if i < 0 {
			return l.fail("raw block is not closed")
		}
		at := from + i
		inner := at + 2
		left := byte(0)
		if inner < len(l.src) && (l.src[inner] == '-' || l.src[inner] == '+') {
			left = l.src[inner]
			inner++
		}
		from = at + 2
		rest := strings.TrimLeftFunc(l.src[inner:], isSpace)
		if !strings.HasPrefix(rest, "endraw") {
			continue
		}
		rest = strings.TrimLeftFunc(rest[len("endraw"):], isSpace)
		right := byte(0)
		if rest != "" && (rest[0] == '-' || rest[0] == '+') {
			right = rest[0]
			rest = rest[1:]
		}
		if !strings.HasPrefix(rest, "%}") {
			continue
		}
		l.text(l.src[l.pos:at], left, false)
		l.pos = len(l.src) - len(rest) + 2
		l.after(right, true)
		return nil
	}
}

// tag reads the tokens of one tag up to its closer.
func (l *lexer) tag(closer string) error {
	first := len(l.out)
	var brackets []byte // what closes the open brackets: }} may be the end of a nested dictionary
	for {
		for l.pos < len(l.src) && isSpace(rune(l.src[l.pos])) {
			if l.src[l.pos] == '\n' {
				l.line++
			}
			l.pos++
		}
		rest := l.src[l.pos:]
		if rest == "" {
			return l.fail("tag is not closed with %s", closer)
		}
		if len(l.out)-first > maxTagTokens {
			return l.fail("tag has more than %d tokens", maxTagTokens)
		}
		if len(brackets) == 0 {
			sign := byte(0)
			if rest[0] == '-' || rest[0] == '+' && closer == "%}" {
				sign = rest[0]
			}
			if sign != 0 && strings.HasPrefix(rest[1:], closer) || strings.HasPrefix(rest, closer) {
				if !strings.HasPrefix(rest, closer) {
					l.pos++
				} else {
					sign = 0
				}
				l.emit(tokClose, closer)
				l.pos += len(closer)
				l.after(sign, closer == "%}")
				return nil
			}
		}
		c := rest[0]
		switch {
		case c == '\'' || c == '"':
			if err := l.quoted(rest); err != nil {
				return err
			}
		case c >= '0' && c <= '9':
			if err := l.number(rest); err != nil {
				return err
			}
		case isNameStart(rest):
			n := strings.IndexFunc(rest, func(c rune) bool { return !isNameRune(c) })
			if n < 0 {
				n = len(rest)
			}
			l.emit(tokName, rest[:n])
			l.pos += n
		default:
			op := operator(rest)
			if op == "" {
				r, _ := utf8.DecodeRuneInString(rest)
				return l.fail("unexpected character %q", r)
			}
			switch op {
			case "(", "[", "{":
				brackets = append(brackets, map[string]byte{"(": ')', "[": ']', "{": '}'}[op])
			case ")", "]", "}":
				if len(brackets) == 0 || brackets[len(brackets)-1] != op[0] {
					return l.fail("unexpected %q", op)
				}
				brackets = brackets[:len(brackets)-1]
			}
			l.emit(tokOp, op)
			l.pos += len(op)
		}
	}
}

// operator returns the operator at the start of s, the longest first.
func operator(s string) string {
	if len(s) >= 2 {
		switch s[:2] {
		case "**", "//", "==", "!=", "<=", ">=":
			return s[:2]
		}
	}
	if strings.IndexByte("+-*/%~<>=.,:|()[]{}", s[0]) >= 0 {
		return s[:1]
	}
	return ""
}

// number reads an integer or float literal.
func (l *lexer) number(s string) error {
	n, kind := 0, tokInt
	digits := func() {
		for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '_') {
			n++
		}
	}
	digits()
	if n+1 < len(s) && s[n] == '.' && s[n+1] >= '0' && s[n+1] <= '9' {
		kind = tokFloat
		n++
		digits()
	}
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		m := n + 1
		if m < len(s) && (s[m] == '+' || s[m] == '-') {
			m++
		}
		if m < len(s) && s[m] >= '0' && s[m] <= '9' {
			kind = tokFloat
			n = m
			digits()
		}
	}
	lit := strings.ReplaceAll(s[:n], "_", "")
	if n < len(s) && isNameRune(rune(s[n])) {
		return l.fail("malformed number %q", s[:n+1])
	}
	l.emit(kind, lit)
	l.pos += n
	return nil
}

// quoted reads a string literal with Python's escapes.
func (l *lexer) quoted(s string) error {
	quote := s[0]
	var b strings.Builder
	i := 1
	for i < len(s) && s[i] != quote {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			i++
			continue
		}
		n, err := l.escape(&b, s[i+1:])
		if err != nil {
			return err
		}
		i += 1 + n
	}
	if i >= len(s) {
		return l.fail("string is not closed")
	}
	l.emit(tokString, b.String())
	l.line += strings.Count(s[:i], "\n")
	l.pos += i + 1
	return nil
}

var simpleEscapes = map[byte]string{
	'n': "\n", 't': "\t", 'r': "\r", '\\': "\\", '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v", '\n': "",
}

// escape writes what an escape sequence (without its backslash) stands for and returns its length.
func (l *lexer) escape(b *strings.Builder, s string) (int, error) {
	if e, ok := simpleEscapes[s[0]]; ok {
		b.WriteString(e)
		return 1, nil
	}
	hex := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[0]]
	switch {
	case hex > 0:
		if len(s) < 1+hex {
			return 0, l.fail("truncated \\%c escape", s[0])
		}
		c, err := strconv.ParseUint(s[1:1+hex], 16, 32)
		if err != nil || c > unicode.MaxRune || c >= 0xd800 && c < 0xe000 {
			return 0, l.fail("malformed \\%c escape", s[0])
		}
		b.WriteRune(rune(c))
		return 1 + hex, nil
	case s[0] >= '0' && s[0] <= '7':
		n := 1
		for n < 3 && n < len(s) && s[n] >= '0' && s[n] <= '7' {
			n++
		}
		c, _ := strconv.ParseUint(s[:n], 8, 16)
		b.WriteRune(rune(c))
		return n, nil
	}
	b.WriteByte('\\') // Python keeps the backslash of an unknown escape
	return 0, nil
}

// isSpace is Python's str.isspace.
func isSpace(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }

func isNameRune(c rune) bool { return c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c) }

func isNameStart(s string) bool {
	c, _ := utf8.DecodeRuneInString(s)
	return c == '_' || unicode.IsLetter(c)
}
