package api

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
	"aquifer/runtime/host"
)

// loading is a source whose models take until the test lets them through.
type loading struct {
	openai.Source
	asked chan struct{} // gets one for each request
	gate  chan error    // what becomes of it
	free  chan struct{} // gets one when a model is released
}

func newLoading(e *apitest.Engine) loading {
	return loading{models(e), make(chan struct{}, 9), make(chan error), make(chan struct{}, 9)}
}

func (l loading) Acquire(ctx context.Context, name string, keep *time.Duration) (openai.Model, func(), error) {
	l.asked <- struct{}{}
	select {
	case <-ctx.Done():
		return openai.Model{}, nil, ctx.Err()
	case err := <-l.gate:
		if err == errPanic {
			panic("secret")
		}
		if err != nil {
			return openai.Model{}, nil, err
		}
	}
	m, _, err := l.Source.Acquire(ctx, name, keep)
	return m, func() { l.free <- struct{}{} }, err
}

var errPanic = errors.New("panic")

// TestWaitingStream: who streams hears from the server while the model loads, and then gets the answer or, behind the status
// 200, the error as an event.
func TestWaitingStream(t *testing.T) {
	reply := apitest.Say("Hello")
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply { return reply }}
	source, log := newLoading(e), &syncBuffer{}
	s, base, _ := start(t, Config{Models: source, Limits: Limits{Heartbeat: 10 * time.Millisecond}, Log: slog.New(slog.NewTextHandler(log, nil))})
	c := client(t)
	for _, test := range []struct {
		err, chat   error // of the load, and of the engine behind it
		want, fails string
	}{
		{want: `"content":"Hello"`},
		{err: &host.LoadError{ID: "x", Err: &openai.PublicError{Msg: "hidden_size is 3"}}, want: `"code":"model_load_failed"`, fails: "model_load_failed"},
		{err: host.ErrTimeout, want: `"code":"model_loading"`, fails: "model_loading"},
		{err: errPanic, want: `"code":"internal_error"`, fails: "internal_error"},
		{chat: &engine.ContextError{Prompt: 5000, Context: 4096}, want: `"n_prompt_tokens":5000`, fails: "context_length_exceeded"},
	} {
		reply.Err = test.chat
		resp, lines := open(t, c, base)
		for range 2 { // the first heartbeats come before the model does
			if line, err := lines.ReadString('\n'); line != ": ping\n" || err != nil {
				t.Fatalf("%v: %q, %v", test.err, line, err)
			}
		}
		source.gate <- test.err
		text := rest(lines)
		resp.Body.Close()
		events := strings.TrimSuffix(strings.ReplaceAll(text, ": ping\n", ""), "\n\n")
		done := strings.HasSuffix(events, "data: [DONE]")
		if resp.StatusCode != 200 || !strings.Contains(events, test.want) || done != (test.fails == "") {
			t.Errorf("%v: %d %s", test.err, resp.StatusCode, text)
		}
		if test.fails != "" && (!strings.HasPrefix(events, `data: {"error":{"message":`) || strings.Contains(events, "\n") || strings.Contains(events, "secret")) {
			t.Errorf("%v: %s", test.err, events)
		}
		waitFor(t, "a line", func() bool { return strings.Contains(log.String(), "failed="+test.fails) || test.fails == "" })
	}
	if s.Panics() != 1 {
		t.Errorf("%d panics", s.Panics())
	}
	for range 2 {
		<-source.free
	}
}

// open sends a request for a stream and returns its answer.
func open(t *testing.T, c *http.Client, base string) (*http.Response, *bufio.Reader) {
	t.Helper()
	req, err := http.NewRequest("POST", base+"/v1/chat/completions", strings.NewReader(askStream))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp, bufio.NewReader(resp.Body)
}

func rest(r *bufio.Reader) string {
	var b strings.Builder
	_, _ = r.WriteTo(&b)
	return b.String()
}

// TestWaitingStatus: before the first heartbeat, and where none can be sent, errors are statuses.
func TestWaitingStatus(t *testing.T) {
	source := newLoading(&apitest.Engine{})
	_, base, _ := start(t, Config{Models: source, Limits: Limits{Heartbeat: time.Minute}})
	c := client(t)
	for _, body := range []string{ask, askStream} {
		go func() {
			<-source.asked
			source.gate <- host.ErrTimeout
		}()
		resp, got := send(t, c, "POST", base+"/v1/chat/completions", body)
		if resp.StatusCode != 503 || codeOf(t, got) != "model_loading" || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%d %s", resp.StatusCode, got)
		}
	}
	_, hasty, _ := start(t, Config{Models: source, Limits: Limits{Heartbeat: time.Millisecond}})
	go func() {
		<-source.asked
		time.Sleep(30 * time.Millisecond)
		source.gate <- host.ErrTimeout
	}()
	if resp, got := send(t, c, "POST", hasty+"/v1/chat/completions", ask); resp.StatusCode != 503 {
		t.Errorf("not a stream: %d %s", resp.StatusCode, got)
	}
	if resp, got := send(t, c, "POST", hasty+"/v1/chat/completions", `{"model":"tiny","stream":true,"messages":[]}`); resp.StatusCode != 400 {
		t.Errorf("nonsense: %d %s", resp.StatusCode, got)
	}
}

// TestWaitingDisconnect: nothing is left of a stream whose client leaves while the model loads, and a model that comes too late
// is given back.
func TestWaitingDisconnect(t *testing.T) {
	source := newLoading(&apitest.Engine{})
	s, base, _ := start(t, Config{Models: source, Limits: Limits{Heartbeat: time.Millisecond}})
	c := client(t)
	for range 20 {
		resp, lines := open(t, c, base)
		<-source.asked
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		select {
		case source.gate <- nil: // it comes at the same moment
			<-source.free
		case <-time.After(20 * time.Millisecond):
		}
		idle(t, s)
	}
}
