package engine

import (
	"os"

	"aquifer/backends"
	"aquifer/runtime/kv"
)

// Estimate says what Load would allocate for a configuration.
type Estimate struct {
	Context   int             // positions of one sequence
	Memory    backends.Memory // with the KV cache of one sequence; Load adds more, up to MaxSeqs, where there is room
	Available int64           // bytes that this process may still allocate; 0 where the system does not say
}

// Measure finds out what Load would allocate, without allocating it: an answer within moments, however large the model.
// A context of 0 stands for the model's, at most 8192, whether it fits or not.
func Measure(cfg Config) (Estimate, error) {
	if err := cfg.complete(); err != nil {
		return Estimate{}, err
	}
	context, err := wanted(cfg.Context, cfg.modelContext())
	if err != nil {
		return Estimate{}, err
	}
	m, err := cfg.measure(kv.Blocks(context))
	return Estimate{context, m, memoryAvailable(os.DirFS("/"))}, err
}

// Check returns the *MemoryError with which Load would refuse this context, nil if it would not.
func (e Estimate) Check() error {
	if e.Available == 0 || e.Memory.Total() <= allowance(e.Available) {
		return nil
	}
	return &MemoryError{e.Memory, allowance(e.Available)}
}
