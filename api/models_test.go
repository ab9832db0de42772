package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
	"aquifer/runtime/host"
)

// changing is a source that shows what a test says.
type changing struct {
	openai.Source
	mu     sync.Mutex
	loaded []openai.Loaded
	err    error // of Acquire
}

func (c *changing) set(err error, loaded ...openai.Loaded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.loaded = err, loaded
}

func (c *changing) Loaded() []openai.Loaded {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loaded
}

func (c *changing) Acquire(ctx context.Context, name string, keep *time.Duration) (openai.Model, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return openai.Model{}, nil, c.err
	}
	return c.Source.Acquire(ctx, name, keep)
}

func TestHealth(t *testing.T) {
	source := &changing{Source: models(&apitest.Engine{})}
	_, base, _ := start(t, Config{Key: "k", Models: source})
	c := client(t)
	ready := openai.Loaded{ID: "secret", Phase: host.Ready, Engine: &apitest.Engine{}, Pinned: true}
	for _, test := range []struct {
		loaded []openai.Loaded
		status int
		want   string
	}{
		{nil, 200, `{"status":"ok"}`},
		{[]openai.Loaded{ready}, 200, `{"status":"ok"}`},
		{[]openai.Loaded{{ID: "secret", Pinned: true}}, 503, `{"status":"loading"}`},
		{[]openai.Loaded{ready, {ID: "secret", Pinned: true, Done: 1, Total: 4}}, 503, `{"status":"loading","progress":0.25}`},
		{[]openai.Loaded{ready, {ID: "secret", Done: 3, Total: 4}}, 200, `{"status":"ok","progress":0.75}`},
	} {
		source.set(nil, test.loaded...)
		resp, body := send(t, c, "GET", base+"/health", "")
		if resp.StatusCode != test.status || body != test.want || (resp.Header.Get("Retry-After") == "") != (test.status == 200) {
			t.Errorf("%+v: %d %v %s", test.loaded, resp.StatusCode, resp.Header, body)
		}
	}
}

func TestRunning(t *testing.T) {
	source := &changing{Source: models(&apitest.Engine{})}
	_, base, _ := start(t, Config{Models: source})
	c := client(t)
	if _, body := send(t, c, "GET", base+"/ps", ""); body != `{"models":[]}` {
		t.Error(body)
	}
	source.set(
		nil,
		openai.Loaded{ID: "a", Done: 1, Total: 4},
		openai.Loaded{ID: "b", Phase: host.Ready, Engine: &apitest.Engine{}, Requests: 2},
		openai.Loaded{ID: "c", Phase: host.Ready, Engine: &apitest.Engine{}, Until: time.Unix(1700000000, 0)},
	)
	_, body := send(t, c, "GET", base+"/ps", "")
	var got openai.Running
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Models) != 3 {
		t.Fatal(err, body)
	}
	for i, want := range []openai.RunningModel{
		{ID: "a", Status: "loading", Progress: 0.25},
		{ID: "b", Status: "loaded", Progress: 1, Requests: 2, Context: 4096, Backend: "fake", Scheme: "none"},
		{ID: "c", Status: "loaded", Progress: 1, Context: 4096, Backend: "fake", Scheme: "none"},
	} {
		if i == 2 {
			if got.Models[i].ExpiresAt == nil || got.Models[i].ExpiresAt.Unix() != 1700000000 {
				t.Errorf("%s: ends at %v", want.ID, got.Models[i].ExpiresAt)
			}
			got.Models[i].ExpiresAt = nil
		}
		if got.Models[i] != want {
			t.Errorf("%+v, want %+v", got.Models[i], want)
		}
	}
}

// TestAcquireErrors: what can go wrong before a model answers, and what a client is told about it.
func TestAcquireErrors(t *testing.T) {
	source := &changing{Source: models(&apitest.Engine{})}
	_, base, _ := start(t, Config{Models: source})
	c := client(t)
	for _, test := range []struct {
		err          error
		status       int
		code, holds  string
		retry, hides bool
	}{
		{openai.ErrNoModel, 404, "model_not_found", "available: tiny", false, false},
		{host.ErrBusy, 429, "rate_limit_exceeded", "", true, false},
		{host.ErrTimeout, 503, "model_loading", "still loading", true, false},
		{host.ErrClosed, 503, "shutting_down", "", true, false},
		{&host.LoadError{ID: "x", Err: host.ErrClosed}, 503, "shutting_down", "", true, false},
		{&host.LoadError{ID: "x", Err: errors.New("open /root/canary")}, 500, "internal_error", "", false, true},
		{&host.LoadError{ID: "x", Err: &openai.PublicError{Msg: "hidden_size is 3"}}, 500, "model_load_failed", "hidden_size is 3", false, false},
		{&host.LoadError{ID: "x", Err: &engine.MemoryError{}}, 500, "model_load_failed", "0 MiB are available", false, false},
	} {
		source.set(test.err)
		for _, body := range []string{ask, askStream} {
			resp, got := send(t, c, "POST", base+"/v1/chat/completions", body)
			if resp.StatusCode != test.status || codeOf(t, got) != test.code || !strings.Contains(got, test.holds) {
				t.Errorf("%v: %d %s", test.err, resp.StatusCode, got)
			}
			if (resp.Header.Get("Retry-After") != "") != test.retry {
				t.Errorf("%v: Retry-After %q", test.err, resp.Header.Get("Retry-After"))
			}
			if final := resp.Header.Get("X-Should-Retry") == "false"; final != (test.code == "model_load_failed") {
				t.Errorf("%v: X-Should-Retry %q", test.err, resp.Header.Get("X-Should-Retry"))
			}
			if test.hides && strings.Contains(got, "canary") {
				t.Errorf("%v: the client sees %s", test.err, got)
			}
		}
	}
}
