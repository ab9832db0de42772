package convert

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"aquifer/gguf"
	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
	"aquifer/tokenizer"
)

// ftypeGuessed is the general.file_type for "look at the tensors": llama.cpp has no number for AQLM.
const ftypeGuessed = 1024

// metadata returns the key-value pairs of the file, in a fixed order.
func metadata(c *checkpoint.Checkpoint, arch checkpoint.Arch) ([]gguf.KV, error) {
	m := &meta{c: c, arch: arch}
	m.add("general.architecture", arch.GGUF)
	m.add("general.type", "model")
	m.add("general.name", c.Name)
	m.license(c.License())
	m.add("general.file_type", uint32(ftypeGuessed))
	m.add("general.quantization_version", uint32(2))
	for _, step := range []func() error{m.hyperparameters, m.scheme, m.rest, m.tokens} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	m.generation(c.Generation())
	return m.list, nil
}

type meta struct {
	c    *checkpoint.Checkpoint
	arch checkpoint.Arch
	list []gguf.KV
}

func (m *meta) add(key string, value any) { m.list = append(m.list, gguf.KV{Key: key, Value: value}) }

// text adds a string that is not empty.
func (m *meta) text(key, value string) {
	if value != "" {
		m.add(key, value)
	}
}

func (m *meta) license(l checkpoint.License) {
	m.text("general.license", l.ID)
	m.text("general.license.name", l.Name)
	m.text("general.license.link", l.Link)
	m.text(checkpoint.KeyLicense, l.Text)
}

// hyperparameters adds the architecture's own keys. Absent config values are written out as their defaults.
func (m *meta) hyperparameters() error {
	if m.arch.Stated() {
		m.add(checkpoint.KeyModelType, m.arch.ModelType)
	}
	for _, k := range m.arch.Keys {
		key := m.arch.GGUF + "." + k.GGUF
		if cfg := m.c.Config; k.Optional && (cfg.Null(k.HF) || k.Default == "" && !cfg.Has(k.HF)) {
			continue
		}
		if k.Float {
			if err := m.float(key, k); err != nil {
				return err
			}
			continue
		}
		v, err := m.int(k)
		if err != nil {
			return err
		}
		if v < 0 || v > math.MaxUint32 {
			return m.c.Config.Errorf(k.HF, "is %d, which a GGUF cannot hold", v)
		}
		m.add(key, uint32(v))
	}
	return nil
}

// float adds a float32, and the float64 beside it where the float32 would read back as another number.
func (m *meta) float(key string, k checkpoint.Key) error {
	v, ok, err := m.c.Config.Float(k.HF)
	if err != nil {
		return err
	}
	if !ok && k.In != "" {
		object, _, err := m.c.Config.Object(k.In)
		if err != nil {
			return err
		}
		if v, ok, err = object.Float(k.HF); err != nil {
			return err
		}
	}
	if !ok {
		if v, err = strconv.ParseFloat(k.Default, 64); err != nil {
			return m.c.Config.Errorf(k.HF, "is missing")
		}
	}
	narrow := float32(v)
	m.add(key, narrow)
	if back, err := strconv.ParseFloat(strconv.FormatFloat(float64(narrow), 'g', -1, 32), 64); err != nil || back != v {
		m.add(checkpoint.KeyConfig+k.HF, v)
	}
	return nil
}

// int returns a config value or its default.
func (m *meta) int(k checkpoint.Key) (int, error) {
	cfg := m.c.Config
	v, ok, err := cfg.Int(k.HF)
	if ok || err != nil {
		return v, err
	}
	if n, err := strconv.Atoi(k.Default); err == nil {
		return n, nil
	}
	key, divisor, quotient := strings.Cut(k.Default, "/")
	v, ok, err = cfg.Int(key)
	if err != nil {
		return 0, err
	}
	if k.Default == "" || !ok {
		return 0, cfg.Errorf(k.HF, "is missing")
	}
	if !quotient {
		return v, nil
	}
	d, _, err := cfg.Int(divisor)
	if err == nil && (d <= 0 || v%d != 0) {
		err = cfg.Errorf(divisor, "is %d, which does not divide %s, %d", d, key, v)
	}
	if err != nil {
		return 0, err
	}
	return v / d, nil
}

