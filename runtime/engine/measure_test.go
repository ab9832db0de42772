package engine

import (
	"errors"
	"testing"

	"aquifer/backends"
)

// TestMeasure: the estimate is what Load takes for one sequence.
func TestMeasure(t *testing.T) {
	b := &fakeBackend{perSeq: 1000, weights: 5000}
	for _, context := range []int{0, 100, 2048} {
		cfg := Config{Model: fakeModel(2048), Backend: b, MaxSeqs: 1, Context: context}
		got, err := Measure(cfg)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Load(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if i := e.Info(); i.Memory != got.Memory || i.Context != got.Context || got.Check() != nil {
			t.Errorf("context %d: measured %+v, loaded %+v with %d", context, got, i.Memory, i.Context)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := Measure(Config{Model: fakeModel(64), Backend: b, Context: 65}); err == nil {
		t.Error("a context beyond the model's was measured")
	}
	if _, err := Measure(Config{Backend: b}); err == nil {
		t.Error("a configuration without a model was measured")
	}
}

func TestEstimateCheck(t *testing.T) {
	const gb = 1 << 30
	for _, tt := range []struct {
		need, available int64
		fits            bool
	}{{10 * gb, 0, true}, {gb, 2 * gb, true}, {2*gb - 65<<20, 2 * gb, true}, {2*gb - 63<<20, 2 * gb, false}, {1, 32 << 20, false}} {
		e := Estimate{Memory: backends.Memory{Weights: tt.need}, Available: tt.available}
		var me *MemoryError
		if err := e.Check(); (err == nil) != tt.fits || err != nil && (!errors.As(err, &me) || me.Need != e.Memory) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
