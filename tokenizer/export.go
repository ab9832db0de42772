package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Metadata states the tokenizer in GGUF keys, such that FromMetadata gives the same ids and texts. BOS and EOS are
// what the tokenizer's file says, -1 where it says nothing; the caller may fill them in from the model's
// configuration. The error is a *FormatError naming what the keys have no words for.
func (t *Tokenizer) Metadata() (Metadata, error) {
	m := Metadata{BOS: t.bos, EOS: t.eos, Unknown: t.bpe.unk, Padding: t.pad}
	if err := t.exportSpecial(&m); err != nil {
		return Metadata{}, err
	}
	if err := t.exportTokens(&m); err != nil {
		return Metadata{}, err
	}
	merges := t.bpe.merges.all()
	slices.SortFunc(merges, func(x, y merge) int { return cmp.Compare(x.rank, y.rank) })
	var err error
	if t.pre.byteLevel {
		m.Model = "gpt2"
		err = t.exportByteLevel(&m, merges)
	} else {
		m.Model = "llama"
		err = t.exportSentencePiece(&m, merges)
	}
	if err != nil {
		return Metadata{}, err
	}
	return m, nil
}

func (t *Tokenizer) exportSpecial(m *Metadata) error {
	is := func(list []int32, id int32) bool { return len(list) == 1 && list[0] == id }
	switch {
	case is(t.prefix, t.bos):
		m.AddBOS = true
	case len(t.prefix) > 0:
		return errUnsupported("post_processor", "GGUF has no key for %d tokens in front of a text", len(t.prefix))
	}
	switch {
	case is(t.suffix, t.eos):
		m.AddEOS = true
	case len(t.suffix) > 0:
		return errUnsupported("post_processor", "GGUF has no key for %d tokens behind a text", len(t.suffix))
	}
	return nil
}

// exportTokens writes the vocabulary. Ids without a piece get a name no text has use for, as GGUF has no holes.
func (t *Tokenizer) exportTokens(m *Metadata) error {
	m.Tokens = make([]string, t.vocab.size())
	m.Types = make([]int32, t.vocab.size())
	for i := range m.Tokens {
		id := int32(i)
		p := t.vocab.at(id)
		m.Tokens[i] = p
		switch {
		case p == "":
			m.Types[i] = TypeUnused
			m.Tokens[i] = t.unusedName(id)
		case t.attr[id]&attrSpecial != 0 && id == t.bpe.unk:
			m.Types[i] = TypeUnknown
		case t.attr[id]&attrSpecial != 0:
			m.Types[i] = TypeControl
		case t.attr[id]&attrAdded != 0:
			m.Types[i] = TypeUserDefined
		case t.attr[id]&attrOutside != 0:
			m.Types[i] = TypeUnused
		case t.attr[id]&attrByte != 0:
			m.Types[i] = TypeByte
		default:
			m.Types[i] = TypeNormal
		}
	}
	for _, a := range t.added {
		field := fmt.Sprintf("added token %q", a.Content)
		switch {
		case a.SingleWord:
			return errUnsupported(field, "GGUF has no key for single_word")
		case a.Normalized && len(t.normalizers) > 0:
			return errUnsupported(field, "GGUF has no key for matching it in normalized text")
		}
		if a.LStrip {
			m.LStrip = append(m.LStrip, a.ID)
		}
		if a.RStrip {
			m.RStrip = append(m.RStrip, a.ID)
		}
	}
	return nil
}

// unusedName names a hole: [PAD7], with more brackets should a token be called that already.
func (t *Tokenizer) unusedName(id int32) string {
	name := fmt.Sprintf("[PAD%d]", id)
	for t.vocab.lookup(name) >= 0 {
		name = "[" + name + "]"
	}
	return name
}

func (t *Tokenizer) exportByteLevel(m *Metadata, merges []merge) error {
	nfc := len(t.normalizers) == 1 && t.normalizers[0] == normalizer{kind: normUnicode, form: norm.NFC}
	switch {
	case len(t.normalizers) > 0 && !nfc:
		return errUnsupported("normalizer", "GGUF has no key for it")
	case t.pre.prefixAt >= 0:
		return errUnsupported("pre_tokenizer", "GGUF has no key for add_prefix_space of ByteLevel")
	case t.decode.kind != decodeBytes:
		return errUnsupported("decoder", "GGUF has no key for one other than ByteLevel")
	case t.bpe.fuseUnk && t.bpe.unk >= 0:
		return errUnsupported("model.fuse_unk", "GGUF has no key for it")
	}
	var err error
	if m.Pre, err = t.exportPreset(nfc); err != nil {
		return err
	}
	return t.exportMerges(m, merges)
}

