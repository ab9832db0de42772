package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// punctuationSplit cuts out runs of [\p{P}$+<=>^~|].
type punctuationSplit struct{}

func (punctuationSplit) split(dst []span, s string, _ *regexBudget) []span {
	start, inside := 0, false
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if is := unicode.IsPunct(r) || strings.ContainsRune("$+<=>^~|", r); is != inside {
			if i > start {
				dst = append(dst, span{start, i})
			}
			start, inside = i, is
		}
		i += n
	}
	if start < len(s) {
		dst = append(dst, span{start, len(s)})
	}
	return dst
}

// tripleSplit cuts out [0-9][0-9][0-9], from the left of a run of digits.
type tripleSplit struct{}

func (tripleSplit) split(dst []span, s string, _ *regexBudget) []span {
	start := 0
	for i := 0; i+3 <= len(s); {
		if !isDigit(s[i]) || !isDigit(s[i+1]) || !isDigit(s[i+2]) {
			i++
			continue
		}
		if i > start {
			dst = append(dst, span{start, i})
		}
		dst = append(dst, span{i, i + 3})
		i += 3
		start = i
	}
	if start < len(s) {
		dst = append(dst, span{start, len(s)})
	}
	return dst
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
