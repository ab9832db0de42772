package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// builder collects what a file says, in the order vocabulary, index, merges, pipeline, finish.
type builder struct {
	t       *Tokenizer
	pieces  []string // by id; "" is an id the file leaves out
	added   []AddedToken
	outside []int32 // added tokens that the model's own vocabulary lacks
	unused  []int32 // ids with a name and no use
}

func newBuilder() *builder {
	t := &Tokenizer{bos: -1, eos: -1, pad: -1}
	t.bpe.unk = -1
	t.pre.prefixAt = -1
	return &builder{t: t}
}

// index checks vocabulary and added tokens against each other and makes them searchable.
func (b *builder) index() error {
	if err := b.placeAdded(); err != nil {
		return err
	}
	v, dup := newVocab(b.pieces)
	if v == nil {
		return errInvalid(fmt.Sprintf("token %d", dup), "%q has two ids", b.pieces[dup])
	}
	t := b.t
	t.vocab, t.bpe.vocab = v, v
	t.attr = make([]tokenAttr, v.size())
	t.bpe.attr = t.attr
	for _, a := range b.added {
		t.attr[a.ID] |= attrAdded
		if a.Special {
			t.attr[a.ID] |= attrSpecial
		}
	}
	for _, id := range slices.Concat(b.outside, b.unused) {
		t.attr[id] |= attrOutside
	}
	t.added = b.added
	return nil
}

func (b *builder) placeAdded() error {
	slices.SortStableFunc(b.added, func(x, y AddedToken) int { return cmp.Compare(x.ID, y.ID) })
	used, total := 0, 0
	for _, p := range b.pieces {
		if p != "" {
			used++
		}
	}
	for _, a := range b.added {
		field := fmt.Sprintf("added token %q", a.Content)
		if len(a.Content) > maxAddedPiece {
			return errLimit(field, "%d bytes, at most %d", len(a.Content), maxAddedPiece)
		}
		if total += len(a.Content); total > maxAddedTotal {
			return errLimit("added tokens", "more than %d bytes together", maxAddedTotal)
		}
		used++
		if err := checkDense(field, a.ID, used); err != nil {
			return err
		}
		if n := int(a.ID) + 1 - len(b.pieces); n > 0 {
			b.pieces = append(b.pieces, make([]string, n)...)
		}
		switch p := &b.pieces[a.ID]; *p {
		case a.Content:
		case "":
			*p = a.Content
			b.outside = append(b.outside, a.ID)
		default:
			return errInvalid(field, "id %d is taken by %q", a.ID, *p)
		}
	}
	return nil
}

// merge resolves the merge of joined[:split] and joined[split:].
func (b *builder) merge(joined []byte, split int) (merge, error) {
	v := b.t.vocab
	left, right := joined[:split], joined[split:]
	m := merge{left: v.lookupBytes(left), right: v.lookupBytes(right), into: v.lookupBytes(joined)}
	for _, p := range []struct {
		id    int32
		piece []byte
	}{{m.left, left}, {m.right, right}, {m.into, joined}} {
		if p.id < 0 {
			return m, fmt.Errorf("%q is not in the vocabulary", p.piece)
		}
	}
	return m, nil
}

// setMerges takes merges in rank order; the last of two equal pairs counts, as in the reference. Merges that give a
// control token are left out: text may reach a control token only through the added-token matcher, which knows
// what is trusted. For trusted text that matcher comes first, so no id changes.
func (b *builder) setMerges(merges []merge) {
	t := b.t
	t.mergesListed = true
	t.bpe.merges = newPairTable(len(merges))
	for rank, m := range merges {
		if t.bpe.plain(m.into) >= 0 {
			t.bpe.merges.put(m.left, m.right, uint32(rank), m.into)
		}
	}
}

// spellsAllBytes reports whether the vocabulary can spell any text without an unknown token.
func (b *builder) spellsAllBytes() bool {
	v := b.t.vocab
	for c := range 256 {
		if v.lookup(string(byteRune[c])) < 0 {
			return false
		}
	}
	return b.t.pre.byteLevel
}

// finish derives the tables of the engine.
func (b *builder) finish() (*Tokenizer, error) {
	t := b.t
	t.bpe.byteLevel = t.pre.byteLevel
	t.bpe.init()
	if t.pre.byteLevel && t.bpe.byteFallback && !b.spellsAllBytes() {
		return nil, errUnsupported("model.byte_fallback", "together with an incomplete byte-level alphabet")
	}
	t.dropIdleSplits()
	var raw, normed []AddedToken
	seen := map[string]bool{}
	for _, a := range t.added {
		if !a.Normalized {
			raw = append(raw, a)
			continue
		}
		if a.Content, _ = t.normalize(a.Content, nil); a.Content == "" || seen[a.Content] {
			continue
		}
		if len(a.Content) > 4*maxAddedPiece {
			return nil, errLimit("added_tokens", "%q is %d bytes long when normalized", a.Content, len(a.Content))
		}
		seen[a.Content] = true
		normed = append(normed, a)
	}
	t.rawTokens, t.normTokens = newMatcher(raw), newMatcher(normed)
	t.cross = newWordBreaks(&t.bpe)
	t.text = t.decode.textOf(t.vocab, t.attr)
	t.cache = newWordCache()
	t.scratch.New = func() any { return new(scratch) }
	return t, nil
}

// dropIdleSplits removes cuts at a literal that normalization leaves no trace of. Gemma's files cut at spaces after
// replacing every space; searching for them in each text would be all it does.
func (t *Tokenizer) dropIdleSplits() {
	n := len(t.normalizers)
	if n == 0 || t.pre.byteLevel || t.normalizers[n-1].kind != normReplace {
		return
	}
	last := t.normalizers[n-1]
	t.pre.splits = slices.DeleteFunc(t.pre.splits, func(s splitter) bool {
		lit, ok := s.(stringSplit)
		return ok && !lit.invert && lit.literal == last.from && len(last.from) == 1 && !strings.Contains(last.text, last.from)
	})
}