func (m *meta) scheme() error {
	pairing := checkpoint.PairingHalf
	if m.c.RopePairing() == plan.RopeNeighbours {
		pairing = checkpoint.PairingNeighbours
	}
	m.add(checkpoint.KeyPairing, pairing)
	s, ok, err := m.c.Config.AQLM()
	if err != nil || !ok {
		return err
	}
	for i, v := range []int{s.Codebooks, s.Bits, s.InGroup, s.OutGroup} {
		m.add(checkpoint.KeyScheme+checkpoint.SchemeKeys()[i], uint32(v))
	}
	return nil
}

// elsewhere are the config keys that rest leaves out: they are written under other keys, follow from the tensors, or
// say nothing about the model's function.
var elsewhere = map[string]bool{
	"model_type": true, "quantization_config": true, "aqlm": true, "tie_word_embeddings": true,
	"bos_token_id": true, "eos_token_id": true, "pad_token_id": true, "unk_token_id": true,
	"architectures": true, "auto_map": true, "torch_dtype": true, "dtype": true, "transformers_version": true,
	"use_cache": true, "initializer_range": true, "attention_dropout": true, "pretraining_tp": true,
	"task_specific_params": true, "id2label": true, "label2id": true,
}

// rest adds every other config value, so that the architecture's code sees the same config in the file as in the
// folder: what a key means is not for this package to know.
func (m *meta) rest() error {
	mapped := map[string]bool{}
	for _, k := range m.arch.Keys {
		mapped[k.HF] = true
	}
	cfg := m.c.Config
	for _, key := range cfg.Keys() {
		value, ok := cfg.Value(key)
		if elsewhere[key] || mapped[key] || !ok || m.arch.Fixed[key] == value || strings.HasPrefix(key, "_") {
			continue
		}
		if strings.Contains(key, ".") {
			return cfg.Errorf(key, "has no GGUF form") // a dot separates an object from its keys there
		}
		if err := m.nested(cfg, key, checkpoint.KeyConfig+key, value); err != nil {
			return err
		}
	}
	return nil
}

// nested adds a value or, of an object, all that it holds.
func (m *meta) nested(cfg checkpoint.Config, field, key string, v any) error {
	object, isObject := v.(map[string]any)
	if !isObject {
		return m.value(cfg, field, key, v)
	}
	inner, _, err := cfg.Object(field)
	if err != nil {
		return err
	}
	for _, name := range inner.Keys() {
		if object[name] == nil {
			continue
		}
		if strings.Contains(name, ".") {
			return inner.Errorf(name, "has no GGUF form")
		}
		if err := m.nested(inner, name, key+"."+name, object[name]); err != nil {
			return err
		}
	}
	return nil
}

// value adds a JSON value in the type that reads back as the same value.
func (m *meta) value(cfg checkpoint.Config, field, key string, v any) error {
	switch v := v.(type) {
	case bool, string:
		m.add(key, v)
		return nil
	case json.Number:
		if i, err := v.Int64(); err == nil {
			m.add(key, i)
		} else if f, err := v.Float64(); err == nil {
			m.add(key, f)
		}
		return nil
	case []any:
		if strs, ok, err := cfg.Strings(field); ok && err == nil {
			m.add(key, strs)
			return nil
		}
		if ints, ok, err := cfg.Ints(field); ok && err == nil {
			wide := make([]int64, len(ints))
			for i, n := range ints {
				wide[i] = int64(n)
			}
			m.add(key, wide)
			return nil
		}
		if nums, ok, err := cfg.Floats(field); ok && err == nil {
			m.add(key, nums)
			return nil
		}
	}
	return cfg.Errorf(field, "has no GGUF form")
}

func (m *meta) generation(g checkpoint.Generation) {
	const p = checkpoint.KeyGenerate
	if g.DoSample != nil {
		m.add(p+"do_sample", *g.DoSample)
	}
	if g.TopK != nil {
		m.add(p+"top_k", int64(*g.TopK))
	}
	for _, f := range []struct {
		key string
		v   *float64
	}{{"temperature", g.Temperature}, {"top_p", g.TopP}, {"min_p", g.MinP}, {"repetition_penalty", g.RepetitionPenalty}} {
		if f.v != nil {
			m.add(p+f.key, *f.v)
		}
	}
	if ids := m.c.Special().EOSIDs; len(ids) > 0 {
		m.add(checkpoint.KeyEOS, ids)
	}
}

