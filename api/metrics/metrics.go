// Package metrics tells Prometheus what the server does: counters of the HTTP side, and for every model the figures that
// its engine keeps anyway. They are read when somebody scrapes, so that a token costs nothing for them. It imports
// runtime/engine and runtime/kv/prefixfile for their types and nothing else of ours.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"aquifer/runtime/engine"
)

// Source is where the figures of one model come from.
type Source struct {
	Model string // what clients call it, unique
	Info  engine.Info
	Stats func() engine.Stats
}

// Metrics is a registry of its own: nothing that a library registers elsewhere is served.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	times    *prometheus.HistogramVec
	handler  http.Handler
}

// Server is where the figures come from that are no model's.
type Server struct {
	Models  func() []Source                       // that are served at the moment
	Clients func() (busy []Client, refused int64) // requests that were refused because their client had too many, since the start
	Panics  func() int64                          // that requests have survived, since the start
}

// New returns the metrics of a server.
func New(server Server) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aquifer_http_requests_total", Help: "HTTP requests by route, method and status.",
		}, []string{"route", "method", "code"}),
		times: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "aquifer_http_request_duration_seconds", Help: "HTTP requests from the headers to the last byte.",
			Buckets: engine.HistogramBounds[:],
		}, []string{"route"}),
	}
	m.registry.MustRegister(
		m.requests, m.times, newModels(server.Models), newClients(server.Clients),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "aquifer_http_panics_total", Help: "Panics that ended one request and nothing else.",
		}, func() float64 { return float64(server.Panics()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	// The server compresses by itself.
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{DisableCompression: true})
	return m
}

// Observe counts a request that is over. route is a pattern, never a path: every value makes a series.
func (m *Metrics) Observe(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.times.WithLabelValues(route).Observe(took.Seconds())
}

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }
