package checkpoint

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"aquifer/gguf"
	"aquifer/models/modeltest"
	"aquifer/runtime/plan"
)

// llamaMeta is the metadata of a dense model as llama.cpp's converter writes it.
func llamaMeta() []gguf.KV {
	return []gguf.KV{
		{Key: "general.architecture", Value: "llama"},
		{Key: "general.name", Value: "Foreign 1B"},
		{Key: "general.license", Value: "mit"},
		{Key: "llama.block_count", Value: uint32(1)},
		{Key: "llama.context_length", Value: uint32(64)},
		{Key: "llama.embedding_length", Value: uint32(8)},
		{Key: "llama.feed_forward_length", Value: uint32(16)},
		{Key: "llama.attention.head_count", Value: uint32(2)},
		{Key: "llama.attention.head_count_kv", Value: uint32(1)},
		{Key: "llama.attention.layer_norm_rms_epsilon", Value: float32(1e-5)},
		{Key: "llama.rope.freq_base", Value: float32(500000)},
		{Key: "llama.rope.dimension_count", Value: uint32(4)},
	}
}

// vocabMeta is a byte-level vocabulary of four tokens.
func vocabMeta() []gguf.KV {
	return []gguf.KV{
		{Key: "tokenizer.ggml.model", Value: "gpt2"},
		{Key: "tokenizer.ggml.pre", Value: "gpt-2"},
		{Key: "tokenizer.ggml.tokens", Value: []string{"a", "b", "ab", "<end>"}},
		{Key: "tokenizer.ggml.token_type", Value: []int32{1, 1, 1, 3}},
		{Key: "tokenizer.ggml.merges", Value: []string{"a b"}},
		{Key: "tokenizer.ggml.bos_token_id", Value: uint32(3)},
		{Key: "tokenizer.ggml.eos_token_id", Value: uint32(3)},
		{Key: "tokenizer.ggml.eot_token_id", Value: uint32(2)},
		{Key: "tokenizer.ggml.add_bos_token", Value: true},
		{Key: "tokenizer.chat_template", Value: "T"},
	}
}

func zeros(name string, typ gguf.Type, dims ...int64) gguf.Source {
	return gguf.Source{Name: name, Type: typ, Dims: dims, Open: func() (io.Reader, error) {
		n, err := typ.Bytes(dims)
		return bytes.NewReader(make([]byte, n)), err
	}}
}

func llamaTensors() []gguf.Source {
	return []gguf.Source{
		zeros("token_embd.weight", gguf.F16, 8, 4), zeros("blk.0.attn_norm.weight", gguf.F32, 8), zeros("blk.0.attn_q.weight", gguf.F16, 8, 8),
		zeros("blk.0.attn_k.weight", gguf.BF16, 8, 4), zeros("blk.0.ffn_down.weight", gguf.Q4_K, 256), zeros("blk.0.ffn_gate.weight", 23, 256), zeros("blk.0.ffn_up.bias", gguf.Q8_0, 32),
		zeros("output_norm.weight", gguf.F32, 8), zeros("output.weight", gguf.F16, 8, 4),
	}
}

