package models_test

import (
	"testing"

	"aquifer/backends"
	"aquifer/backends/ref"
	"aquifer/models/goldentest"
	"aquifer/runtime/plan"
)

func openRef(*testing.T) backends.Backend { return ref.New(0) }

func TestGolden(t *testing.T) { goldentest.Run(t, openRef, goldentest.Options{}) }

// TestGoldenChunked feeds prompts in odd pieces into an F16 cache, whose rounding shows in the logits.
func TestGoldenChunked(t *testing.T) {
	if testing.Short() {
		t.Skip("the same models as TestGolden")
	}
	goldentest.Run(t, openRef, goldentest.Options{KV: plan.F16, Chunks: []int{5, 1, 33, 16}, Logits: 3e-2})
}

// TestGoldenSmolLM2 runs the shortest prompts only: the reference takes seconds for each.
func TestGoldenSmolLM2(t *testing.T) {
	for scheme, prompts := range map[string]int{"4x8g8": 2, "2x8g8": 1} {
		t.Run(scheme, func(t *testing.T) {
			if testing.Short() && prompts == 2 {
				t.Skip("2x8g8 runs the same code")
			}
			goldentest.RunSmolLM2(t, ref.New(0), scheme, 60, prompts, goldentest.Options{})
		})
	}
}
