package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// The patterns of Tekken (Mistral Nemo) and GPT-4o cut words where upper case follows lower case. Letters without case
// and marks count as both, which is where the patterns backtrack.

type caseClass uint8

const (
	caseNone  caseClass = iota // neither letter nor mark
	caseUpper                  // \p{Lu} \p{Lt}
	caseLower                  // \p{Ll}
	caseBoth                   // \p{Lm} \p{Lo} \p{M}
)

// caseAt classifies the character at s[i] and returns its length, 0 at the end.
func caseAt(s string, i int) (caseClass, int) {
	if i >= len(s) {
		return caseNone, 0
	}
	switch c := s[i]; {
	case c >= utf8.RuneSelf:
		r, n := utf8.DecodeRuneInString(s[i:])
		return wideCase(r), n
	case c >= 'a' && c <= 'z':
		return caseLower, 1
	case c >= 'A' && c <= 'Z':
		return caseUpper, 1
	}
	return caseNone, 1
}

func wideCase(r rune) caseClass {
	switch {
	case unicode.In(r, unicode.Ll, laterLower):
		return caseLower
	case unicode.In(r, unicode.Lu, unicode.Lt, laterUpper):
		return caseUpper
	case unicode.In(r, unicode.L, unicode.M, laterLetters, laterMarks):
		return caseBoth
	}
	return caseNone
}

// casedWord returns the end of the word that starts at i, -1 if there is none. With lower it is
//
//	[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+
//
// and without, where the first was tried in vain,
//
//	[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*
func casedWord(s string, i int, lower bool) int {
	end, both := i, -1 // ends of the run so far, and of its last character that is both
	for {
		c, n := caseAt(s, end)
		if c == caseLower && lower {
			for c == caseLower || c == caseBoth {
				end += n
				c, n = caseAt(s, end)
			}
			return end
		}
		if c != caseUpper && c != caseBoth {
			break
		}
		if end += n; c == caseBoth {
			both = end
		}
	}
	switch {
	case lower:
		return both // the second part has to be taken from the first: its last character that can be
	case end > i:
		return end
	}
	return -1
}

// scanTekken:
//
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+
//	|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*
//	|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
func scanTekken(s string, i int) int { return scanCased(s, i, 1, false) }

// scanGPT4o is scanTekken with up to three digits, and with a contraction at the end of a word:
// (?i:'s|'t|'re|'ve|'m|'ll|'d)?
func scanGPT4o(s string, i int) int { return scanCased(s, i, 3, true) }

func scanCased(s string, i, digits int, contractions bool) int {
	c, n := classAt(s, i)
	if c == classNumber {
		return run(s, i, classNumber, digits)
	}
	starts := [2]int{i, -1} // of the word, in the order of the pattern
	if c != classLetter && s[i] != '\r' && s[i] != '\n' {
		starts = [2]int{i + n, i} // a character in front; a mark may be that or part of the word
	}
	for _, lower := range [2]bool{true, false} {
		for _, start := range starts {
			if start < 0 {
				continue
			}
			end := casedWord(s, start, lower)
			if end < 0 {
				continue
			}
			if contractions && end < len(s) {
				end += contraction(s, end, true)
			}
			return end
		}
	}
	j := i
	if s[j] == ' ' {
		j++
	}
	if end := run(s, j, classOther, 0); end > j {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n' || s[end] == '/') {
			end++
		}
		return end
	}
	return spaces(s, i, true)
}
