package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// matcher finds added tokens in a text: leftmost first, then longest. It is a trie over bytes. Matching a text costs
// at worst its length times maxAddedPiece, and usually one table look-up a byte.
type matcher struct {
	starts  [256]bool
	edges   pairTable // (node, byte) -> node
	accept  []int32   // node -> index of the token that ends there, or -1
	tokens  []AddedToken
	special bool // some token is special
}

// newMatcher takes tokens with different, non-empty contents.
func newMatcher(tokens []AddedToken) matcher {
	total := 0
	for _, a := range tokens {
		total += len(a.Content)
	}
	m := matcher{edges: newPairTable(total), accept: []int32{-1}, tokens: tokens}
	for i, a := range tokens {
		m.starts[a.Content[0]] = true
		m.special = m.special || a.Special
		node := int32(0)
		for k := range len(a.Content) {
			c := int32(a.Content[k])
			_, next, ok := m.edges.get(node, c)
			if !ok {
				next = int32(len(m.accept))
				m.accept = append(m.accept, -1)
				m.edges.put(node, c, 0, next)
			}
			node = next
		}
		if m.accept[node] < 0 {
			m.accept[node] = int32(i)
		}
	}
	return m
}

// longest returns the longest token at s[i:] that may be there, or nil. A special token may not touch untrusted
// text; a shorter token in its place still may.
func (m *matcher) longest(s string, i int, untrusted []span) *AddedToken {
	var best *AddedToken
	node := int32(0)
	for k := i; k < len(s); k++ {
		_, next, ok := m.edges.get(node, int32(s[k]))
		if !ok {
			break
		}
		node = next
		if tok := m.accept[node]; tok >= 0 {
			if a := &m.tokens[tok]; !a.Special || !overlaps(untrusted, i, k+1) {
				best = a
			}
		}
	}
	return best
}

// A cut is one step through a text: a stretch of plain text, or an added token.
type cut struct {
	span
	token *AddedToken // nil for plain text
}

// cutter walks a text from one added token to the next.
type cutter struct {
	m         *matcher
	s         string
	untrusted []span
	done      int // everything before it was returned
	pending   *AddedToken
	to        int // where pending ends
}

func (m *matcher) cut(s string, untrusted []span) cutter {
	return cutter{m: m, s: s, untrusted: untrusted}
}

// next returns the next cut; ok is false at the end.
func (c *cutter) next() (cut, bool) {
	if c.pending != nil {
		out := cut{span{c.done, c.to}, c.pending}
		c.done, c.pending = c.to, nil
		return out, true
	}
	if c.done >= len(c.s) {
		return cut{}, false
	}
	lo, hi, tok := c.find()
	if tok == nil {
		lo = len(c.s)
	}
	if lo == c.done {
		c.done = hi
		return cut{span{lo, hi}, tok}, true
	}
	out := cut{span{c.done, lo}, nil}
	c.done, c.pending, c.to = lo, tok, hi
	return out, true
}

// find returns the next token at or after done and the stretch it takes, white space it swallows included.
func (c *cutter) find() (lo, hi int, tok *AddedToken) {
	if len(c.m.tokens) == 0 {
		return 0, 0, nil
	}
	for i := c.done; i < len(c.s); {
		if !c.m.starts[c.s[i]] {
			i++
			continue
		}
		tok = c.m.longest(c.s, i, c.untrusted)
		if tok == nil {
			i++
			continue
		}
		lo, hi = i, i+len(tok.Content)
		if tok.SingleWord && touchesWord(c.s, lo, hi) {
			i = hi
			continue
		}
		for tok.LStrip && lo > c.done {
			r, n := utf8.DecodeLastRuneInString(c.s[c.done:lo])
			if !unicode.IsSpace(r) {
				break
			}
			lo -= n
		}
		for tok.RStrip && hi < len(c.s) {
			r, n := utf8.DecodeRuneInString(c.s[hi:])
			if !unicode.IsSpace(r) {
				break
			}
			hi += n
		}
		return lo, hi, tok
	}
	return 0, 0, nil
}

func touchesWord(s string, lo, hi int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:lo])
	after, _ := utf8.DecodeRuneInString(s[hi:])
	return (lo > 0 && isWord(before)) || (hi < len(s) && isWord(after))
}

// isWord is \w as Unicode's regular-expression annex defines it.
func isWord(r rune) bool {
	return r == '_' || isNumberDigit(r) || unicode.IsLetter(r) || unicode.Is(laterLetters, r) || unicode.IsMark(r) ||
		unicode.In(r, unicode.Other_Alphabetic, unicode.Nl, unicode.Pc) || r == 0x200C || r == 0x200D
}

func isNumberDigit(r rune) bool { return unicode.IsDigit(r) || unicode.Is(laterNumbers, r) }
