package checkpoint

import (
	"fmt"
	"path/filepath"
	"strconv"
	"unicode/utf8"
)

// side is what a checkpoint says beside its weights and its config: read and checked at Open, so that a broken file
// shows at load and not at the first request.
type side struct {
	generation Generation
	license    License

	templateName, template string
	toolTemplate           string // the one called tool_use, where there are several

	texts map[string]string // "bos", "eos", "unk", "pad": texts of special tokens
	ids   map[string]int32  // ids of "bos", "unk", "pad"; absent where unknown
	eos   []int32           // ids that end an answer, in no order
	added map[string]int32  // ids of added tokens by text, as far as tokenizer_config.json lists them

	addBOS, addEOS bool // as tokenizer_config.json or the keys of a GGUF say
}

// Generation is the sampling that a checkpoint's makers recommend (generation_config.json); nil where they say nothing.
type Generation struct {
	DoSample          *bool
	Temperature       *float64
	TopP              *float64
	TopK              *int
	MinP              *float64
	RepetitionPenalty *float64
}

// GenerationKeys are the keys of generation_config.json that Generation holds.
func GenerationKeys() []string {
	return []string{"do_sample", "temperature", "top_p", "top_k", "min_p", "repetition_penalty"}
}

// Generation returns the recommended sampling.
func (c *Checkpoint) Generation() Generation { return c.side.generation }

// Template returns the chat template and its name ("default" in most checkpoints). Where a checkpoint has several and
// none is called default, ok is false: which one to use is not for this package to guess.
func (c *Checkpoint) Template() (name, src string, ok bool) {
	return c.side.templateName, c.side.template, c.side.template != ""
}

// ToolTemplate returns the template for conversations with tools, where that is one of its own.
func (c *Checkpoint) ToolTemplate() (src string, ok bool) {
	return c.side.toolTemplate, c.side.toolTemplate != ""
}

// toolTemplateName is what transformers calls it.
const toolTemplateName = "tool_use"

// readSide reads the small files of a folder. All of them are optional.
func (c *Checkpoint) readSide(dir string) error {
	s := &c.side
	s.texts, s.ids, s.added = map[string]string{}, map[string]int32{}, map[string]int32{}
	gen, err := readConfig(filepath.Join(dir, "generation_config.json"), maxConfig)
	if err != nil {
		return err
	}
	if s.generation, err = generation(gen); err != nil {
		return err
	}
	// generation_config.json has the last word on bos and pad, and adds its ends of text.
	vocab, ok, err := c.Config.Int("vocab_size")
	if err != nil {
		return err
	}
	if !ok || vocab > maxVocab {
		vocab = maxVocab
	}
	for _, from := range []Config{c.Config, gen} {
		if err := s.readIDs(from, vocab); err != nil {
			return err
		}
	}
	// tokenizer_config.json has the last word on texts.
	special, err := readConfig(filepath.Join(dir, "special_tokens_map.json"), maxTokenizerConfig)
	if err != nil {
		return err
	}
	tok, err := readConfig(filepath.Join(dir, "tokenizer_config.json"), maxTokenizerConfig)
	if err != nil {
		return err
	}
	for _, from := range []Config{special, tok} {
		if err := s.readTexts(from); err != nil {
			return err
		}
	}
	if err := s.readTokenizerConfig(tok); err != nil {
		return err
	}
	if err := s.readTemplate(dir, tok); err != nil {
		return err
	}
	s.license, err = readLicense(dir)
	return err
}

// readConfig reads a JSON object of another file than config.json; a missing file is an empty object.
func readConfig(path string, limit int64) (Config, error) {
	c := Config{file: path}
	text, ok, err := readFile(path, limit)
	if !ok {
		return c, err
	}
	if c.values, err = parseObject(text); err != nil {
		return c, c.Errorf("", "%w", err)
	}
	return c, nil
}

func generation(c Config) (g Generation, err error) {
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	float := func(key string, to **float64) {
		v, ok, e := c.Float(key)
		keep(e)
		if ok {
			*to = &v
		}
	}
	float("temperature", &g.Temperature)
	float("top_p", &g.TopP)
	float("min_p", &g.MinP)
	float("repetition_penalty", &g.RepetitionPenalty)
	topK, ok, e := c.Int("top_k")
	keep(e)
	if ok {
		g.TopK = &topK
	}
	sample, ok, e := c.Bool("do_sample")
	keep(e)
	if ok {
		g.DoSample = &sample
	}
	return g, err
}

