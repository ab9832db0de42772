package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of a request's JSON, besides its size in bytes.
const (
	maxDepth  = 64
	maxValues = 1 << 18 // 4,096 messages of some parts each; bounds the memory of the tree
)

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// node is a JSON value. encoding/json would take the last of two equal keys, match names in any case and replace what is
// not Unicode; a request that does such things is broken or an attack, and is refused instead.
type node struct {
	kind  kind
	truth bool
	text  string   // of a number as it stands, of a string decoded
	keys  []string // of an object, unique
	items []node   // of an array; of an object by key
}

// syntaxError says where the JSON is wrong.
type syntaxError struct {
	off int
	msg string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("byte %d: %s", e.off, e.msg) }

// parseJSON reads exactly one value.
func parseJSON(data []byte) (node, error) {
	p := &jsonParser{data: data}
	if !utf8.Valid(data) {
		return node{}, &syntaxError{invalidUTF8At(data), "invalid UTF-8"}
	}
	v, err := p.value(0)
	if err != nil {
		return node{}, err
	}
	p.space()
	if p.pos < len(data) {
		return node{}, p.fail("text after the value")
	}
	return v, nil
}

func invalidUTF8At(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(data)
}

type jsonParser struct {
	data   []byte
	pos    int
	values int
}

func (p *jsonParser) fail(format string, a ...any) error {
	return &syntaxError{p.pos, fmt.Sprintf(format, a...)}
}

func (p *jsonParser) space() {
	for p.pos < len(p.data) {
		switch p.data[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (p *jsonParser) peek() byte {
	p.space()
	if p.pos == len(p.data) {
		return 0
	}
	return p.data[p.pos]
}

func (p *jsonParser) value(depth int) (node, error) {
	if p.values++; p.values > maxValues {
		return node{}, p.fail("more than %d values", maxValues)
	}
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if depth == maxDepth {
			return node{}, p.fail("nested more than %d deep", maxDepth)
		}
		p.pos++
		if c == '{' {
			return p.object(depth + 1)
		}
		return p.array(depth + 1)
	case c == '"':
		s, err := p.str()
		return node{kind: kindString, text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case c == 0 && p.pos == len(p.data):
		return node{}, p.fail("unexpected end")
	}
	switch {
	case p.word("null"):
		return node{}, nil
	case p.word("true"):
		return node{kind: kindBool, truth: true}, nil
	case p.word("false"):
		return node{kind: kindBool}, nil
	}
	return node{}, p.fail("expected a value")
}

func (p *jsonParser) word(w string) bool {
	ok := bytes.HasPrefix(p.data[p.pos:], []byte(w))
	if ok {
		p.pos += len(w)
	}
	return ok
}

func (p *jsonParser) array(depth int) (node, error) {
	v := node{kind: kindArray}
	for p.peek() != ']' || len(v.items) > 0 {
		if len(v.items) > 0 {
			if c := p.peek(); c == ']' {
				break
			} else if c != ',' {
				return node{}, p.fail("expected ',' or ']'")
			}
			p.pos++
		}
		item, err := p.value(depth)
		if err != nil {
			return node{}, err
		}
		v.items = append(v.items, item)
	}
	p.pos++
	return v, nil
}

func (p *jsonParser) object(depth int) (node, error) {
	v := node{kind: kindObject}
	var seen map[string]bool // made when a linear search would cost
	for p.peek() != '}' || len(v.keys) > 0 {
		if len(v.keys) > 0 {
			if c := p.peek(); c == '}' {
				break
			} else if c != ',' {
				return node{}, p.fail("expected ',' or '}'")
			}
			p.pos++
		}
		if p.peek() != '"' {
			return node{}, p.fail("expected a key")
		}
		at := p.pos
		key, err := p.str()
		if err != nil {
			return node{}, err
		}
		if seen == nil && len(v.keys) == 16 {
			seen = make(map[string]bool)
			for _, k := range v.keys {
				seen[k] = true
			}
		}
		if seen[key] || seen == nil && v.has(key) {
			return node{}, &syntaxError{at, "duplicate key " + quoteName(key)}
		}
		if seen != nil {
			seen[key] = true
		}
		if p.peek() != ':' {
			return node{}, p.fail("expected ':'")
		}
		p.pos++
		item, err := p.value(depth)
		if err != nil {
			return node{}, err
		}
		v.keys, v.items = append(v.keys, key), append(v.items, item)
	}
	p.pos++
	return v, nil
}

func (v *node) has(key string) bool {
	for _, k := range v.keys {
		if k == key {
			return true
		}
	}
	return false
}

// number checks the grammar; what the number means is the field's business.
func (p *jsonParser) number() (node, error) {
	start := p.pos
	digits := func() int {
		n := 0
		for p.pos < len(p.data) && p.data[p.pos] >= '0' && p.data[p.pos] <= '9' {
			p.pos++
			n++
		}
		return n
	}
	next := func(set string) bool {
		if p.pos < len(p.data) && bytes.IndexByte([]byte(set), p.data[p.pos]) >= 0 {
			p.pos++
			return true
		}
		return false
	}
	next("-")
	first := p.pos
	n := digits()
	if n == 0 || n > 1 && p.data[first] == '0' {
		return node{}, p.fail("malformed number")
	}
	if next(".") && digits() == 0 {
		return node{}, p.fail("malformed number")
	}
	if next("eE") {
		next("+-")
		if digits() == 0 {
			return node{}, p.fail("malformed number")
		}
	}
	return node{kind: kindNumber, text: string(p.data[start:p.pos])}, nil
}

// str reads a string; the next byte is its quote.
func (p *jsonParser) str() (string, error) {
	p.pos++
	start := p.pos
	var buf []byte // nil until the first escape
	for p.pos < len(p.data) {
		switch c := p.data[p.pos]; {
		case c == '"':
			s := p.data[start:p.pos]
			p.pos++
			if buf == nil {
				return string(s), nil
			}
			return string(append(buf, s...)), nil
		case c < ' ':
			return "", p.fail("control character in a string")
		case c == '\\':
			buf = append(buf, p.data[start:p.pos]...)
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			buf = utf8.AppendRune(buf, r)
			start = p.pos
		default:
			p.pos++
		}
	}
	return "", p.fail("string without end")
}

// escape reads one escape sequence, or two that make up one character.
func (p *jsonParser) escape() (rune, error) {
	if p.pos+1 >= len(p.data) {
		return 0, p.fail("string without end")
	}
	c := p.data[p.pos+1]
	if i := bytes.IndexByte([]byte(`"\/bfnrt`), c); i >= 0 {
		p.pos += 2
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, p.fail("unknown escape sequence")
	}
	r, err := p.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if bytes.HasPrefix(p.data[p.pos:], []byte(`\u`)) {
		low, err := p.hex4()
		if err != nil {
			return 0, err
		}
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, nil
		}
	}
	return 0, p.fail("half of a surrogate pair")
}

func (p *jsonParser) hex4() (rune, error) {
	if p.pos+6 > len(p.data) {
		return 0, p.fail("truncated escape sequence")
	}
	for _, c := range p.data[p.pos+2 : p.pos+6] {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return 0, p.fail("malformed escape sequence")
		}
	}
	n, err := strconv.ParseUint(string(p.data[p.pos+2:p.pos+6]), 16, 32)
	if err != nil {
		return 0, p.fail("malformed escape sequence")
	}
	p.pos += 6
	return rune(n), nil
}

// quoteName makes a client's key fit for a message: short and without control characters.
func quoteName(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.QuoteToASCII(s)
}

// marshal encodes an answer without escaping <, > and &, which JSON does not require.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
