package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aquifer/models/checkpoint"
	"aquifer/models/synthetic"
	"aquifer/runtime/plan"
)

func TestShow(t *testing.T) {
	dir := tinyModel(t, true)
	stdout, _ := succeed(t, "", "show", dir, "--json")
	var d description
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		t.Fatal(err)
	}
	if d.Scheme != "1x8g8" || d.Vocab != 259 || d.Context != 65536 || d.Layers != 1 || d.KVBytes != 64 ||
		!slices.Equal(d.EOS, []int32{257}) || !slices.Equal(d.EOSTexts, []string{"<|im_end|>"}) {
		t.Errorf("%+v", d)
	}
	// Seven matrices of 2*(32*32) + 2*(16*32) + 3*(64*32) weights in groups of eight, each with 256 entries of eight; 288
	// rows have a scale.
	const weights, rows = 2*32*32 + 2*16*32 + 3*64*32, 2*32 + 2*16 + 2*64 + 32
	want := bytesByKind{Codes: weights / 8, Codebooks: 7*256*8*2 + rows*2, Embedding: 259 * 32 * 2, Other: 3 * 32 * 2}
	if d.Kinds != want || d.Bytes != want.Codes+want.Codebooks+want.Embedding+want.Other {
		t.Errorf("%d bytes: %+v, want %+v", d.Bytes, d.Kinds, want)
	}
	if params := int64(weights + 259*32 + 3*32); d.Parameters != params || d.BitsOverall != 8*float64(d.Bytes)/float64(params) {
		t.Errorf("%d parameters of %v bits, want %d", d.Parameters, d.BitsOverall, params)
	}
	if d.Attention != (attentionFacts{Heads: 2, KVHeads: 1, HeadDim: 16}) || d.Rope != (ropeFacts{Theta: 10000}) ||
		d.Tokenizer != (tokenizerFacts{Kind: "byte-level BPE", Tokens: 259, Special: 3}) || d.Template.Bytes == 0 || d.Template.Tools {
		t.Errorf("%+v", d)
	}
	var contexts []int
	for i, m := range d.Memory {
		contexts = append(contexts, m.Context)
		if m.Total != m.Weights+m.KV+m.Scratch || m.KV < int64(m.Context)*d.KVBytes || i > 0 && m.KV <= d.Memory[i-1].KV {
			t.Errorf("%+v", m)
		}
	}
	if !slices.Equal(contexts, []int{2048, 8192, 32768, 65536}) || d.MemoryBackend == "" {
		t.Errorf("memory for contexts %v on %q", contexts, d.MemoryBackend)
	}

	text, _ := succeed(t, "", "show", dir)
	for _, want := range []string{
		"tiny-1x8g8", "llama, 1 layer\n", "1x8g8, ", "65536 tokens", "2 heads of 16, 1 for keys and values\n", "theta 10000\n",
		"byte-level BPE, 259 tokens, 3 of them special\n", "<|im_end|> (257)\n", ", without tools\n", "\n     65536 ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("show lacks %q:\n%s", want, text)
		}
	}
	if lines := strings.Count(text, "\n"); lines > 24 {
		t.Errorf("%d lines do not fit a terminal", lines)
	}
}

// TestShowIncomplete: what is missing is said, the rest is shown.
func TestShowIncomplete(t *testing.T) {
	dir := tinyModel(t, false)
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := succeed(t, "", "show", dir)
	for _, want := range []string{"none that can be used: checkpoint: ", "no tokenizer.json", "ends with      no token", "chat template  none", "1x8g8"} {
		if !strings.Contains(text, want) {
			t.Errorf("show lacks %q:\n%s", want, text)
		}
	}
}

// TestDescribePublished looks at shapes of published models.
func TestDescribePublished(t *testing.T) {
	for spec, want := range map[string]struct {
		attention, rope string
		bits            float64
	}{
		"llama-2-7b:1x16g8":   {"32 heads of 128", "theta 10000", 2.294},
		"llama-3.2-3b:2x8g8":  {"24 heads of 128, 8 for keys and values", "theta 500000, llama3 scaling by 32", 2.01},
		"smollm2-135m:1x16g8": {"9 heads of 64, 3 for keys and values", "theta 100000", 18.62},
	} {
		ck, err := synthetic.Open(spec)
		if err != nil {
			t.Fatal(err)
		}
		m, err := buildModel(ck)
		if err != nil {
			t.Fatal(err)
		}
		d, err := describe(ck, m)
		if err != nil {
			t.Fatal(err)
		}
		if d.Attention.String() != want.attention || d.Rope.String() != want.rope {
			t.Errorf("%s: %q, %q", spec, d.Attention, d.Rope)
		}
		if diff := d.BitsPerWeight - want.bits; diff < -0.01 || diff > 0.01 {
			t.Errorf("%s: %v bits a weight, want %v", spec, d.BitsPerWeight, want.bits)
		}
		// The F16 embedding takes more than the body, except where codebooks are larger than the matrices.
		if more := d.BitsOverall > d.BitsPerWeight; more != (want.bits < 16) {
			t.Errorf("%s: %v bits a weight, %v overall", spec, d.BitsPerWeight, d.BitsOverall)
		}
		if d.Tokenizer.Why == "" || d.Tokenizer.Kind != "" {
			t.Errorf("%s: %+v", spec, d.Tokenizer)
		}
	}
}

func TestAttentionWindow(t *testing.T) {
	b := plan.NewBuilder("x", 10, 10)
	for _, window := range []int{0, 8, 4} {
		x := plan.All(b.Buffer("x", plan.PerToken, 64))
		b.Attention(x, x, x, x, plan.AttentionParams{Layer: b.KV(2, 16), Heads: 4, Window: window})
	}
	if f := attentionOf(&b.Plan); f != (attentionFacts{Heads: 4, KVHeads: 2, HeadDim: 16, Window: 4}) ||
		f.String() != "4 heads of 16, 2 for keys and values, window of 4" {
		t.Errorf("%+v, %s", f, f)
	}
}

func TestRopeFacts(t *testing.T) {
	for text, want := range map[string]ropeFacts{
		`{}`: {Theta: 10000},
		`{"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8}}`:                        {5e5, "llama3", 8},
		`{"rope_scaling": {"type": "linear", "factor": 2.5}}`:                                              {1e4, "linear", 2.5},
		`{"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}`:                                 {1e6, "default", 0},
		`{"rope_theta": null, "rope_scaling": null, "rope_parameters": {"type": "x", "rope_type": "yes"}}`: {1e4, "yes", 0},
	} {
		c, err := checkpoint.ParseConfig("config.json", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := ropeOf(c); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	if text := (ropeFacts{1e6, "default", 0}).String(); text != "theta 1000000" {
		t.Errorf("%q", text)
	}
}

func TestTakesTools(t *testing.T) {
	for template, want := range map[string]bool{
		"{% if tools %}x{% endif %}": true, "{%- if tools is not none %}": true, "{{ toolset }}{{ my_tools }}": false, "": false,
	} {
		if takesTools(template) != want {
			t.Errorf("%q: %v", template, !want)
		}
	}
}

func TestLicenseName(t *testing.T) {
	for want, l := range map[string]checkpoint.License{
		"mit": {ID: "mit", Text: "MIT License"}, "gemma": {ID: "other", Name: "gemma"}, "Apache License": {Text: "\n  Apache License\n Version 2"}, "": {},
	} {
		if got := licenseName(l); got != want {
			t.Errorf("%+v: %q, want %q", l, got, want)
		}
	}
}
