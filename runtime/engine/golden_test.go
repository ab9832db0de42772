package engine

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"aquifer/backends/ref"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/models/modeltest"
	"aquifer/runtime/kv"
	"aquifer/runtime/plan"
	"aquifer/tokenizer"
)

type golden struct {
	Prompts []struct {
		IDs        []int32   `json:"ids"`
		LastLogits []float64 `json:"last_logits"`
		GreedyIDs  []int32   `json:"greedy_ids"`
		MeanNLL    *float64  `json:"mean_nll"`
	} `json:"prompts"`
}

// idTokenizer decodes id n to "n" and separates with spaces, so that a text shows the ids.
func idTokenizer(t testing.TB, n int) *tokenizer.Tokenizer {
	t.Helper()
	pieces := map[string]int{}
	for i := range n {
		pieces[strconv.Itoa(i)] = i
	}
	data, err := json.Marshal(map[string]any{"model": map[string]any{"type": "BPE", "vocab": pieces, "merges": []string{}}})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// goldenEngine loads a golden checkpoint into the reference backend.
func goldenEngine(t testing.TB, name string, change func(*Config)) (*Engine, golden) {
	t.Helper()
	dir := filepath.Join(modeltest.Golden(t), name)
	data, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want golden
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.Build(c)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Model: m, Checkpoint: c, Tokenizer: idTokenizer(t, m.Vocab), Backend: ref.New(2), KV: plan.F32, Context: 256,
	}
	if change != nil {
		change(&cfg)
	}
	e, err := Load(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		c.Close()
	})
	return e, want
}

// TestGolden compares greedy answers with the reference implementation's, alone and four at a time, with steps that
// cut the prompts into chunks.
func TestGolden(t *testing.T) {
	for _, tt := range []struct {
		model      string
		seqs, step int
		speculate  int
	}{
		{"llama-2x8g8", 1, 256, 0},
		{"llama-2x8g8", 1, 19, 0},
		{"llama-2x8g8", 4, 24, 0},
		{"llama-2x8g8", 1, 256, 8},
		{"mixtral-2x8g8", 4, 24, 4},
		// The prompt of 33 turns long at its eighth token, in the middle of the others' work; that of 150 is long.
		{"phi3-longrope-2x8g8", 1, 256, 0},
		{"phi3-longrope-2x8g8", 4, 24, 0},
		{"phi3-longrope-2x8g8", 4, 24, 16},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			e, want := goldenEngine(t, tt.model, func(c *Config) {
				c.MaxSeqs, c.StepTokens, c.Speculate = tt.seqs, tt.step, tt.speculate
			})
			for round := range 2 { // the second finds the first in the cache
				var streams []*Stream
				for _, p := range want.Prompts {
					streams = append(streams, generate(t, e, t.Context(), Request{
						Prompt: p.IDs, MaxTokens: len(p.GreedyIDs), Key: "k", Prediction: spoilt(p.GreedyIDs, 7),
					}))
				}
				for i, p := range want.Prompts {
					text, last, err := read(t, streams[i])
					if err != nil {
						t.Fatal(err)
					}
					var ids []int32
					for _, f := range strings.Fields(text) {
						n, err := strconv.Atoi(f)
						if err != nil {
							t.Fatal(err)
						}
						ids = append(ids, int32(n))
					}
					if !slices.Equal(ids, p.GreedyIDs) || last.Finish != FinishLength {
						t.Errorf("prompt of %d: %v, want %v", len(p.IDs), ids, p.GreedyIDs)
					}
					if reused := (len(p.IDs) - 1) / kv.BlockSize * kv.BlockSize * round; last.Usage.Cached != reused && !e.mayTurn(len(p.IDs), len(p.IDs)+len(ids)) {
						t.Errorf("prompt of %d, round %d: %d tokens were cached, want %d", len(p.IDs), round, last.Usage.Cached, reused)
					}
				}
			}
			waitIdle(t, e)
			if s := e.Stats(); (s.Accepted > 0) != (tt.speculate > 0) {
				t.Errorf("%d of %d proposed tokens were accepted", s.Accepted, s.Drafted)
			}
		})
	}
}

func TestGoldenLogits(t *testing.T) {
	e, want := goldenEngine(t, "llama-2x8g8", func(c *Config) { c.MaxSeqs, c.StepTokens = 1, 50 })
	for _, p := range want.Prompts {
		got, err := e.Logits(t.Context(), p.IDs)
		if err != nil || len(got) != len(p.LastLogits) {
			t.Fatalf("%d logits, %v", len(got), err)
		}
		for i := range got {
			if d := math.Abs(float64(got[i]) - p.LastLogits[i]); !(d <= 2e-4) {
				t.Errorf("prompt of %d: logit %d is off by %.2g", len(p.IDs), i, d)
				break
			}
		}
	}
}
