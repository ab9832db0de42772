package modeltest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Tensor is a tensor of a file that a test makes.
type Tensor struct {
	Name, DType string
	Shape       []int64
	Data        []byte
}

// Safetensors returns a safetensors file with the tensors in the given order.
func Safetensors(tensors ...Tensor) []byte {
	header := map[string]any{}
	var data []byte
	for _, t := range tensors {
		begin := len(data)
		data = append(data, t.Data...)
		header[t.Name] = map[string]any{"dtype": t.DType, "shape": t.Shape, "data_offsets": []int{begin, len(data)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		panic(err) // strings and integers always have a JSON form
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(file, text...), data...)
}

// Folder writes files into a new folder called name below a temporary one and returns its path.
func Folder(t testing.TB, name string, files map[string][]byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// JSON returns v as JSON text.
func JSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TinyConfig is the config of the model that TinyTensors makes; a test may change its copy.
func TinyConfig() map[string]any {
	return map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_act": "silu",
		"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 4,
		"num_key_value_heads": 2, "vocab_size": 300, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
		"rope_theta": 10000.0, "tie_word_embeddings": false, "torch_dtype": "float16", "bos_token_id": 256, "eos_token_id": 257,
		"quantization_config": map[string]any{
			"quant_method": "aqlm", "num_codebooks": 2, "nbits_per_codebook": 8, "in_group_size": 8, "out_group_size": 1,
		},
	}
}

// TinyTensors returns the weights of a one-layer Llama whose linears are compressed as 2x8g8. The values are random, the
// same in every run.
func TinyTensors() []Tensor {
	const hidden, inner, kv, vocab = 32, 40, 16, 300
	r := rand.New(rand.NewPCG(1, 2))
	var list []Tensor
	add := func(name string, shape ...int64) {
		list = append(list, Tensor{name, "F16", shape, halves(r, shape)})
	}
	linear := func(name string, out, in int64) {
		codes := make([]byte, out*in/8*2)
		for i := range codes {
			codes[i] = byte(r.Uint32())
		}
		list = append(list, Tensor{name + ".codes", "I8", []int64{out, in / 8, 2}, codes})
		add(name+".codebooks", 2, 256, 1, 8)
		add(name+".scales", out, 1, 1, 1)
	}
	add("model.embed_tokens.weight", vocab, hidden)
	const l = "model.layers.0."
	add(l+"input_layernorm.weight", hidden)
	linear(l+"self_attn.q_proj", hidden, hidden)
	linear(l+"self_attn.k_proj", kv, hidden)
	linear(l+"self_attn.v_proj", kv, hidden)
	linear(l+"self_attn.o_proj", hidden, hidden)
	add(l+"post_attention_layernorm.weight", hidden)
	linear(l+"mlp.gate_proj", inner, hidden)
	linear(l+"mlp.up_proj", inner, hidden)
	linear(l+"mlp.down_proj", hidden, inner)
	add("model.norm.weight", hidden)
	add("lm_head.weight", vocab, hidden)
	return list
}

// halves returns F16 numbers of both signs between 2^-4 and 1, all exact.
func halves(r *rand.Rand, shape []int64) []byte {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	p := make([]byte, 0, 2*n)
	for range n {
		bits := uint16(r.Uint32())
		p = binary.LittleEndian.AppendUint16(p, bits&0x83ff|uint16(11+bits>>10&3)<<10)
	}
	return p
}

// F32 returns numbers as little-endian float32.
func F32(values ...float32) []byte {
	var p []byte
	for _, v := range values {
		p = binary.LittleEndian.AppendUint32(p, math.Float32bits(v))
	}
	return p
}

// TinyTokenizer is a tokenizer.json for the tiny model: 256 bytes, two control tokens, a few merges.
func TinyTokenizer() []byte {
	vocab := map[string]int{}
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		// The byte-level alphabet of GPT-2: printable bytes stand for themselves, the others for runes from 256 on.
		if b <= 32 || b >= 127 && b <= 160 || b == 173 {
			r, next = next, next+1
		}
		vocab[string(r)] = b
	}
	merges := [][2]string{{"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}, {"\u0120", "hello"}}
	for i, m := range merges {
		vocab[m[0]+m[1]] = 258 + i
	}
	special := func(id int, text string) map[string]any {
		return map[string]any{
			"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
		}
	}
	level := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	text, err := json.Marshal(map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "normalizer": nil, "post_processor": nil,
		"added_tokens":  []any{special(256, "<|im_start|>"), special(257, "<|im_end|>")},
		"pre_tokenizer": level, "decoder": level,
		"model": map[string]any{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges,
		},
	})
	if err != nil {
		panic(fmt.Sprint("modeltest: ", err)) // maps, strings and numbers always have a JSON form
	}
	return text
}

// TinyLlama writes the tiny model into a folder: config.json, model.safetensors, tokenizer.json, and the files of
// extra, which replace files of the same name.
func TinyLlama(t testing.TB, extra map[string][]byte) string {
	t.Helper()
	files := map[string][]byte{
		"config.json": JSON(t, TinyConfig()), "model.safetensors": Safetensors(TinyTensors()...), "tokenizer.json": TinyTokenizer(),
	}
	maps.Copy(files, extra)
	return Folder(t, "tiny", files)
}
