package checkpoint

import (
	"fmt"
	"unicode/utf8"
)

// readSide maps what a GGUF says beside weights and config.
func (g *ggufReader) readSide() error {
	s := &g.c.side
	s.texts, s.ids = map[string]string{}, map[string]int32{}
	var errs []error
	text := func(key string) string {
		v, _, err := g.String(key)
		if err == nil && (len(v) > maxTemplate || !utf8.ValidString(v)) {
			err = fmt.Errorf("%s: larger than %d bytes or invalid UTF-8", key, maxTemplate)
		}
		errs = append(errs, err)
		return v
	}
	if s.template = text("tokenizer.chat_template"); s.template != "" {
		s.templateName = "default"
	}
	s.toolTemplate = text(KeyToolTemplate)
	s.license = License{
		ID: text("general.license"), Name: text("general.license.name"), Link: text("general.license.link"), Text: text(KeyLicense),
	}
	var err error
	s.addBOS, s.addEOS, err = framing(g.File)
	errs = append(errs, err, g.readIDs(s), g.readGeneration(&s.generation))
	for _, err := range errs {
		if err != nil {
			return err // the first: an error is one line
		}
	}
	return nil
}

// tokenID reads the id of a special token; -1 if there is no such key.
func (g *ggufReader) tokenID(key string) (int32, error) {
	v, ok, err := g.Int(key)
	if err != nil || !ok {
		return -1, err
	}
	return g.checkID(key, v)
}

func (g *ggufReader) checkID(key string, v int64) (int32, error) {
	vocab, _, err := g.c.Config.Int("vocab_size")
	if err != nil {
		return -1, err
	}
	if v < 0 || v > maxVocab || v >= int64(vocab) {
		return -1, fmt.Errorf("%s: token id %d is outside the vocabulary of %d", key, v, vocab)
	}
	return int32(v), nil
}

func (g *ggufReader) readIDs(s *side) error {
	const ggml = "tokenizer.ggml."
	for _, special := range []struct{ name, key string }{
		{"bos", ggml + "bos_token_id"}, {"unk", ggml + "unknown_token_id"}, {"unk", KeyUnknown}, {"pad", ggml + "padding_token_id"},
	} {
		id, err := g.tokenID(special.key)
		if err != nil {
			return err
		}
		if id >= 0 {
			s.ids[special.name] = id
		}
	}
	// llama.cpp knows an end of turn and an end of message beside the end of sequence; all of them end an answer.
	for _, key := range []string{"eos_token_id", "eot_token_id", "eom_token_id"} {
		id, err := g.tokenID(ggml + key)
		if err != nil {
			return err
		}
		if id >= 0 {
			s.eos = append(s.eos, id)
		}
	}
	ids, _, err := g.Ints(KeyEOS)
	if err != nil {
		return err
	}
	for _, v := range ids {
		id, err := g.checkID(KeyEOS, v)
		if err != nil {
			return err
		}
		s.eos = append(s.eos, id)
	}
	return nil
}

// readGeneration maps the recommended sampling; its keys are those of generation_config.json.
func (g *ggufReader) readGeneration(to *Generation) error {
	c := Config{file: g.name, values: map[string]any{}}
	for _, key := range GenerationKeys() {
		raw, ok := g.Get(KeyGenerate + key)
		if !ok {
			continue
		}
		v, err := jsonValue(KeyGenerate+key, raw)
		if err != nil {
			return err
		}
		c.values[key] = v
	}
	var err error
	*to, err = generation(c)
	return err
}

// readVocab checks the number of tokens against the embedding before a tokenizer is built of them.
func (g *ggufReader) readVocab() error {
	model, ok, err := g.String("tokenizer.ggml.model")
	g.c.hasTokenizer = err != nil || ok && model != noVocab // one of the wrong type is there, and broken
	const key = "tokenizer.ggml.tokens"
	tokens, ok, err := g.Strings(key)
	if err != nil || !ok {
		return err
	}
	vocab, _, err := g.c.Config.Int("vocab_size")
	if err != nil {
		return err
	}
	if len(tokens) != vocab {
		return fmt.Errorf("%s: %d tokens, but the vocabulary has %d", key, len(tokens), vocab)
	}
	return nil
}
