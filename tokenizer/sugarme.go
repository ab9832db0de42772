package tokenizer

import (
	"errors"
	"strings"

	sugar "github.com/sugarme/tokenizer"
)

// sugarResync is how far, in bytes, a token's text is looked for behind the token before it.
const sugarResync = 256

// AsSugarme returns a github.com/sugarme/tokenizer tokenizer that gives this tokenizer's ids, for programs written
// against that API. Only its core is used: the whole pipeline, control tokens included, runs here, because that
// library's own byte-pair models give other ids.
//
// Limits: control tokens written in a text are recognised (so it is not for text from users), Decode cannot skip
// control tokens, an empty text is an error of that library unless it gives tokens, and offsets are those of a
// token's text where it stands in the input unchanged, empty elsewhere. It is some 20 times slower than Encode.
func (t *Tokenizer) AsSugarme() *sugar.Tokenizer {
	s := sugar.NewTokenizer(sugarModel{t})
	s.WithPostProcessor(sugarTemplate{t})
	s.WithDecoder(sugarDecoder{t})
	return s
}

// sugarModel is sugar.Model over the engine.
type sugarModel struct{ t *Tokenizer }

func (m sugarModel) Tokenize(sequence string) ([]sugar.Token, error) {
	ids := m.t.Encode(sequence, EncodeOptions{ParseSpecial: true})
	out := make([]sugar.Token, len(ids))
	pos := 0
	for i, id := range ids {
		lo, hi := m.locate(sequence, pos, m.t.text.at(id))
		out[i] = sugar.Token{Id: int(id), Value: m.t.Piece(id), Offsets: []int{lo, hi}}
		pos = hi
	}
	return out, nil
}

// locate finds a token's text at or soon after pos. A leading space may be one that the pipeline put there.
func (m sugarModel) locate(s string, pos int, text string) (lo, hi int) {
	window := s[pos:min(len(s), pos+len(text)+sugarResync)]
	for _, t := range []string{text, strings.TrimPrefix(text, " ")} {
		if strings.HasPrefix(window, t) {
			return pos, pos + len(t)
		}
	}
	if k := strings.Index(window, text); k >= 0 {
		return pos + k, pos + k + len(text)
	}
	return pos, pos
}

func (m sugarModel) TokenToId(token string) (int, bool) {
	id, ok := m.t.ID(token)
	return int(id), ok
}

func (m sugarModel) IdToToken(id int) (string, bool) {
	if id < 0 || id >= m.t.Size() || !m.t.vocab.has(int32(id)) {
		return "", false
	}
	return m.t.Piece(int32(id)), true
}

func (m sugarModel) GetVocab() map[string]int {
	out := make(map[string]int, m.t.Size())
	for id := range m.t.Size() {
		if p := m.t.Piece(int32(id)); p != "" {
			out[p] = id
		}
	}
	return out
}

func (m sugarModel) GetVocabSize() int { return m.t.Size() }

func (m sugarModel) Save(string, ...string) error {
	return errors.New("tokenizer: the sugarme adapter does not write files; use Metadata")
}

// sugarTemplate puts the control tokens round an encoding.
type sugarTemplate struct{ t *Tokenizer }

func (p sugarTemplate) AddedTokens(bool) int { return len(p.t.prefix) + len(p.t.suffix) }

func (p sugarTemplate) Process(encoding, pair *sugar.Encoding, addSpecial bool) *sugar.Encoding {
	if addSpecial && p.AddedTokens(false) > 0 {
		encoding = p.wrap(encoding)
		if pair != nil {
			pair = p.wrap(pair)
		}
	}
	return sugar.DefaultProcess(encoding, pair, addSpecial)
}

func (p sugarTemplate) wrap(e *sugar.Encoding) *sugar.Encoding {
	out := *sugar.DefaultEncoding()
	add := func(ids []int32) {
		for _, id := range ids {
			out.Ids = append(out.Ids, int(id))
			out.Tokens = append(out.Tokens, p.t.Piece(id))
			out.TypeIds = append(out.TypeIds, 0)
			out.Offsets = append(out.Offsets, []int{0, 0})
			out.Words = append(out.Words, -1)
			out.SpecialTokenMask = append(out.SpecialTokenMask, 1)
			out.AttentionMask = append(out.AttentionMask, 1)
		}
	}
	add(p.t.prefix)
	out.Ids = append(out.Ids, e.Ids...)
	out.Tokens = append(out.Tokens, e.Tokens...)
	out.TypeIds = append(out.TypeIds, e.TypeIds...)
	out.Offsets = append(out.Offsets, e.Offsets...)
	out.Words = append(out.Words, e.Words...)
	out.SpecialTokenMask = append(out.SpecialTokenMask, e.SpecialTokenMask...)
	out.AttentionMask = append(out.AttentionMask, e.AttentionMask...)
	add(p.t.suffix)
	return &out
}

// sugarDecoder turns pieces back into text.
type sugarDecoder struct{ t *Tokenizer }

func (d sugarDecoder) Decode(tokens []string) string {
	ids := make([]int32, 0, len(tokens))
	for _, p := range tokens {
		if id, ok := d.t.ID(p); ok {
			ids = append(ids, id)
		}
	}
	return d.t.Decode(ids, false)
}

func (d sugarDecoder) DecodeChain(tokens []string) []string {
	return []string{d.Decode(tokens)}
}
