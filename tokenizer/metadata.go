package tokenizer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// Metadata is a tokenizer as GGUF files state it, in their tokenizer.ggml.* keys.
type Metadata struct {
	Model  string // "gpt2" for byte-level, "llama" for SentencePiece
	Pre    string // name of the pre-tokenizer, see FromMetadata
	Tokens []string
	Scores []float32 // (tokens) "llama": higher merges first; nil for "gpt2"
	Types  []int32   // (tokens) one of the Type constants; nil means all normal
	// Merges are "left right" in rank order. "gpt2" needs them. "llama" files usually have none and merge by
	// score; where they are there, they count, which carries orders that scores cannot express.
	Merges []string

	// Added tokens that take the white space in front of them or behind them, ids ascending. The format has no keys for
	// that; where a file's maker knows, these carry it.
	LStrip, RStrip []int32

	BOS, EOS, Unknown, Padding int32 // ids, -1 for none

	AddBOS, AddEOS bool // whether Encode with AddSpecial puts BOS in front and EOS behind
	AddSpacePrefix bool // "llama": a space goes in front of every text
}

// Token types of GGUF.
const (
	TypeNormal      = 1
	TypeUnknown     = 2
	TypeControl     = 3
	TypeUserDefined = 4
	TypeUnused      = 5
	TypeByte        = 6
)

// Names of the Pre key for SentencePiece vocabularies. Readers of GGUF that only know "default" ignore the key for
// them, so the other two may be written without harm.
const (
	preDefault         = "default"          // the space prefix goes in front of every stretch between control tokens
	preMetaspaceFirst  = "metaspace-first"  // only the start of the text, and only if no space is there
	preMetaspaceAlways = "metaspace-always" // every stretch, unless a space is there
)

// FromMetadata builds a tokenizer from GGUF keys. Model is "gpt2" (byte-level) or "llama" (SentencePiece); Pre is
// one of the names in presets for the first, "" or "default" for the second. Other names are refused: a tokenizer that
// is nearly right makes a model quietly worse. The error is a *FormatError. Nothing of m is kept or changed.
func FromMetadata(m Metadata) (*Tokenizer, error) {
	b := newBuilder()
	if err := b.readTokens(&m); err != nil {
		return nil, err
	}
	if err := b.index(); err != nil {
		return nil, err
	}
	if err := b.readIDs(&m); err != nil {
		return nil, err
	}
	var err error
	switch m.Model {
	case "gpt2":
		err = b.byteLevel(&m)
	case "llama":
		err = b.sentencePiece(&m)
	default:
		err = errUnsupported("model", "%q, only \"gpt2\" and \"llama\" are", m.Model)
	}
	if err != nil {
		return nil, err
	}
	return b.finish()
}

func (b *builder) readTokens(m *Metadata) error {
	switch {
	case len(m.Tokens) == 0:
		return errInvalid("tokens", "empty")
	case len(m.Tokens) > maxVocab:
		return errLimit("tokens", "%d, at most %d", len(m.Tokens), maxVocab)
	case m.Types != nil && len(m.Types) != len(m.Tokens):
		return errInvalid("token_type", "%d for %d tokens", len(m.Types), len(m.Tokens))
	}
	total := 0
	for i, p := range m.Tokens {
		if len(p) > maxPiece {
			return errLimit(fmt.Sprintf("tokens[%d]", i), "%d bytes, at most %d", len(p), maxPiece)
		}
		if total += len(p); total > maxFile {
			return errLimit("tokens", "more than %d bytes together", maxFile)
		}
		if !utf8.ValidString(p) {
			return errInvalid(fmt.Sprintf("tokens[%d]", i), "%q is not UTF-8", p)
		}
	}
	b.pieces = append([]string(nil), m.Tokens...)
	for i, typ := range m.Types {
		id := int32(i)
		switch {
		case m.Tokens[i] == "": // no text can match it
		case typ == TypeControl || typ == TypeUnknown:
			b.added = append(b.added, AddedToken{ID: id, Content: m.Tokens[i], Special: true})
		case typ == TypeUserDefined:
			b.added = append(b.added, AddedToken{ID: id, Content: m.Tokens[i]})
		case typ == TypeUnused:
			b.unused = append(b.unused, id)
		case typ != TypeNormal && typ != TypeByte:
			return errUnsupported(fmt.Sprintf("token_type[%d]", i), "%d", typ)
		}
		if len(b.added) > maxAdded {
			return errLimit("token_type", "more than %d added tokens", maxAdded)
		}
	}
	return b.readStrips(m)
}

