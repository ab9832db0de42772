package tokenizer

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/ulikunitz/xz"

	"aquifer/models/modeltest"
)

// sharedFile returns the bytes of a file in the shared test data, unpacked if its name ends in .xz. It skips the test
// where the file is not there.
func sharedFile(t testing.TB, name ...string) []byte {
	t.Helper()
	path := filepath.Join(append([]string{modeltest.Shared(t)}, name...)...)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs %s, which is not on this machine", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if filepath.Ext(path) == ".xz" {
		if r, err = xz.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

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
	unmarshal(t, sharedFile(t, "tokenizers", "expected", "cases.json"), &cases)
	return cases
}
