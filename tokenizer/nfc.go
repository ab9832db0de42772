package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// toForm brings s into a Unicode normalization form. x/text writes the stream-safe variant, which puts U+034F into
// runs of more than 30 combining marks; the reference does not, so long runs are composed here.
func toForm(form norm.Form, s string, edited func(srcLo, srcHi, dstLo, dstHi int)) string {
	if form.IsNormalString(s) {
		return s
	}
	var sb strings.Builder
	sb.Grow(len(s))
	for i := 0; i < len(s); {
		n := form.QuickSpanString(s[i:])
		sb.WriteString(s[i : i+n])
		if i += n; i == len(s) {
			break
		}
		end, runes := segment(form, s[i:])
		seg := s[i : i+end]
		var out string
		if runes <= shortSegment {
			out = form.String(seg)
		} else {
			out = longSegment(form, seg)
		}
		at := sb.Len()
		sb.WriteString(out)
		if out != seg {
			edited(i, i+end, at, sb.Len())
		}
		i += end
	}
	return sb.String()
}

// shortSegment characters decompose to fewer than 30 marks.
const shortSegment = 8

// segment returns the length of the first stretch of s that normalizes by itself, and its number of characters.
func segment(form norm.Form, s string) (end, runes int) {
	for end < len(s) {
		r, n := utf8.DecodeRuneInString(s[end:])
		bad := r == utf8.RuneError && n == 1
		if runes > 0 && (bad || r < utf8.RuneSelf || form.PropertiesString(s[end:]).BoundaryBefore()) {
			break
		}
		end += n
		runes++
		if bad {
			break
		}
	}
	return end, runes
}

// longSegment is the textbook algorithm: decompose, order the marks, compose.
func longSegment(form norm.Form, s string) string {
	full := norm.NFD
	if form == norm.NFKC || form == norm.NFKD {
		full = norm.NFKD
	}
	var rs []rune
	for _, r := range s {
		rs = append(rs, []rune(full.String(string(r)))...)
	}
	for lo := 0; lo < len(rs); {
		hi := lo + 1
		if ccc(rs[lo]) != 0 {
			for hi < len(rs) && ccc(rs[hi]) != 0 {
				hi++
			}
			slices.SortStableFunc(rs[lo:hi], func(a, b rune) int { return int(ccc(a)) - int(ccc(b)) })
		}
		lo = hi
	}
	if form == norm.NFC || form == norm.NFKC {
		rs = compose(rs)
	}
	return string(rs)
}

// compose joins each starter with the marks behind it that nothing blocks.
func compose(rs []rune) []rune {
	out := rs[:0]
	starter := -1 // index in out
	last := uint8(0)
	for _, r := range rs {
		c := ccc(r)
		if starter >= 0 && (last < c || starter == len(out)-1) {
			pair := []rune(norm.NFC.String(string([]rune{out[starter], r})))
			if len(pair) == 1 {
				out[starter] = pair[0]
				continue
			}
		}
		out = append(out, r)
		last = c
		if c == 0 {
			starter = len(out) - 1
		}
	}
	return out
}

func ccc(r rune) uint8 {
	var buf [utf8.UTFMax]byte
	n := utf8.EncodeRune(buf[:], r)
	return norm.NFC.Properties(buf[:n]).CCC()
}
