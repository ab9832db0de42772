package cli

import (
	"strings"
	"testing"
)

func TestAside(t *testing.T) {
	var b strings.Builder
	s := &aside{out: &b, flush: func() error { return nil }}
	for _, step := range []struct {
		text string
		over bool
	}{{"", false}, {"Hm", false}, {", so", false}, {"", true}, {"", true}} {
		s.thinks(step.text, step.over)
	}
	if got := b.String(); got != "[thinks] Hm, so\n[answers]\n" {
		t.Errorf("%q", got)
	}
}
