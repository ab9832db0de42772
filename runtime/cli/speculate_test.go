package cli

import (
	"errors"
	"testing"

	"aquifer/backends"
	"aquifer/runtime/engine"
)

func TestSpeculation(t *testing.T) {
	for _, tt := range []struct {
		value     string
		precision backends.Precision
		draft     int
		asked     bool
	}{
		{"auto", backends.Exact, 8, false},
		{"auto", backends.Fast, 8, true},
		{"auto", backends.Auto, 8, true},
		{"off", backends.Exact, 0, false},
		{"3", backends.Fast, 3, false},
		{"64", backends.Exact, 64, false},
	} {
		cfg := engine.Config{Precision: tt.precision}
		if err := speculation(&cfg, tt.value); err != nil || cfg.Speculate != tt.draft || cfg.SpeculateAsked != tt.asked {
			t.Errorf("%s, %v: %d, %v, %v", tt.value, tt.precision, cfg.Speculate, cfg.SpeculateAsked, err)
		}
	}
	for _, value := range []string{"", "0", "65", "-1", "on", "1.5"} {
		var usage usageError
		if err := speculation(&engine.Config{}, value); !errors.As(err, &usage) {
			t.Errorf("%q: %v", value, err)
		}
	}
}
