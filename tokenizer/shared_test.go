package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"aquifer/models/modeltest"
)

// smolLM2 returns the tokenizer.json of SmolLM2.
func smolLM2(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(modeltest.SmolLM2(t), "smollm2-135m-instruct-aqlm-2x8g8", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unmarshal(t testing.TB, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

// reference is what the Rust tokenizers library gives for one string.
type reference struct {
	IDs  []int32 `json:"ids"`  // with special tokens
	IDs2 []int32 `json:"ids2"` // without
	Dec  string  `json:"dec"`  // decode(ids), special tokens skipped
	Dec0 string  `json:"dec0"` // decode(ids2), special tokens kept
}

func sharedCases(t testing.TB) []string {
	t.Helper()
	var cases []string
	unmarshal(t, modeltest.SharedFile(t, "tokenizers", "expected", "cases.json"), &cases)
	return cases
}
