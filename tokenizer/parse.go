package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// wholeFile is the field of errors about all of the file.
const wholeFile = "tokenizer.json"

// jsonFile is the part of a tokenizer.json that decides ids and text. Truncation and padding are left out on
// purpose: they belong to batch jobs, and a server that cut prompts in silence would be wrong.
type jsonFile struct {
	AddedTokens   rawJSON `json:"added_tokens"`
	Normalizer    rawJSON `json:"normalizer"`
	PreTokenizer  rawJSON `json:"pre_tokenizer"`
	PostProcessor rawJSON `json:"post_processor"`
	Decoder       rawJSON `json:"decoder"`
	Model         *struct {
		Type         string   `json:"type"`
		Dropout      *float64 `json:"dropout"`
		UnkToken     *string  `json:"unk_token"`
		WordPrefix   *string  `json:"continuing_subword_prefix"`
		WordSuffix   *string  `json:"end_of_word_suffix"`
		FuseUnk      bool     `json:"fuse_unk"`
		ByteFallback bool     `json:"byte_fallback"`
		IgnoreMerges bool     `json:"ignore_merges"`
		Vocab        rawJSON  `json:"vocab"`
		Merges       rawJSON  `json:"merges"`
	} `json:"model"`
}

type jsonAdded struct {
	ID         int64  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// Parse reads a Hugging Face tokenizer.json with a BPE model. The error is a *FormatError naming the field; models
// and steps the engine does not have are refused by their names. The input is not kept.
func Parse(tokenizerJSON []byte) (*Tokenizer, error) {
	if len(tokenizerJSON) > maxFile {
		return nil, errLimit(wholeFile, "%d bytes, at most %d", len(tokenizerJSON), maxFile)
	}
	if !utf8.Valid(tokenizerJSON) {
		return nil, errInvalid(wholeFile, "not UTF-8")
	}
	var f jsonFile
	if err := json.Unmarshal(tokenizerJSON, &f); err != nil {
		return nil, jsonError(wholeFile, err)
	}
	if err := f.checkModel(); err != nil {
		return nil, err
	}
	b := newBuilder()
	if err := b.readVocab(f.Model.Vocab); err != nil {
		return nil, err
	}
	if err := b.readAdded(f.AddedTokens); err != nil {
		return nil, err
	}
	if err := b.index(); err != nil {
		return nil, err
	}
	m := &b.t.bpe
	m.fuseUnk, m.byteFallback, m.ignoreMerges = f.Model.FuseUnk, f.Model.ByteFallback, f.Model.IgnoreMerges
	if err := b.readMerges(f.Model.Merges); err != nil {
		return nil, err
	}
	for _, section := range []struct {
		field string
		raw   rawJSON
		step  func(field string, s *jsonStep) error
	}{
		{"normalizer", f.Normalizer, b.addNormalizer},
		{"pre_tokenizer", f.PreTokenizer, b.addPreTokenizer},
		{"post_processor", f.PostProcessor, b.addPostProcessor},
		{"decoder", f.Decoder, b.addDecoder},
	} {
		if err := eachStep(section.field, section.raw, section.step); err != nil {
			return nil, err
		}
	}
	if u := f.Model.UnkToken; u != nil {
		if m.unk = b.t.vocab.lookup(*u); m.unk < 0 && !b.spellsAllBytes() {
			return nil, errInvalid("model.unk_token", "%q is not in the vocabulary", *u)
		}
	}
	return b.finish()
}

func (f *jsonFile) checkModel() error {
	m := f.Model
	switch {
	case m == nil:
		return errInvalid("model", "missing")
	case m.Type != "BPE" && (m.Type != "" || m.Merges.isNull()): // files older than the type field are BPE
		return errUnsupported("model.type", "%q, only BPE is", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return errUnsupported("model.dropout", "%v makes ids random", *m.Dropout)
	case m.WordPrefix != nil && *m.WordPrefix != "":
		return errUnsupported("model.continuing_subword_prefix", "%q", *m.WordPrefix)
	case m.WordSuffix != nil && *m.WordSuffix != "":
		return errUnsupported("model.end_of_word_suffix", "%q", *m.WordSuffix)
	}
	return nil
}

// jsonError names the field a decoding error is about.
func jsonError(field string, err error) error {
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && te.Field != "" {
		return errInvalid(strings.TrimPrefix(field+"."+te.Field, wholeFile+"."), "%s where a %s belongs", te.Value, te.Type)
	}
	return errInvalid(field, "%v", err)
}

// readVocab reads {"piece": id, ...}, in any order.
func (b *builder) readVocab(raw rawJSON) error {
	const field = "model.vocab"
	s := scanner{b: raw}
	var arena []byte
	type entry struct {
		lo, hi uint32
		id     int32
	}
	var entries []entry
	top := int32(-1)
	err := s.list('{', '}', func() error {
		lo := len(arena)
		var err error
		if arena, err = s.str(arena); err != nil {
			return errInvalid(field, "%v", err)
		}
		if len(arena)-lo > maxPiece {
			return errLimit(field, "a token of %d bytes, at most %d", len(arena)-lo, maxPiece)
		}
		if !s.take(':') {
			return errSyntax
		}
		id, err := s.id()
		if err != nil {
			return errInvalid(fmt.Sprintf("%s[%q]", field, arena[lo:]), "%v", err)
		}
		top = max(top, id)
		entries = append(entries, entry{uint32(lo), uint32(len(arena)), id})
		return nil
	})
	if err != nil {
		if errors.Is(err, errSyntax) {
			return errInvalid(field, "not an object of ids")
		}
		return err
	}
	if len(entries) == 0 {
		return errInvalid(field, "empty")
	}
	if err := checkDense(field, top, len(entries)); err != nil {
		return err
	}
	text := string(arena)
	b.pieces = make([]string, top+1)
	seen := make([]bool, top+1)
	for _, e := range entries {
		p := text[e.lo:e.hi]
		if seen[e.id] {
			return errInvalid(fmt.Sprintf("%s[%q]", field, p), "id %d is taken by %q", e.id, b.pieces[e.id])
		}
		seen[e.id] = true
		b.pieces[e.id] = p
	}
	return nil
}

// checkDense refuses ids that would make tables far larger than the file.
func checkDense(field string, top int32, n int) error {
	if int(top) >= 2*n+1024 {
		return errLimit(field, "id %d among %d tokens", top, n)
	}
	return nil
}

// readAdded reads added_tokens. As in the reference, a content the vocabulary has keeps the vocabulary's id, and the
// first of two equal contents counts.
func (b *builder) readAdded(raw rawJSON) error {
	const field = "added_tokens"
	if raw.isNull() {
		return nil
	}
	inVocab := make(map[string]int32)
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return errInvalid(field, "not a list")
	}
	var list []AddedToken
	for n := 0; dec.More(); n++ {
		at := fmt.Sprintf("%s[%d]", field, n)
		if n == maxAdded {
			return errLimit(field, "more than %d", maxAdded)
		}
		var a jsonAdded
		if err := dec.Decode(&a); err != nil {
			return jsonError(at, err)
		}
		if a.Content == "" {
			continue
		}
		if a.ID < 0 || a.ID >= maxVocab {
			return errInvalid(at+".id", "%d", a.ID)
		}
		list = append(list, AddedToken{
			ID: int32(a.ID), Content: a.Content, Special: a.Special, SingleWord: a.SingleWord,
			LStrip: a.LStrip, RStrip: a.RStrip, Normalized: a.Normalized,
		})
		inVocab[a.Content] = -1
	}
	for id, p := range b.pieces {
		if _, ok := inVocab[p]; ok {
			inVocab[p] = int32(id)
		}
	}
	seen := make(map[string]bool, len(list))
	for _, a := range list {
		if seen[a.Content] {
			continue
		}
		seen[a.Content] = true
		if id := inVocab[a.Content]; id >= 0 {
			a.ID = id
		}
		b.added = append(b.added, a)
	}
	return nil
}

// readMerges reads ["a b", ...] or [["a","b"], ...].
func (b *builder) readMerges(raw rawJSON) error {
	const field = "model.merges"
	if raw.isNull() {
		return errInvalid(field, "missing")
	}
	n := bytes.Count(raw, []byte{','}) + 1 // at least the number of merges
	if n > 2*maxMerges {
		return errLimit(field, "more than %d", maxMerges)
	}
	var buf []byte
	s := scanner{b: raw}
	merges := make([]merge, 0, n)
	err := s.list('[', ']', func() error {
		at := len(merges)
		if at == maxMerges {
			return errLimit(field, "more than %d", maxMerges)
		}
		var split int
		var err error
		if s.peek() == '[' {
			buf, split, err = s.mergePair(buf[:0])
		} else {
			buf, split, err = s.mergeString(buf[:0])
		}
		if err != nil {
			return errInvalid(fmt.Sprintf("%s[%d]", field, at), "%v", err)
		}
		m, err := b.merge(buf, split)
		if err != nil {
			return errInvalid(fmt.Sprintf("%s[%d]", field, at), "%v", err)
		}
		merges = append(merges, m)
		return nil
	})
	if errors.Is(err, errSyntax) {
		return errInvalid(field, "not a list")
	}
	if err != nil {
		return err
	}
	b.setMerges(merges)
	return nil
}

// mergePair reads ["a","b"] into one buffer, to be split at split.
func (s *scanner) mergePair(dst []byte) (out []byte, split int, err error) {
	n := 0
	err = s.list('[', ']', func() error {
		var err error
		dst, err = s.str(dst)
		if n++; n == 1 {
			split = len(dst)
		}
		return err
	})
	if err == nil && n != 2 {
		err = fmt.Errorf("%d parts instead of 2", n)
	}
	return dst, split, err
}

// mergeString reads "a b" into one buffer, to be split at split.
func (s *scanner) mergeString(dst []byte) (out []byte, split int, err error) {
	if dst, err = s.str(dst); err != nil {
		return dst, 0, err
	}
	split = bytes.IndexByte(dst, ' ')
	if split < 0 || bytes.IndexByte(dst[split+1:], ' ') >= 0 {
		return dst, 0, fmt.Errorf("%q is not two parts with one space between them", dst)
	}
	return append(dst[:split], dst[split+1:]...), split, nil
}