// readIDs takes the special ids of config.json or generation_config.json. -1 stands for "none" in some checkpoints.
func (s *side) readIDs(c Config, vocab int) error {
	for _, name := range []string{"bos", "pad"} {
		key := name + "_token_id"
		ids, ok, err := c.Ints(key)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if name == "pad" && len(ids) > 0 && ids[0] >= vocab {
			continue // fine-tuned models often name one beyond the embedding; nothing needs it
		}
		id, err := tokenID(c, key, vocab, ids[:min(1, len(ids))]...)
		if err != nil {
			return err
		}
		if id >= 0 {
			s.ids[name] = id
		}
	}
	ids, _, err := c.Ints("eos_token_id")
	if err != nil {
		return err
	}
	for _, v := range ids {
		id, err := tokenID(c, "eos_token_id", vocab, v)
		if err != nil {
			return err
		}
		if id >= 0 {
			s.eos = append(s.eos, id)
		}
	}
	return nil
}

// tokenID checks the first of ids; -1 means none.
func tokenID(c Config, key string, vocab int, ids ...int) (int32, error) {
	if len(ids) == 0 || ids[0] == -1 {
		return -1, nil
	}
	if ids[0] < 0 || ids[0] >= vocab {
		return -1, c.Errorf(key, "is %d, the vocabulary has %d", ids[0], vocab)
	}
	return int32(ids[0]), nil
}

// maxVocab bounds token ids; the largest published vocabularies have about 2^18 tokens.
const maxVocab = 1 << 24

// readTexts takes the texts of special tokens: strings, or objects with the text in "content".
func (s *side) readTexts(c Config) error {
	for _, name := range []string{"bos", "eos", "unk", "pad"} {
		text, ok, err := tokenText(c, name+"_token")
		if err != nil {
			return err
		}
		if ok {
			s.texts[name] = text
		}
	}
	return nil
}

func tokenText(c Config, key string) (string, bool, error) {
	if _, isObject := c.values[key].(map[string]any); !isObject {
		return c.String(key)
	}
	o, _, err := c.Object(key)
	if err != nil {
		return "", false, err
	}
	return o.String("content")
}

func (s *side) readTokenizerConfig(c Config) error {
	var err error
	if s.addBOS, _, err = c.Bool("add_bos_token"); err != nil {
		return err
	}
	if s.addEOS, _, err = c.Bool("add_eos_token"); err != nil {
		return err
	}
	added, _, err := c.Object("added_tokens_decoder")
	if err != nil {
		return err
	}
	for _, key := range added.Keys() {
		id, err := strconv.Atoi(key)
		if err != nil || id < 0 || id > maxVocab {
			return added.Errorf(key, "is no token id")
		}
		token, ok, err := added.Object(key)
		if err != nil {
			return err
		}
		text, has, err := token.String("content")
		if err != nil {
			return err
		}
		if ok && has {
			s.added[text] = int32(id)
		}
	}
	return nil
}

// readTemplate takes the template of chat_template.jinja or else of tokenizer_config.json, where it is a string or a
// list of named ones.
func (s *side) readTemplate(dir string, c Config) error {
	path := filepath.Join(dir, "chat_template.jinja")
	text, ok, err := readFile(path, maxTemplate)
	if err != nil {
		return err
	}
	if ok {
		return s.setTemplate("default", string(text), func(format string, args ...any) error {
			return in(path, fmt.Errorf(format, args...))
		})
	}
	const key = "chat_template"
	fail := func(format string, args ...any) error { return c.Errorf(key, format, args...) }
	list, isList := c.values[key].([]any)
	if !isList {
		text, _, err := c.String(key)
		if err != nil {
			return err
		}
		return s.setTemplate("default", text, fail)
	}
	for _, item := range list {
		m, _ := item.(map[string]any)
		name, okName := m["name"].(string)
		text, okText := m["template"].(string)
		if !okName || !okText {
			return fail("an entry lacks name or template")
		}
		var err error
		switch {
		case name == "default" || len(list) == 1:
			err = s.setTemplate(name, text, fail)
		case name == toolTemplateName:
			if err = checkTemplate(text, fail); err == nil {
				s.toolTemplate = text
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *side) setTemplate(name, text string, fail func(string, ...any) error) error {
	s.templateName, s.template = name, text
	return checkTemplate(text, fail)
}

func checkTemplate(text string, fail func(string, ...any) error) error {
	if len(text) > maxTemplate {
		return fail("larger than the limit of %d bytes", maxTemplate)
	}
	if !utf8.ValidString(text) {
		return fail("invalid UTF-8")
	}
	return nil
}
