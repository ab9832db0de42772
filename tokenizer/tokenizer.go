// Package tokenizer turns text into token ids and back, exactly as the model was trained to see it. It owns the
// byte-pair engines (byte-level and SentencePiece style), the two file forms they come in (Hugging Face
// tokenizer.json and GGUF metadata), special-token handling and streaming decode. The reference for every id and
// every decoded byte is the Hugging Face tokenizers library, release 0.22.
//
// It is a leaf: it must not import any other package of this module, read files, or touch the network. Files come
// from strangers, so every size is bounded and anything the engine does not implement is refused by name.
package tokenizer

import (
	"slices"
	"sync"
)

// A Tokenizer is one loaded vocabulary with its pipeline. It does not change after loading and may be used by many
// goroutines at once.
type Tokenizer struct {
	vocab *vocab
	attr  []tokenAttr  // (vocab size)
	added []AddedToken // by id

	normalizers []normalizer
	pre         preTokenizer
	bpe         bpe
	cross       wordBreaks
	rawTokens   matcher // added tokens looked for in the text as given
	normTokens  matcher // added tokens looked for in the normalized text

	prefix, suffix []int32 // what the post-processor puts round a text
	bos, eos, pad  int32   // -1 where the file does not say

	decode decodeSpec
	text   stringTable // id -> what it decodes to

	scores       []float32 // GGUF scores as read, kept for Metadata; nil for tokenizer.json
	mergesListed bool      // the merges came as a list and not from the scores

	cache   *wordCache
	scratch sync.Pool // *scratch
}

// tokenAttr holds what is known about one id besides its piece.
type tokenAttr uint8

const (
	attrSpecial tokenAttr = 1 << iota // control token: never produced from untrusted text
	attrAdded                         // matched in the text before the model sees it
	attrByte                          // decodes to the one byte its piece names
	attrOutside                       // not a piece of the model: merging never gives it
)

// An AddedToken is a piece that is matched as a whole before the model splits the text.
type AddedToken struct {
	ID         int32
	Content    string
	Special    bool // control token; skipped by decoding with skipSpecial
	SingleWord bool // only matches where no word character touches it
	LStrip     bool // swallows white space in front of it
	RStrip     bool // swallows white space behind it
	Normalized bool // matched in the normalized text rather than in the text as given
}

// Kind names the family of the tokenizer for people.
func (t *Tokenizer) Kind() string {
	switch t.decode.kind {
	case decodeBytes:
		return "byte-level BPE"
	case decodeText:
		return "SentencePiece BPE"
	}
	return "BPE"
}

// Size is one more than the highest id. Ids below it that the file leaves out have an empty piece.
func (t *Tokenizer) Size() int { return t.vocab.size() }

// Piece is the vocabulary's own spelling of id (byte-level alphabet, ▁ for a space); "" if there is no such id.
func (t *Tokenizer) Piece(id int32) string {
	if !t.vocab.has(id) {
		return ""
	}
	return t.vocab.at(id)
}

// Bytes is what id decodes to, a space in front included; it may be part of a UTF-8 sequence. The slice is the
// caller's. It is nil if there is no such id.
func (t *Tokenizer) Bytes(id int32) []byte {
	if !t.vocab.has(id) {
		return nil
	}
	return []byte(t.text.at(id))
}

// Text is Bytes as a string, without a copy; "" if there is no such id.
func (t *Tokenizer) Text(id int32) string {
	if !t.vocab.has(id) {
		return ""
	}
	return t.text.at(id)
}

// ID finds a piece in the vocabulary, added tokens included.
func (t *Tokenizer) ID(piece string) (int32, bool) {
	id := t.vocab.lookup(piece)
	return id, id >= 0
}

// IsSpecial reports whether id is a control token: one that text from a user must never produce.
func (t *Tokenizer) IsSpecial(id int32) bool {
	return t.vocab.has(id) && t.attr[id]&attrSpecial != 0
}

// BOS is the token put before a text. A tokenizer.json tells it only through its post-processor.
func (t *Tokenizer) BOS() (int32, bool) { return t.bos, t.bos >= 0 }

// EOS is the token that ends a text. A tokenizer.json tells it only if its post-processor appends it; models state
// theirs in their configuration.
func (t *Tokenizer) EOS() (int32, bool) { return t.eos, t.eos >= 0 }

// Unknown is the token that stands for text the vocabulary cannot spell.
func (t *Tokenizer) Unknown() (int32, bool) { return t.bpe.unk, t.bpe.unk >= 0 }

// AddedTokens lists the tokens matched before the model, by id. The slice is the caller's.
func (t *Tokenizer) AddedTokens() []AddedToken { return slices.Clone(t.added) }
