package cpu

import (
	"testing"

	"aquifer/runtime/plan"
)

// TestProgress marks the rows of a weight in every order of chunks and twice over.
func TestProgress(t *testing.T) {
	p := &plan.Plan{Weights: []plan.WeightInfo{{Name: "w", Rows: 200, Cols: 1, Type: plan.F32}}}
	for _, chunk := range []int{1, 63, 64, 65, 128, 200} {
		g := newProgress(p)
		for first := 0; first < 200; first += chunk {
			if _, missing := g.missing(); !missing {
				t.Fatalf("chunks of %d: complete before row %d", chunk, first)
			}
			for range 2 {
				g.mark(0, plan.Elements, first, min(chunk, 200-first))
			}
		}
		if name, missing := g.missing(); missing {
			t.Errorf("chunks of %d: %s is missing", chunk, name)
		}
	}
	g := newProgress(p)
	g.mark(0, plan.Elements, 0, 130)
	g.mark(0, plan.Elements, 131, 69)
	if name, missing := g.missing(); !missing || name != "w" {
		t.Error("row 130 was never delivered")
	}
}
