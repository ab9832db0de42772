package models_test

import (
	"encoding/binary"
	"testing"

	"aquifer/gguf"
	"aquifer/gguf/ggml"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/models/synthetic"
	"aquifer/runtime/half"
	"aquifer/runtime/plan"
)

// headBinding returns the only binding whose weight has that name.
func headBinding(t *testing.T, m *models.Model, name string) (models.Binding, *plan.WeightInfo) {
	t.Helper()
	for _, b := range m.Bindings {
		if info := &m.Plan.Weights[b.Weight]; info.Name == name {
			return b, info
		}
	}
	t.Fatalf("no weight %s", name)
	return models.Binding{}, nil
}

// TestCompactHead runs the head of a compressed model as Q8_0: the plan says so, stays valid, and its tensor reads as ggml
// would store it. A head of its own leaves the embedding alone, and a tied one takes it along.
func TestCompactHead(t *testing.T) {
	for _, x := range []struct {
		spec, head string
		tied       bool
	}{{"llama-3.2-1b:2x8g8", "model.embed_tokens", true}, {"llama-2-7b:1x16g8", "lm_head", false}} {
		t.Run(x.spec, func(t *testing.T) {
			ck, err := synthetic.Open(x.spec)
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			m, err := models.Build(ck)
			if err != nil {
				t.Fatal(err)
			}
			b, info := headBinding(t, m, x.head)
			if info.Type != plan.F16 {
				t.Fatalf("the head is %v", info.Type)
			}
			if !m.CompactHead() || info.Type != plan.Q8_0 {
				t.Fatalf("the head is still %v", info.Type)
			}
			if m.CompactHead() {
				t.Error("compacted twice")
			}
			if err := m.Plan.Validate(); err != nil {
				t.Error(err)
			}
			if !x.tied {
				if _, embedding := headBinding(t, m, "model.embed_tokens"); embedding.Type != plan.F16 {
					t.Errorf("the embedding is %v", embedding.Type)
				}
			}
			sameAsGGML(t, m, ck, b)
		})
	}
}

// sameAsGGML compares some rows of a tensor, read at odd places, with the rounding of its F16 form.
func sameAsGGML(t *testing.T, m *models.Model, ck *checkpoint.Checkpoint, b models.Binding) {
	t.Helper()
	as, err := m.Tensor(ck, b)
	if err != nil {
		t.Fatal(err)
	}
	rows, size := m.Plan.Weights[b.Weight].PartBytes(b.Part)
	if as.DType != plan.Q8_0 || as.Bytes != int64(rows)*size {
		t.Fatalf("%v, %d bytes, want %d rows of %d", as.DType, as.Bytes, rows, size)
	}
	file, _ := ck.Tensor(b.Tensor)
	cols := m.Plan.Weights[b.Weight].Cols
	const first, n = 77, 3
	halves := make([]byte, n*cols*2)
	if _, err := file.ReadAt(halves, first*int64(cols)*2); err != nil {
		t.Fatal(err)
	}
	x := make([]float32, n*cols)
	for i := range x {
		x[i] = half.Float(binary.LittleEndian.Uint16(halves[2*i:]))
	}
	want := make([]byte, n*size)
	if bad, err := ggml.QuantizeQ8_0(want, x); bad >= 0 || err != nil {
		t.Fatal(bad, err)
	}
	got := make([]byte, len(want)-18)
	if _, err := as.ReadAt(got, first*size+11); err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want[11:len(want)-7]) {
		t.Error("the bytes differ")
	}
}

// TestCompactHeadRefused leaves models alone that no part of is compressed, and heads that are compressed already.
func TestCompactHeadRefused(t *testing.T) {
	for _, spec := range []string{"llama-3.2-1b:f16", "llama-3.2-1b:q8_0"} {
		ck, err := synthetic.Open(spec)
		if err != nil {
			t.Fatal(err)
		}
		m, err := models.Build(ck)
		if err != nil {
			t.Fatal(err)
		}
		if m.CompactHead() {
			t.Errorf("%s: the head became Q8_0", spec)
		}
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
	}
	m, err := models.Build(quantizedGGUF(t, map[string]gguf.Type{"token_embd.weight": gguf.F16}))
	if err != nil {
		t.Fatal(err)
	}
	if m.CompactHead() {
		t.Error("an ordinary GGUF: the head became Q8_0")
	}
}
