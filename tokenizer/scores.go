package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// SentencePiece files have a score for every piece and no merges: two neighbours merge if the vocabulary has their
// concatenation, the highest score first, the leftmost among equals. That is byte-pair merging with every split of
// every piece as a merge, ranked by the piece's score. Ids must not stand in for the scores: Llama 2 numbers its
// runs of spaces first and scores them last.

// splitsOf calls yield for each way to cut piece id into two pieces of the vocabulary. It adds the bytes it hashed to
// work.
func (v *vocab) splitsOf(id int32, work *int, yield func(left, right int32)) {
	p := v.at(id)
	for k := 1; k < len(p); k++ {
		if !utf8.RuneStart(p[k]) {
			continue
		}
		*work += k
		left := v.lookup(p[:k])
		if left < 0 {
			continue
		}
		*work += len(p) - k
		if right := v.lookup(p[k:]); right >= 0 {
			yield(left, right)
		}
	}
}

// mergesFromScores fills the merge table of a vocabulary without merges. Pieces of equal score share a rank, so the
// engine takes the leftmost of them.
func (b *builder) mergesFromScores() error {
	t := b.t
	order := make([]int32, 0, t.vocab.size())
	for id := range int32(t.vocab.size()) {
		if t.bpe.plain(id) < 0 || !t.vocab.has(id) {
			continue
		}
		if n := len(t.vocab.at(id)); n > maxScoredPiece {
			return errLimit(fmt.Sprintf("tokens[%d]", id), "%d bytes, at most %d in a vocabulary without merges", n, maxScoredPiece)
		}
		order = append(order, id)
	}
	slices.SortFunc(order, func(x, y int32) int { return cmp.Compare(t.scores[y], t.scores[x]) })
	var merges []merge
	work, rank := 0, uint32(0)
	for i, id := range order {
		if i > 0 && t.scores[id] != t.scores[order[i-1]] {
			rank++
		}
		t.vocab.splitsOf(id, &work, func(left, right int32) {
			merges = append(merges, merge{rank: rank, left: left, right: right, into: id})
		})
		if work > maxSplitWork || len(merges) > maxMerges {
			return errLimit("tokens", "too many ways to merge them")
		}
	}
	t.bpe.merges = newPairTable(len(merges))
	for _, m := range merges {
		t.bpe.merges.put(m.left, m.right, m.rank, m.into)
	}
	return nil
}

// extent is the range of ranks of the merges that give one piece.
type extent struct {
	first, last uint32
	id          int32
}

// scoresFromMerges finds scores that make mergesFromScores restore the order of merges. exact is false if there are
// none: a split of some piece is missing, or the merges of two pieces interleave in a way that matters.
func (t *Tokenizer) scoresFromMerges(merges []merge) (scores []float32, exact bool, err error) {
	at := make([]int32, t.vocab.size()) // index in extents + 1
	var extents []extent                // by first, as merges are by rank
	for _, m := range merges {
		if at[m.into] == 0 {
			extents = append(extents, extent{first: m.rank, id: m.into})
			at[m.into] = int32(len(extents))
		}
		extents[at[m.into]-1].last = m.rank
	}
	scores = make([]float32, t.vocab.size())
	exact = true
	class := 0
	for i := 0; i < len(extents); { // pieces whose merges interleave share a class, and so a score
		class++
		start, end := i, extents[i].last
		for ; i < len(extents) && extents[i].first <= end; i++ {
			end = max(end, extents[i].last)
			scores[extents[i].id] = float32(-class)
		}
		if i-start > 1 && !t.growingRuns(extents[start:i]) {
			exact = false
		}
	}
	// Pieces no merge gives come after all others, so that they stay out of the way of other readers.
	for id := range scores {
		if at[id] == 0 && t.bpe.plain(int32(id)) >= 0 {
			scores[id] = float32(-class - 1)
		}
	}
	splits, work := 0, 0
	for id := range int32(t.vocab.size()) {
		if t.bpe.plain(id) < 0 || !t.vocab.has(id) {
			continue
		}
		if len(t.vocab.at(id)) > maxScoredPiece {
			exact = false
			break
		}
		t.vocab.splitsOf(id, &work, func(int32, int32) { splits++ })
		if work > maxSplitWork {
			return nil, false, errLimit("tokens", "too many ways to merge them")
		}
	}
	return scores, exact && splits == len(merges), nil
}

// growingRuns reports whether the pieces are runs of single characters whose merge order does not matter: every
// length up to the longest is there, and two single characters merge after all of them. Such a run grows character
// by character from the left to the longest piece (▁▁, ▁▁▁, ...) before another one starts, under any order.
func (t *Tokenizer) growingRuns(pieces []extent) bool {
	type runs struct {
		count, longest int // of more than two characters
		last           uint32
	}
	byChar := map[string]runs{}
	for _, e := range pieces {
		p := t.vocab.at(e.id)
		_, n := utf8.DecodeRuneInString(p)
		length := len(p) / n
		if p != strings.Repeat(p[:n], length) {
			return false
		}
		r := byChar[p[:n]]
		if length > 2 {
			r.count++
		}
		r.longest, r.last = max(r.longest, length), max(r.last, e.last)
		byChar[p[:n]] = r
	}
	for char, r := range byChar {
		id := t.vocab.lookup(char)
		if id < 0 {
			return false
		}
		pair, _, ok := t.bpe.merges.get(id, id)
		if !ok || pair < r.last || r.count != r.longest-2 {
			return false
		}
	}
	return true
}
