package models

import (
	"fmt"

	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// CompactHead makes the head run as Q8_0, as converted models have it: next to layers of two bits a head in F16 is up to
// 40 % of the bytes that every token reads. An embedding that is the head goes with it. It changes the plan, so it
// comes before anything is measured or compiled. It reports false, and changes nothing, for a model without AQLM weights, and for a
// head that is no matrix of floats with whole blocks in a row.
func (m *Model) CompactHead() bool {
	if !m.compressed() {
		return false
	}
	info := &m.Plan.Weights[m.head]
	elements, _ := plan.Q8_0.Block()
	switch {
	case info.Encoding != plan.Dense || info.Cols%elements != 0:
		return false
	case info.Type != plan.F32 && info.Type != plan.F16 && info.Type != plan.BF16:
		return false
	}
	info.Type = plan.Q8_0
	return true
}

// compressed reports whether a matrix of the layers is AQLM.
func (m *Model) compressed() bool {
	for i := range m.Plan.Weights {
		if m.Plan.Weights[i].Encoding == plan.AQLM {
			return true
		}
	}
	return false
}

// Tensor returns the tensor of a binding in the form that the plan runs it in. It fails where the checkpoint, which is not the one
// the model was built from, has another.
func (m *Model) Tensor(c *checkpoint.Checkpoint, b Binding) (checkpoint.Tensor, error) {
	t, ok := c.Tensor(b.Tensor)
	if !ok {
		return t, fmt.Errorf("models: tensor %q is missing", b.Tensor)
	}
	if b.Part == plan.Elements && m.Plan.Weights[b.Weight].Type == plan.Q8_0 {
		return t.ToQ8_0()
	}
	return t, nil
}