// readStrips marks the added tokens that take white space.
func (b *builder) readStrips(m *Metadata) error {
	for _, f := range []struct {
		field string
		ids   []int32
		mark  func(*AddedToken)
	}{
		{"lstrip", m.LStrip, func(a *AddedToken) { a.LStrip = true }},
		{"rstrip", m.RStrip, func(a *AddedToken) { a.RStrip = true }},
	} {
		for _, id := range f.ids { // added is in the order of ids
			i, ok := slices.BinarySearchFunc(b.added, id, func(a AddedToken, id int32) int { return cmp.Compare(a.ID, id) })
			if !ok {
				return errInvalid(f.field, "%d is no added token", id)
			}
			f.mark(&b.added[i])
		}
	}
	return nil
}

func (b *builder) readIDs(m *Metadata) error {
	t := b.t
	for _, f := range []struct {
		field string
		id    int32
		to    *int32
	}{
		{"bos_token_id", m.BOS, &t.bos},
		{"eos_token_id", m.EOS, &t.eos},
		{"unknown_token_id", m.Unknown, &t.bpe.unk},
		{"padding_token_id", m.Padding, &t.pad},
	} {
		if f.id != -1 && !t.vocab.has(f.id) {
			return errInvalid(f.field, "%d is not a token", f.id)
		}
		*f.to = f.id
	}
	if m.AddBOS {
		if t.bos < 0 {
			return errInvalid("add_bos_token", "without bos_token_id")
		}
		t.prefix = []int32{t.bos}
	}
	if m.AddEOS {
		if t.eos < 0 {
			return errInvalid("add_eos_token", "without eos_token_id")
		}
		t.suffix = []int32{t.eos}
	}
	return nil
}

func (b *builder) sentencePiece(m *Metadata) error {
	t := b.t
	t.bpe.byteFallback, t.bpe.fuseUnk = true, true
	toMark := normalizer{kind: normReplace, from: " ", text: spaceMark}
	switch m.Pre {
	case "", preDefault:
		if m.AddSpacePrefix {
			t.normalizers = append(t.normalizers, normalizer{kind: normPrepend, text: spaceMark})
		}
		t.normalizers = append(t.normalizers, toMark)
	case preMetaspaceFirst, preMetaspaceAlways:
		if !m.AddSpacePrefix {
			return errInvalid("add_space_prefix", "false with pre %q", m.Pre)
		}
		t.pre.metaspace = metaspace{on: true, mark: spaceMark, prepend: prependFirst}
		if m.Pre == preMetaspaceAlways {
			t.pre.metaspace.prepend = prependAlways
		}
	default:
		return errUnsupported("pre", "%q for model \"llama\"", m.Pre)
	}
	t.decode = decodeSpec{
		kind: decodeText, bytes: true,
		replace: []normalizer{{kind: normReplace, from: spaceMark, text: " "}},
	}
	if m.AddSpacePrefix {
		t.decode.strip, t.decode.stripMax = ' ', 1
	}
	if len(m.Scores) != len(m.Tokens) {
		return errInvalid("scores", "%d for %d tokens", len(m.Scores), len(m.Tokens))
	}
	for i, s := range m.Scores {
		if f := float64(s); math.IsNaN(f) || math.IsInf(f, 0) {
			return errInvalid(fmt.Sprintf("scores[%d]", i), "%v", s)
		}
	}
	t.scores = append([]float32(nil), m.Scores...)
	if len(m.Merges) > 0 {
		return b.readMergeStrings(m.Merges)
	}
	return b.mergesFromScores()
}

// readMergeStrings reads merges written "left right". A part may start with a space but not contain one elsewhere.
func (b *builder) readMergeStrings(list []string) error {
	if len(list) > maxMerges {
		return errLimit("merges", "%d, at most %d", len(list), maxMerges)
	}
	merges := make([]merge, len(list))
	var buf []byte
	for i, s := range list {
		field := "merges[%d]"
		split := -1
		for k := 1; k < len(s); k++ {
			if s[k] == ' ' {
				split = k
				break
			}
		}
		if split < 0 {
			return errInvalid(fmt.Sprintf(field, i), "%q has no space between two parts", s)
		}
		buf = append(append(buf[:0], s[:split]...), s[split+1:]...)
		m, err := b.merge(buf, split)
		if err != nil {
			return errInvalid(fmt.Sprintf(field, i), "%v", err)
		}
		merges[i] = m
	}
	b.setMerges(merges)
	return nil
}
