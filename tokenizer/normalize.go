package tokenizer

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// span is a half-open range of bytes.
type span struct{ lo, hi int }

// overlaps reports whether [lo, hi) shares a byte with one of the ordered, disjoint spans.
func overlaps(spans []span, lo, hi int) bool {
	i := sort.Search(len(spans), func(i int) bool { return spans[i].hi > lo })
	return i < len(spans) && spans[i].lo < hi
}

// within returns the parts of spans inside [lo, hi), counted from lo.
func within(spans []span, lo, hi int) []span {
	var out []span
	for i := sort.Search(len(spans), func(i int) bool { return spans[i].hi > lo }); i < len(spans) && spans[i].lo < hi; i++ {
		out = append(out, span{max(spans[i].lo, lo) - lo, min(spans[i].hi, hi) - lo})
	}
	return out
}

type normKind uint8

const (
	normPrepend normKind = iota // put text in front of a text that is not empty
	normReplace                 // replace every from by text
	normLower
	normUnicode // one of the Unicode forms
)

// normalizer is one step of normalization.
type normalizer struct {
	kind normKind
	from string
	text string
	form norm.Form
}

// An edit is a stretch of text that a step replaced as a whole. Between edits the text is unchanged.
type edit struct{ src, dst span }

// normalize runs all steps. untrusted, if not nil, are spans of s; they come back as the spans of the result that
// hold anything made from them.
func (t *Tokenizer) normalize(s string, untrusted []span) (string, []span) {
	for _, n := range t.normalizers {
		var edits []edit
		out := n.apply(s, func(srcLo, srcHi, dstLo, dstHi int) {
			if len(untrusted) > 0 {
				edits = append(edits, edit{span{srcLo, srcHi}, span{dstLo, dstHi}})
			}
		})
		s, untrusted = out, moveSpans(untrusted, edits)
	}
	return s, untrusted
}

// moveSpans carries spans through edits, widening them to whole edits.
func moveSpans(spans []span, edits []edit) []span {
	if len(spans) == 0 || len(edits) == 0 {
		return spans
	}
	out := make([]span, 0, len(spans))
	for _, sp := range spans {
		// The last edit starting at or before lo, and the last one starting before hi.
		i := sort.Search(len(edits), func(i int) bool { return edits[i].src.lo > sp.lo }) - 1
		j := sort.Search(len(edits), func(i int) bool { return edits[i].src.lo >= sp.hi }) - 1
		if i >= 0 {
			if e := edits[i]; sp.lo < e.src.hi {
				sp.lo = e.dst.lo
			} else {
				sp.lo += e.dst.hi - e.src.hi
			}
		}
		if j >= 0 {
			if e := edits[j]; sp.hi <= e.src.hi {
				sp.hi = e.dst.hi
			} else {
				sp.hi += e.dst.hi - e.src.hi
			}
		}
		if n := len(out); n > 0 && out[n-1].hi >= sp.lo {
			out[n-1].hi = max(out[n-1].hi, sp.hi)
		} else if sp.lo < sp.hi {
			out = append(out, sp)
		}
	}
	return out
}

// apply runs one step and reports each stretch it replaced, in order.
func (n normalizer) apply(s string, edited func(srcLo, srcHi, dstLo, dstHi int)) string {
	switch n.kind {
	case normPrepend:
		if s == "" {
			return s
		}
		edited(0, 0, 0, len(n.text))
		return n.text + s
	case normReplace:
		return n.replace(s, edited)
	case normLower:
		return lower(s, edited)
	default:
		return toForm(n.form, s, edited)
	}
}

func (n normalizer) replace(s string, edited func(srcLo, srcHi, dstLo, dstHi int)) string {
	count := strings.Count(s, n.from)
	if count == 0 {
		return s
	}
	var sb strings.Builder
	sb.Grow(len(s) + count*(len(n.text)-len(n.from)))
	for i := 0; ; {
		k := strings.Index(s[i:], n.from)
		if k < 0 {
			sb.WriteString(s[i:])
			return sb.String()
		}
		sb.WriteString(s[i : i+k])
		at := sb.Len()
		sb.WriteString(n.text)
		edited(i+k, i+k+len(n.from), at, sb.Len())
		i += k + len(n.from)
	}
}

// lower maps each character by itself, as the reference does (no final sigma). Of Unicode's unconditional mappings
// only U+0130 becomes two characters.
func lower(s string, edited func(srcLo, srcHi, dstLo, dstHi int)) string {
	var sb strings.Builder
	sb.Grow(len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		at := sb.Len()
		switch l := unicode.ToLower(r); {
		case r == 0x130:
			sb.WriteString("i\u0307")
		case l == r: // also keeps bytes that are not UTF-8
			sb.WriteString(s[i : i+n])
		default:
			sb.WriteRune(l)
		}
		if sb.Len()-at != n {
			edited(i, i+n, at, sb.Len())
		}
		i += n
	}
	return sb.String()
}
