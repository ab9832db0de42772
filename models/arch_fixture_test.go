package models_test

import (
	"fmt"
	"maps"
	"strings"
)

// archFixtures are tiny checkpoints, one of each architecture besides Llama, by the name of its golden plan. They
// state the fields in which the architecture differs; the sizes are those of newFixture: hidden 32, inner 48, six
// heads and two KV heads of 6.
func archFixtures() map[string]*fixture {
	return map[string]*fixture{
		"mistral": newFixture().as("mistral", object{"sliding_window": 24}),
		"mixtral": mixtralFixture(),
		"gemma":   newFixture().as("gemma", object{"hidden_act": "gelu"}).tie(),
		"gemma2":  gemma2Fixture(),
		"gemma3":  gemma3Fixture(),
		"phi3":    phi3Fixture(),
		"qwen2":   qwen2Fixture(),
		"qwen3":   newFixture().as("qwen3", nil).headNorms(6, 6),
		"cohere":  cohereFixture(),
	}
}

// as sets the architecture and fields of the config; a value of nil removes one.
func (f *fixture) as(modelType string, set object) *fixture {
	f.config["model_type"] = modelType
	maps.Copy(f.config, set)
	maps.DeleteFunc(f.config, func(_ string, v any) bool { return v == nil })
	return f
}

// each calls do with the prefix of each layer.
func (f *fixture) each(do func(prefix string)) *fixture {
	for i := range 2 {
		do(fmt.Sprintf("model.layers.%d.", i))
	}
	return f
}

// drop removes the tensors whose names contain a text.
func (f *fixture) drop(texts ...string) *fixture {
	for _, text := range texts {
		maps.DeleteFunc(f.tensors, func(name string, _ fixtureTensor) bool { return strings.Contains(name, text) })
	}
	return f
}

func (f *fixture) dense(name string, shape ...int) { f.tensors[name] = fixtureTensor{"F16", shape} }

// tie removes the head and the field that says so.
func (f *fixture) tie() *fixture {
	delete(f.config, "tie_word_embeddings")
	return f.drop("lm_head")
}

// headNorms adds gains of these shapes to queries and keys.
func (f *fixture) headNorms(shape ...int) *fixture {
	return f.each(func(p string) {
		f.dense(p+"self_attn.q_norm.weight", shape[:len(shape)-1]...)
		f.dense(p+"self_attn.k_norm.weight", shape[len(shape)-1:]...)
	})
}

func mixtralFixture() *fixture {
	f := newFixture().as("mixtral", object{"num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": nil}).drop(".mlp.")
	return f.each(func(p string) {
		p += "block_sparse_moe."
		f.dense(p+"gate.weight", 3, 32)
		for e := range 3 {
			f.aqlm(fmt.Sprintf("%sexperts.%d.w1", p, e), 48, 32)
			f.aqlm(fmt.Sprintf("%sexperts.%d.w2", p, e), 32, 48)
			f.aqlm(fmt.Sprintf("%sexperts.%d.w3", p, e), 48, 32)
		}
	})
}

func gemma2Fixture() *fixture {
	f := newFixture().as("gemma2", object{
		"hidden_act": nil, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 9, "sliding_window": 24,
		"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
	}).tie()
	return f.gemma2Norms()
}

func (f *fixture) gemma2Norms() *fixture {
	return f.each(func(p string) {
		f.dense(p+"pre_feedforward_layernorm.weight", 32)
		f.dense(p+"post_feedforward_layernorm.weight", 32)
	})
}

func gemma3Fixture() *fixture {
	return newFixture().as("gemma3_text", object{
		"hidden_act": nil, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 6, "sliding_window": 24,
		"sliding_window_pattern": 2, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
		"rope_scaling": object{"rope_type": "linear", "factor": 8.0},
	}).tie().gemma2Norms().headNorms(6, 6)
}

func phi3Fixture() *fixture {
	f := newFixture().as("phi3", object{
		"original_max_position_embeddings": 32, "sliding_window": 40,
		"rope_scaling": object{"type": "longrope", "short_factor": []float64{1, 1.5, 2}, "long_factor": []float64{2, 4, 8}},
	}).drop("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
	return f.each(func(p string) {
		f.aqlm(p+"self_attn.qkv_proj", 60, 32)
		f.aqlm(p+"mlp.gate_up_proj", 96, 32)
	})
}

func qwen2Fixture() *fixture {
	f := newFixture().as("qwen2", object{"sliding_window": 24, "use_sliding_window": true, "max_window_layers": 1})
	return f.each(func(p string) {
		f.dense(p+"self_attn.q_proj.bias", 36)
		f.dense(p+"self_attn.k_proj.bias", 12)
		f.dense(p+"self_attn.v_proj.bias", 12)
	})
}

func cohereFixture() *fixture {
	f := newFixture().as("cohere", object{"rms_norm_eps": nil, "layer_norm_eps": 1e-5, "logit_scale": 0.0625, "use_qk_norm": true})
	f.tie().drop("post_attention_layernorm")
	return f.each(func(p string) {
		f.dense(p+"self_attn.q_norm.weight", 6, 6)
		f.dense(p+"self_attn.k_norm.weight", 2, 6)
	})
}
