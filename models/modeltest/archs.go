package modeltest

import (
	"fmt"
	"maps"
	"strings"
)

// ArchFixtures are tiny checkpoints, one of each architecture besides Llama, by the name of its golden plan. They
// state the fields in which the architecture differs; the sizes are those of NewFixture: hidden 32, inner 48, six
// heads and two KV heads of 6.
func ArchFixtures() map[string]*Fixture {
	return map[string]*Fixture{
		"mistral": NewFixture().as("mistral", map[string]any{"sliding_window": 24}),
		"mixtral": mixtralFixture(),
		"gemma":   NewFixture().as("gemma", map[string]any{"hidden_act": "gelu"}).tie(),
		"gemma2":  gemma2Fixture(),
		"gemma3":  gemma3Fixture(),
		"phi3":    phi3Fixture(),
		"qwen2":   qwen2Fixture(),
		"qwen3":   NewFixture().as("qwen3", nil).headNorms(6, 6),
		"cohere":  cohereFixture(),
	}
}

// as sets the architecture and fields of the config; a value of nil removes one.
func (f *Fixture) as(modelType string, set map[string]any) *Fixture {
	f.Config["model_type"] = modelType
	maps.Copy(f.Config, set)
	maps.DeleteFunc(f.Config, func(_ string, v any) bool { return v == nil })
	return f
}

// Each calls do with the prefix of each layer.
func (f *Fixture) Each(do func(prefix string)) *Fixture {
	for i := range 2 {
		do(fmt.Sprintf("model.layers.%d.", i))
	}
	return f
}

// Drop removes the tensors whose names contain a text.
func (f *Fixture) Drop(texts ...string) *Fixture {
	for _, text := range texts {
		maps.DeleteFunc(f.Tensors, func(name string, _ FixtureTensor) bool { return strings.Contains(name, text) })
	}
	return f
}

// Dense adds a tensor in F16.
func (f *Fixture) Dense(name string, shape ...int) { f.Tensors[name] = FixtureTensor{"F16", shape} }

// tie removes the head and the field that says so.
func (f *Fixture) tie() *Fixture {
	delete(f.Config, "tie_word_embeddings")
	return f.Drop("lm_head")
}

// headNorms adds gains of these shapes to queries and keys.
func (f *Fixture) headNorms(shape ...int) *Fixture {
	return f.Each(func(p string) {
		f.Dense(p+"self_attn.q_norm.weight", shape[:len(shape)-1]...)
		f.Dense(p+"self_attn.k_norm.weight", shape[len(shape)-1:]...)
	})
}

func mixtralFixture() *Fixture {
	f := NewFixture().as("mixtral", map[string]any{"num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": nil}).Drop(".mlp.")
	return f.Each(func(p string) {
		p += "block_sparse_moe."
		f.Dense(p+"gate.weight", 3, 32)
		for e := range 3 {
			f.AQLM(fmt.Sprintf("%sexperts.%d.w1", p, e), 48, 32)
			f.AQLM(fmt.Sprintf("%sexperts.%d.w2", p, e), 32, 48)
			f.AQLM(fmt.Sprintf("%sexperts.%d.w3", p, e), 48, 32)
		}
	})
}

func gemma2Fixture() *Fixture {
	f := NewFixture().as("gemma2", map[string]any{
		"hidden_act": nil, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 9, "sliding_window": 24,
		"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
	}).tie()
	return f.gemma2Norms()
}

func (f *Fixture) gemma2Norms() *Fixture {
	return f.Each(func(p string) {
		f.Dense(p+"pre_feedforward_layernorm.weight", 32)
		f.Dense(p+"post_feedforward_layernorm.weight", 32)
	})
}

func gemma3Fixture() *Fixture {
	return NewFixture().as("gemma3_text", map[string]any{
		"hidden_act": nil, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 6, "sliding_window": 24,
		"sliding_window_pattern": 2, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
		"rope_scaling": map[string]any{"rope_type": "linear", "factor": 8.0},
	}).tie().gemma2Norms().headNorms(6, 6)
}

func phi3Fixture() *Fixture {
	f := NewFixture().as("phi3", map[string]any{
		"original_max_position_embeddings": 32, "sliding_window": 40,
		"rope_scaling": map[string]any{"type": "longrope", "short_factor": []float64{1, 1.5, 2}, "long_factor": []float64{2, 4, 8}},
	}).Drop("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
	return f.Each(func(p string) {
		f.AQLM(p+"self_attn.qkv_proj", 60, 32)
		f.AQLM(p+"mlp.gate_up_proj", 96, 32)
	})
}

func qwen2Fixture() *Fixture {
	f := NewFixture().as("qwen2", map[string]any{"sliding_window": 24, "use_sliding_window": true, "max_window_layers": 1})
	return f.Each(func(p string) {
		f.Dense(p+"self_attn.q_proj.bias", 36)
		f.Dense(p+"self_attn.k_proj.bias", 12)
		f.Dense(p+"self_attn.v_proj.bias", 12)
	})
}

func cohereFixture() *Fixture {
	f := NewFixture().as("cohere", map[string]any{"rms_norm_eps": nil, "layer_norm_eps": 1e-5, "logit_scale": 0.0625, "use_qk_norm": true})
	f.tie().Drop("post_attention_layernorm")
	return f.Each(func(p string) {
		f.Dense(p+"self_attn.q_norm.weight", 6, 6)
		f.Dense(p+"self_attn.k_norm.weight", 2, 6)
	})
}
