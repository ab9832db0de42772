package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// Hand-written scanners for the pre-token patterns most models use; scan_case.go has two more. Each returns the end of
// the pre-token that starts at i < len(s); the pattern it implements stands above it. Backtracking engines give the same
// pieces several times slower, and their cost on hostile text is unbounded.

type charClass uint8

const (
	classOther charClass = iota
	classLetter
	classNumber
	classSpace
	classEnd // past the end of the text
)

// classAt classifies the character at s[i] and returns its length, 0 at the end.
func classAt(s string, i int) (charClass, int) {
	if i >= len(s) {
		return classEnd, 0
	}
	switch c := s[i]; {
	case c >= utf8.RuneSelf:
		r, n := utf8.DecodeRuneInString(s[i:])
		return wideClass(r), n
	case c|0x20 >= 'a' && c|0x20 <= 'z':
		return classLetter, 1
	case c >= '0' && c <= '9':
		return classNumber, 1
	case c == ' ' || (c >= '\t' && c <= '\r'):
		return classSpace, 1
	default:
		return classOther, 1
	}
}

func wideClass(r rune) charClass {
	switch {
	case unicode.IsLetter(r) || unicode.Is(laterLetters, r):
		return classLetter
	case isNumber(r):
		return classNumber
	case unicode.IsSpace(r):
		return classSpace
	default:
		return classOther
	}
}

func isNumber(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= '0' && r <= '9'
	}
	return unicode.IsNumber(r) || unicode.Is(laterNumbers, r)
}

// run returns the end of the characters of class c from i on, at most limit of them if limit > 0.
func run(s string, i int, c charClass, limit int) int {
	for k := 0; limit <= 0 || k < limit; k++ {
		got, n := classAt(s, i)
		if got != c {
			break
		}
		i += n
	}
	return i
}

// contraction returns the length of 's 't 're 've 'm 'll 'd at s[i], or 0. Folding case as (?i) does also takes
// U+017F for an s.
func contraction(s string, i int, fold bool) int {
	if s[i] != '\'' {
		return 0
	}
	a, n := letterAt(s, i+1, fold)
	switch a {
	case 's', 't', 'm', 'd':
		return 1 + n
	}
	b, n2 := letterAt(s, i+1+n, fold)
	switch {
	case a == 'r' && b == 'e', a == 'v' && b == 'e', a == 'l' && b == 'l':
		return 1 + n + n2
	}
	return 0
}

func letterAt(s string, i int, fold bool) (byte, int) {
	if i >= len(s) {
		return 0, 0
	}
	c := s[i]
	if fold && c >= 'A' && c <= 'Z' {
		c |= 0x20
	}
	if fold && len(s) > i+1 && s[i:i+2] == "\u017f" {
		return 's', 2
	}
	return c, 1
}

// spaces returns the end of the pre-token that the white space at i makes: everything but its last character if
// something else follows (\s+(?!\S)), all of it otherwise (\s+). If newlines is set, a run with a line break in it
// ends after its last one (\s*[\r\n]+).
func spaces(s string, i int, newlines bool) int {
	end, prev, newline := i, i, i
	for {
		c, n := classAt(s, end)
		if c != classSpace {
			break
		}
		prev = end
		end += n
		if s[prev] == '\n' || s[prev] == '\r' {
			newline = end
		}
	}
	switch {
	case newlines && newline > i:
		return newline
	case end < len(s) && prev > i:
		return prev
	default:
		return end
	}
}

// scanGPT2:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func scanGPT2(s string, i int) int {
	if k := contraction(s, i, false); k > 0 {
		return i + k
	}
	j := i
	if s[j] == ' ' {
		j++
	}
	if c, _ := classAt(s, j); c != classSpace && c != classEnd {
		return run(s, j, c, 0)
	}
	return spaces(s, i, false)
}

// scanLlama3:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func scanLlama3(s string, i int) int { return scanWords(s, i, 3) }

// scanQwen2 is scanLlama3 with single digits: \p{N} instead of \p{N}{1,3}.
func scanQwen2(s string, i int) int { return scanWords(s, i, 1) }

func scanWords(s string, i, digits int) int {
	if k := contraction(s, i, true); k > 0 {
		return i + k
	}
	c, n := classAt(s, i)
	switch {
	case c == classLetter:
		return run(s, i+n, classLetter, 0)
	case c == classNumber:
		return run(s, i, classNumber, digits)
	case s[i] != '\r' && s[i] != '\n':
		if next, n2 := classAt(s, i+n); next == classLetter {
			return run(s, i+n+n2, classLetter, 0)
		}
	}
	j := i
	if s[j] == ' ' {
		j++
	}
	if end := run(s, j, classOther, 0); end > j {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n') {
			end++
		}
		return end
	}
	return spaces(s, i, true)
}
