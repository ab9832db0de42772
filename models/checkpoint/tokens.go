package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"aquifer/tokenizer"
)

// Special are the special tokens of a checkpoint: texts for chat templates, ids for the engine.
type Special struct {
	BOS, EOS, UNK, PAD  string  // texts; empty where unknown
	BOSID, UNKID, PADID int32   // -1 where unknown
	EOSIDs              []int32 // every id that ends an answer, ascending
	AddBOS, AddEOS      bool    // whether plain text is to be framed; templates write their own
}

// Tokenizer returns the checkpoint's tokenizer; it is built once. The error names the file that is missing or broken.
func (c *Checkpoint) Tokenizer() (*tokenizer.Tokenizer, error) {
	c.tokenizerOnce.Do(func() {
		switch c.Format {
		case GGUF:
			c.tokenizer, c.tokenizerErr = c.ggufTokenizer()
			c.gguf = nil // a large vocabulary is not kept twice
		case Generated:
			c.tokenizerErr = in(c.Path, errors.New("a generated checkpoint has no tokenizer"))
		default:
			c.tokenizer, c.tokenizerErr = c.folderTokenizer()
		}
	})
	return c.tokenizer, c.tokenizerErr
}

// HasTokenizer reports whether the checkpoint comes with a tokenizer; whether that is usable, Tokenizer tells.
func (c *Checkpoint) HasTokenizer() bool {
	if c.Format != Folder {
		return c.hasTokenizer
	}
	_, err := os.Stat(filepath.Join(c.Path, tokenizerFile))
	return !errors.Is(err, fs.ErrNotExist)
}

const tokenizerFile = "tokenizer.json"

func (c *Checkpoint) folderTokenizer() (*tokenizer.Tokenizer, error) {
	path := filepath.Join(c.Path, tokenizerFile)
	text, ok, err := readFile(path, maxTokenizer)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, in(c.Path, fmt.Errorf("no tokenizer.json (other forms of tokenizers are not read); the folder holds %s",
			listing(c.Path)))
	}
	t, err := tokenizer.Parse(text)
	if err != nil {
		return nil, in(path, err)
	}
	return t, nil
}

// Special returns the special tokens. EOSIDs is the union of what generation_config.json, config.json and the
// tokenizer's configuration say (for a GGUF: the ids of end of sequence and end of turn), because any of them may
// lack the one that a chat ends with. Where a text or an id is only to be had from the tokenizer, that is asked.
func (c *Checkpoint) Special() Special {
	c.specialOnce.Do(func() { c.special = c.findSpecial() })
	s := c.special
	s.EOSIDs = slices.Clone(s.EOSIDs)
	return s
}

func (c *Checkpoint) findSpecial() Special {
	// A checkpoint without a usable tokenizer still has the ids of its configuration.
	tok, _ := c.Tokenizer()
	s := Special{EOSIDs: slices.Clone(c.side.eos)}
	s.BOS, s.BOSID = c.side.resolve(tok, "bos")
	s.UNK, s.UNKID = c.side.resolve(tok, "unk")
	s.PAD, s.PADID = c.side.resolve(tok, "pad")
	if text, ok := c.side.texts["eos"]; ok {
		s.EOS = text
		// A token beyond the embedding can never be generated.
		vocab, known, err := c.Config.Int("vocab_size")
		if id := c.side.id(tok, text); id >= 0 && err == nil && (!known || int(id) < vocab) {
			s.EOSIDs = append(s.EOSIDs, id)
		}
	} else if len(s.EOSIDs) > 0 {
		s.EOS = piece(tok, s.EOSIDs[0])
	}
	slices.Sort(s.EOSIDs)
	s.EOSIDs = slices.Compact(s.EOSIDs)
	s.AddBOS, s.AddEOS = c.framing(tok)
	return s
}

// resolve completes a special token of which text or id is known.
func (s *side) resolve(tok *tokenizer.Tokenizer, name string) (string, int32) {
	text, hasText := s.texts[name]
	id, hasID := s.ids[name]
	switch {
	case hasText && !hasID:
		id = s.id(tok, text)
	case hasID && !hasText:
		text = piece(tok, id)
	case !hasID:
		id = -1
	}
	return text, id
}

// id returns the id of a token's text, -1 if there is none.
func (s *side) id(tok *tokenizer.Tokenizer, text string) int32 {
	id, ok := s.added[text]
	if !ok && tok != nil {
		id, ok = tok.ID(text)
	}
	if !ok {
		return -1
	}
	return id
}

func piece(tok *tokenizer.Tokenizer, id int32) string {
	if tok == nil || id < 0 || int(id) >= tok.Size() {
		return ""
	}
	return tok.Piece(id)
}

// framing says whether plain text gets a token before and behind it: what the tokenizer does or, without one, what the
// configuration says it would do.
func (c *Checkpoint) framing(tok *tokenizer.Tokenizer) (bos, eos bool) {
	if c.Format == GGUF || tok == nil {
		return c.side.addBOS, c.side.addEOS
	}
	// The tokenizer of a folder knows these tokens only if it adds them.
	_, bos = tok.BOS()
	_, eos = tok.EOS()
	return bos, eos
}
