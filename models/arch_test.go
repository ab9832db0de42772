package models_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"aquifer/models"
	"aquifer/models/modeltest"
	"aquifer/runtime/plan"
)

// TestArchRefused changes one thing of a good checkpoint of each architecture.
func TestArchRefused(t *testing.T) {
	set := func(key string, v any) func(*modeltest.Fixture) {
		return func(f *modeltest.Fixture) { f.Config[key] = v }
	}
	drop := func(texts ...string) func(*modeltest.Fixture) { return func(f *modeltest.Fixture) { f.Drop(texts...) } }
	without := func(key string) func(*modeltest.Fixture) { return func(f *modeltest.Fixture) { delete(f.Config, key) } }
	scaling := func(key string, v any) func(*modeltest.Fixture) {
		return func(f *modeltest.Fixture) { f.Config["rope_scaling"].(object)[key] = v }
	}
	tensor := func(name string, shape ...int) func(*modeltest.Fixture) {
		return func(f *modeltest.Fixture) { f.Dense(name, shape...) }
	}
	const layer, moe = "model.layers.0.", "model.layers.0.block_sparse_moe."
	for _, tt := range []struct {
		arch, name, want string
		do               func(*modeltest.Fixture)
	}{
		{"mistral", "window zero", "sliding_window: is 0", set("sliding_window", 0)},
		{"mistral", "window text", "sliding_window: is the string", set("sliding_window", "all")},
		{"mistral", "kv heads missing", "num_key_value_heads: is 8, which does not divide", without("num_key_value_heads")},
		{"mixtral", "no experts", "num_local_experts: is 0", set("num_local_experts", 0)},
		{"mixtral", "more experts", "experts.3.w1\": is missing", func(f *modeltest.Fixture) {
			f.Config["num_local_experts"] = 4
			f.Each(func(p string) { f.Dense(p+"block_sparse_moe.gate.weight", 4, 32) })
		}},
		{"mixtral", "more slots than experts", "num_experts_per_tok: is 4, must be 1..3", set("num_experts_per_tok", 4)},
		{"mixtral", "no router", "block_sparse_moe.gate\": is missing", drop(moe + "gate.")},
		{"mixtral", "router shape", "gate.weight\": shape is [4 32]", tensor(moe+"gate.weight", 4, 32)},
		{"mixtral", "expert shape", "experts.1.w2.codes\": shape", func(f *modeltest.Fixture) { f.AQLM(moe+"experts.1.w2", 36, 48) }},
		{"gemma", "activation", "hidden_act: \"silu\" is not supported", set("hidden_act", "silu")},
		{"gemma", "newer activation", "hidden_activation: \"relu\"", set("hidden_activation", "relu")},
		{"gemma2", "cap", "attn_logit_softcapping: is -1", set("attn_logit_softcapping", -1)},
		{"gemma2", "scalar", "query_pre_attn_scalar: is 0", set("query_pre_attn_scalar", 0)},
		{"gemma2", "norm", "pre_feedforward_layernorm.weight\": is missing", drop(layer + "pre_feed")},
		{"gemma2", "layer types", "layer_types: has 1 entries, must have 2", set("layer_types", []string{"full_attention"})},
		{"gemma2", "layer type", "layer_types: \"linear_attention\" is not supported", set("layer_types", []string{"full_attention", "linear_attention"})},
		{"gemma3", "bidirectional", "use_bidirectional_attention: is true", set("use_bidirectional_attention", true)},
		{"gemma3", "pattern", "sliding_window_pattern: is 0", set("sliding_window_pattern", 0)},
		{"gemma3", "local theta", "rope_local_base_freq: is 0", set("rope_local_base_freq", 0)},
		{"gemma3", "half of the ropes", "rope_parameters: lacks sliding_attention", func(f *modeltest.Fixture) {
			delete(f.Config, "rope_scaling")
			f.Config["rope_parameters"] = object{"full_attention": object{"rope_theta": 1e6, "rope_type": "default"}}
		}},
		{"gemma3", "head norm", "k_norm.weight\": shape is [5], must be [6]", tensor(layer+"self_attn.k_norm.weight", 5)},
		{"phi3", "lists", "rope_scaling.long_factor: has 2 values, must have 3", scaling("long_factor", []float64{1, 2})},
		{"phi3", "no short list", "rope_scaling.short_factor: is missing", scaling("short_factor", nil)},
		{"phi3", "original", "original_max_position_embeddings: is 0", set("original_max_position_embeddings", 0)},
		{"phi3", "fused shape", "qkv_proj.codes\": shape", func(f *modeltest.Fixture) { f.AQLM(layer+"self_attn.qkv_proj", 64, 32) }},
		{"qwen2", "window", "sliding_window: is -3", set("sliding_window", -3)},
		{"qwen3", "head norm", "q_norm.weight\": is missing", drop(layer + "self_attn.q_norm")},
		{"cohere", "theta", "rope_theta: is missing", without("rope_theta")},
		{"cohere", "gains", "q_norm.weight\": shape is [6], must be [6 6]", tensor(layer+"self_attn.q_norm.weight", 6)},
		{"cohere", "logit scale", "logit_scale: is 0", set("logit_scale", 0)},
	} {
		t.Run(tt.arch+"/"+tt.name, func(t *testing.T) {
			f := modeltest.ArchFixtures()[tt.arch]
			tt.do(f)
			_, err := build(f.Write(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("not one line: %q", err)
			}
		})
	}
}

// windows returns the windows of the attention ops.
func windows(m *models.Model) (out []int32) {
	for _, op := range m.Plan.Ops {
		if op.Kind == plan.Attention {
			out = append(out, op.I[2])
		}
	}
	return out
}

// first returns the first op of a kind.
func first(m *models.Model, kind plan.Kind) *plan.Op {
	for i := range m.Plan.Ops {
		if m.Plan.Ops[i].Kind == kind {
			return &m.Plan.Ops[i]
		}
	}
	return &plan.Op{}
}

// TestArchAccepted: defaults and switches have the effect that transformers' classes give them.
func TestArchAccepted(t *testing.T) {
	for _, tt := range []struct {
		arch, name string
		do         func(*modeltest.Fixture)
		check      func(m *models.Model) bool
	}{
		{"mistral", "no window", func(f *modeltest.Fixture) { f.Config["sliding_window"] = nil }, func(m *models.Model) bool {
			return slices.Equal(windows(m), []int32{0, 0})
		}},
		{"mistral", "window absent", func(f *modeltest.Fixture) { delete(f.Config, "sliding_window") }, func(m *models.Model) bool {
			return slices.Equal(windows(m), []int32{4096, 4096})
		}},
		{"mixtral", "defaults", func(f *modeltest.Fixture) {
			delete(f.Config, "num_experts_per_tok")
			delete(f.Config, "rms_norm_eps")
			delete(f.Config, "rope_theta")
		}, func(m *models.Model) bool {
			route := first(m, plan.Route)
			return route.I[1] == 2 && route.I[2] == 1 && first(m, plan.Norm).F[0] == 1e-5 && near(freqs(m)[1], math.Pow(1e6, -1.0/3))
		}},
		{"gemma", "exact activation", func(f *modeltest.Fixture) { f.Config["hidden_activation"] = "gelu" }, func(m *models.Model) bool {
			return first(m, plan.Glu).I[0] == int32(plan.GeluErf)
		}},
		{"gemma", "early activation", func(*modeltest.Fixture) {}, func(m *models.Model) bool {
			return first(m, plan.Glu).I[0] == int32(plan.GeluTanh) && first(m, plan.Norm).F[1] == 1
		}},
		{"gemma2", "no caps", func(f *modeltest.Fixture) {
			f.Config["attn_logit_softcapping"], f.Config["final_logit_softcapping"] = nil, nil
		}, func(m *models.Model) bool {
			return first(m, plan.Attention).F[1] == 0 && first(m, plan.Scale).Kind != plan.Scale
		}},
		{"gemma2", "default caps", func(f *modeltest.Fixture) {
			delete(f.Config, "attn_logit_softcapping")
			delete(f.Config, "final_logit_softcapping")
		}, func(m *models.Model) bool {
			return first(m, plan.Attention).F[1] == 50 && first(m, plan.Scale).F[1] == 30
		}},
		{"gemma2", "listed layers", func(f *modeltest.Fixture) { f.Config["layer_types"] = []string{"full_attention", "sliding_attention"} }, func(m *models.Model) bool {
			return slices.Equal(windows(m), []int32{0, 24})
		}},
		{"gemma3", "newer ropes", func(f *modeltest.Fixture) {
			delete(f.Config, "rope_scaling")
			f.Config["rope_parameters"] = object{
				"full_attention":    object{"rope_theta": 1e6, "rope_type": "linear", "factor": 8.0},
				"sliding_attention": object{"rope_theta": 1e4, "rope_type": "default"},
			}
		}, func(m *models.Model) bool {
			local := m.Plan.Consts[first(m, plan.Rope).W[0]]
			return near(local[1], math.Pow(1e4, -1.0/3)) && slices.Equal(windows(m), []int32{24, 0})
		}},
		{"phi3", "short context", func(f *modeltest.Fixture) {
			delete(f.Config, "rope_scaling")
			delete(f.Config, "original_max_position_embeddings")
		}, func(m *models.Model) bool { return m.Plan.LongFrom() == 0 && first(m, plan.Rope).F[0] == 1 }},
		{"phi3", "longrope", func(*modeltest.Fixture) {}, func(m *models.Model) bool {
			rope := first(m, plan.Rope)
			want := math.Sqrt(1 + math.Log(96.0/32)/math.Log(32))
			return m.Plan.LongFrom() == 32 && near(rope.F[0], want) && near(m.Plan.Consts[rope.W[1]][0], 0.5)
		}},
		{"phi3", "su", func(f *modeltest.Fixture) { f.Config["rope_scaling"].(object)["type"] = "su" }, func(m *models.Model) bool { return m.Plan.LongFrom() == 32 }},
		{"qwen2", "window off", func(f *modeltest.Fixture) { f.Config["use_sliding_window"] = false }, func(m *models.Model) bool {
			return slices.Equal(windows(m), []int32{0, 0})
		}},
		{"cohere", "no head norms", func(f *modeltest.Fixture) { f.Config["use_qk_norm"] = false }, func(m *models.Model) bool {
			return first(m, plan.Rope).I[3] == int32(plan.RopeNeighbours) && m.Plan.Ops[3].Kind == plan.Rope
		}},
	} {
		t.Run(tt.arch+"/"+tt.name, func(t *testing.T) {
			f := modeltest.ArchFixtures()[tt.arch]
			tt.do(f)
			m, err := build(f.Write(t))
			if err != nil {
				t.Fatal(err)
			}
			checkBindings(t, m)
			if !tt.check(m) {
				var s strings.Builder
				m.Plan.Dump(&s)
				t.Errorf("%+v\n%s", m, &s)
			}
		})
	}
}
