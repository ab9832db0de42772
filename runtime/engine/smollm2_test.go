package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"aquifer/backends/cpu"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/models/modeltest"
	"aquifer/runtime/plan"
)

// TestSmolLM2 compares the greedy answers of the real checkpoints on the kernels with the reference implementation's,
// for one and two threads, one by one and four at a time.
func TestSmolLM2(t *testing.T) {
	if testing.Short() {
		t.Skip("a real model; not in -short")
	}
	for _, tt := range []struct {
		scheme        string
		threads, seqs int
	}{{"4x8g8", 1, 4}, {"4x8g8", 2, 1}, {"4x8g8", 2, 4}, {"2x8g8", 2, 4}} {
		t.Run(fmt.Sprintf("%s %d threads %d at a time", tt.scheme, tt.threads, tt.seqs), func(t *testing.T) {
			smolLM2(t, filepath.Join(modeltest.SmolLM2(t), "smollm2-135m-instruct-aqlm-"+tt.scheme), tt.threads, tt.seqs)
		})
	}
}

func smolLM2(t *testing.T, dir string, threads, seqs int) {
	data, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Prompts []struct {
			IDs       []int32
			TopIDs    []int32   `json:"top_ids"`
			TopLogits []float64 `json:"top_logits"`
			LogSumExp float64   `json:"logsumexp"`
			Greedy    []int32   `json:"greedy_ids"`
		}
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	device, err := cpu.Open(cpu.Config{Threads: threads})
	if errors.Is(err, cpu.ErrUnsupportedPlatform) || errors.Is(err, cpu.ErrNotBuilt) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ck, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.Build(ck)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := ck.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	e, err := Load(t.Context(), Config{
		Model: m, Checkpoint: ck, Tokenizer: tok, Backend: device, KV: plan.F32, Context: 1024, MaxSeqs: seqs,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(e.Close(t.Context()), ck.Close(), device.Close()); err != nil {
			t.Error(err)
		}
	}()
	var streams []*Stream
	for _, p := range want.Prompts {
		streams = append(streams, generate(t, e, t.Context(), Request{
			Prompt: p.IDs, MaxTokens: len(p.Greedy), IgnoreEOS: true, Key: "k",
		}))
	}
	for i, p := range want.Prompts {
		scores, err := e.Score(t.Context(), append(slices.Clone(p.IDs), p.TopIDs[0]), len(p.IDs))
		if right := p.TopLogits[0] - p.LogSumExp; err != nil || !(math.Abs(scores[0]-right) <= 2e-4) {
			t.Errorf("prompt %d: the likeliest token has the score %v, want %v (%v)", i, scores, right, err)
		}
	}
	for i, p := range want.Prompts {
		text, _, err := read(t, streams[i])
		if err != nil {
			t.Fatal(err)
		}
		if right := tok.Decode(p.Greedy, true); text != right {
			t.Errorf("prompt %d answers %q, want %q", i, text, right)
		}
	}
}
