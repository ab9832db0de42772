package safetensors

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads the header's JSON. The format needs a fixed shape of it, so this is a scanner for that shape, not for
// JSON at large: encoding/json accepts duplicate keys and reports no offsets. Nesting is fixed by the grammar, so
// hostile depth cannot recurse.
type scanner struct {
	text []byte
	pos  int
}

// maxRank bounds the dimensions of a tensor; frameworks stop at 8 or far below that of any weight.
const maxRank = 32

// fail builds an error at byte off of the header.
func (s *scanner) fail(off int, field, format string, args ...any) error {
	return &FormatError{Off: 8 + int64(off), Field: field, Msg: fmt.Sprintf(format, args...)}
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// next skips space and returns the byte that follows, 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) expect(c byte, field string) error {
	if got := s.next(); got != c {
		if s.pos >= len(s.text) {
			return s.fail(s.pos, field, "invalid JSON: the header ends where %q is expected", c)
		}
		return s.fail(s.pos, field, "invalid JSON: %q where %q is expected", got, c)
	}
	s.pos++
	return nil
}

// object calls member for every key of the object that starts here; member reads the value. Keys must differ.
func (s *scanner) object(field string, member func(key string, at int) error) error {
	seen := map[string]bool{}
	return s.members(field, '{', '}', func() error {
		s.space()
		at := s.pos
		key, err := s.str(field)
		if err != nil {
			return err
		}
		if seen[key] {
			return s.fail(at, field, "duplicate name %.100q", key)
		}
		seen[key] = true
		if err := s.expect(':', field); err != nil {
			return err
		}
		return member(key, at)
	})
}

// members reads a comma-separated list between two brackets.
func (s *scanner) members(field string, open, end byte, member func() error) error {
	if err := s.expect(open, field); err != nil {
		return err
	}
	if s.next() == end {
		s.pos++
		return nil
	}
	for {
		if err := member(); err != nil {
			return err
		}
		if s.next() != ',' {
			return s.expect(end, field)
		}
		s.pos++
	}
}

// str reads a string.
func (s *scanner) str(field string) (string, error) {
	if err := s.expect('"', field); err != nil {
		return "", err
	}
	start := s.pos
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return string(s.text[start : s.pos-1]), nil
		case c == '\\':
			return s.escaped(start, field)
		case c < 0x20:
			return "", s.fail(s.pos, field, "invalid JSON: control character %#02x in a string", c)
		}
		s.pos++
	}
	return "", s.fail(start, field, "invalid JSON: string without end")
}

// escaped reads the rest of a string from its first backslash on.
func (s *scanner) escaped(start int, field string) (string, error) {
	var b strings.Builder
	b.Write(s.text[start:s.pos])
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		s.pos++
		switch {
		case c == '"':
			return b.String(), nil
		case c < 0x20:
			return "", s.fail(s.pos-1, field, "invalid JSON: control character %#02x in a string", c)
		case c != '\\':
			b.WriteByte(c)
			continue
		}
		r, err := s.escape(field)
		if err != nil {
			return "", err
		}
		b.WriteRune(r)
	}
	return "", s.fail(start, field, "invalid JSON: string without end")
}

// escape reads what follows a backslash.
func (s *scanner) escape(field string) (rune, error) {
	at := s.pos
	if at >= len(s.text) {
		return 0, s.fail(at, field, "invalid JSON: string without end")
	}
	s.pos++
	switch c := s.text[at]; c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r, ok := s.hex4()
		if ok && utf16.IsSurrogate(r) && s.pos+2 <= len(s.text) && string(s.text[s.pos:s.pos+2]) == `\u` {
			s.pos += 2
			low, okLow := s.hex4()
			r, ok = utf16.DecodeRune(r, low), okLow
		}
		// Half a surrogate pair is no character; DecodeRune answers U+FFFD for one.
		if ok && !utf16.IsSurrogate(r) && r != utf8.RuneError {
			return r, nil
		}
	}
	return 0, s.fail(at-1, field, "invalid JSON: bad escape in a string")
}

func (s *scanner) hex4() (rune, bool) {
	if s.pos+4 > len(s.text) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s.text[s.pos:s.pos+4]), 16, 16)
	s.pos += 4
	return rune(n), err == nil
}

// uint reads a non-negative integer that fits int64.
func (s *scanner) uint(field string) (int64, error) {
	s.space()
	start := s.pos
	for s.pos < len(s.text) && strings.IndexByte("0123456789+-.eE", s.text[s.pos]) >= 0 {
		s.pos++
	}
	text := string(s.text[start:s.pos])
	switch {
	case text == "":
		return 0, s.fail(start, field, "not an integer")
	case text[0] == '-':
		return 0, s.fail(start, field, "%.40s is negative", text)
	case strings.Trim(text, "0123456789") != "", len(text) > 1 && text[0] == '0':
		return 0, s.fail(start, field, "%.40s is not an integer", text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, s.fail(start, field, "%.40s is out of range", text)
	}
	return n, nil
}

// uints reads an array of at most limit non-negative integers.
func (s *scanner) uints(field string, limit int) ([]int64, error) {
	var list []int64
	at := s.pos
	err := s.members(field, '[', ']', func() error {
		if len(list) == limit {
			return s.fail(at, field, "more than %d numbers", limit)
		}
		n, err := s.uint(field)
		list = append(list, n)
		return err
	})
	return list, err
}
