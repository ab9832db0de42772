package modeltest

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Fixture is a tiny two-layer checkpoint whose config and tensors a test can change before it is written. All tensors
// are zero: what counts here are names, types and shapes.
type Fixture struct {
	Config  map[string]any
	Tensors map[string]FixtureTensor
}

// FixtureTensor is a tensor of zeros.
type FixtureTensor struct {
	DType string
	Shape []int
}

// NewFixture is a Llama.
func NewFixture() *Fixture {
	const hidden, inner, vocab, q, kv = 32, 48, 40, 36, 12
	f := &Fixture{
		Config: map[string]any{
			"model_type": "llama", "hidden_size": hidden, "intermediate_size": inner, "vocab_size": vocab,
			"num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 6,
			"max_position_embeddings": 96, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
			"tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": []int{2, 3},
			"quantization_config": map[string]any{
				"quant_method": "aqlm", "num_codebooks": 2, "nbits_per_codebook": 8, "in_group_size": 4, "out_group_size": 1,
			},
		},
		Tensors: map[string]FixtureTensor{
			"model.embed_tokens.weight": {"F16", []int{vocab, hidden}},
			"model.norm.weight":         {"F16", []int{hidden}},
			"lm_head.weight":            {"BF16", []int{vocab, hidden}},
		},
	}
	for _, p := range []string{"model.layers.0.", "model.layers.1."} {
		f.Tensors[p+"input_layernorm.weight"] = FixtureTensor{"F16", []int{hidden}}
		f.Tensors[p+"post_attention_layernorm.weight"] = FixtureTensor{"F32", []int{hidden}}
		f.AQLM(p+"self_attn.q_proj", q, hidden)
		f.AQLM(p+"self_attn.k_proj", kv, hidden)
		f.AQLM(p+"self_attn.v_proj", kv, hidden)
		f.AQLM(p+"self_attn.o_proj", hidden, q)
		f.AQLM(p+"mlp.gate_proj", inner, hidden)
		f.AQLM(p+"mlp.up_proj", inner, hidden)
		f.Tensors[p+"mlp.down_proj.weight"] = FixtureTensor{"F16", []int{hidden, inner}}
	}
	return f
}

// TiedFixture has one layer, no head, biases everywhere and llama3 scaling.
func TiedFixture() *Fixture {
	f := NewFixture()
	delete(f.Tensors, "lm_head.weight")
	maps.DeleteFunc(f.Tensors, func(name string, _ FixtureTensor) bool { return strings.HasPrefix(name, "model.layers.1.") })
	maps.Copy(f.Config, map[string]any{
		"num_hidden_layers": 1, "tie_word_embeddings": true, "attention_bias": true, "mlp_bias": true,
		"rope_scaling": map[string]any{
			"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
		},
	})
	for name, rows := range map[string]int{
		"self_attn.q_proj": 36, "self_attn.k_proj": 12, "self_attn.v_proj": 12, "self_attn.o_proj": 32,
		"mlp.gate_proj": 48, "mlp.up_proj": 48, "mlp.down_proj": 32,
	} {
		f.Tensors["model.layers.0."+name+".bias"] = FixtureTensor{"F16", []int{rows}}
	}
	return f
}

// AQLM adds a compressed matrix, 2x8g4.
func (f *Fixture) AQLM(prefix string, rows, cols int) {
	f.Tensors[prefix+".codes"] = FixtureTensor{"I8", []int{rows, cols / 4, 2}}
	f.Tensors[prefix+".codebooks"] = FixtureTensor{"F16", []int{2, 256, 1, 4}}
	f.Tensors[prefix+".scales"] = FixtureTensor{"F16", []int{rows, 1, 1, 1}}
}

// Write returns a new folder with the checkpoint.
func (f *Fixture) Write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	config, err := json.Marshal(f.Config)
	if err != nil {
		t.Fatal(err)
	}
	header, at := map[string]any{}, 0
	for _, name := range slices.Sorted(maps.Keys(f.Tensors)) {
		tensor := f.Tensors[name]
		size := map[string]int{"I8": 1, "F16": 2, "BF16": 2, "I16": 2, "F32": 4}[tensor.DType]
		for _, n := range tensor.Shape {
			size *= n
		}
		header[name] = map[string]any{"dtype": tensor.DType, "shape": tensor.Shape, "data_offsets": []int{at, at + size}}
		at += size
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	data := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	for name, content := range map[string][]byte{"config.json": config, "model.safetensors": append(data, make([]byte, at)...)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
