package models_test

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

// fixture is a tiny two-layer Llama folder whose config and tensors a test can change before it is written. All
// tensors are zero: what counts here are names, types and shapes.
type fixture struct {
	config  map[string]any
	tensors map[string]fixtureTensor
}

type fixtureTensor struct {
	dtype string
	shape []int
}

func newFixture() *fixture {
	const hidden, inner, vocab, q, kv = 32, 48, 40, 36, 12
	f := &fixture{
		config: map[string]any{
			"model_type": "llama", "hidden_size": hidden, "intermediate_size": inner, "vocab_size": vocab,
			"num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 6,
			"max_position_embeddings": 96, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
			"tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": []int{2, 3},
			"quantization_config": map[string]any{
				"quant_method": "aqlm", "num_codebooks": 2, "nbits_per_codebook": 8, "in_group_size": 4, "out_group_size": 1,
			},
		},
		tensors: map[string]fixtureTensor{
			"model.embed_tokens.weight": {"F16", []int{vocab, hidden}},
			"model.norm.weight":         {"F16", []int{hidden}},
			"lm_head.weight":            {"BF16", []int{vocab, hidden}},
		},
	}
	for _, p := range []string{"model.layers.0.", "model.layers.1."} {
		f.tensors[p+"input_layernorm.weight"] = fixtureTensor{"F16", []int{hidden}}
		f.tensors[p+"post_attention_layernorm.weight"] = fixtureTensor{"F32", []int{hidden}}
		f.aqlm(p+"self_attn.q_proj", q, hidden)
		f.aqlm(p+"self_attn.k_proj", kv, hidden)
		f.aqlm(p+"self_attn.v_proj", kv, hidden)
		f.aqlm(p+"self_attn.o_proj", hidden, q)
		f.aqlm(p+"mlp.gate_proj", inner, hidden)
		f.aqlm(p+"mlp.up_proj", inner, hidden)
		f.tensors[p+"mlp.down_proj.weight"] = fixtureTensor{"F16", []int{hidden, inner}}
	}
	return f
}

// tiedFixture has one layer, no head, biases everywhere and llama3 scaling.
func tiedFixture() *fixture {
	f := newFixture()
	delete(f.tensors, "lm_head.weight")
	maps.DeleteFunc(f.tensors, func(name string, _ fixtureTensor) bool { return strings.HasPrefix(name, "model.layers.1.") })
	maps.Copy(f.config, map[string]any{
		"num_hidden_layers": 1, "tie_word_embeddings": true, "attention_bias": true, "mlp_bias": true,
		"rope_scaling": map[string]any{
			"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
		},
	})
	for name, rows := range map[string]int{
		"self_attn.q_proj": 36, "self_attn.k_proj": 12, "self_attn.v_proj": 12, "self_attn.o_proj": 32,
		"mlp.gate_proj": 48, "mlp.up_proj": 48, "mlp.down_proj": 32,
	} {
		f.tensors["model.layers.0."+name+".bias"] = fixtureTensor{"F16", []int{rows}}
	}
	return f
}

func (f *fixture) aqlm(prefix string, rows, cols int) {
	f.tensors[prefix+".codes"] = fixtureTensor{"I8", []int{rows, cols / 4, 2}}
	f.tensors[prefix+".codebooks"] = fixtureTensor{"F16", []int{2, 256, 1, 4}}
	f.tensors[prefix+".scales"] = fixtureTensor{"F16", []int{rows, 1, 1, 1}}
}

// write returns a new folder with the checkpoint.
func (f *fixture) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	config, err := json.Marshal(f.config)
	if err != nil {
		t.Fatal(err)
	}
	header, at := map[string]any{}, 0
	for _, name := range slices.Sorted(maps.Keys(f.tensors)) {
		tensor := f.tensors[name]
		size := map[string]int{"I8": 1, "F16": 2, "BF16": 2, "I16": 2, "F32": 4}[tensor.dtype]
		for _, n := range tensor.shape {
			size *= n
		}
		header[name] = map[string]any{"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": []int{at, at + size}}
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
