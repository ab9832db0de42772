package grammar

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// gbnfGrammar is a parsed grammar: an expression for each rule.
type gbnfGrammar struct {
	names  []string
	bodies []*expr // nil for a rule that is only referred to
	where  []string
	ids    map[string]int
}

// gbnfParser reads llama.cpp's grammar language, without its references to tokens.
type gbnfParser struct {
	gbnfGrammar
	src    string
	pos    int
	depth  int
	budget *budget
}

// parseGBNF reads a grammar. Errors have "line:column" as their path.
func parseGBNF(src string, b *budget) (*gbnfGrammar, error) {
	p := &gbnfParser{src: src, budget: b}
	p.ids = map[string]int{}
	if !utf8.ValidString(src) {
		return nil, invalid("the grammar is not UTF-8")
	}
	for p.space(true); p.pos < len(p.src); p.space(true) {
		if err := p.rule(); err != nil {
			return nil, err
		}
	}
	for i, body := range p.bodies {
		if body == nil {
			return nil, &Error{Path: p.where[i], Msg: "there is no rule " + quote(p.names[i]), Err: ErrInvalid}
		}
	}
	if _, ok := p.ids["root"]; !ok {
		return nil, invalid("the grammar has no rule root")
	}
	return &p.gbnfGrammar, nil
}

// place returns the line and column of a position.
func (p *gbnfParser) place(pos int) string {
	before := p.src[:pos]
	line := strings.Count(before, "\n") + 1
	return fmt.Sprintf("%d:%d", line, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])+1)
}

func (p *gbnfParser) fail(cause error, format string, a ...any) error {
	return &Error{Path: p.place(p.pos), Msg: fmt.Sprintf(format, a...), Err: cause}
}

// peek returns the next byte, 0 at the end.
func (p *gbnfParser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

// space skips white space and comments, line breaks only if they don't end anything.
func (p *gbnfParser) space(lines bool) {
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '#':
			for p.pos < len(p.src) && p.src[p.pos] != '\n' && p.src[p.pos] != '\r' {
				p.pos++
			}
		case c == ' ' || c == '\t' || lines && (c == '\n' || c == '\r'):
			p.pos++
		default:
			return
		}
	}
}

func (p *gbnfParser) name() string {
	start := p.pos
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			break
		}
		p.pos++
	}
	return p.src[start:p.pos]
}

// id returns the number of a rule.
func (p *gbnfParser) id(name string, at int) (int, error) {
	id, ok := p.ids[name]
	if !ok {
		id = len(p.names)
		p.ids[name] = id
		p.names, p.bodies, p.where = append(p.names, name), append(p.bodies, nil), append(p.where, p.place(at))
	}
	return id, p.budget.keep(len(name) + 64)
}

func (p *gbnfParser) rule() error {
	at := p.pos
	name := p.name()
	if name == "" {
		return p.fail(ErrInvalid, "expected the name of a rule")
	}
	p.space(false)
	if !strings.HasPrefix(p.src[p.pos:], "::=") {
		return p.fail(ErrInvalid, "expected ::=")
	}
	p.pos += len("::=")
	p.space(true)
	id, err := p.id(name, at)
	if err != nil {
		return err
	}
	if p.bodies[id] != nil {
		p.pos = at
		return p.fail(ErrInvalid, "rule %s is defined twice", quote(name))
	}
	body, err := p.alternatives(false)
	if err != nil {
		return err
	}
	p.bodies[id] = body
	if c := p.peek(); p.pos < len(p.src) && c != '\n' && c != '\r' {
		return p.fail(ErrInvalid, "unexpected %s", quote(string(c)))
	}
	return nil
}

// alternatives reads what may stand in a rule, or nested in parentheses.
func (p *gbnfParser) alternatives(nested bool) (*expr, error) {
	if p.depth++; p.depth > p.budget.Depth {
		return nil, p.fail(ErrLimit, "nested more than %d deep", p.budget.Depth)
	}
	defer func() { p.depth-- }()
	out := alt()
	for {
		seq, err := p.sequence(nested)
		if err != nil {
			return nil, err
		}
		out.subs = append(out.subs, seq)
		if p.peek() != '|' {
			break
		}
		p.pos++
		p.space(true)
	}
	if len(out.subs) == 1 {
		return out.subs[0], nil
	}
	return out, nil
}

func (p *gbnfParser) sequence(nested bool) (*expr, error) {
	out := cat()
	for {
		if err := p.budget.keep(64); err != nil {
			return nil, err
		}
		e, err := p.element()
		if err != nil {
			return nil, err
		}
		if e == nil {
			return out, nil
		}
		for p.space(nested); p.repeats(); p.space(nested) {
			if e, err = p.repetition(e); err != nil {
				return nil, err
			}
		}
		out.subs = append(out.subs, e)
	}
}

func (p *gbnfParser) repeats() bool {
	c := p.peek()
	return c != 0 && strings.IndexByte("*+?{", c) >= 0
}