const ggml = "tokenizer.ggml."

// tokens adds the tokenizer, the ids of special tokens and the chat template.
func (m *meta) tokens() error {
	if _, src, ok := m.c.Template(); ok {
		m.add("tokenizer.chat_template", src)
	}
	if src, ok := m.c.ToolTemplate(); ok {
		m.add(checkpoint.KeyToolTemplate, src)
	}
	if !m.c.HasTokenizer() {
		m.add(ggml+"model", "none")
		m.specials(tokenizer.Metadata{BOS: -1, EOS: -1, Unknown: -1, Padding: -1})
		return nil
	}
	tok, err := m.c.Tokenizer()
	if err != nil {
		return err
	}
	t, err := tok.Metadata()
	if err != nil {
		return fmt.Errorf("tokenizer: has no GGUF form: %w", err)
	}
	vocab, _, err := m.c.Config.Int("vocab_size")
	if err != nil {
		return err
	}
	if len(t.Tokens) > vocab {
		return fmt.Errorf("tokenizer: has %d tokens, more than the vocabulary of %d", len(t.Tokens), vocab)
	}
	// Embeddings are often padded to a round number of rows; a GGUF has a token for each.
	for id := len(t.Tokens); id < vocab; id++ {
		t.Tokens = append(t.Tokens, "[PAD"+strconv.Itoa(id)+"]")
		t.Types = append(t.Types, tokenizer.TypeUnused)
		if t.Scores != nil {
			t.Scores = append(t.Scores, scoreUnused)
		}
	}
	m.add(ggml+"model", t.Model)
	m.text(ggml+"pre", t.Pre)
	m.add(ggml+"tokens", t.Tokens)
	if t.Scores != nil {
		m.add(ggml+"scores", t.Scores)
	}
	m.add(ggml+"token_type", t.Types)
	if t.Merges != nil {
		m.add(ggml+"merges", t.Merges)
	}
	m.add(ggml+"add_bos_token", t.AddBOS)
	m.add(ggml+"add_eos_token", t.AddEOS)
	m.add(ggml+"add_space_prefix", t.AddSpacePrefix)
	if t.LStrip != nil {
		m.add(checkpoint.KeyLStrip, t.LStrip)
	}
	if t.RStrip != nil {
		m.add(checkpoint.KeyRStrip, t.RStrip)
	}
	m.specials(t)
	return nil
}

// specials adds the ids of special tokens: the checkpoint's or else the tokenizer's. llama.cpp has one end of sequence
// and one end of turn; generation writes all of them beside these.
func (m *meta) specials(t tokenizer.Metadata) {
	sp := m.c.Special()
	m.id("bos_token_id", sp.BOSID, t.BOS)
	eos := int32(-1)
	if len(sp.EOSIDs) > 0 {
		eos = sp.EOSIDs[0]
	}
	for _, id := range sp.EOSIDs {
		if int(id) < len(t.Tokens) && t.Tokens[id] == sp.EOS {
			eos = id
		}
	}
	m.id("eos_token_id", eos, t.EOS)
	for _, id := range sp.EOSIDs {
		if int(id) < len(t.Tokens) && slices.Contains(endsOfTurn, t.Tokens[id]) {
			m.id("eot_token_id", id)
			break
		}
	}
	// The tokenizer's own: a text for unknown tokens that only the configuration names must not change tokenization.
	m.id("unknown_token_id", t.Unknown)
	if sp.UNKID >= 0 && sp.UNKID != t.Unknown {
		m.add(checkpoint.KeyUnknown, uint32(sp.UNKID))
	}
	m.id("padding_token_id", sp.PADID, t.Padding)
}

// scoreUnused is the score of a row without a token, below that of every real one.
const scoreUnused = -1000

// endsOfTurn are the texts that llama.cpp knows as the end of a turn in a chat.
var endsOfTurn = []string{"<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|eot|>", "<|END_OF_TURN_TOKEN|>"}

// id adds the first id that is one.
func (m *meta) id(key string, ids ...int32) {
	for _, id := range ids {
		if id >= 0 {
			m.add(ggml+key, uint32(id))
			return
		}
	}
}
