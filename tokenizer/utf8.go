package tokenizer

import "unicode/utf8"

// appendLossy appends b with U+FFFD for each maximal part of an ill-formed sequence, as Unicode recommends and
// Rust's from_utf8_lossy does. Go's own conversion gives one U+FFFD a byte.
func appendLossy(dst, b []byte) []byte {
	if utf8.Valid(b) {
		return append(dst, b...)
	}
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n, _ = badSequence(b)
			dst = utf8.AppendRune(dst, utf8.RuneError)
		} else {
			dst = append(dst, b[:n]...)
		}
		b = b[n:]
	}
	return dst
}

// partialLen returns how many bytes at the end of b may be the start of a sequence that the next bytes complete.
func partialLen(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		tail := b[len(b)-n:]
		if !utf8.RuneStart(tail[0]) {
			continue
		}
		if bad, open := badSequence(tail); open && bad == n {
			return n
		}
		return 0
	}
	return 0
}

// badSequence measures the maximal part of an ill-formed sequence at the start of b: the bytes that could begin a
// character. open reports that it ends only because b does. (Unicode 16, table 3-7.)
func badSequence(b []byte) (n int, open bool) {
	need, lo, hi := 0, byte(0x80), byte(0xBF)
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c >= 0xE0 && c <= 0xEF:
		need = 2
		switch c {
		case 0xE0:
			lo = 0xA0
		case 0xED:
			hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 3
		switch c {
		case 0xF0:
			lo = 0x90
		case 0xF4:
			hi = 0x8F
		}
	default:
		return 1, false
	}
	for n = 1; n <= need; n++ {
		if n == len(b) {
			return n, true
		}
		if b[n] < lo || b[n] > hi {
			return n, false
		}
		lo, hi = 0x80, 0xBF
	}
	return n, false // well formed; callers only ask about the other kind
}
