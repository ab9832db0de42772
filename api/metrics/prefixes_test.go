package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"aquifer/runtime/kv/prefixfile"
)

func TestPrefixes(t *testing.T) {
	m := server(nil)
	if text := scrape(t, m); strings.Contains(text, "prefix_cache") {
		t.Error("figures of a prefix cache that there is not")
	}
	m.Prefixes(func() prefixfile.Totals {
		return prefixfile.Totals{Restored: 11, Saved: 12, Damaged: 13, Failed: 14, Bytes: 15e9}
	})
	text := scrape(t, m)
	for _, want := range []string{
		`aquifer_prefix_cache_blocks_total{action="restored"} 11`,
		`aquifer_prefix_cache_blocks_total{action="saved"} 12`,
		`aquifer_prefix_cache_blocks_total{action="damaged"} 13`,
		`aquifer_prefix_cache_failures_total 14`,
		`aquifer_prefix_cache_bytes 1.5e+10`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
