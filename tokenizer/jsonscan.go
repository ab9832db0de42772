package tokenizer

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// rawJSON keeps a value as it stands in the input, without a copy. It is only valid while the input is.
type rawJSON []byte

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawJSON) UnmarshalJSON(b []byte) error {
	*r = b
	return nil
}

func (r rawJSON) isNull() bool { return len(r) == 0 || string(r) == "null" }

var (
	errSyntax    = errors.New("unexpected JSON")
	errSurrogate = errors.New("lone surrogate")
	errNumber    = errors.New("not a whole number that is an id")
)

// scanner reads the two large parts of a tokenizer.json, vocabulary and merges, without an allocation an entry. The
// input was already found to be well-formed JSON; the scanner still checks what it steps on.
type scanner struct {
	b []byte
	i int
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take skips c if it comes next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

// list walks the elements between two brackets; each is called standing on one.
func (s *scanner) list(open, end byte, each func() error) error {
	if !s.take(open) {
		return errSyntax
	}
	if s.take(end) {
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if s.take(end) {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

// str appends the next string, unescaped.
func (s *scanner) str(dst []byte) ([]byte, error) {
	if !s.take('"') {
		return dst, errSyntax
	}
	for {
		start := s.i
		for s.i < len(s.b) && s.b[s.i] != '"' && s.b[s.i] != '\\' {
			s.i++
		}
		dst = append(dst, s.b[start:s.i]...)
		if s.i >= len(s.b) {
			return dst, errSyntax
		}
		if s.b[s.i] == '"' {
			s.i++
			return dst, nil
		}
		var err error
		if dst, err = s.escape(dst); err != nil {
			return dst, err
		}
	}
}

// escape appends what the escape sequence at i stands for.
func (s *scanner) escape(dst []byte) ([]byte, error) {
	if s.i+1 >= len(s.b) {
		return dst, errSyntax
	}
	c := s.b[s.i+1]
	s.i += 2
	switch c {
	case '"', '\\', '/':
		return append(dst, c), nil
	case 'b':
		return append(dst, '\b'), nil
	case 'f':
		return append(dst, '\f'), nil
	case 'n':
		return append(dst, '\n'), nil
	case 'r':
		return append(dst, '\r'), nil
	case 't':
		return append(dst, '\t'), nil
	case 'u':
		r, err := s.hex4()
		if err != nil {
			return dst, err
		}
		if !utf16.IsSurrogate(r) {
			return utf8.AppendRune(dst, r), nil
		}
		if s.i+1 >= len(s.b) || s.b[s.i] != '\\' || s.b[s.i+1] != 'u' {
			return dst, errSurrogate
		}
		s.i += 2
		low, err := s.hex4()
		if err != nil {
			return dst, err
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return dst, errSurrogate
		}
		return utf8.AppendRune(dst, r), nil
	}
	return dst, errSyntax
}

func (s *scanner) hex4() (rune, error) {
	if len(s.b)-s.i < 4 {
		return 0, errSyntax
	}
	r := rune(0)
	for _, c := range s.b[s.i : s.i+4] {
		d, ok := hexDigit(c)
		if !ok {
			return 0, errSyntax
		}
		r = r<<4 | rune(d)
	}
	s.i += 4
	return r, nil
}

// id reads a number in [0, maxVocab).
func (s *scanner) id() (int32, error) {
	s.peek()
	n, start := int32(0), s.i
	for ; s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9'; s.i++ {
		if n = n*10 + int32(s.b[s.i]-'0'); n >= maxVocab {
			return 0, errNumber
		}
	}
	if s.i == start {
		return 0, errNumber
	}
	switch s.peek() {
	case ',', '}', ']':
		return n, nil
	}
	return 0, errNumber
}
