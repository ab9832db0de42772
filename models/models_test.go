package models_test

import (
	"bytes"
	"flag"
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

var update = flag.Bool("update", false, "rewrite testdata")

// build opens and builds a folder; either may refuse it.
func build(dir string) (*models.Model, error) {
	c, err := checkpoint.Open(dir)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return models.Build(c)
}

// TestBad: every malformed checkpoint is refused in one line that names what is wrong with it.
func TestBad(t *testing.T) {
	dir := filepath.Join(modeltest.Golden(t), "bad")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	// What the error must name, for the cases that depend on this package (the file layer's are tested there).
	names := map[string]string{
		"cfg-rope-theta-zero": "rope_theta", "cfg-eps-negative": "rms_norm_eps", "cfg-hidden-zero": "hidden_size",
		"cfg-hidden-negative": "hidden_size", "cfg-hidden-huge": "hidden_size", "cfg-hidden-string": "hidden_size",
		"cfg-hidden-fraction": "hidden_size", "cfg-heads-zero": "num_attention_heads", "cfg-heads-not-dividing": "num_attention_heads",
		"cfg-kv-heads-not-dividing": "num_key_value_heads", "cfg-head-dim-odd": "head_dim", "cfg-zero-layers": "num_hidden_layers",
		"cfg-1e9-layers": "num_hidden_layers", "cfg-vocab-larger": "model.embed_tokens.weight", "cfg-intermediate-wrong": "model.layers.0.mlp.",
		"cfg-model-type-unknown": "mamba", "cfg-model-type-missing": "model_type", "cfg-rope-unknown": "spiral",
		"cfg-rope-llama3-incomplete": "rope_scaling.factor", "cfg-activation-unknown": "swoosh", "cfg-quant-method": "gptq",
		"cfg-bits-4": "nbits_per_codebook", "cfg-bits-64": "nbits_per_codebook", "cfg-codebooks-zero": "num_codebooks",
		"cfg-group-size-zero": "in_group_size", "cfg-group-size-wrong": "in_group_size",
		"t-codes-i16": "q_proj.codes\": type I16", "t-codes-f16": "q_proj.codes\": type F16", "t-codes-group": "q_proj.codes\": shape",
		"t-codes-rows": "q_proj.codes\": shape", "t-codes-num": "q_proj.codes\": shape", "t-codes-rank": "q_proj.codes\": shape",
		"t-codes-empty": "q_proj.codes\": shape", "t-codebooks-128": "q_proj.codebooks\": shape",
		"t-codebooks-group": "q_proj.codebooks\": shape", "t-codebooks-i8": "q_proj.codebooks\": type I8",
		"t-codebooks-missing": "down_proj.codebooks", "t-scales-missing": "q_proj.scales", "t-scales-shape": "q_proj.scales\": shape",
		"t-linear-missing": "down_proj", "t-norm-missing": "post_attention_layernorm.weight", "t-norm-shape": "model.norm.weight\": shape",
		"t-embed-missing": "model.embed_tokens.weight", "t-head-missing": "lm_head", "t-dense-shape": "k_proj.weight\": shape",
		"t-dense-i8": "k_proj.weight\": type I8",
	}
	seen := 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		seen++
		t.Run(e.Name(), func(t *testing.T) {
			m, err := build(filepath.Join(dir, e.Name()))
			if e.Name() == "ok-base" {
				if err != nil || m.Scheme != "2x8g8 + dense" {
					t.Fatalf("%+v, %v", m, err)
				}
				return
			}
			if err == nil {
				t.Fatal("was accepted")
			}
			text := err.Error()
			if strings.ContainsAny(text, "\n\r") || len(text) > 400 {
				t.Errorf("not one line: %q", text)
			}
			if !strings.Contains(text, names[e.Name()]) {
				t.Errorf("%q does not name %q", text, names[e.Name()])
			}
			if !strings.Contains(text, e.Name()) {
				t.Errorf("%q does not name the file", text)
			}
		})
	}
	if seen < 90 {
		t.Errorf("only %d cases", seen)
	}
}

