package api

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

// counting is an engine with figures.
type counting struct{ *apitest.Engine }

func (c counting) Stats() engine.Stats { return engine.Stats{Finished: int64(len(c.Requests()))} }

// TestMetrics: a request can be seen in both halves of the figures, by its route and not by its path.
func TestMetrics(t *testing.T) {
	all, err := openai.Fixed(openai.Model{ID: "tiny", Engine: counting{&apitest.Engine{}}})
	if err != nil {
		t.Fatal(err)
	}
	_, base, _ := start(t, Config{Models: all})
	c := client(t)
	send(t, c, "POST", base+"/v1/chat/completions", ask)
	send(t, c, "GET", base+"/v1/models/secret-name", "")
	send(t, c, "GET", base+"/no/such/secret-path", "")
	resp, text := send(t, c, "GET", base+"/metrics", "")
	if resp.StatusCode != 200 {
		t.Fatalf("status %d: %s", resp.StatusCode, text)
	}
	for _, want := range []string{
		`aquifer_requests_total{model="tiny",outcome="complete"} 1`,
		`aquifer_http_requests_total{code="200",method="POST",route="/v1/chat/completions"} 1`,
		`aquifer_http_requests_total{code="404",method="GET",route="/v1/models/*id"} 1`,
		`aquifer_http_requests_total{code="404",method="GET",route="none"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "secret") {
		t.Error("a path is in the figures")
	}
}

// TestRequestID: the name that a proxy gave a request is kept, unless it could do harm in a log.
func TestRequestID(t *testing.T) {
	_, base, _ := start(t, Config{Models: models(&apitest.Engine{})})
	c := client(t)
	for given, kept := range map[string]bool{
		"":                      false,
		"5e0c-4f.A_z":           true,
		strings.Repeat("a", 64): true,
		strings.Repeat("a", 65): false,
		"two words":             false,
		`"level=ERROR`:          false,
		"ümlaut":                false,
	} {
		resp, _ := send(t, c, "GET", base+"/health", "", "X-Request-Id", given)
		got := resp.Header.Get("X-Request-Id")
		if (got == given && given != "") != kept || !kept && !strings.HasPrefix(got, "req_") {
			t.Errorf("%q became %q", given, got)
		}
	}
}

// TestLogLine: the line of an answer has its figures, that of another request has none of them.
func TestLogLine(t *testing.T) {
	log := &syncBuffer{}
	reply := apitest.Say("a", "b")
	reply.Usage = engine.Usage{Prompt: 9, Cached: 4, Completion: 2, QueueTime: time.Second, PrefillTime: 2 * time.Second}
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply { return reply }}
	_, base, _ := start(t, Config{Models: models(e), Log: slog.New(slog.NewTextHandler(log, nil))})
	c := client(t)
	for _, body := range []string{ask, askStream} {
		send(t, c, "POST", base+"/v1/chat/completions", body, "X-Request-Id", "mine")
	}
	send(t, c, "GET", base+"/health", "")
	waitFor(t, "three lines", func() bool { return strings.Count(log.String(), "\n") == 3 })
	lines := strings.Split(log.String(), "\n")
	for _, line := range lines[:2] {
		if !strings.Contains(line, "id=mine") || !strings.Contains(line, "status=200") ||
			!strings.Contains(line, "model=tiny choices=1 prompt=9 cached=4 completion=2 wait=1s first=3s") {
			t.Errorf("an answer's line: %s", line)
		}
	}
	if strings.Contains(lines[2], "model=") {
		t.Errorf("another line: %s", lines[2])
	}
}
