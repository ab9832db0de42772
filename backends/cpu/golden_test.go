package cpu_test

import (
	"fmt"
	"testing"

	"aquifer/backends"
	"aquifer/backends/cpu"
	"aquifer/models/goldentest"
	"aquifer/runtime/plan"
)

func TestGolden(t *testing.T) {
	levels(t, func(t *testing.T, level string) {
		for _, threads := range []int{1, 2} {
			t.Run(fmt.Sprintf("%d threads", threads), func(t *testing.T) {
				goldentest.Run(t, func(t *testing.T) backends.Backend {
					return open(t, cpu.Config{Threads: threads, Level: level})
				}, goldentest.Options{})
			})
		}
	})
}

// TestGoldenChunks feeds the prompts in uneven steps: positions, cache blocks and masks of continued sequences.
func TestGoldenChunks(t *testing.T) {
	levels(t, func(t *testing.T, level string) {
		goldentest.Run(t, func(t *testing.T) backends.Backend {
			return open(t, cpu.Config{Threads: 2, Level: level})
		}, goldentest.Options{Chunks: []int{1, 7, 32, 2}})
	})
}

// TestSmolLM2 compares a real model's logits and greedy choices with the makers' implementation.
func TestSmolLM2(t *testing.T) {
	if testing.Short() {
		t.Skip("a real model")
	}
	for _, scheme := range []string{"2x8g8", "4x8g8"} {
		for _, kv := range []plan.DType{plan.F32, plan.F16} {
			t.Run(fmt.Sprintf("%s/kv %s", scheme, kv), func(t *testing.T) {
				tolerance := 1e-3 // of logits of size 30
				if kv == plan.F16 {
					tolerance = 5e-2
				}
				goldentest.RunSmolLM2(t, open(t, cpu.Config{Threads: 2}), scheme, 600, 0, goldentest.Options{KV: kv, Logits: tolerance})
			})
		}
	}
}
