package tokenizer

import (
	"slices"
	"testing"
	"time"

	"aquifer/models/modeltest"
)

// TestReference compares every id and every decoded byte with the Rust reference on real tokenizers, read from
// tokenizer.json, sent through GGUF keys, and behind sugarme's API.
func TestReference(t *testing.T) {
	for _, c := range []struct {
		name, model, pre string
		merges           bool // GGUF needs the merges listed
		sugarme          bool // that library is slow, so only one of a kind
	}{
		{"llama2real", "llama", "default", false, true},
		{"mistral_v3", "llama", "metaspace-first", true, false},
		{"gemma3", "llama", "default", false, false},
		{"llama3_1", "gpt2", "llama-bpe", true, true},
		{"qwen3", "gpt2", "qwen2", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cases := sharedCases(t)
			raw := modeltest.SharedFile(t, "tokenizers", c.name+".json.xz")
			var refs []reference
			unmarshal(t, modeltest.SharedFile(t, "tokenizers", "expected", c.name+".ref"), &refs)
			if len(refs) != len(cases) || len(cases) < 300 {
				t.Fatalf("%d references for %d cases", len(refs), len(cases))
			}
			start := time.Now()
			tok, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d MB loaded in %v", len(raw)>>20, time.Since(start).Round(time.Millisecond))
			sugarme := tok.AsSugarme()
			for i, text := range cases {
				ids := tok.Encode(text, EncodeOptions{AddSpecial: true, ParseSpecial: true})
				if !slices.Equal(ids, refs[i].IDs) {
					t.Errorf("ids of %q\n got %v\nwant %v", text, ids, refs[i].IDs)
				}
				ids2 := tok.Encode(text, EncodeOptions{ParseSpecial: true})
				if !slices.Equal(ids2, refs[i].IDs2) {
					t.Errorf("ids without special tokens of %q\n got %v\nwant %v", text, ids2, refs[i].IDs2)
				}
				if got := tok.Decode(refs[i].IDs, true); got != refs[i].Dec {
					t.Errorf("text of %v\n got %q\nwant %q", refs[i].IDs, got, refs[i].Dec)
				}
				if got := tok.Decode(refs[i].IDs2, false); got != refs[i].Dec0 {
					t.Errorf("text of %v, special tokens kept\n got %q\nwant %q", refs[i].IDs2, got, refs[i].Dec0)
				}
				if c.sugarme {
					checkSugar(t, sugarme, text, refs[i].IDs, true)
				}
			}
			m := checkMetadata(t, tok, cases)
			if m.Model != c.model || m.Pre != c.pre || (len(m.Merges) > 0) != c.merges {
				t.Errorf("model %q, pre %q, %d merges; want %q, %q, merges %v", m.Model, m.Pre, len(m.Merges), c.model, c.pre, c.merges)
			}
		})
	}
}
