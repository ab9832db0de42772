package checkpoint

import (
	"encoding/json"
	"slices"
	"strconv"

	"aquifer/runtime/plan"
)

// Archs returns the table. The first row of a general.architecture is what a file means that says nothing else.
func Archs() []Arch {
	silu := map[string]any{"hidden_act": "silu"}
	return []Arch{
		{
			GGUF: "llama", ModelType: "llama", Keys: keys(sizes{context: "2048"}, rms("1e-6"), theta("10000")),
			Fixed: silu, Top: top(), Layer: layer(), Pairing: plan.RopeNeighbours,
		},
		{
			GGUF: "llama", ModelType: "mistral", Keys: keys(sizes{"8", "", "131072"}, rms("1e-6"), theta("10000"), window("4096")),
			Fixed: map[string]any{"hidden_act": "silu", "sliding_window": nil}, Top: top(), Layer: layer(), Pairing: plan.RopeNeighbours,
		},
		{
			GGUF: "llama", ModelType: "mixtral", When: "expert_count",
			Keys: keys(
				sizes{"8", "", "131072"}, rms("1e-5"), theta("1000000"), window(""),
				Key{HF: "num_local_experts", GGUF: "expert_count", Default: "8"},
				Key{HF: "num_experts_per_tok", GGUF: "expert_used_count", Default: "2"},
			),
			Fixed: map[string]any{"hidden_act": "silu", "sliding_window": nil}, Top: top(), Layer: mixtralLayer(), Pairing: plan.RopeNeighbours,
		},
		{
			GGUF: "gemma", ModelType: "gemma", Keys: keys(sizes{"16", "256", "8192"}, rms("1e-6"), theta("10000")),
			Fixed: gelu(), Top: top(), Layer: layer(), Tied: true, ShiftedGains: true,
		},
		{
			GGUF: "gemma2", ModelType: "gemma2",
			Keys: keys(
				sizes{"4", "256", "8192"}, rms("1e-6"), theta("10000"), window("4096"),
				Key{HF: "attn_logit_softcapping", GGUF: "attn_logit_softcapping", Float: true, Default: "50", Optional: true},
				Key{HF: "final_logit_softcapping", GGUF: "final_logit_softcapping", Float: true, Default: "30", Optional: true},
			),
			Fixed:   gelu("attn_logit_softcapping", "final_logit_softcapping", "sliding_window"),
			Implied: impliedGemma2, Top: top(), Layer: gemma2Layer(), Tied: true, ShiftedGains: true,
		},
		{
			GGUF: "gemma3", ModelType: "gemma3_text",
			Keys: keys(
				sizes{"4", "256", "131072"}, rms("1e-6"), theta("1000000"), window("4096"),
				Key{HF: "sliding_window_pattern", GGUF: "attention.sliding_window_pattern", Optional: true},
				Key{HF: "rope_local_base_freq", GGUF: "rope.freq_base_swa", Float: true, Default: "10000"},
				Key{HF: "attn_logit_softcapping", GGUF: "attn_logit_softcapping", Float: true, Optional: true},
				Key{HF: "final_logit_softcapping", GGUF: "final_logit_softcapping", Float: true, Optional: true},
			),
			Fixed:   gelu("attn_logit_softcapping", "final_logit_softcapping", "sliding_window"),
			Implied: impliedGemma3, Top: top(), Layer: append(gemma2Layer(), headNorms()...), Tied: true, ShiftedGains: true,
		},
		{
			GGUF: "phi3", ModelType: "phi3",
			Keys: keys(
				sizes{context: "4096"}, rms("1e-5"), theta("10000"), window(""),
				Key{HF: "original_max_position_embeddings", GGUF: "rope.scaling.original_context_length", Optional: true},
			),
			Fixed: map[string]any{"hidden_act": "silu", "sliding_window": nil}, Top: top(), Layer: phi3Layer(),
		},
		{
			GGUF: "qwen2", ModelType: "qwen2", Keys: keys(sizes{"32", "", "32768"}, rms("1e-6"), theta("10000")),
			Fixed: silu, Top: top(), Layer: layer(),
		},
		{
			GGUF: "qwen3", ModelType: "qwen3", Keys: keys(sizes{"32", "128", "32768"}, rms("1e-6"), theta("10000")),
			Fixed: silu, Top: top(), Layer: append(layer(), headNorms()...),
		},
		{
			GGUF: "command-r", ModelType: "cohere",
			Keys: keys(
				sizes{context: "8192"},
				Key{HF: "layer_norm_eps", GGUF: "attention.layer_norm_epsilon", Float: true, Default: "1e-5"}, theta(""),
				Key{HF: "logit_scale", GGUF: "logit_scale", Float: true, Default: "0.0625"},
			),
			Fixed: silu, Implied: impliedHeadNorms, Top: top(), Layer: append(without(layer(), "ffn_norm"), headNorms()...),
			Pairing: plan.RopeNeighbours, Tied: true,
		},
	}
}

// ---- keys -------------------------------------------------------------------------------------------------------------

// sizes are the defaults in which the configuration classes of transformers differ; "" stands for the usual ones.
type sizes struct{ kvHeads, headDim, context string }

