package checkpoint

import (
	"slices"
	"strconv"
	"strings"

	"aquifer/runtime/plan"
)

// Arch is a row of the table that maps the names of one architecture between Hugging Face checkpoints and GGUF files of
// llama.cpp. Opening a GGUF and writing one (package convert) use the same row.
type Arch struct {
	GGUF      string // general.architecture
	ModelType string // model_type
	Keys      []Key
	Fixed     map[string]any // config values that llama.cpp implies by the architecture
	Top       []Name         // modules that occur once
	Layer     []Name         // modules of a layer; their names stand behind "blk.N." and "model.layers.N."
	// Pairing is how llama.cpp's own files lay out query and key rows.
	Pairing plan.RopePairing
}

// Key pairs a config key with the GGUF key "ARCH.GGUF".
type Key struct {
	HF, GGUF string
	Float    bool // float32 in the GGUF, else uint32
	// Default is the value of an absent config key: a number, another key, or a quotient "a/b" of two keys. A key
	// without it is required.
	Default string
	// In is an object that newer configs hold the key in. It is carried over whole; the GGUF key repeats it.
	In string
}

// Name pairs the names of a module: "self_attn.q_proj" and "attn_q". A part (weight, bias, codes, codebooks, scales)
// follows in both.
type Name struct{ HF, GGUF string }

// Archs returns the table.
func Archs() []Arch {
	return []Arch{{
		GGUF: "llama", ModelType: "llama",
		Keys: []Key{
			{HF: "vocab_size", GGUF: "vocab_size"},
			{HF: "max_position_embeddings", GGUF: "context_length", Default: "2048"},
			{HF: "hidden_size", GGUF: "embedding_length"},
			{HF: "num_hidden_layers", GGUF: "block_count"},
			{HF: "intermediate_size", GGUF: "feed_forward_length"},
			{HF: "num_attention_heads", GGUF: "attention.head_count"},
			{HF: "num_key_value_heads", GGUF: "attention.head_count_kv", Default: "num_attention_heads"},
			{HF: "head_dim", GGUF: "attention.key_length", Default: "hidden_size/num_attention_heads"},
			{HF: "head_dim", GGUF: "attention.value_length", Default: "hidden_size/num_attention_heads"},
			{HF: "head_dim", GGUF: "rope.dimension_count", Default: "hidden_size/num_attention_heads"},
			{HF: "rms_norm_eps", GGUF: "attention.layer_norm_rms_epsilon", Float: true, Default: "1e-6"},
			{HF: "rope_theta", GGUF: "rope.freq_base", Float: true, Default: "10000", In: "rope_parameters"},
		},
		Fixed: map[string]any{"hidden_act": "silu"},
		Top: []Name{
			{"model.embed_tokens", "token_embd"},
			{"model.norm", "output_norm"},
			{"lm_head", "output"},
		},
		Layer: []Name{
			{"input_layernorm", "attn_norm"},
			{"self_attn.q_proj", "attn_q"},
			{"self_attn.k_proj", "attn_k"},
			{"self_attn.v_proj", "attn_v"},
			{"self_attn.o_proj", "attn_output"},
			{"post_attention_layernorm", "ffn_norm"},
			{"mlp.gate_proj", "ffn_gate"},
			{"mlp.up_proj", "ffn_up"},
			{"mlp.down_proj", "ffn_down"},
		},
		Pairing: plan.RopeNeighbours,
	}}
}

// ArchOf returns the row of a model_type.
func ArchOf(modelType string) (Arch, bool) {
	return find(func(a Arch) string { return a.ModelType }, modelType)
}

func find(field func(Arch) string, want string) (Arch, bool) {
	archs := Archs()
	i := slices.IndexFunc(archs, func(a Arch) bool { return field(a) == want })
	if i < 0 {
		return Arch{}, false
	}
	return archs[i], true
}

const (
	layerHF   = "model.layers."
	layerGGUF = "blk."
)

// ToGGUF returns the GGUF name of a tensor; ok is false for a tensor that the architecture does not have.
func (a Arch) ToGGUF(tensor string) (name string, ok bool) {
	return rename(tensor, layerHF, layerGGUF, a, func(n Name) (string, string) { return n.HF, n.GGUF })
}

// ToHF returns the Hugging Face name of a tensor of a GGUF.
func (a Arch) ToHF(tensor string) (name string, ok bool) {
	return rename(tensor, layerGGUF, layerHF, a, func(n Name) (string, string) { return n.GGUF, n.HF })
}

func rename(tensor, from, to string, a Arch, pair func(Name) (from, to string)) (string, bool) {
	dot := strings.LastIndexByte(tensor, '.')
	if dot < 0 || !slices.Contains([]string{"weight", "bias", "codes", "codebooks", "scales"}, tensor[dot+1:]) {
		return "", false
	}
	module, part := tensor[:dot], tensor[dot:]
	names, prefix := a.Top, ""
	if rest, ok := strings.CutPrefix(module, from); ok {
		number, inner, ok := strings.Cut(rest, ".")
		// Only the canonical spelling of a number: "blk.01." must not become a second name of layer 1.
		if n, err := strconv.ParseUint(number, 10, 31); !ok || err != nil || strconv.FormatUint(n, 10) != number {
			return "", false
		}
		names, module, prefix = a.Layer, inner, to+number+"."
	}
	for _, n := range names {
		if old, renamed := pair(n); old == module {
			return prefix + renamed + part, true
		}
	}
	return "", false
}
