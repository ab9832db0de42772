package checkpoint

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"aquifer/gguf"
	"aquifer/tokenizer"
)

// ggufTokenizer builds the tokenizer of a GGUF's metadata.
func (c *Checkpoint) ggufTokenizer() (*tokenizer.Tokenizer, error) {
	m, err := c.vocabulary()
	if err != nil {
		return nil, in(c.Path, err)
	}
	t, err := tokenizer.FromMetadata(m)
	return t, in(c.Path, err)
}

// vocabulary collects the tokenizer keys of a GGUF. It checks types only; what the values mean is the tokenizer's.
func (c *Checkpoint) vocabulary() (m tokenizer.Metadata, err error) {
	r := vocabReader{File: c.gguf, prefix: "tokenizer.ggml."}
	m.Model = r.str("model")
	if r.err == nil && (m.Model == "" || m.Model == noVocab) {
		return m, errors.New("tokenizer.ggml.model: the file holds no tokenizer")
	}
	m.Pre = r.str("pre")
	m.Tokens = r.strings("tokens")
	m.Merges = r.strings("merges")
	m.Scores = keep(&r, "scores", r.Floats)
	for i, v := range keep(&r, "token_type", r.Ints) {
		if v < 0 || v > math.MaxInt32 {
			return m, fmt.Errorf("tokenizer.ggml.token_type: element %d is %d, which is no type", i, v)
		}
		m.Types = append(m.Types, int32(v))
	}
	m.BOS = r.id("bos_token_id")
	m.EOS = r.id("eos_token_id")
	m.Unknown = r.id("unknown_token_id")
	m.Padding = r.id("padding_token_id")
	m.AddBOS, m.AddEOS = c.side.addBOS, c.side.addEOS
	m.LStrip, m.RStrip = r.ids(KeyLStrip), r.ids(KeyRStrip)
	if _, ours := c.gguf.Get(KeyPairing); !ours && m.Model == "llama" && isPhi3(c.Name) {
		m.RStrip = phi3Strips(m)
	}
	// llama.cpp's own default: SentencePiece vocabularies put a space before a text, others do not.
	m.AddSpacePrefix = m.Model == "llama"
	if v, ok, err := r.Bool(r.prefix + "add_space_prefix"); err != nil || ok {
		m.AddSpacePrefix, r.err = v, cmpErr(r.err, err)
	}
	return m, r.err
}

// noVocab is the tokenizer.ggml.model of files without a tokenizer.
const noVocab = "none"

// framing is what the file says about tokens before and behind plain text or, where it is silent, what llama.cpp does.
func framing(f *gguf.File) (bos, eos bool, err error) {
	r := vocabReader{File: f, prefix: "tokenizer.ggml."}
	adding := []string{"llama3", "llama-v3", "llama-bpe", "tekken"}
	bos = (r.str("model") == "llama" || slices.Contains(adding, r.str("pre"))) && r.id("bos_token_id") >= 0
	if v, ok, err := r.Bool(r.prefix + "add_bos_token"); ok || err != nil {
		bos, r.err = v, cmpErr(r.err, err)
	}
	eos = keep(&r, "add_eos_token", r.Bool)
	return bos, eos, r.err
}

// vocabReader reads metadata keys and keeps the first error.
type vocabReader struct {
	*gguf.File
	prefix string
	err    error
}

func keep[T any](r *vocabReader, key string, read func(string) (T, bool, error)) T {
	v, _, err := read(r.prefix + key)
	r.err = cmpErr(r.err, err)
	return v
}

func (r *vocabReader) str(key string) string { return keep(r, key, r.String) }

func (r *vocabReader) strings(key string) []string { return keep(r, key, r.Strings) }

// id returns the id of a special token, -1 where the file names none. Its range was checked at Open.
func (r *vocabReader) id(key string) int32 {
	v, ok, err := r.Int(r.prefix + key)
	if r.err = cmpErr(r.err, err); !ok {
		return -1
	}
	return int32(v)
}

// ids returns a list of token ids under a full key; which of them are tokens is for the tokenizer to check.
func (r *vocabReader) ids(key string) []int32 {
	list, _, err := r.Ints(key)
	r.err = cmpErr(r.err, err)
	var ids []int32
	for _, v := range list {
		if v < 0 || v > maxVocab {
			r.err = cmpErr(r.err, fmt.Errorf("%s: %d is no token id", key, v))
		}
		ids = append(ids, int32(v))
	}
	return ids
}

// isPhi3 tells Phi-3 by its name, as llama.cpp does: its files look like those of a Llama 2 otherwise.
func isPhi3(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "phi-3") || strings.Contains(name, "phi3")
}

// phi3Strips lists the tokens of Phi-3 that take the white space behind them, such as the line breaks of its chat
// template. llama.cpp's files do not say so; llama.cpp knows, and has the same list.
func phi3Strips(m tokenizer.Metadata) []int32 {
	var ids []int32
	for i, kind := range m.Types {
		added := kind == tokenizer.TypeControl || kind == tokenizer.TypeUnknown || kind == tokenizer.TypeUserDefined
		if added && i < len(m.Tokens) && !slices.Contains([]string{"<unk>", "<s>", "<|endoftext|>"}, m.Tokens[i]) {
			ids = append(ids, int32(i))
		}
	}
	return ids
}
