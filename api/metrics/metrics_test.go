package metrics

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"aquifer/runtime/engine"
)

// server returns metrics of models with the given figures.
func server(models map[string]*engine.Stats) *Metrics {
	return New(Server{
		Models: func() []Source {
			var list []Source
			for name, stats := range models {
				list = append(list, Source{Model: name, Info: engine.Info{Arch: "llama"}, Stats: func() engine.Stats { return *stats }})
			}
			return list
		},
		Clients: func() ([]Client, int64) { return []Client{{"a1", 4}, {"b2", 1}}, 9 },
		Panics:  func() int64 { return 3 },
	})
}

// scrape returns what Prometheus gets.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("status %d, %s", w.Code, w.Header().Get("Content-Type"))
	}
	return w.Body.String()
}

// TestNames holds the names and units to Prometheus' conventions.
func TestNames(t *testing.T) {
	m := server(map[string]*engine.Stats{"one": {}, "two": {}})
	m.Observe("/health", "GET", 200, time.Second)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestValues(t *testing.T) {
	stats := &engine.Stats{Running: 2, KVBlocks: 10, KVFree: 7, KVCached: 4, Prefill: 100, Reused: 50}
	stats.FirstToken.Buckets[0], stats.FirstToken.Buckets[2], stats.FirstToken.Sum = 1, 2, 1500*time.Millisecond
	m := server(map[string]*engine.Stats{"tiny": stats, "other": {Running: 1}})
	m.Observe("/v1/models", "GET", 401, 3*time.Second)
	text := scrape(t, m)
	for _, want := range []string{
		`aquifer_sequences_running{model="tiny"} 2`,
		`aquifer_sequences_running{model="other"} 1`,
		`aquifer_kv_blocks{model="tiny",state="used"} 3`,
		`aquifer_kv_blocks{model="tiny",state="cached"} 4`,
		`aquifer_kv_blocks{model="tiny",state="free"} 3`,
		`aquifer_prompt_tokens_total{model="tiny",source="cache"} 50`,
		`aquifer_time_to_first_token_seconds_bucket{model="tiny",le="0.001"} 1`,
		`aquifer_time_to_first_token_seconds_bucket{model="tiny",le="0.0025"} 1`,
		`aquifer_time_to_first_token_seconds_bucket{model="tiny",le="0.005"} 3`,
		`aquifer_time_to_first_token_seconds_bucket{model="tiny",le="+Inf"} 3`,
		`aquifer_time_to_first_token_seconds_sum{model="tiny"} 1.5`,
		`aquifer_http_requests_total{code="401",method="GET",route="/v1/models"} 1`,
		`aquifer_http_panics_total 3`,
		`aquifer_client_answers{client="a1"} 4`,
		`aquifer_client_answers{client="b2"} 1`,
		`aquifer_client_refusals_total 9`,
		`go_goroutines `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

// TestComplete: whatever an engine counts can be seen.
func TestComplete(t *testing.T) {
	own := func(text string) string { // without the figures of the process
		var b strings.Builder
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "aquifer_") {
				b.WriteString(line)
			}
		}
		return b.String()
	}
	stats := &engine.Stats{}
	m := server(map[string]*engine.Stats{"tiny": stats})
	before := own(scrape(t, m))
	v := reflect.ValueOf(stats).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "KVKnown" {
			continue // for tests: what of it is free, which is what memory is short of, is KVCached
		}
		*stats = engine.Stats{}
		if f := v.Field(i); f.CanInt() {
			f.SetInt(7)
		} else {
			f.Field(0).Index(1).SetUint(7)
		}
		if own(scrape(t, m)) == before {
			t.Errorf("Stats.%s cannot be seen", name)
		}
	}
}
