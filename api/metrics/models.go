package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"aquifer/runtime/engine"
)

// figure is a number of an engine. Those of one name stand together.
type figure struct {
	name, help string
	label      string // that tells figures of one name apart, and its value; "" for none
	value      string
	gauge      bool
	read       func(engine.Stats) int64
}

var figures = []figure{
	{name: "sequences_running", help: "Answers that take part in steps.", gauge: true, read: func(s engine.Stats) int64 { return int64(s.Running) }},
	{name: "sequences_waiting", help: "Answers that wait for their first step.", gauge: true, read: func(s engine.Stats) int64 { return int64(s.Queued) }},
	{name: "kv_blocks", help: "Blocks of the cache of keys and values by use; cached ones are free and can be found again.", label: "state", value: "used", gauge: true, read: func(s engine.Stats) int64 { return int64(s.KVBlocks - s.KVFree) }},
	{name: "kv_blocks", label: "state", value: "cached", gauge: true, read: func(s engine.Stats) int64 { return int64(s.KVCached) }},
	{name: "kv_blocks", label: "state", value: "free", gauge: true, read: func(s engine.Stats) int64 { return int64(s.KVFree - s.KVCached) }},
	{name: "steps_total", help: "Runs of the model over the tokens of all answers.", read: func(s engine.Stats) int64 { return s.Steps }},
	{name: "prompt_tokens_total", help: "Tokens of prompts that were run, and that were found in the cache.", label: "source", value: "run", read: func(s engine.Stats) int64 { return s.Prefill }},
	{name: "prompt_tokens_total", label: "source", value: "cache", read: func(s engine.Stats) int64 { return s.Reused }},
	{name: "generated_tokens_total", help: "Tokens of answers.", read: func(s engine.Stats) int64 { return s.Decoded }},
	{name: "draft_tokens_total", help: "Proposed tokens that steps have tried, by whether answers got them.", label: "verdict", value: "accepted", read: func(s engine.Stats) int64 { return s.Accepted }},
	{name: "draft_tokens_total", label: "verdict", value: "rejected", read: func(s engine.Stats) int64 { return s.Drafted - s.Accepted }},
	{name: "preemptions_total", help: "How often an answer had to give its memory to older ones and wait.", read: func(s engine.Stats) int64 { return s.Paused }},
	{name: "recomputed_tokens_total", help: "Tokens that were run once more, because their cache was given away or had to be made anew.", read: func(s engine.Stats) int64 { return s.Again }},
	{name: "answers_total", help: "Complete answers by what ended them; a request may have several.", label: "reason", value: "stop", read: func(s engine.Stats) int64 { return s.Stopped }},
	{name: "answers_total", label: "reason", value: "length", read: func(s engine.Stats) int64 { return s.Cut }},
	{name: "answers_total", label: "reason", value: "tool_calls", read: func(s engine.Stats) int64 { return s.Called }},
	{name: "requests_total", help: "Requests by how they ended.", label: "outcome", value: "complete", read: func(s engine.Stats) int64 { return s.Finished }},
	{name: "requests_total", label: "outcome", value: "cancelled", read: func(s engine.Stats) int64 { return s.Cancelled }},
	{name: "requests_total", label: "outcome", value: "expired", read: func(s engine.Stats) int64 { return s.Expired }},
	{name: "requests_total", label: "outcome", value: "failed", read: func(s engine.Stats) int64 { return s.Failed }},
	{name: "requests_total", label: "outcome", value: "refused", read: func(s engine.Stats) int64 { return s.Refused }},
	{name: "engine_panics_total", help: "Panics that ended an engine.", read: func(s engine.Stats) int64 { return s.Panics }},
}

// spread is a distribution of an engine.
type spread struct {
	name, help string
	read       func(engine.Stats) engine.Histogram
}

var spreads = []spread{
	{"queue_wait_seconds", "From a request to its first step.", func(s engine.Stats) engine.Histogram { return s.QueueWait }},
	{"time_to_first_token_seconds", "From a request to the first token of an answer.", func(s engine.Stats) engine.Histogram { return s.FirstToken }},
	{"time_between_tokens_seconds", "From one token of an answer to the next.", func(s engine.Stats) engine.Histogram { return s.TokenGap }},
}

// models collects the figures of all models that are served when it is asked.
type models struct {
	sources       func() []Source
	info, memory  *prometheus.Desc
	figures, hist []*prometheus.Desc
}

func newModels(sources func() []Source) *models {
	m := &models{
		sources: sources,
		info: prometheus.NewDesc("aquifer_model_info", "What runs a model; the value is 1.",
			[]string{"model", "arch", "scheme", "backend", "level", "precision"}, nil),
		memory: prometheus.NewDesc("aquifer_model_memory_bytes", "What was allocated for a model.", []string{"model", "kind"}, nil),
	}
	help := ""
	for _, f := range figures {
		if f.help != "" {
			help = f.help // the others of the name have none of their own
		}
		labels := []string{"model"}
		if f.label != "" {
			labels = append(labels, f.label)
		}
		m.figures = append(m.figures, prometheus.NewDesc("aquifer_"+f.name, help, labels, nil))
	}
	for _, s := range spreads {
		m.hist = append(m.hist, prometheus.NewDesc("aquifer_"+s.name, s.help, []string{"model"}, nil))
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *models) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.info
	ch <- m.memory
	for _, d := range m.figures {
		ch <- d
	}
	for _, d := range m.hist {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *models) Collect(ch chan<- prometheus.Metric) {
	for _, source := range m.sources() {
		m.describe(ch, source)
		stats := source.Stats()
		for i, f := range figures {
			kind, labels := prometheus.CounterValue, []string{source.Model}
			if f.gauge {
				kind = prometheus.GaugeValue
			}
			if f.label != "" {
				labels = append(labels, f.value)
			}
			ch <- prometheus.MustNewConstMetric(m.figures[i], kind, float64(f.read(stats)), labels...)
		}
		for i, s := range spreads {
			h := s.read(stats)
			buckets, below := make(map[float64]uint64, len(engine.HistogramBounds)), uint64(0)
			for b, bound := range engine.HistogramBounds {
				below += h.Buckets[b]
				buckets[bound] = below
			}
			ch <- prometheus.MustNewConstHistogram(m.hist[i], h.Count(), h.Sum.Seconds(), buckets, source.Model)
		}
	}
}

// describe sends what does not change.
func (m *models) describe(ch chan<- prometheus.Metric, s Source) {
	ch <- prometheus.MustNewConstMetric(m.info, prometheus.GaugeValue, 1, s.Model, s.Info.Arch, s.Info.Scheme,
		s.Info.Backend.Name, s.Info.Backend.Level, s.Info.Precision.String())
	for kind, n := range map[string]int64{
		"weights": s.Info.Memory.Weights, "kv": s.Info.Memory.KV, "scratch": s.Info.Memory.Scratch,
	} {
		ch <- prometheus.MustNewConstMetric(m.memory, prometheus.GaugeValue, float64(n), s.Model, kind)
	}
}
