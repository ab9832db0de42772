package goldentest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"aquifer/backends"
	"aquifer/models/modeltest"
)

// smol is golden.json of a real checkpoint.
type smol struct {
	Prompts []struct {
		IDs       []int32
		TopIDs    []int32   `json:"top_ids"`
		TopLogits []float64 `json:"top_logits"`
		LogSumExp float64   `json:"logsumexp"`
		Greedy    []int32   `json:"greedy_ids"`
		Gaps      []float64 `json:"greedy_gaps"`
	}
}

// RunSmolLM2 feeds prompts of one of the real checkpoints ("2x8g8", "4x8g8") together with their greedy continuation,
// and compares the largest logits and every choice. Prompts of more than longest tokens are left out; most bounds how
// many are run (0: all). The tolerance is o.Logits; logits are as large as 30 here, and the makers' two implementations
// differ by 2.8e-5.
func RunSmolLM2(t *testing.T, b backends.Backend, scheme string, longest, most int, o Options) {
	if o.Logits == 0 {
		o.Logits = logitTolerance
	}
	dir := filepath.Join(modeltest.SmolLM2(t), "smollm2-135m-instruct-aqlm-"+scheme)
	text, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g smol
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	s := Open(t, b, dir, longest+64, longest+64, o.Precision, o.KV)
	ran := 0
	for _, p := range g.Prompts {
		if len(p.IDs) > longest || most > 0 && ran == most {
			continue
		}
		ran++
		s.Reset()
		ids := append(append([]int32(nil), p.IDs...), p.Greedy[:len(p.Greedy)-1]...)
		var wanted []int
		for i := range p.Greedy {
			wanted = append(wanted, len(p.IDs)-1+i)
		}
		logits := s.Feed(ids, wanted, o.Chunks...)
		last := logits[0]
		got := make([]float32, len(p.TopIDs))
		for i, id := range p.TopIDs {
			got[i] = last[id]
		}
		nearAll(t, "largest logits of prompt %d", len(p.IDs), got, p.TopLogits, o.Logits)
		near(t, "logsumexp of prompt %d", len(p.IDs), float32(logSumExp(last)), p.LogSumExp, o.Logits)
		for i, row := range logits {
			if id := argmax(row); id != p.Greedy[i] && p.Gaps[i] > 2*o.Logits {
				t.Errorf("prompt of %d tokens: token %d is %d, want %d by a gap of %v", len(p.IDs), i, id, p.Greedy[i], p.Gaps[i])
			}
		}
	}
	if ran == 0 {
		t.Fatalf("no prompt of at most %d tokens", longest)
	}
}