// pack writes a GGUF with entries of change in place of those with the same key; a nil value takes the key away.
func pack(t testing.TB, meta []gguf.KV, tensors []gguf.Source, change ...gguf.KV) []byte {
	t.Helper()
	for _, c := range change {
		meta = slices.DeleteFunc(slices.Clone(meta), func(kv gguf.KV) bool { return kv.Key == c.Key })
		if c.Value != nil {
			meta = append(meta, c)
		}
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, meta, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openBytes(b []byte) (*Checkpoint, error) {
	return OpenGGUF("dir/file.gguf", bytes.NewReader(b), int64(len(b)))
}

func TestForeignGGUF(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.gguf")
	if err := os.WriteFile(path, pack(t, append(llamaMeta(), vocabMeta()...), llamaTensors()), 0o644); err != nil {
		t.Fatal(err)
	}
	c := mustOpen(t, path)
	if c.Name != "Foreign 1B" || c.Format != GGUF || c.RopePairing() != plan.RopeNeighbours || c.License().ID != "mit" {
		t.Errorf("opened as %q, %v, %v, %+v", c.Name, c.Format, c.RopePairing(), c.License())
	}
	for name, want := range map[string]struct {
		typ   plan.DType
		word  string
		shape []int
	}{
		"model.embed_tokens.weight":              {plan.F16, "F16", []int{4, 8}},
		"model.layers.0.input_layernorm.weight":  {plan.F32, "F32", []int{8}},
		"model.layers.0.self_attn.k_proj.weight": {plan.BF16, "BF16", []int{4, 8}},
		"model.layers.0.mlp.down_proj.weight":    {plan.F16, "Q4_K", []int{256}},
		"model.layers.0.mlp.gate_proj.weight":    {Unsupported, "IQ4_XS", []int{256}},
		"model.layers.0.mlp.up_proj.bias":        {plan.Q8_0, "Q8_0", []int{32}},
		"lm_head.weight":                         {plan.F16, "F16", []int{4, 8}},
	} {
		got, ok := c.Tensor(name)
		if !ok || got.DType != want.typ || got.TypeName != want.word || !slices.Equal(got.Shape, want.shape) || got.File != path {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if Unsupported.Valid() {
		t.Error("Unsupported is a valid type of package plan")
	}
	for key, want := range map[string]any{
		"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1,
		"max_position_embeddings": 64, "head_dim": 4, "vocab_size": 4, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
	} {
		var got any
		var err error
		if _, float := want.(float64); float {
			got, _, err = c.Config.Float(key)
		} else {
			got, _, err = c.Config.Int(key)
		}
		if got != want || err != nil {
			t.Errorf("%s = %v, %v; want %v", key, got, err, want)
		}
	}
	if tied, ok, err := c.Config.Bool("tie_word_embeddings"); tied || !ok || err != nil {
		t.Errorf("tied %v, %v, %v", tied, ok, err)
	}
	if _, ok, err := c.Config.AQLM(); ok || err != nil || c.Config.Has("rope_scaling") {
		t.Errorf("scheme %v, %v", ok, err)
	}
	want := Special{BOS: "<end>", EOS: "<end>", BOSID: 3, UNKID: -1, PADID: -1, EOSIDs: []int32{2, 3}, AddBOS: true}
	if got := c.Special(); !reflect.DeepEqual(got, want) {
		t.Errorf("special %+v, want %+v", got, want)
	}
	if name, src, ok := c.Template(); name != "default" || src != "T" || !ok {
		t.Errorf("template %q %q", name, src)
	}
	if tok, err := c.Tokenizer(); err != nil || tok.Size() != 4 {
		t.Errorf("tokenizer %v, %v", tok, err)
	}
	// Without output.weight the head is the embedding.
	tensors := llamaTensors()
	c, err := openBytes(pack(t, llamaMeta(), tensors[:len(tensors)-1]))
	if err != nil {
		t.Fatal(err)
	}
	if tied, _, err := c.Config.Bool("tie_word_embeddings"); !tied || err != nil {
		t.Errorf("tied %v, %v", tied, err)
	}
	if c.HasTokenizer() {
		t.Error("there is a tokenizer")
	}
	_, err = c.Tokenizer()
	wantError(t, err, "dir/file.gguf", "no tokenizer")
}

func TestGGUFRope(t *testing.T) {
	c, err := openBytes(pack(
		t, llamaMeta(), llamaTensors(), gguf.KV{Key: "llama.rope.scaling.type", Value: "linear"},
		gguf.KV{Key: "llama.rope.scaling.factor", Value: float32(4)}, gguf.KV{Key: "llama.rope.scaling.original_context_length", Value: uint32(32)},
	))
	if err != nil {
		t.Fatal(err)
	}
	rope, ok, err := c.Config.Object("rope_scaling")
	if kind, _, _ := rope.String("rope_type"); !ok || err != nil || kind != "linear" {
		t.Errorf("rope_scaling %+v, %v", rope, err)
	}
	if f, _, err := rope.Float("factor"); f != 4 || err != nil {
		t.Errorf("factor %v, %v", f, err)
	}
	if n, _, err := rope.Int("original_max_position_embeddings"); n != 32 || err != nil {
		t.Errorf("original_max_position_embeddings %v, %v", n, err)
	}
	// llama.cpp's tensor of divisors reads as a longrope without extension.
	freqs := gguf.Source{Name: "rope_freqs.weight", Type: gguf.F32, Dims: []int64{2}, Open: func() (io.Reader, error) {
		return bytes.NewReader(modeltest.F32(1, 7.3)), nil
	}}
	if c, err = openBytes(pack(t, llamaMeta(), append(llamaTensors(), freqs))); err != nil {
		t.Fatal(err)
	}
	rope, _, _ = c.Config.Object("rope_scaling")
	for _, key := range []string{"short_factor", "long_factor"} {
		if f, _, err := rope.Floats(key); !slices.Equal(f, []float64{1, 7.3}) || err != nil {
			t.Errorf("%s %v, %v", key, f, err)
		}
	}
	if n, _, err := c.Config.Int("original_max_position_embeddings"); n != 64 || err != nil {
		t.Errorf("original_max_position_embeddings %v, %v", n, err)
	}
	bad := freqs
	bad.Open = func() (io.Reader, error) { return bytes.NewReader(modeltest.F32(1, float32(math.NaN()))), nil }
	_, err = openBytes(pack(t, llamaMeta(), append(llamaTensors(), bad)))
	wantError(t, err, "rope_freqs.weight", "finite")
	_, err = openBytes(pack(t, llamaMeta(), append(llamaTensors(), zeros("rope_freqs.weight", gguf.F16, 2))))
	wantError(t, err, "rope_freqs.weight", "F16")
	_, err = openBytes(pack(t, llamaMeta(), append(llamaTensors(), zeros("rope_freqs.weight", gguf.F32, maxRopeFreqs+1))))
	wantError(t, err, "rope_freqs.weight", "short vector")
	_, err = openBytes(pack(t, llamaMeta(), append(llamaTensors(), freqs), gguf.KV{Key: "llama.rope.scaling.type", Value: "yarn"}))
	wantError(t, err, "rope_freqs.weight", "yarn")
}

// TestOwnKeys covers the keys that our converter adds.
func TestOwnKeys(t *testing.T) {
	c, err := openBytes(pack(
		t, llamaMeta(), llamaTensors(),
		gguf.KV{Key: "aqlm.rope_pairing", Value: "half"}, gguf.KV{Key: "aqlm.num_codebooks", Value: uint32(2)},
		gguf.KV{Key: "aqlm.nbits_per_codebook", Value: uint32(8)}, gguf.KV{Key: "aqlm.license", Value: "Text"},
		gguf.KV{Key: "aqlm.config.rope_theta", Value: 1.0e6 / 3}, gguf.KV{Key: "aqlm.config.rope_scaling.rope_type", Value: "llama3"},
		gguf.KV{Key: "aqlm.config.rope_scaling.factor", Value: 8.0}, gguf.KV{Key: "aqlm.config.names", Value: []string{"a", "b"}},
		gguf.KV{Key: "aqlm.config.ints", Value: []int64{1, 2}}, gguf.KV{Key: "aqlm.config.floats", Value: []float64{1, 2.5}},
		gguf.KV{Key: "aqlm.config.flag", Value: true}, gguf.KV{Key: "aqlm.config.count", Value: int64(-7)},
		gguf.KV{Key: "aqlm.generation.temperature", Value: 0.7}, gguf.KV{Key: "aqlm.generation.eos_token_ids", Value: []int32{1, 3}},
		gguf.KV{Key: "aqlm.unknown_token_id", Value: uint32(2)},
	))
	if err != nil {
		t.Fatal(err)
	}
	scheme, ok, err := c.Config.AQLM()
	if want := (AQLMParams{Codebooks: 2, Bits: 8, InGroup: 8, OutGroup: 1}); scheme != want || !ok || err != nil {
		t.Errorf("scheme %+v, %v", scheme, err)
	}
	if theta, _, err := c.Config.Float("rope_theta"); theta != 1.0e6/3 || err != nil {
		t.Errorf("rope_theta %v, %v", theta, err)
	}
	rope, _, err := c.Config.Object("rope_scaling")
	if kind, _, _ := rope.String("rope_type"); kind != "llama3" || err != nil {
		t.Errorf("rope_scaling %+v, %v", rope, err)
	}
	if v, _, err := c.Config.Strings("names"); !slices.Equal(v, []string{"a", "b"}) || err != nil {
		t.Errorf("names %v, %v", v, err)
	}
	if v, _, err := c.Config.Ints("ints"); !slices.Equal(v, []int{1, 2}) || err != nil {
		t.Errorf("ints %v, %v", v, err)
	}
	if v, _, err := c.Config.Floats("floats"); !slices.Equal(v, []float64{1, 2.5}) || err != nil {
		t.Errorf("floats %v, %v", v, err)
	}
	flag, _, _ := c.Config.Bool("flag")
	if count, _, err := c.Config.Int("count"); !flag || count != -7 || err != nil {
		t.Errorf("flag %v, count %v, %v", flag, count, err)
	}
	if c.RopePairing() != plan.RopeHalf || c.License().Text != "Text" || *c.Generation().Temperature != 0.7 {
		t.Errorf("%v, %+v, %+v", c.RopePairing(), c.License(), c.Generation())
	}
	if sp := c.Special(); !slices.Equal(sp.EOSIDs, []int32{1, 3}) || sp.UNKID != 2 {
		t.Errorf("special %+v", sp)
	}
}

func TestGGUFRefuses(t *testing.T) {
	type kv = gguf.KV
	for _, test := range []struct {
		name  string
		entry kv
		words []string
	}{
		{"architecture missing", kv{Key: "general.architecture", Value: nil}, []string{"general.architecture is missing"}},
		{"architecture unknown", kv{Key: "general.architecture", Value: "rwkv"}, []string{"general.architecture", `"rwkv"`, "llama"}},
		{"architecture number", kv{Key: "general.architecture", Value: uint8(1)}, []string{"general.architecture", "is uint8"}},
		{"name number", kv{Key: "general.name", Value: uint8(1)}, []string{"general.name"}},
		{"split", kv{Key: "split.count", Value: uint16(3)}, []string{"split.count", "3 files"}},
		{"split string", kv{Key: "split.count", Value: "3"}, []string{"split.count"}},
		{"pairing", kv{Key: "aqlm.rope_pairing", Value: "odd"}, []string{"aqlm.rope_pairing", `"odd"`}},
		{"pairing number", kv{Key: "aqlm.rope_pairing", Value: uint8(0)}, []string{"aqlm.rope_pairing"}},
		{"heads string", kv{Key: "llama.attention.head_count", Value: "2"}, []string{"llama.attention.head_count", "must be an integer"}},
		{"heads differ", kv{Key: "llama.attention.head_count", Value: []uint32{2, 4}}, []string{"llama.attention.head_count", "layers differ"}},
		{"heads empty", kv{Key: "llama.attention.head_count", Value: []uint32{}}, []string{"llama.attention.head_count"}},
		{"layers u64", kv{Key: "llama.block_count", Value: uint64(math.MaxUint64)}, []string{"llama.block_count", "out of range"}},
		{"eps NaN", kv{Key: "llama.attention.layer_norm_rms_epsilon", Value: float32(math.NaN())}, []string{"layer_norm_rms_epsilon", "finite"}},
		{"eps infinite", kv{Key: "llama.attention.layer_norm_rms_epsilon", Value: math.Inf(1)}, []string{"layer_norm_rms_epsilon", "finite"}},
		{"eps integer", kv{Key: "llama.attention.layer_norm_rms_epsilon", Value: uint32(1)}, []string{"layer_norm_rms_epsilon", "must be a float"}},
		{"key and value lengths", kv{Key: "llama.attention.value_length", Value: uint32(8)}, []string{"llama.attention.value_length is 8", "different values"}},
		{"scaling type", kv{Key: "llama.rope.scaling.type", Value: uint8(1)}, []string{"llama.rope.scaling.type"}},
		{"scheme", kv{Key: "aqlm.num_codebooks", Value: "two"}, []string{"aqlm.num_codebooks"}},
		{"config type", kv{Key: "aqlm.config.x", Value: []bool{true}}, []string{"aqlm.config.x", "[]bool"}},
		{"config NaN", kv{Key: "aqlm.config.x", Value: math.NaN()}, []string{"aqlm.config.x", "finite"}},
		{"generation", kv{Key: "aqlm.generation.temperature", Value: "hot"}, []string{"temperature", "hot"}},
		{"eos list", kv{Key: "aqlm.generation.eos_token_ids", Value: []int32{1, 4}}, []string{"aqlm.generation.eos_token_ids", "4"}},
		{"eos list type", kv{Key: "aqlm.generation.eos_token_ids", Value: "1"}, []string{"aqlm.generation.eos_token_ids"}},
		{"bos outside", kv{Key: "tokenizer.ggml.bos_token_id", Value: uint32(4)}, []string{"tokenizer.ggml.bos_token_id", "4"}},
		{"bos negative", kv{Key: "tokenizer.ggml.bos_token_id", Value: int32(-1)}, []string{"tokenizer.ggml.bos_token_id", "-1"}},
		{"eos u64", kv{Key: "tokenizer.ggml.eos_token_id", Value: uint64(1 << 63)}, []string{"tokenizer.ggml.eos_token_id"}},
		{"eos string", kv{Key: "tokenizer.ggml.eos_token_id", Value: "3"}, []string{"tokenizer.ggml.eos_token_id"}},
		{"too few tokens", kv{Key: "tokenizer.ggml.tokens", Value: []string{"a"}}, []string{"tokenizer.ggml.tokens", "1 tokens"}},
		{"tokens type", kv{Key: "tokenizer.ggml.tokens", Value: []int32{1}}, []string{"tokenizer.ggml.tokens"}},
		{"vocabulary differs", kv{Key: "llama.vocab_size", Value: uint32(5)}, []string{"tokenizer.ggml.tokens", "5"}},
		{"model number", kv{Key: "tokenizer.ggml.model", Value: uint8(1)}, []string{"tokenizer.ggml.model"}},
		{"pre number", kv{Key: "tokenizer.ggml.pre", Value: uint8(1)}, []string{"tokenizer.ggml.pre"}},
		{"flag", kv{Key: "tokenizer.ggml.add_bos_token", Value: uint8(1)}, []string{"tokenizer.ggml.add_bos_token"}},
		{"template type", kv{Key: "tokenizer.chat_template", Value: uint8(1)}, []string{"tokenizer.chat_template"}},
		{"tool template UTF-8", kv{Key: "tokenizer.chat_template.tool_use", Value: "\xff"}, []string{"tokenizer.chat_template.tool_use", "UTF-8"}},
		{"template UTF-8", kv{Key: "tokenizer.chat_template", Value: "\xff"}, []string{"tokenizer.chat_template", "UTF-8"}},
		{"template size", kv{Key: "tokenizer.chat_template", Value: strings.Repeat("x", maxTemplate+1)}, []string{"tokenizer.chat_template"}},
		{"license", kv{Key: "general.license", Value: true}, []string{"general.license"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := openBytes(pack(t, append(llamaMeta(), vocabMeta()...), llamaTensors(), test.entry))
			wantError(t, err, append(test.words, "dir/file.gguf")...)
		})
	}
	// Both names of one tensor.
	_, err := openBytes(pack(t, llamaMeta(), append(llamaTensors(), zeros("model.norm.weight", gguf.F32, 8))))
	wantError(t, err, `name "model.norm.weight" is taken`)
	// Broken vocabularies are refused when the tokenizer is built.
	for _, entry := range []kv{
		{Key: "tokenizer.ggml.model", Value: "bert"},
		{Key: "tokenizer.ggml.pre", Value: "unheard-of"},
		{Key: "tokenizer.ggml.pre", Value: nil},
		{Key: "aqlm.tokenizer.rstrip", Value: []int32{0}}, // a normal token
		{Key: "aqlm.tokenizer.rstrip", Value: []int64{1<<32 + 3}},
		{Key: "aqlm.tokenizer.lstrip", Value: []int32{-1}},
		{Key: "aqlm.tokenizer.lstrip", Value: "3"},
		{Key: "tokenizer.ggml.merges", Value: []string{"a x"}},
		{Key: "tokenizer.ggml.merges", Value: "a b"},
		{Key: "tokenizer.ggml.token_type", Value: []int32{1}},
		{Key: "tokenizer.ggml.token_type", Value: []int64{1, 1, 1, 1<<32 + 3}},
		{Key: "tokenizer.ggml.token_type", Value: []float32{1, 1, 1, 1}},
		{Key: "tokenizer.ggml.scores", Value: "x"},
	} {
		c, err := openBytes(pack(t, append(llamaMeta(), vocabMeta()...), llamaTensors(), entry))
		if err != nil {
			t.Errorf("%s: %v", entry.Key, err)
			continue
		}
		_, err = c.Tokenizer()
		wantError(t, err, "dir/file.gguf")
	}
}

// TestStrips: which tokens take the white space behind them is in the file if we wrote it, and known for Phi-3.
func TestStrips(t *testing.T) {
	phi := []gguf.KV{
		{Key: "tokenizer.ggml.model", Value: "llama"},
		{Key: "tokenizer.ggml.tokens", Value: []string{"<s>", "a", "<|user|>", "<|end|>"}},
		{Key: "tokenizer.ggml.token_type", Value: []int32{3, 1, 4, 3}},
		{Key: "tokenizer.ggml.scores", Value: []float32{0, -1, 0, 0}},
	}
	for _, test := range []struct {
		name    string
		entries []gguf.KV
		want    []int32
	}{
		{"Phi-3 mini", nil, []int32{2, 3}},
		{"phi3", nil, []int32{2, 3}},
		{"Phi-4", nil, nil},
		{"Phi-3 of ours", []gguf.KV{{Key: "aqlm.rope_pairing", Value: "half"}}, nil},
		{"ours", []gguf.KV{{Key: "aqlm.tokenizer.rstrip", Value: []int32{3}}}, []int32{3}},
	} {
		c, err := openBytes(pack(t, append(append(llamaMeta(), phi...), test.entries...), llamaTensors(), gguf.KV{Key: "general.name", Value: test.name}))
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.vocabulary()
		if err != nil || !slices.Equal(m.RStrip, test.want) || m.LStrip != nil {
			t.Errorf("%s: %v, %v, %v", test.name, m.RStrip, m.LStrip, err)
		}
		if _, err := c.Tokenizer(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestRename(t *testing.T) {
	a, ok := ArchOf("llama")
	if !ok {
		t.Fatal("no llama")
	}
	for gg, hf := range map[string]string{
		"token_embd.weight": "model.embed_tokens.weight", "output.codes": "lm_head.codes", "output_norm.weight": "model.norm.weight",
		"blk.0.attn_q.codebooks": "model.layers.0.self_attn.q_proj.codebooks", "blk.123.ffn_norm.weight": "model.layers.123.post_attention_layernorm.weight",
		"blk.7.attn_output.scales": "model.layers.7.self_attn.o_proj.scales", "blk.1.ffn_gate.bias": "model.layers.1.mlp.gate_proj.bias",
	} {
		if got, ok := a.ToHF(gg); got != hf || !ok {
			t.Errorf("%s became %s", gg, got)
		}
		if got, ok := a.ToGGUF(hf); got != gg || !ok {
			t.Errorf("%s became %s", hf, got)
		}
	}
	for _, name := range []string{
		"", ".", "weight", "token_embd", "token_embd.data", "blk.weight", "blk.0.weight", "blk.00.attn_q.weight", "blk.+1.attn_q.weight", "blk.-1.attn_q.weight",
		"blk.4294967296.attn_q.weight", "blk..attn_q.weight", "blk.0.output.weight", "attn_q.weight", "blk.0.attn_q.x.weight", "rope_freqs.weight",
	} {
		if got, ok := a.ToHF(name); ok {
			t.Errorf("%q became %q", name, got)
		}
	}
	if _, ok := ArchOf("mamba"); ok {
		t.Error("there is a row for mamba")
	}
}
