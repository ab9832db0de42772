package tokenizer

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// wordCache remembers the ids of short words. It is a direct-mapped table: a word that hashes to a taken slot
// replaces what is there, which bounds the memory without any bookkeeping or locks.
type wordCache struct {
	slots []atomic.Pointer[cachedWord]
	seed  maphash.Seed
}

type cachedWord struct {
	word string
	ids  []int32
}

const (
	cacheSlots   = 1 << 15
	maxCacheWord = 64 // bytes; with ids at worst one a byte, the cache stays under 16 MB
)

func newWordCache() *wordCache {
	return &wordCache{slots: make([]atomic.Pointer[cachedWord], cacheSlots), seed: maphash.MakeSeed()}
}

func (c *wordCache) slot(word string) *atomic.Pointer[cachedWord] {
	return &c.slots[maphash.String(c.seed, word)%cacheSlots]
}

// appendWord tokenizes one pre-token onto dst.
func (t *Tokenizer) appendWord(dst []int32, word string, sc *scratch) []int32 {
	if word == "" {
		return dst
	}
	if len(word) > maxCacheWord {
		return t.bpe.append(dst, word, sc)
	}
	slot := t.cache.slot(word)
	if e := slot.Load(); e != nil && e.word == word {
		return append(dst, e.ids...)
	}
	n := len(dst)
	dst = t.bpe.append(dst, word, sc)
	slot.Store(&cachedWord{word: strings.Clone(word), ids: append([]int32(nil), dst[n:]...)})
	return dst
}

// spaceMark is SentencePiece's visible space, U+2581.
const spaceMark = "▁"

// wordBreaks tells where a SentencePiece text, which has no pre-tokens, may be cut into words without changing its
// ids: in front of a ▁ whose left neighbour never stands before a ▁ inside any piece. Every merge across such a
// place would have to give a piece that contains both.
type wordBreaks struct {
	on   bool
	keep map[rune]bool // characters that some piece has in front of a ▁
}

// maxKeep gives up on vocabularies where ▁ follows almost anything.
const maxKeep = 4096

func newWordBreaks(m *bpe) wordBreaks {
	if m.byteLevel || m.ignoreMerges || m.plain(m.vocab.lookup(spaceMark)) < 0 {
		return wordBreaks{}
	}
	keep := map[rune]bool{}
	for id := range int32(m.vocab.size()) {
		p := m.vocab.at(id)
		for i := 0; i < len(p); {
			k := strings.Index(p[i:], spaceMark)
			if k < 0 {
				break
			}
			if k += i; k > 0 {
				if r, _ := utf8.DecodeLastRuneInString(p[:k]); string(r) != spaceMark {
					keep[r] = true
				}
			}
			i = k + len(spaceMark)
		}
	}
	return wordBreaks{on: len(keep) <= maxKeep, keep: keep}
}

// appendText tokenizes a pre-token of a SentencePiece text, cut into words where that is exact.
func (t *Tokenizer) appendText(dst []int32, text string, sc *scratch) []int32 {
	if !t.cross.on {
		return t.appendWord(dst, text, sc)
	}
	start := 0
	for i := 0; ; {
		k := strings.Index(text[i:], spaceMark)
		if k < 0 {
			break
		}
		k += i
		if k > start && t.cross.mayCut(text[start:k], &t.bpe) {
			dst = t.appendWord(dst, text[start:k], sc)
			start = k
		}
		i = k + len(spaceMark)
	}
	return t.appendWord(dst, text[start:], sc)
}

// mayCut reports whether a cut between left and a ▁ is exact. The character must be a symbol of its own: an unknown
// one may leave no symbol at all, and then its neighbour would count.
func (w *wordBreaks) mayCut(left string, m *bpe) bool {
	r, n := utf8.DecodeLastRuneInString(left)
	if string(r) == spaceMark || w.keep[r] {
		return false
	}
	id, _ := m.symbol(left[len(left)-n:])
	return id >= 0
}
