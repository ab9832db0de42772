package tokenizer

import (
	"math"
	"slices"
	"unicode/utf8"
)

// bpe turns one pre-token into ids by applying merges in rank order.
type bpe struct {
	vocab  *vocab
	merges pairTable

	byteLevel    bool
	ignoreMerges bool // a pre-token that is a piece by itself is taken whole
	fuseUnk      bool // neighbouring unknown characters give one unknown token
	byteFallback bool // an unknown character is spelled with byte pieces where all of its bytes have one
	unk          int32

	first  [256]int32 // byte-level: the symbol of each byte; otherwise of each ASCII character; -1 none
	byteID [256]int32 // byte pieces; -1 none
	attr   []tokenAttr
}

// init fills the tables that follow from the vocabulary. A control token is never a starting symbol: only the
// added-token matcher may produce one, and it knows whom the text came from.
func (m *bpe) init() {
	for b := range 256 {
		m.byteID[b] = m.vocab.lookup(bytePiece(byte(b)))
		m.first[b] = -1
		switch {
		case m.byteLevel:
			m.first[b] = m.plain(m.vocab.lookup(string(byteRune[b])))
		case b < utf8.RuneSelf:
			m.first[b] = m.plain(m.vocab.lookup(string(rune(b))))
		}
	}
}

// plain returns id unless it is a control token or no piece of the model.
func (m *bpe) plain(id int32) int32 {
	if id >= 0 && m.attr[id]&(attrSpecial|attrOutside) != 0 {
		return -1
	}
	return id
}

// symbol returns the starting symbol of the character that s begins with and its length in bytes.
func (m *bpe) symbol(s string) (id int32, n int) {
	if c := s[0]; c < utf8.RuneSelf {
		return m.first[c], 1
	}
	_, n = utf8.DecodeRuneInString(s)
	return m.plain(m.vocab.lookup(s[:n])), n
}

// symbol states of one word while it is merged.
type symbol struct {
	id         int32
	prev, next int32  // neighbours; -1 at the ends
	rank       uint32 // of merging this symbol with next; noRank if they do not merge or the symbol is gone
	into       int32  // what that merge gives
}

const (
	noRank   = math.MaxUint32
	rankBits = 24 // a queue entry is rank<<posBits | position
	posBits  = 64 - rankBits
)

// scratch is the memory one Encode call reuses from word to word.
type scratch struct {
	syms  []symbol
	queue []uint64
	bytes []byte
	spans [][]span // by depth of the splitter chain
	regex regexBudget
}

const (
	maxPresize     = 1 << 22 // entries made room for at once
	maxKeptScratch = 1 << 16 // entries one huge text may leave behind in the pool
)

func (sc *scratch) trim() {
	if cap(sc.syms) > maxKeptScratch {
		sc.syms = nil
	}
	if cap(sc.queue) > maxKeptScratch {
		sc.queue = nil
	}
	if cap(sc.bytes) > maxKeptScratch {
		sc.bytes = nil
	}
	for i := range sc.spans {
		if cap(sc.spans[i]) > maxKeptScratch {
			sc.spans[i] = nil
		}
	}
}

// append tokenizes one word onto dst. Its cost is n log n in the word's length.
func (m *bpe) append(dst []int32, word string, sc *scratch) []int32 {
	for len(word) > math.MaxInt32 { // positions are int32
		dst = m.append(dst, word[:math.MaxInt32], sc)
		word = word[math.MaxInt32:]
	}
	if m.ignoreMerges {
		if id := m.whole(word, sc); id >= 0 {
			return append(dst, id)
		}
	}
	syms := slices.Grow(sc.syms[:0], min(len(word), maxPresize))
	if m.byteLevel {
		syms = m.startBytes(syms, word)
	} else {
		syms = m.startChars(syms, word)
	}
	sc.syms = syms
	if len(syms) == 0 {
		return dst
	}
	m.mergeAll(syms, sc)
	for i := int32(0); i >= 0; i = syms[i].next {
		dst = append(dst, syms[i].id)
	}
	return dst
}

// whole returns the id of a word that is a piece by itself, or -1.
func (m *bpe) whole(word string, sc *scratch) int32 {
	if !m.byteLevel {
		return m.plain(m.vocab.lookup(word))
	}
	if len(word) > maxPiece {
		return -1
	}
	sc.bytes = appendByteLevel(sc.bytes[:0], word)
	return m.plain(m.vocab.lookupBytes(sc.bytes))
}

