package cli

import (
	"errors"
	"fmt"

	"aquifer/backends"
	"aquifer/backends/cpu"
	"aquifer/backends/kernelbench"
	"aquifer/models"
	"aquifer/runtime/engine"
	"aquifer/runtime/plan"
)

// kernelReport says which kernel multiplies the matrices of one shape and encoding.
type kernelReport struct {
	Rows     int    `json:"rows"`
	Cols     int    `json:"cols"`
	Encoding string `json:"encoding"`
	Kernel   string `json:"kernel"`
	Count    int    `json:"matrices"`
	Why      string `json:"why,omitempty"`
}

// reportKernels compiles a model without loading its weights and returns which kernels were chosen, in plan order.
func (a *app) reportKernels(s settings, path string) (name string, reports []kernelReport, err error) {
	ck, err := a.openCheckpoint(path)
	if err != nil {
		return "", nil, err
	}
	defer ck.Close()
	m, err := s.buildModel(ck)
	if err != nil {
		return "", nil, err
	}
	b, fallback, err := a.openBackend(s)
	if err != nil {
		return "", nil, err
	}
	precision := s.precision(b)
	reports, err = kernelsOf(b, m, precision)
	err = errors.Join(err, b.Close())
	if unsupported := (*backends.UnsupportedError)(nil); fallback && errors.As(err, &unsupported) {
		err = advise(err, "it would run on backend ref, which is slow")
	}
	info := b.Info()
	return fmt.Sprintf("%s on %s %s, %s", ck.Name, info.Name, info.Level, precision), reports, err
}

func kernelsOf(b backends.Backend, m *models.Model, p backends.Precision) ([]kernelReport, error) {
	prog, err := b.Compile(m.Plan, backends.Options{
		Precision: p, KV: plan.F16, KVBlocks: 1, MaxTokens: engine.DefaultStepTokens, MaxSeqs: 1, MaxOutputs: 1,
	})
	if err != nil {
		return nil, err
	}
	var reports []kernelReport
	at := map[kernelReport]int{} // index of a report without its count
	for i, kernel := range prog.Kernels() {
		w := &m.Plan.Weights[i]
		if w.Rows == 1 || !multiplied(m.Plan, plan.Weight(i)) {
			continue
		}
		r := kernelReport{Rows: w.Rows, Cols: w.Cols, Encoding: kernelbench.EncodingName(w), Kernel: kernel, Why: cpu.Reason(kernel)}
		if _, ok := at[r]; !ok {
			at[r] = len(reports)
			reports = append(reports, r)
		}
		reports[at[r]].Count++
	}
	return reports, prog.Close()
}

// multiplied reports whether a product takes the weight, and not an embedding only.
func multiplied(p *plan.Plan, w plan.Weight) bool {
	for i := range p.Ops {
		op := &p.Ops[i]
		for j := range op.W[:4] {
			switch {
			case op.Kind == plan.Linear && op.W[j] == w:
				return true
			case op.Kind == plan.Experts && j < int(op.I[0]) && w >= op.W[j] && w < op.W[j]+plan.Weight(op.I[1]):
				return true
			}
		}
	}
	return false
}