func TestGoldenModels(t *testing.T) {
	dir := modeltest.Golden(t)
	for _, tt := range []struct {
		name, scheme string
		params       int64
		layers       int
	}{
		{"llama-2x8g8", "2x8g8", 0, 3},
		{"llama-2x8g8-tied-llama3rope", "2x8g8", 419*128 + 128 + 2*(2*128+2*128*128+2*32*128+3*128*328), 2},
		{"llama-1x16g8", "1x16g8", 0, 1},
		{"llama-1x16g16", "1x16g16", 0, 1},
		{"llama-8x8g32", "8x8g32", 0, 2},
		{"llama-1x8g8", "1x8g8", 0, 2},
		{"llama-4x8g8", "4x8g8", 0, 2},
		{"llama-2x12g8", "2x12g8", 0, 2},
		{"llama-1x15g8", "1x15g8", 0, 1},
		{"llama-legacy-2x16g8", "2x16g8 + dense", 0, 2},
		{"llama-mixed-2x8g8", "2x8g8 + dense", 0, 2},
		{"llama-2x8g8-og2", "2x8g8og2", 0, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := build(filepath.Join(dir, tt.name))
			if err != nil {
				t.Fatal(err)
			}
			if m.Scheme != tt.scheme || m.Arch != "llama" || m.Name != tt.name || len(m.Plan.Layers) != tt.layers {
				t.Errorf("%s %s %s, %d layers", m.Name, m.Arch, m.Scheme, len(m.Plan.Layers))
			}
			if tt.params != 0 && m.Params != tt.params {
				t.Errorf("%d parameters, want %d", m.Params, tt.params)
			}
			if m.Context != m.Plan.MaxPos || m.Vocab != m.Plan.Vocab {
				t.Errorf("context %d, vocabulary %d", m.Context, m.Vocab)
			}
			checkBindings(t, m)
		})
	}
}

// checkBindings: every part of every weight that is not computed is bound once, in plan order.
func checkBindings(t *testing.T, m *models.Model) {
	t.Helper()
	var want []models.Binding
	for i := range m.Plan.Weights {
		if _, constant := m.Plan.Consts[plan.Weight(i)]; constant {
			continue
		}
		for _, part := range m.Plan.Weights[i].Parts() {
			want = append(want, models.Binding{Weight: plan.Weight(i), Part: part})
		}
	}
	tensors := map[string]bool{}
	got := slices.Clone(m.Bindings)
	for i := range got {
		if tensors[got[i].Tensor] {
			t.Errorf("tensor %s is bound twice", got[i].Tensor)
		}
		tensors[got[i].Tensor] = true
		got[i].Tensor = ""
	}
	if !slices.Equal(got, want) {
		t.Errorf("bindings %v, want %v", m.Bindings, want)
	}
}

func TestSmolLM2(t *testing.T) {
	dir := modeltest.SmolLM2(t)
	for scheme, bits := range map[string]float64{"2x8g8": 2.1, "4x8g8": 4.2} {
		m, err := build(filepath.Join(dir, "smollm2-135m-instruct-aqlm-"+scheme))
		if err != nil {
			t.Fatal(err)
		}
		if m.Scheme != scheme || m.Params != 134_515_008 || m.Context != 8192 || m.Vocab != 49152 {
			t.Errorf("%s, %d parameters, context %d, vocabulary %d", m.Scheme, m.Params, m.Context, m.Vocab)
		}
		if m.BitsPerWeight < bits-0.1 || m.BitsPerWeight > bits+0.2 {
			t.Errorf("%s: %.3f bits a weight", scheme, m.BitsPerWeight)
		}
	}
}

// TestDump shows the plans of small self-made checkpoints, one of each architecture at least.
func TestDump(t *testing.T) {
	all := modeltest.ArchFixtures()
	all["llama"], all["llama-tied-bias"] = modeltest.NewFixture(), modeltest.TiedFixture()
	for name, f := range all {
		m, err := build(f.Write(t))
		if err != nil {
			t.Fatal(err)
		}
		checkBindings(t, m)
		m.Plan.Name = name // the folder's name is random
		var got bytes.Buffer
		if err := m.Plan.Dump(&got); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("the plan differs from %s (go test -update rewrites it):\n%s", path, &got)
		}
	}
}