// keys are those that every architecture has, and more.
func keys(def sizes, more ...Key) []Key {
	if def.kvHeads == "" {
		def.kvHeads = "num_attention_heads"
	}
	if def.headDim == "" {
		def.headDim = "hidden_size/num_attention_heads"
	}
	return append([]Key{
		{HF: "vocab_size", GGUF: "vocab_size"},
		{HF: "max_position_embeddings", GGUF: "context_length", Default: def.context},
		{HF: "hidden_size", GGUF: "embedding_length"},
		{HF: "num_hidden_layers", GGUF: "block_count"},
		{HF: "intermediate_size", GGUF: "feed_forward_length"},
		{HF: "num_attention_heads", GGUF: "attention.head_count"},
		{HF: "num_key_value_heads", GGUF: "attention.head_count_kv", Default: def.kvHeads},
		{HF: "head_dim", GGUF: "attention.key_length", Default: def.headDim},
		{HF: "head_dim", GGUF: "attention.value_length", Default: def.headDim},
		{HF: "head_dim", GGUF: "rope.dimension_count", Default: def.headDim},
	}, more...)
}

func rms(def string) Key {
	return Key{HF: "rms_norm_eps", GGUF: "attention.layer_norm_rms_epsilon", Float: true, Default: def}
}

func theta(def string) Key {
	return Key{HF: "rope_theta", GGUF: "rope.freq_base", Float: true, Default: def, In: "rope_parameters"}
}

func window(def string) Key {
	return Key{HF: "sliding_window", GGUF: "attention.sliding_window", Default: def, Optional: true}
}

// ---- values without keys ------------------------------------------------------------------------------------------------

// gelu is the activation of Gemma, beside keys that are null where the file does not have them.
func gelu(null ...string) map[string]any {
	fixed := map[string]any{"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh"}
	for _, key := range null {
		fixed[key] = nil
	}
	return fixed
}

func intOf(values map[string]any, key string) int {
	n, _ := toInt(values[key])
	return n
}

// impliedScale sets what scores are divided by the root of: the width of a head, but in the largest model, which is
// told by its layers, the width of the model over its heads.
func impliedScale(values map[string]any, largest int) {
	const key = "query_pre_attn_scalar"
	if values[key] != nil {
		return
	}
	n := intOf(values, "head_dim")
	if heads := intOf(values, "num_attention_heads"); intOf(values, "num_hidden_layers") == largest && heads > 0 {
		n = intOf(values, "hidden_size") / heads
	}
	if n > 0 {
		values[key] = json.Number(strconv.Itoa(n))
	}
}

func impliedGemma2(values map[string]any, _ func(string) bool) { impliedScale(values, 46) }

// impliedGemma3: a file without a window has no layer of the kind that rotates by the local base.
func impliedGemma3(values map[string]any, _ func(string) bool) {
	impliedScale(values, 62)
	if values["sliding_window"] == nil {
		values["sliding_window_pattern"] = json.Number("1")
	}
}

// impliedHeadNorms: whether Command-R normalises heads shows in its tensors.
func impliedHeadNorms(values map[string]any, has func(string) bool) {
	if values["use_qk_norm"] == nil {
		values["use_qk_norm"] = has("model.layers.0.self_attn.q_norm.weight")
	}
}

// ---- modules --------------------------------------------------------------------------------------------------------------

func top() []Name {
	return []Name{{HF: "model.embed_tokens", GGUF: "token_embd"}, {HF: "model.norm", GGUF: "output_norm"}, {HF: "lm_head", GGUF: "output"}}
}

// layer is a layer of Llama's form.
func layer() []Name {
	return []Name{
		{HF: "input_layernorm", GGUF: "attn_norm"},
		{HF: "self_attn.q_proj", GGUF: "attn_q"},
		{HF: "self_attn.k_proj", GGUF: "attn_k"},
		{HF: "self_attn.v_proj", GGUF: "attn_v"},
		{HF: "self_attn.o_proj", GGUF: "attn_output"},
		{HF: "post_attention_layernorm", GGUF: "ffn_norm"},
		{HF: "mlp.gate_proj", GGUF: "ffn_gate"},
		{HF: "mlp.up_proj", GGUF: "ffn_up"},
		{HF: "mlp.down_proj", GGUF: "ffn_down"},
	}
}

// without leaves modules out, by their GGUF names.
func without(names []Name, gguf ...string) []Name {
	return slices.DeleteFunc(names, func(n Name) bool { return slices.Contains(gguf, n.GGUF) })
}

func headNorms() []Name {
	return []Name{{HF: "self_attn.q_norm", GGUF: "attn_q_norm"}, {HF: "self_attn.k_norm", GGUF: "attn_k_norm"}}
}

func mixtralLayer() []Name {
	const moe = "block_sparse_moe."
	return append(
		without(layer(), "ffn_gate", "ffn_up", "ffn_down"),
		Name{HF: moe + "gate", GGUF: "ffn_gate_inp"},
		Name{HF: moe + "experts.%d.w1", GGUF: "ffn_gate.%d", Stacked: "ffn_gate_exps"},
		Name{HF: moe + "experts.%d.w2", GGUF: "ffn_down.%d", Stacked: "ffn_down_exps"},
		Name{HF: moe + "experts.%d.w3", GGUF: "ffn_up.%d", Stacked: "ffn_up_exps"},
	)
}

func gemma2Layer() []Name {
	return append(
		without(layer(), "ffn_norm"),
		Name{HF: "post_attention_layernorm", GGUF: "post_attention_norm"},
		Name{HF: "pre_feedforward_layernorm", GGUF: "ffn_norm"},
		Name{HF: "post_feedforward_layernorm", GGUF: "post_ffw_norm"},
	)
}

func phi3Layer() []Name {
	return append(
		without(layer(), "attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"),
		Name{HF: "self_attn.qkv_proj", GGUF: "attn_qkv"},
		Name{HF: "mlp.gate_up_proj", GGUF: "ffn_up"},
	)
}