func (t *Tokenizer) exportMerges(m *Metadata, merges []merge) error {
	m.Merges = make([]string, len(merges))
	for i, g := range merges {
		left, right := t.vocab.at(g.left), t.vocab.at(g.right)
		if strings.Contains(left[1:], " ") {
			return errUnsupported("model.merges", "GGUF cannot write %q, a part with a space inside", left)
		}
		m.Merges[i] = left + " " + right
	}
	return nil
}

func (t *Tokenizer) exportSentencePiece(m *Metadata, merges []merge) error {
	if err := t.exportSpaces(m); err != nil {
		return err
	}
	d := &t.decode
	wantStrip := 0
	if m.AddSpacePrefix {
		wantStrip = 1
	}
	fromMark := normalizer{kind: normReplace, from: spaceMark, text: " "}
	switch {
	case d.kind != decodeText || !d.bytes || d.dropMark != "" || !slices.Equal(d.replace, []normalizer{fromMark}):
		return errUnsupported("decoder", "GGUF has no key for one other than Replace, ByteFallback, Fuse, Strip")
	case d.stripMax != wantStrip || (wantStrip > 0 && d.strip != ' '):
		return errUnsupported("decoder", "GGUF has no key for stripping %d spaces where encoding adds %d", d.stripMax, wantStrip)
	case t.bpe.ignoreMerges:
		return errUnsupported("model.ignore_merges", "GGUF has no key for it with model \"llama\"")
	}
	if allBytes := t.bpe.hasBytes(everyByte()); !allBytes || !t.bpe.byteFallback {
		if !t.bpe.byteFallback && slices.Max(t.bpe.byteID[:]) >= 0 {
			return errUnsupported("model.byte_fallback", "GGUF has no key to leave it off")
		}
		if !t.bpe.fuseUnk && t.bpe.unk >= 0 {
			return errUnsupported("model.fuse_unk", "GGUF has no key to leave it off")
		}
	}
	if t.scores != nil {
		m.Scores = slices.Clone(t.scores)
		if t.mergesListed {
			return t.exportMerges(m, merges)
		}
		return nil
	}
	scores, exact, err := t.scoresFromMerges(merges)
	if err != nil {
		return err
	}
	m.Scores = scores
	if exact {
		return nil
	}
	return t.exportMerges(m, merges)
}

// exportSpaces finds the words for how spaces become marks.
func (t *Tokenizer) exportSpaces(m *Metadata) error {
	toMark := normalizer{kind: normReplace, from: " ", text: spaceMark}
	prepend := normalizer{kind: normPrepend, text: spaceMark}
	ms := t.pre.metaspace
	switch {
	case len(t.pre.splits) > 0:
		return errUnsupported("pre_tokenizer", "GGUF has no key for splitting with model \"llama\"")
	case !ms.on && slices.Equal(t.normalizers, []normalizer{prepend, toMark}):
		m.Pre, m.AddSpacePrefix = preDefault, true
	case !ms.on && slices.Equal(t.normalizers, []normalizer{toMark}):
		m.Pre = preDefault
	case !ms.on || len(t.normalizers) > 0:
		return errUnsupported("normalizer", "GGUF has no key for one other than spaces to ▁")
	case ms.mark != spaceMark || ms.split:
		return errUnsupported("pre_tokenizer", "GGUF has no key for Metaspace with mark %q, split %v", ms.mark, ms.split)
	case ms.prepend == prependNever:
		m.Pre = preDefault // no mark in front: the same as replacing alone
	case ms.prepend == prependFirst:
		m.Pre, m.AddSpacePrefix = preMetaspaceFirst, true
	default:
		m.Pre, m.AddSpacePrefix = preMetaspaceAlways, true
	}
	return nil
}

func everyByte() string {
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	return string(all[:])
}
