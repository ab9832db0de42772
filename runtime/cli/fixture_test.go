package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// tinyModel writes a checkpoint folder with random weights: one llama layer, 1x8g8, a tokenizer with a token for each
// byte, a ChatML template. What it says is noise, control characters included. Without an EOS token its answers only
// end with the context.
func tinyModel(t testing.TB, eos bool) string {
	t.Helper()
	const hidden, heads, kvHeads, head, inter, vocab = 32, 2, 1, 16, 64, 259
	dir := filepath.Join(t.TempDir(), "tiny-1x8g8")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	config := map[string]any{
		"model_type": "llama", "architectures": []string{"LlamaForCausalLM"}, "hidden_size": hidden,
		"num_attention_heads": heads, "num_key_value_heads": kvHeads, "intermediate_size": inter, "num_hidden_layers": 1,
		"vocab_size": vocab, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 65536,
		"tie_word_embeddings": true, "hidden_act": "silu", "torch_dtype": "float16",
		"quantization_config": map[string]any{
			"quant_method": "aqlm", "num_codebooks": 1, "nbits_per_codebook": 8, "in_group_size": 8, "out_group_size": 1,
		},
	}
	tokenizerConfig := map[string]any{
		"chat_template": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}" +
			"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
	}
	if eos {
		config["eos_token_id"] = 257
		tokenizerConfig["eos_token"] = "<|im_end|>"
	}
	writeJSON(t, filepath.Join(dir, "config.json"), config)
	writeJSON(t, filepath.Join(dir, "tokenizer_config.json"), tokenizerConfig)
	writeJSON(t, filepath.Join(dir, "tokenizer.json"), byteTokenizer())

	r := rand.New(rand.NewPCG(1, 2))
	var w tensorWriter
	w.floats("model.embed_tokens.weight", r, 0.5, vocab, hidden)
	w.floats("model.norm.weight", r, 1, hidden)
	layer := "model.layers.0."
	w.floats(layer+"input_layernorm.weight", r, 1, hidden)
	w.floats(layer+"post_attention_layernorm.weight", r, 1, hidden)
	for _, linear := range []struct {
		name      string
		out, cols int
	}{
		{"self_attn.q_proj", heads * head, hidden},
		{"self_attn.k_proj", kvHeads * head, hidden},
		{"self_attn.v_proj", kvHeads * head, hidden},
		{"self_attn.o_proj", hidden, heads * head},
		{"mlp.gate_proj", inter, hidden},
		{"mlp.up_proj", inter, hidden},
		{"mlp.down_proj", hidden, inter},
	} {
		codes := make([]byte, linear.out*linear.cols/8)
		for i := range codes {
			codes[i] = byte(r.Uint32())
		}
		w.add(layer+linear.name+".codes", "I8", codes, linear.out, linear.cols/8, 1)
		w.floats(layer+linear.name+".codebooks", r, 0.3, 1, 256, 1, 8)
		w.floats(layer+linear.name+".scales", r, 1, linear.out, 1, 1, 1)
	}
	w.write(t, filepath.Join(dir, "model.safetensors"))
	return dir
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// byteTokenizer is a tokenizer.json whose vocabulary is the 256 bytes, in the order of GPT-2's byte alphabet, and
// three control tokens.
func byteTokenizer() map[string]any {
	vocab := map[string]int{}
	next := rune(256)
	for b := range 256 {
		char := rune(b)
		if b <= ' ' || b >= 0x7f && b <= 0xa0 || b == 0xad {
			char, next = next, next+1
		}
		vocab[string(char)] = b
	}
	added := []any{}
	for i, text := range []string{"<|im_start|>", "<|im_end|>", "<|endoftext|>"} {
		vocab[text] = 256 + i
		added = append(added, map[string]any{
			"id": 256 + i, "content": text, "special": true,
			"single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
		})
	}
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	return map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": byteLevel, "post_processor": nil, "decoder": byteLevel,
		"model": map[string]any{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": []string{},
		},
	}
}

// tensorWriter collects tensors and writes them as a safetensors file.
type tensorWriter struct {
	header map[string]any
	data   bytes.Buffer
}

func (w *tensorWriter) add(name, dtype string, data []byte, shape ...int) {
	if w.header == nil {
		w.header = map[string]any{}
	}
	from := w.data.Len()
	w.data.Write(data)
	w.header[name] = map[string]any{"dtype": dtype, "shape": slices.Clone(shape), "data_offsets": []int{from, w.data.Len()}}
}

// floats adds a tensor of random numbers in BF16: the upper half of a float32.
func (w *tensorWriter) floats(name string, r *rand.Rand, scale float64, shape ...int) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	data := make([]byte, 0, 2*n)
	for range n {
		x := float32(r.NormFloat64() * scale)
		var bits [4]byte
		if _, err := binary.Encode(bits[:], binary.LittleEndian, x); err != nil {
			panic(fmt.Sprint("encoding a float: ", err))
		}
		data = append(data, bits[2:]...)
	}
	w.add(name, "BF16", data, shape...)
}

func (w *tensorWriter) write(t testing.TB, path string) {
	t.Helper()
	header, err := json.Marshal(w.header)
	if err != nil {
		t.Fatal(err)
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	file = append(append(file, header...), w.data.Bytes()...)
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
}
