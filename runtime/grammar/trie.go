package grammar

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// A trie holds tokens by their bytes: nodes in the order of a depth-first walk, so that a walk is one pass over an
// array that jumps over the subtrees it doesn't need.
type trie struct {
	tokens [][]byte
	nodes  []trieNode
	same   []int32 // (tokens) the next token with the same bytes, -1 for none
	deep   int     // bytes of the longest token

	// The whole vocabulary is nodes[0:whole]. Behind it the tokens stand a second time in parts: those of plain text by
	// their length, then all others.
	whole  int32
	plain  []slice
	others slice
	// having holds the plain tokens with a character in them: by ASCII character, the last for all others together.
	having [utf8.RuneSelf + 1][]uint32
}

type trieNode struct {
	skip  int32 // index behind the subtree
	token int32 // token that ends here, -1 for none
	depth uint16
	b     byte
}

// A slice is a part of a vocabulary: nodes[first:last], tokens of least to most characters. A state in which any plain
// text may stand allows whole slices at once; only the rest has to be walked.
type slice struct {
	first, last int32
	least, most int
	mask        []uint32
}

// maxToken is the longest token in bytes that masks can hold; longer ones are never allowed.
const maxToken = 1024

// maxPlain is the number of characters up to which each length of plain tokens has a slice of its own; longer ones
// have one together.
const maxPlain = 24

// newTrie builds the trie of the given tokens; ones that are empty or hold a byte outside alphabet are left out.
func newTrie(tokens [][]byte, alphabet *byteSet) *trie {
	t := &trie{tokens: tokens, same: make([]int32, len(tokens))}
	var ids []int32
	for i, tok := range tokens {
		t.same[i] = -1
		if len(tok) == 0 || len(tok) > maxToken || slices.ContainsFunc(tok, func(b byte) bool { return !alphabet.has(b) }) {
			continue
		}
		ids = append(ids, int32(i))
		t.deep = max(t.deep, len(tok))
	}
	slices.SortFunc(ids, func(a, b int32) int {
		if c := bytes.Compare(tokens[a], tokens[b]); c != 0 {
			return c
		}
		return int(a - b)
	})
	unique := slices.CompactFunc(slices.Clone(ids), func(a, b int32) bool { return bytes.Equal(tokens[a], tokens[b]) })
	for i := 1; i < len(ids); i++ {
		if bytes.Equal(tokens[ids[i-1]], tokens[ids[i]]) {
			t.same[ids[i-1]] = ids[i]
		}
	}
	t.whole = t.add(unique).last
	parts := make([][]int32, maxPlain+2) // by length, the others first
	for _, id := range unique {
		n, ok := plainText(t.tokens[id])
		if !ok {
			n = 0
		}
		n = min(n, maxPlain+1)
		parts[n] = append(parts[n], id)
	}
	for n := 1; n < len(parts); n++ {
		s := t.add(parts[n])
		s.least, s.most = n, n
		if n > maxPlain {
			s.most = maxToken
		}
		s.mask = make([]uint32, maskWords(len(tokens)))
		for _, id := range parts[n] {
			t.allow(s.mask, id)
		}
		t.plain = append(t.plain, s)
	}
	t.others = t.add(parts[0])
	t.nodes = slices.Clone(t.nodes) // without what append kept free
	for b := range t.having {
		t.having[b] = make([]uint32, maskWords(len(tokens)))
	}
	for _, ids := range parts[1:] {
		for _, id := range ids {
			for _, b := range tokens[id] {
				t.allow(t.having[min(b, utf8.RuneSelf)], id)
			}
		}
	}
	return t
}

// add appends the subtrie of some tokens, which are sorted by their bytes and differ.
func (t *trie) add(ids []int32) slice {
	first := int32(len(t.nodes))
	var open []int32 // nodes on the way to the last token
	var last []byte
	closeTo := func(depth int) {
		for len(open) > depth {
			t.nodes[open[len(open)-1]].skip = int32(len(t.nodes))
			open = open[:len(open)-1]
		}
	}
	for _, id := range ids {
		tok, common := t.tokens[id], 0
		for common < len(tok) && common < len(last) && tok[common] == last[common] {
			common++
		}
		closeTo(common)
		for i := common; i < len(tok); i++ {
			open = append(open, int32(len(t.nodes)))
			t.nodes = append(t.nodes, trieNode{token: -1, depth: uint16(i), b: tok[i]})
		}
		t.nodes[open[len(open)-1]].token = id
		last = tok
	}
	closeTo(0)
	return slice{first: first, last: int32(len(t.nodes))}
}

// allow sets the bits of a token and of those with the same bytes.
func (t *trie) allow(mask []uint32, token int32) {
	for ; token >= 0; token = t.same[token] {
		mask[token>>5] |= 1 << (token & 31)
	}
}

func maskWords(tokens int) int { return (tokens + 31) / 32 }