// element reads one part of a sequence, without its repetition; nil if there is none.
func (p *gbnfParser) element() (*expr, error) {
	at := p.pos
	switch c := p.peek(); {
	case c == '"':
		return p.literal()
	case c == '[':
		return p.class()
	case c == '.':
		p.pos++
		return anyRune(), nil
	case c == '(':
		p.pos++
		p.space(true)
		e, err := p.alternatives(true)
		if err != nil {
			return nil, err
		}
		if p.peek() != ')' {
			return nil, p.fail(ErrInvalid, "expected )")
		}
		p.pos++
		return e, nil
	case c == '<' || c == '!':
		return nil, p.fail(ErrUnsupported, "references to tokens are not supported")
	case p.repeats():
		return nil, p.fail(ErrInvalid, "nothing to repeat")
	}
	name := p.name()
	if name == "" {
		return nil, nil
	}
	id, err := p.id(name, at)
	return &expr{op: exprRule, min: id}, err
}

// repetition reads what stands behind an element and says how often.
func (p *gbnfParser) repetition(e *expr) (*expr, error) {
	c := p.peek()
	p.pos++
	switch c {
	case '*':
		return repeat(e, 0, -1), nil
	case '+':
		return repeat(e, 1, -1), nil
	case '?':
		return optional(e), nil
	}
	p.space(false)
	lo, err := p.number()
	if err != nil {
		return nil, err
	}
	hi := lo
	p.space(false)
	if p.peek() == ',' {
		p.pos++
		p.space(false)
		hi = -1
		if p.peek() != '}' {
			if hi, err = p.number(); err != nil {
				return nil, err
			}
			p.space(false)
		}
	}
	if p.peek() != '}' {
		return nil, p.fail(ErrInvalid, "expected }")
	}
	if hi >= 0 && hi < lo {
		return nil, p.fail(ErrInvalid, "repetition of at least %d and at most %d", lo, hi)
	}
	p.pos++
	return repeat(e, lo, hi), nil
}

func (p *gbnfParser) number() (int, error) {
	const most = 1_000_000
	start := p.pos
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	if p.pos == start {
		return 0, p.fail(ErrInvalid, "expected a number")
	}
	n, err := strconv.Atoi(p.src[start:p.pos])
	if err != nil || n > most {
		return 0, p.fail(ErrLimit, "more than %d repetitions", most)
	}
	return n, nil
}

func (p *gbnfParser) literal() (*expr, error) {
	p.pos++
	var b strings.Builder
	for p.peek() != '"' {
		r, err := p.char()
		if err != nil {
			return nil, err
		}
		b.WriteRune(r)
	}
	p.pos++
	return text(b.String()), nil
}

func (p *gbnfParser) class() (*expr, error) {
	p.pos++
	negated := p.peek() == '^'
	if negated {
		p.pos++
	}
	var set []rune
	for p.peek() != ']' {
		lo, err := p.char()
		if err != nil {
			return nil, err
		}
		hi := lo
		if p.peek() == '-' && p.pos+1 < len(p.src) && p.src[p.pos+1] != ']' {
			p.pos++
			if hi, err = p.char(); err != nil {
				return nil, err
			}
			if hi < lo {
				return nil, p.fail(ErrInvalid, "range ends before it begins")
			}
		}
		set = append(set, lo, hi)
	}
	p.pos++
	return class(normalSet(set, negated)...), nil
}

// normalSet sorts ranges, joins those that touch, and inverts them if asked to.
func normalSet(set []rune, negated bool) []rune {
	pairs := make([][2]rune, 0, len(set)/2)
	for i := 0; i < len(set); i += 2 {
		pairs = append(pairs, [2]rune{set[i], set[i+1]})
	}
	slices.SortFunc(pairs, func(a, b [2]rune) int { return cmp.Compare(a[0], b[0]) })
	var out []rune
	for _, p := range pairs {
		if n := len(out); n > 0 && p[0] <= out[n-1]+1 {
			out[n-1] = max(out[n-1], p[1])
		} else {
			out = append(out, p[0], p[1])
		}
	}
	if !negated {
		return out
	}
	var inverse []rune
	from := rune(0)
	for i := 0; i < len(out); i += 2 {
		if out[i] > from {
			inverse = append(inverse, from, out[i]-1)
		}
		from = out[i+1] + 1
	}
	if from <= unicode.MaxRune {
		inverse = append(inverse, from, unicode.MaxRune)
	}
	return inverse
}

// char reads a character of a literal or class.
func (p *gbnfParser) char() (rune, error) {
	r, n := utf8.DecodeRuneInString(p.src[p.pos:])
	if n == 0 {
		return 0, p.fail(ErrInvalid, "unexpected end")
	}
	if p.pos += n; r != '\\' {
		return r, nil
	}
	c := p.peek()
	p.pos++
	digits := 0
	switch c {
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case '\\', '"', '[', ']', '-', '^':
		return rune(c), nil
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	default:
		return 0, p.fail(ErrInvalid, "unknown escape sequence")
	}
	end := p.pos + digits
	if end > len(p.src) || !isHex(p.src[p.pos:end]) {
		return 0, p.fail(ErrInvalid, "expected %d hexadecimal digits", digits)
	}
	v, err := strconv.ParseUint(p.src[p.pos:end], 16, 32)
	if err != nil || !utf8.ValidRune(rune(min(v, unicode.MaxRune+1))) {
		return 0, p.fail(ErrInvalid, "no character")
	}
	p.pos = end
	return rune(v), nil
}
