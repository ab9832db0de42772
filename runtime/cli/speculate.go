package cli

import (
	"strconv"

	"aquifer/backends"
	"aquifer/runtime/engine"
)

const (
	defaultDraft = 8  // proposed tokens a step and answer
	maxDraft     = 64 // likewise, at most
)

// speculation sets how many proposed tokens answers may try. By default all answers may in the exact precision, where they
// stay the same. In the others they differ a little with the width of steps, so there only those do that come with a
// prediction.
func speculation(cfg *engine.Config, value string) error {
	switch value {
	case "auto":
		cfg.Speculate, cfg.SpeculateAsked = defaultDraft, cfg.Precision != backends.Exact
	case "off":
		cfg.Speculate = 0
	default:
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxDraft {
			return usageErrorf("--speculate is %q, must be auto, off or a number from 1 to %d", value, maxDraft)
		}
		cfg.Speculate = n
	}
	return nil
}
