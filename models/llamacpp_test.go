package models_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aquifer/backends/ref"
	"aquifer/models/goldentest"
	"aquifer/runtime/plan"
)

// TestLlamaCpp compares ordinary GGUF files of every architecture with what llama.cpp computes from them; see
// testdata/llamacpp/README.md.
func TestLlamaCpp(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "llamacpp", "*.gguf"))
	if err != nil || len(files) < 11 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".gguf")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(strings.TrimSuffix(file, ".gguf") + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Prompts []struct {
					IDs    []int32
					Logits []float64
				}
			}
			if err := json.Unmarshal(text, &want); err != nil || len(want.Prompts) == 0 {
				t.Fatalf("%d prompts, %v", len(want.Prompts), err)
			}
			tolerance := 2e-4
			if strings.HasPrefix(name, "gemma") {
				tolerance = 1e-2 // of the table that llama.cpp looks GELU up in
			}
			b := ref.New(0)
			t.Cleanup(func() { b.Close() })
			s := goldentest.Open(t, b, file, 320, 320, 0, plan.F32)
			for _, p := range want.Prompts {
				s.Reset()
				got := s.Feed(p.IDs, []int{len(p.IDs) - 1})[0]
				if len(got) != len(p.Logits) {
					t.Fatalf("%d logits, want %d", len(got), len(p.Logits))
				}
				worst := 0.0
				for i := range got {
					worst = max(worst, math.Abs(float64(got[i])-p.Logits[i]))
				}
				if !(worst <= tolerance) {
					t.Errorf("prompt of %d: logits are off by %.3g, at most %.3g", len(p.IDs), worst, tolerance)
				}
				t.Logf("prompt of %d: largest error %.2g of logits up to %.3g", len(p.IDs), worst, p.Logits[0])
			}
		})
	}
}
