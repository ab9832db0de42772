package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"aquifer/runtime/kv/prefixfile"
)

// Prefixes adds what was kept of prompts on disk. These are figures of the server and not of its models: those are gone when
// what they leave behind is saved. It is called once at most.
func (m *Metrics) Prefixes(totals func() prefixfile.Totals) {
	counter := func(name, help string, labels prometheus.Labels, read func(prefixfile.Totals) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 {
			return float64(read(totals()))
		})
	}
	const blocks, help = "aquifer_prefix_cache_blocks_total", "Blocks of keys and values that were restored from disk, saved to it, or damaged there."
	m.registry.MustRegister(
		counter(blocks, help, prometheus.Labels{"action": "restored"}, func(t prefixfile.Totals) int64 { return t.Restored }),
		counter(blocks, help, prometheus.Labels{"action": "saved"}, func(t prefixfile.Totals) int64 { return t.Saved }),
		counter(blocks, help, prometheus.Labels{"action": "damaged"}, func(t prefixfile.Totals) int64 { return t.Damaged }),
		counter("aquifer_prefix_cache_failures_total", "Times that a file of the prefix cache could not be read or written to its end.", nil,
			func(t prefixfile.Totals) int64 { return t.Failed }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "aquifer_prefix_cache_bytes", Help: "Files of the prefix cache when they were last looked at.",
		}, func() float64 { return float64(totals().Bytes) }),
	)
}
