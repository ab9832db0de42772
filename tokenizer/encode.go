package tokenizer

import "strings"

// EncodeOptions says how one text is read.
type EncodeOptions struct {
	AddSpecial   bool // put BOS and EOS round the text as the model's post-processor does
	ParseSpecial bool // control tokens written out in the text become their ids; leave it off for text from users
}

// A Segment is a part of a prompt with its origin.
type Segment struct {
	Text    string
	Trusted bool // written by us or by the template: may contain control tokens
}

// Encode tokenizes one text. It keeps every byte the vocabulary can spell; texts may hold invalid UTF-8.
func (t *Tokenizer) Encode(text string, opt EncodeOptions) []int32 {
	var untrusted []span
	if !opt.ParseSpecial {
		untrusted = []span{{0, len(text)}}
	}
	return t.encode(text, untrusted, opt.AddSpecial)
}

// EncodeSegments tokenizes the concatenation of segs. A control token is only recognised where all of it stands in
// trusted text; in every other way the borders between segments do not show in the result.
func (t *Tokenizer) EncodeSegments(segs []Segment, addSpecial bool) []int32 {
	if len(segs) == 1 {
		return t.Encode(segs[0].Text, EncodeOptions{AddSpecial: addSpecial, ParseSpecial: segs[0].Trusted})
	}
	n := 0
	for _, s := range segs {
		n += len(s.Text)
	}
	var sb strings.Builder
	sb.Grow(n)
	var untrusted []span
	for _, s := range segs {
		lo := sb.Len()
		sb.WriteString(s.Text)
		switch hi := sb.Len(); {
		case s.Trusted || lo == hi:
		case len(untrusted) > 0 && untrusted[len(untrusted)-1].hi == lo:
			untrusted[len(untrusted)-1].hi = hi
		default:
			untrusted = append(untrusted, span{lo, hi})
		}
	}
	return t.encode(sb.String(), untrusted, addSpecial)
}

// encode runs the pipeline in the reference's order: added tokens of the text as given, normalization of what is
// between them, added tokens of the normalized text, pre-tokens, merges.
func (t *Tokenizer) encode(text string, untrusted []span, addSpecial bool) []int32 {
	sc := t.scratch.Get().(*scratch)
	defer func() {
		sc.trim()
		t.scratch.Put(sc)
	}()
	sc.regex = regexBudget(regexTime)
	dst := make([]int32, 0, len(text)/4+8)
	if addSpecial {
		dst = append(dst, t.prefix...)
	}
	first := true // nothing of the text was consumed yet
	raw := t.rawTokens.cut(text, untrusted)
	for {
		c, ok := raw.next()
		if !ok {
			break
		}
		if c.token != nil {
			dst = append(dst, c.token.ID)
			first = false
			continue
		}
		var spans []span
		if t.normTokens.special {
			spans = within(untrusted, c.lo, c.hi)
		}
		normalized, spans := t.normalize(text[c.lo:c.hi], spans)
		inner := t.normTokens.cut(normalized, spans)
		for {
			c, ok := inner.next()
			if !ok {
				break
			}
			if c.token != nil {
				dst = append(dst, c.token.ID)
			} else {
				dst = t.appendPlain(dst, normalized[c.lo:c.hi], first, sc)
			}
			first = false
		}
		first = false
	}
	if addSpecial {
		dst = append(dst, t.suffix...)
	}
	return dst
}

// appendPlain tokenizes normalized text without added tokens.
func (t *Tokenizer) appendPlain(dst []int32, s string, first bool, sc *scratch) []int32 {
	m := &t.pre.metaspace
	if !m.on {
		return t.appendPieces(dst, s, 0, sc)
	}
	s = m.apply(s, first)
	if !m.split {
		return t.appendText(dst, s, sc)
	}
	for s != "" {
		end := len(s)
		if skip := min(len(m.mark), len(s)); strings.HasPrefix(s, m.mark) {
			if k := strings.Index(s[skip:], m.mark); k >= 0 {
				end = skip + k
			}
		} else if k := strings.Index(s, m.mark); k >= 0 {
			end = k
		}
		dst = t.appendWord(dst, s[:end], sc)
		s = s[end:]
	}
	return dst
}

// appendPieces sends s through the splitters from depth on.
func (t *Tokenizer) appendPieces(dst []int32, s string, depth int, sc *scratch) []int32 {
	if depth == t.pre.prefixAt && !strings.HasPrefix(s, " ") {
		s = " " + s
	}
	if depth == len(t.pre.splits) {
		if t.pre.byteLevel {
			return t.appendWord(dst, s, sc)
		}
		return t.appendText(dst, s, sc)
	}
	for len(sc.spans) <= depth {
		sc.spans = append(sc.spans, nil)
	}
	spans := t.pre.splits[depth].split(sc.spans[depth][:0], s, &sc.regex)
	sc.spans[depth] = spans // grown; deeper calls use deeper entries
	for _, sp := range spans {
		dst = t.appendPieces(dst, s[sp.lo:sp.hi], depth+1, sc)
	}
	return dst
}