func (m *bpe) startBytes(syms []symbol, word string) []symbol {
	unknown := false // the last byte gave an unknown token
	for i := range len(word) {
		id := m.first[word[i]]
		if id < 0 {
			// Without an unknown token the reference leaves the byte out. Published vocabularies lack only
			// control characters and bytes that valid UTF-8 does not have.
			if m.unk >= 0 && !(unknown && m.fuseUnk) {
				syms = append(syms, symbol{id: m.unk})
			}
			unknown = true
			continue
		}
		unknown = false
		syms = append(syms, symbol{id: id})
	}
	return syms
}

func (m *bpe) startChars(syms []symbol, word string) []symbol {
	unknown := false // an unknown token waits, to be fused with the next
	flush := func() {
		if unknown {
			syms = append(syms, symbol{id: m.unk})
			unknown = false
		}
	}
	for i := 0; i < len(word); {
		id, n := m.symbol(word[i:])
		char := word[i : i+n]
		i += n
		if id >= 0 {
			flush()
			syms = append(syms, symbol{id: id})
			continue
		}
		if m.byteFallback && m.hasBytes(char) {
			// The reference does not flush here: a waiting unknown token comes after the bytes.
			for k := range len(char) {
				syms = append(syms, symbol{id: m.byteID[char[k]]})
			}
			continue
		}
		if m.unk >= 0 {
			if !m.fuseUnk {
				flush()
			}
			unknown = true
		}
	}
	flush()
	return syms
}

func (m *bpe) hasBytes(s string) bool {
	for i := range len(s) {
		if m.byteID[s[i]] < 0 {
			return false
		}
	}
	return true
}

// mergeAll applies merges, lowest rank first and leftmost among equals, until none is left. Every merge removes a
// symbol and queues at most two pairs, so the queue sees at most three entries a symbol. Entries are not removed
// when their pair changes: they are recognised by their rank no longer being the symbol's.
func (m *bpe) mergeAll(syms []symbol, sc *scratch) {
	last := int32(len(syms) - 1)
	q := queue(slices.Grow(sc.queue[:0], min(len(syms), maxPresize)))
	for i := range last {
		syms[i].prev, syms[i].next = i-1, i+1
		if m.pair(syms, i) {
			q = append(q, entry(syms[i].rank, i))
		}
	}
	syms[last] = symbol{id: syms[last].id, prev: last - 1, next: -1, rank: noRank}
	q.init()
	for len(q) > 0 {
		rank, pos := q.pop()
		s := &syms[pos]
		if s.rank != rank {
			continue
		}
		gone := &syms[s.next]
		gone.rank = noRank
		s.id, s.next = s.into, gone.next
		if s.next >= 0 {
			syms[s.next].prev = pos
		}
		if m.pair(syms, pos) {
			q.push(entry(s.rank, pos))
		}
		if s.prev >= 0 && m.pair(syms, s.prev) {
			q.push(entry(syms[s.prev].rank, s.prev))
		}
	}
	sc.queue = q
}

// pair looks up the merge of symbol i with its right neighbour.
func (m *bpe) pair(syms []symbol, i int32) bool {
	s := &syms[i]
	s.rank = noRank
	if s.next < 0 {
		return false
	}
	rank, into, ok := m.merges.get(s.id, syms[s.next].id)
	if ok {
		s.rank, s.into = rank, into
	}
	return ok
}

// queue is a binary heap of rank<<posBits | position, smallest first.
type queue []uint64

func entry(rank uint32, pos int32) uint64 { return uint64(rank)<<posBits | uint64(pos) }

func (q queue) init() {
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}

func (q *queue) push(e uint64) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		p := (i - 1) / 2
		if h[p] <= e {
			break
		}
		h[i] = h[p]
		i = p
	}
	h[i] = e
	*q = h
}

func (q *queue) pop() (rank uint32, pos int32) {
	h := *q
	top := h[0]
	n := len(h) - 1
	h[0] = h[n]
	*q = h[:n]
	q.down(0)
	return uint32(top >> posBits), int32(top & (1<<posBits - 1))
}

func (q queue) down(i int) {
	if i >= len(q) {
		return
	}
	e := q[i]
	for {
		c := 2*i + 1
		if c >= len(q) {
			break
		}
		if r := c + 1; r < len(q) && q[r] < q[c] {
			c = r
		}
		if e <= q[c] {
			break
		}
		q[i] = q[c]
		i = c
	}
	q[i] = e
}
