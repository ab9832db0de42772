package models_test

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/models/modeltest"
	"aquifer/runtime/plan"
)

// object is a JSON object of a config.
type object = map[string]any

// TestRefused changes one thing of a good checkpoint each.
func TestRefused(t *testing.T) {
	set := func(key string, v any) func(*modeltest.Fixture) {
		return func(f *modeltest.Fixture) { f.Config[key] = v }
	}
	drop := func(key string) func(*modeltest.Fixture) { return func(f *modeltest.Fixture) { delete(f.Config, key) } }
	scaling := func(o object) func(*modeltest.Fixture) { return set("rope_scaling", o) }
	tensor := func(name, dtype string, shape ...int) func(*modeltest.Fixture) {
		return func(f *modeltest.Fixture) { f.Tensors[name] = modeltest.FixtureTensor{DType: dtype, Shape: shape} }
	}
	const layer = "model.layers.0."
	sixes := []float64{1, 1, 1}
	for _, tt := range []struct {
		name, want string
		do         func(*modeltest.Fixture)
	}{
		{"model type", "model_type: \"mamba\" is not supported, only llama, mistral, mixtral", set("model_type", "mamba")},
		{"vocab missing", "vocab_size: is missing", drop("vocab_size")},
		{"vocab huge", "vocab_size: is 4194305", set("vocab_size", 1<<22+1)},
		{"hidden missing", "hidden_size: is missing", drop("hidden_size")},
		{"hidden null", "hidden_size: is missing", set("hidden_size", nil)},
		{"inner missing", "intermediate_size: is missing", drop("intermediate_size")},
		{"layers missing", "num_hidden_layers: is missing", drop("num_hidden_layers")},
		{"layers too many", "model.layers.2.input_layernorm.weight\": is missing", set("num_hidden_layers", 3)},
		{"heads missing", "num_attention_heads: is missing", drop("num_attention_heads")},
		{"kv heads zero", "num_key_value_heads: is 0", set("num_key_value_heads", 0)},
		{"kv heads", "num_key_value_heads: is 4, which does not divide", set("num_key_value_heads", 4)},
		{"head dim odd", "head_dim: is 7", set("head_dim", 7)},
		{"head dim zero", "head_dim: is 0", set("head_dim", 0)},
		{"head dim missing", "num_attention_heads: is 6, which does not divide hidden_size 32", drop("head_dim")},
		{"heads one each", "head_dim: is 1, must be even", func(f *modeltest.Fixture) { delete(f.Config, "head_dim"); f.Config["num_attention_heads"] = 32 }},
		{"positions", "max_position_embeddings: is 0", set("max_position_embeddings", 0)},
		{"positions huge", "max_position_embeddings: is 1000000000", set("max_position_embeddings", 1000000000)},
		{"eps zero", "rms_norm_eps: is 0", set("rms_norm_eps", 0)},
		{"eps large", "rms_norm_eps: is 1,", set("rms_norm_eps", 1)},
		{"eps string", "rms_norm_eps: is the string", set("rms_norm_eps", "1e-5")},
		{"theta", "rope_theta: is -1", set("rope_theta", -1)},
		{"activation", "hidden_act: \"gelu\" is not supported", set("hidden_act", "gelu")},
		{"tie", "tie_word_embeddings: is the string", set("tie_word_embeddings", "yes")},
		{"eos outside", "eos_token_id: is 40", set("eos_token_id", []int{2, 40})},
		{"partial rotary", "partial_rotary_factor: is 0.5", set("partial_rotary_factor", 0.5)},

		{"scaling no object", "rope_scaling: is", set("rope_scaling", 8)},
		{"scaling dynamic", "rope_scaling.type: \"dynamic\" is not supported", scaling(object{"type": "dynamic", "factor": 2})},
		{"scaling yarn", "rope_scaling.rope_type: \"yarn\"", scaling(object{"rope_type": "yarn", "factor": 2})},
		{"linear no factor", "rope_scaling.factor: is missing", scaling(object{"rope_type": "linear"})},
		{"linear factor", "rope_scaling.factor: is 0", scaling(object{"rope_type": "linear", "factor": 0})},
		{"llama3 no low", "rope_scaling.low_freq_factor: is missing", scaling(object{"rope_type": "llama3", "factor": 8, "high_freq_factor": 4, "original_max_position_embeddings": 64})},
		{"llama3 no high", "rope_scaling.high_freq_factor: is missing", scaling(object{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "original_max_position_embeddings": 64})},
		{"llama3 order", "high_freq_factor: is 1, must be above", scaling(object{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 1, "original_max_position_embeddings": 64})},
		{"llama3 no context", "rope_scaling.original_max_position_embeddings: is missing", scaling(object{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4})},
		{"longrope short", "short_factor: has 2 values, must have 3", scaling(object{"rope_type": "longrope", "short_factor": sixes[:2], "long_factor": sixes})},
		{"longrope empty", "short_factor: has 0 values", scaling(object{"rope_type": "longrope", "short_factor": []float64{}, "long_factor": []float64{}})},
		{"longrope zero", "short_factor: has the value 0", scaling(object{"rope_type": "longrope", "short_factor": []float64{1, 0, 1}, "long_factor": []float64{1, 0, 1}})},
		{"longrope factor", "rope_scaling.attention_factor: is 0", scaling(object{"rope_type": "longrope", "short_factor": sixes, "long_factor": sixes, "attention_factor": 0})},
		{"longrope partly", "rope_scaling.partial_rotary_factor: is 0.5", scaling(object{"rope_type": "longrope", "short_factor": sixes, "long_factor": sixes, "partial_rotary_factor": 0.5})},
		{"llama3 factor", "rope_scaling.attention_factor: is 1.2", scaling(object{"rope_type": "linear", "factor": 2, "attention_factor": 1.2})},
		{"two ropes", "rope_parameters: stands beside rope_scaling", func(f *modeltest.Fixture) {
			f.Config["rope_scaling"] = object{"rope_type": "default"}
			f.Config["rope_parameters"] = object{"rope_type": "default", "rope_theta": 10000.0}
		}},
		{"rope parameters", "rope_parameters.rope_theta: is 0", set("rope_parameters", object{"rope_type": "default", "rope_theta": 0})},

		{"num_codebooks", "num_codebooks would be 2, but the config has 1", set("quantization_config", object{"quant_method": "aqlm", "num_codebooks": 1, "nbits_per_codebook": 8, "in_group_size": 4})},
		{"in_group_size", "in_group_size would be 4, but the config has 8", set("quantization_config", object{"quant_method": "aqlm", "num_codebooks": 2, "nbits_per_codebook": 8})},
		{"entries", "codebooks\": shape is [2 255 1 4]", tensor(layer+"mlp.up_proj.codebooks", "F16", 2, 255, 1, 4)},
		{"one entry", "codebooks\": shape is [2 1 1 4]", tensor(layer+"mlp.up_proj.codebooks", "F16", 2, 1, 1, 4)},
		{"codebook rank", "codebooks\": shape is [2 256 4]", tensor(layer+"mlp.up_proj.codebooks", "F16", 2, 256, 4)},
		{"groups", "groups of 3 rows and 4 columns do not divide", func(f *modeltest.Fixture) {
			delete(f.Config, "quantization_config")
			f.Tensors[layer+"mlp.up_proj.codebooks"] = modeltest.FixtureTensor{DType: "F16", Shape: []int{2, 256, 3, 4}}
			f.Tensors[layer+"mlp.up_proj.codes"] = modeltest.FixtureTensor{DType: "I8", Shape: []int{16, 8, 2}}
			f.Tensors[layer+"self_attn.o_proj.codebooks"] = modeltest.FixtureTensor{DType: "F16", Shape: []int{2, 256, 3, 4}}
		}},
		{"scale for each group", "scales\": shape is [48 8 1 1], must be [48]", tensor(layer+"mlp.up_proj.scales", "F16", 48, 8, 1, 1)},
		{"codes", "codes\": shape is [48 9 2], must be [48 8 2]", tensor(layer+"mlp.up_proj.codes", "I8", 48, 9, 2)},
		{"codes turned around", "codes\": shape is [8 48 2], must be [48 8 2]: the model was saved after it had run on a CPU", tensor(layer+"mlp.up_proj.codes", "I8", 8, 48, 2)},
		{"AQLM.rs", "up_proj.codes_120\": has the layout of AQLM.rs", tensor(layer+"mlp.up_proj.codes_120", "I8", 8, 2, 48)},
		{"codes and weight", "both", tensor(layer+"mlp.up_proj.weight", "F16", 48, 32)},
		{"bias switched off", "q_proj.bias\": exists, but attention_bias is false", func(f *modeltest.Fixture) {
			f.Config["attention_bias"] = false
			f.Tensors[layer+"self_attn.q_proj.bias"] = modeltest.FixtureTensor{DType: "F16", Shape: []int{36}}
		}},
		{"bias missing", "q_proj.bias\": is missing, but attention_bias is true", set("attention_bias", true)},
		{"mlp bias missing", "gate_proj.bias\": is missing, but mlp_bias is true", set("mlp_bias", true)},
		{"bias shape", "q_proj.bias\": shape is [12], must be [36]", tensor(layer+"self_attn.q_proj.bias", "F16", 12)},
		{"norm matrix", "model.norm.weight\": shape is [32 1], must be [32]", tensor("model.norm.weight", "F16", 32, 1)},
		{"norm type", "model.norm.weight\": type I8", tensor("model.norm.weight", "I8", 32)},
		{"embedding type", "model.embed_tokens.weight\": type I16", tensor("model.embed_tokens.weight", "I16", 40, 32)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := modeltest.NewFixture()
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

// TestAccepted changes things that must not matter, or that must have the stated effect.
func TestAccepted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		do    func(*modeltest.Fixture)
		check func(m *models.Model) bool
	}{
		{"defaults", func(f *modeltest.Fixture) {
			maps.DeleteFunc(f.Config, func(key string, _ any) bool {
				return strings.HasPrefix(key, "rope") || key == "rms_norm_eps" || key == "hidden_act" || key == "max_position_embeddings" || key == "tie_word_embeddings"
			})
		}, func(m *models.Model) bool {
			eps := m.Plan.Ops[1].F[0]
			return m.Context == 2048 && eps == 1e-6 && near(freqs(m)[1], math.Pow(10000, -1.0/3))
		}},
		{"untied head of its own type", func(*modeltest.Fixture) {}, func(m *models.Model) bool {
			return m.Plan.Weights[len(m.Plan.Weights)-1].Name == "lm_head"
		}},
		{"tied in spite of a head", func(f *modeltest.Fixture) { f.Config["tie_word_embeddings"] = true }, func(m *models.Model) bool {
			return m.Plan.Ops[len(m.Plan.Ops)-1].W[0] == m.Plan.Ops[0].W[0]
		}},
		{"quantized head", func(f *modeltest.Fixture) { delete(f.Tensors, "lm_head.weight"); f.AQLM("lm_head", 40, 32) }, func(m *models.Model) bool {
			return m.Plan.Weights[len(m.Plan.Weights)-1].Encoding == plan.AQLM
		}},
		{"no announced scheme", func(f *modeltest.Fixture) { delete(f.Config, "quantization_config") }, func(m *models.Model) bool {
			return m.Scheme == "2x8g4 + dense"
		}},
		{"a bias without a switch", func(f *modeltest.Fixture) {
			f.Tensors["model.layers.1.self_attn.o_proj.bias"] = modeltest.FixtureTensor{DType: "F32", Shape: []int{32}}
		}, func(m *models.Model) bool { return len(m.Plan.Weights) == 1+1+2*9+1+2 }},
		{"flat scales", func(f *modeltest.Fixture) {
			f.Tensors["model.layers.0.mlp.up_proj.scales"] = modeltest.FixtureTensor{DType: "BF16", Shape: []int{48}}
		}, func(m *models.Model) bool { return true }},
		{"linear", func(f *modeltest.Fixture) { f.Config["rope_scaling"] = object{"type": "linear", "factor": 4.0} }, func(m *models.Model) bool {
			return near(freqs(m)[0], 0.25)
		}},
		{"equal longrope", func(f *modeltest.Fixture) {
			f.Config["rope_scaling"] = object{"rope_type": "longrope", "short_factor": []float64{1, 2, 4}, "long_factor": []float64{1, 2, 4}}
		}, func(m *models.Model) bool { return near(freqs(m)[2], math.Pow(10000, -2.0/3)/4) }},
		{"rope parameters", func(f *modeltest.Fixture) {
			delete(f.Config, "rope_theta")
			f.Config["rope_parameters"] = object{"rope_type": "default", "rope_theta": 500000.0}
		}, func(m *models.Model) bool { return near(freqs(m)[1], math.Pow(500000, -1.0/3)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := modeltest.NewFixture()
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

func freqs(m *models.Model) []float32 {
	for _, values := range m.Plan.Consts {
		return values
	}
	return nil
}

func near(got float32, want float64) bool { return math.Abs(float64(got)/want-1) < 1e-7 }

// TestLlama3Frequencies compares with values written out by wavelength, as the scaling is defined.
func TestLlama3Frequencies(t *testing.T) {
	const factor, low, high, context, theta, dim = 8.0, 1.0, 4.0, 8192.0, 500000.0, 64
	f := modeltest.NewFixture()
	f.Config["head_dim"], f.Config["rope_theta"] = dim, theta
	f.Config["num_hidden_layers"], f.Config["quantization_config"] = 1, nil
	f.Config["rope_scaling"] = object{
		"rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high, "original_max_position_embeddings": context,
	}
	for name, shape := range map[string][]int{"q_proj": {6 * dim, 32}, "k_proj": {2 * dim, 32}, "v_proj": {2 * dim, 32}, "o_proj": {32, 6 * dim}} {
		maps.DeleteFunc(f.Tensors, func(tensor string, _ modeltest.FixtureTensor) bool { return strings.Contains(tensor, name) })
		f.Tensors["model.layers.0.self_attn."+name+".weight"] = modeltest.FixtureTensor{DType: "F16", Shape: shape}
	}
	m, err := build(f.Write(t))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for i, got := range freqs(m) {
		wavelength := 2 * math.Pi * math.Pow(theta, 2*float64(i)/dim)
		want := 2 * math.Pi / wavelength
		switch {
		case wavelength < context/high:
			kinds["kept"]++
		case wavelength > context/low:
			want /= factor
			kinds["slowed"]++
		default:
			smooth := (context/wavelength - low) / (high - low)
			want *= (1-smooth)/factor + smooth
			kinds["blended"]++
		}
		if !near(got, want) {
			t.Errorf("frequency %d is %v, want %v", i, got, want)
		}
	}
	if kinds["kept"] < 5 || kinds["slowed"] < 5 || kinds["blended"] < 2 {
		t.Errorf("the case does not reach every branch: %v", kinds)
	}
}

// FuzzConfig builds the fixture's tensors under any config: an error or a valid plan, never a crash.
func FuzzConfig(f *testing.F) {
	seeds := append(slices.Collect(maps.Values(modeltest.ArchFixtures())), modeltest.NewFixture(), modeltest.TiedFixture())
	for _, fx := range seeds {
		dir := fx.Write(f)
		text, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"model_type":"llama","hidden_size":32,"rope_scaling":{"rope_type":"longrope","short_factor":[],"long_factor":[]},"head_dim":1}`))
	dir := modeltest.NewFixture().Write(f)
	weights, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{"config.json": text, "model.safetensors": weights} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := checkpoint.Open(dir)
		if err != nil {
			return
		}
		defer c.Close()
		if m, err := models.Build(c); err == nil {
			if err := m.Plan.Validate(); err != nil {
				t.Error(err)
			}
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("not one line: %q", err)
		}
	})
}
