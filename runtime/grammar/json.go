package grammar

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxValues bounds the values of one schema, and with them the memory of its tree.
const maxValues = 1 << 16

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// value is a JSON value of a schema. Keys keep their order, which is the order in which an answer has them.
// encoding/json would lose it, take the last of two equal keys and replace what is not Unicode.
type value struct {
	kind  kind
	truth bool
	text  string   // of a number as it stands, of a string decoded
	keys  []string // of an object, unique
	items []*value // of an array; of an object by key

	id     int    // numbers the values of a document
	parent *value // nil for the root
	name   string // key or index in parent
}

// get returns the value of a key, nil if there is none.
func (v *value) get(key string) *value {
	for i, k := range v.keys {
		if k == key {
			return v.items[i]
		}
	}
	return nil
}

// path returns the JSON pointer of v (RFC 6901).
func (v *value) path() string {
	var parts []string
	for ; v.parent != nil; v = v.parent {
		parts = append(parts, pointerEscape.Replace(v.name))
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(parts[i])
	}
	return b.String()
}

var (
	pointerEscape   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescape = strings.NewReplacer("~1", "/", "~0", "~")
)

// parseJSON reads exactly one value, nested at most depth deep.
func parseJSON(text string, depth int) (*value, error) {
	p := &jsonParser{text: text, depth: depth}
	if !utf8.ValidString(text) {
		return nil, invalid("invalid UTF-8")
	}
	v, err := p.value(nil, "")
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(text) {
		return nil, p.fail("text after the value")
	}
	return v, nil
}

type jsonParser struct {
	text   string
	pos    int
	values int
	depth  int // levels left
}

func (p *jsonParser) fail(msg string) error { return invalid("JSON, byte %d: %s", p.pos, msg) }

func (p *jsonParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (p *jsonParser) peek() byte {
	if p.space(); p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *jsonParser) value(parent *value, name string) (*value, error) {
	v := &value{id: p.values, parent: parent, name: name}
	if p.values++; p.values > maxValues {
		return nil, overLimit("more than %d JSON values", maxValues)
	}
	var err error
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if p.depth--; p.depth < 0 {
			return nil, overLimit("JSON, byte %d: nested too deep", p.pos)
		}
		p.pos++
		if c == '{' {
			err = p.object(v)
		} else {
			err = p.array(v)
		}
		p.depth++
	case c == '"':
		v.kind = kindString
		v.text, err = p.str()
	case c == '-' || c >= '0' && c <= '9':
		v.kind = kindNumber
		v.text, err = p.number()
	case p.word("null"):
	case p.word("true"):
		v.kind, v.truth = kindBool, true
	case p.word("false"):
		v.kind = kindBool
	case p.pos == len(p.text):
		err = p.fail("unexpected end")
	default:
		err = p.fail("expected a value")
	}
	return v, err
}

func (p *jsonParser) word(w string) bool {
	ok := strings.HasPrefix(p.text[p.pos:], w)
	if ok {
		p.pos += len(w)
	}
	return ok
}

// more reads what stands between the parts of an array or object and reports whether another part follows.
func (p *jsonParser) more(have int, end byte) (bool, error) {
	c := p.peek()
	switch {
	case c == end:
		p.pos++
		return false, nil
	case have == 0:
		return true, nil
	case c == ',':
		p.pos++
		return true, nil
	}
	return false, p.fail("expected ',' or '" + string(rune(end)) + "'")
}

func (p *jsonParser) array(v *value) error {
	v.kind = kindArray
	for {
		more, err := p.more(len(v.items), ']')
		if err != nil || !more {
			return err
		}
		item, err := p.value(v, strconv.Itoa(len(v.items)))
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
}

func (p *jsonParser) object(v *value) error {
	v.kind = kindObject
	seen := map[string]bool{}
	for {
		more, err := p.more(len(v.keys), '}')
		if err != nil || !more {
			return err
		}
		if p.peek() != '"' {
			return p.fail("expected a key")
		}
		key, err := p.str()
		if err != nil {
			return err
		}
		if seen[key] {
			return p.fail("duplicate key " + quote(key))
		}
		seen[key] = true
		if p.peek() != ':' {
			return p.fail("expected ':'")
		}
		p.pos++
		item, err := p.value(v, key)
		if err != nil {
			return err
		}
		v.keys, v.items = append(v.keys, key), append(v.items, item)
	}
}

func (p *jsonParser) number() (string, error) {
	start := p.pos
	digits := func() int {
		n := 0
		for ; p.pos < len(p.text) && p.text[p.pos] >= '0' && p.text[p.pos] <= '9'; n++ {
			p.pos++
		}
		return n
	}
	next := func(set string) bool {
		ok := p.pos < len(p.text) && strings.IndexByte(set, p.text[p.pos]) >= 0
		if ok {
			p.pos++
		}
		return ok
	}
	next("-")
	first := p.pos
	ok := digits() > 0 && (p.pos == first+1 || p.text[first] != '0')
	if ok && next(".") {
		ok = digits() > 0
	}
	if ok && next("eE") {
		next("+-")
		ok = digits() > 0
	}
	if !ok {
		return "", p.fail("malformed number")
	}
	return p.text[start:p.pos], nil
}

// str reads a string; the next byte is its quote.
func (p *jsonParser) str() (string, error) {
	p.pos++
	var b strings.Builder
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		p.pos++
		switch {
		case c == '"':
			return b.String(), nil
		case c < ' ':
			return "", p.fail("control character in a string")
		case c != '\\':
			b.WriteByte(c)
		default:
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		}
	}
	return "", p.fail("string without end")
}

// escape reads what follows a backslash, two escapes where they make up one character.
func (p *jsonParser) escape() (rune, error) {
	if p.pos == len(p.text) {
		return 0, p.fail("string without end")
	}
	c := p.text[p.pos]
	p.pos++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, p.fail("unknown escape sequence")
	}
	r, err := p.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if !p.word(`\u`) {
		return 0, p.fail("half of a surrogate pair")
	}
	low, err := p.hex4()
	if err != nil {
		return 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, p.fail("half of a surrogate pair")
	}
	return r, nil
}

func (p *jsonParser) hex4() (rune, error) {
	end := min(p.pos+4, len(p.text))
	n, err := strconv.ParseUint(p.text[p.pos:end], 16, 32)
	if err != nil || end < p.pos+4 || strings.ContainsAny(p.text[p.pos:end], "+-_") {
		return 0, p.fail("malformed escape sequence")
	}
	p.pos = end
	return rune(n), nil
}

// quote makes a client's text fit for a message: short and without control characters.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.QuoteToASCII(s)
}
