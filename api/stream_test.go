package api

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"aquifer/api/apitest"
	"aquifer/runtime/engine"
)

// TestDisconnect leaves at random points, streaming and not, and demands that nothing goes on for it.
func TestDisconnect(t *testing.T) {
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply {
		var r apitest.Reply
		for range 50 {
			r.Parts = append(r.Parts, apitest.Part{After: time.Millisecond, Text: "word "})
		}
		return r
	}}
	s, base, _ := start(t, Config{Models: models(e)})
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	c := &http.Client{Transport: tr}
	const total, workers = 500, 8
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range total / workers {
				ctx, cancel := context.WithCancel(context.Background())
				body := ask
				if i%2 == 0 {
					body = askStream
				}
				req, err := http.NewRequestWithContext(ctx, "POST", base+"/v1/chat/completions", strings.NewReader(body))
				if err != nil {
					t.Error(err)
				}
				req.Header.Set("Content-Type", "application/json")
				leave := time.AfterFunc(time.Duration(rnd.IntN(70_000))*time.Microsecond, cancel)
				if resp, err := c.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				leave.Stop()
				cancel()
			}
		})
	}
	wg.Wait()
	start := time.Now()
	waitFor(t, "answers without a reader go on", func() bool { return e.Open() == 0 })
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("answers went on for %s", d)
	}
	tr.CloseIdleConnections()
	waitFor(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= before+5 })
	if s.Panics() != 0 {
		t.Errorf("%d panics", s.Panics())
	}
	if n := len(e.Requests()); n < total/2 {
		t.Errorf("only %d requests reached the engine", n)
	}
}

// TestDisconnectWhileWaiting: a request that waits for its turn sends nothing yet; its client's leaving must count too.
func TestDisconnectWhileWaiting(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply {
		return apitest.Reply{Parts: []apitest.Part{{Until: never}}}
	}}
	_, base, _ := start(t, Config{Models: models(e)})
	for _, body := range []string{ask, askStream} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		waitFor(t, "the request does not start", func() bool { return e.Open() == 1 })
		conn.Close()
		waitFor(t, "the request goes on", func() bool { return e.Open() == 0 })
	}
}

// TestSlowReader: a client that does not read must not keep an answer alive.
func TestSlowReader(t *testing.T) {
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply {
		big := strings.Repeat("x", 1<<20)
		var r apitest.Reply
		for range 64 { // more than all socket buffers hold
			r.Parts = append(r.Parts, apitest.Part{Text: big})
		}
		return r
	}}
	const write = 300 * time.Millisecond
	_, base, _ := start(t, Config{Models: models(e), Limits: Limits{WriteTime: write}})
	for name, body := range map[string]string{"stream": askStream, "whole": ask} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		begin := time.Now()
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		waitFor(t, "the request does not start", func() bool { return e.Open() == 1 })
		waitFor(t, "the answer goes on", func() bool { return e.Open() == 0 })
		t.Logf("%s: dropped after %s", name, time.Since(begin).Round(time.Millisecond))
	}
}

func TestShutdown(t *testing.T) {
	release := make(chan struct{})
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply {
		r := apitest.Say("first", "last")
		r.Parts[1].Until = release
		return r
	}}
	_, base, stop := start(t, Config{Models: models(e)})
	type result struct {
		resp *http.Response
		body string
	}
	results := make(chan result, 2)
	for _, body := range []string{ask, askStream} {
		go func() {
			resp, got := send(t, client(t), "POST", base+"/v1/chat/completions", body)
			results <- result{resp, got}
		}()
	}
	waitFor(t, "the requests do not start", func() bool { return e.Open() == 2 })
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	waitFor(t, "the server still accepts", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case <-stopped:
		t.Fatal("the server did not wait for running answers")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	for range 2 {
		if r := <-results; r.resp.StatusCode != 200 || !strings.Contains(r.body, "last") {
			t.Errorf("a running answer was cut: %d %s", r.resp.StatusCode, r.body)
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestShutdownCutsAfterGrace(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply {
		r := apitest.Say("first", "last")
		r.Parts[1].Until = never
		return r
	}}
	_, base, stop := start(t, Config{Models: models(e), Limits: Limits{ShutdownTime: 100 * time.Millisecond}})
	type result struct {
		status int
		body   string
	}
	results := map[string]chan result{ask: make(chan result, 1), askStream: make(chan result, 1)}
	for body, ch := range results {
		go func() {
			resp, got := send(t, client(t), "POST", base+"/v1/chat/completions", body)
			ch <- result{resp.StatusCode, got}
		}()
	}
	waitFor(t, "the requests do not start", func() bool { return e.Open() == 2 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if r := <-results[ask]; r.status != 503 || codeOf(t, r.body) != "shutting_down" {
		t.Errorf("whole: %d %s", r.status, r.body)
	}
	if r := <-results[askStream]; r.status != 200 || !strings.Contains(r.body, "shutting_down") || strings.Contains(r.body, "[DONE]") {
		t.Errorf("stream: %d %s", r.status, r.body)
	}
	if n := e.Open(); n != 0 {
		t.Errorf("%d answers go on", n)
	}
}

// FuzzHTTP sends bytes as a request, through everything but the network. Whatever they are, nothing may panic, and an
// answer of 500 or above is a bug.
func FuzzHTTP(f *testing.F) {
	f.Add("POST", "/v1/chat/completions", "localhost", "application/json", "", "", ask)
	f.Add("POST", "/v1/chat/completions", "localhost", "application/json; charset=utf-8", "http://localhost", "same-origin", askStream)
	f.Add("GET", "/v1/models/a%2fb", "127.0.0.1:1", "", "null", "", "")
	f.Add("OPTIONS", "//health/..", "[::1]", "x", "http://a", "cross-site", "{}")
	s, err := New(Config{Log: quiet(), Models: models(&apitest.Engine{})})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, host, kind, origin, site, body string) {
		r, err := http.NewRequest(method, "http://localhost", strings.NewReader(body))
		if err != nil {
			return
		}
		if u, err := r.URL.Parse(path); err == nil {
			r.URL = u
		}
		r.Host, r.RequestURI = host, path
		for name, v := range map[string]string{"Content-Type": kind, "Origin": origin, "Sec-Fetch-Site": site} {
			r.Header.Set(name, v)
		}
		w := &recorder{header: http.Header{}}
		s.ServeHTTP(w, r)
		if s.Panics() > 0 {
			t.Fatal("panic")
		}
		if w.status >= 500 || w.status == 0 {
			t.Fatalf("status %d: %s", w.status, w.body.String())
		}
		if w.status >= 400 {
			codeOf(t, w.body.String())
		}
	})
}

// recorder is a ResponseWriter with deadlines and a Flush that reports errors, like a real one.
type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *recorder) Header() http.Header              { return w.header }
func (w *recorder) SetWriteDeadline(time.Time) error { return nil }
func (w *recorder) SetReadDeadline(time.Time) error  { return nil }
func (w *recorder) FlushError() error                { return nil }
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(200)
	return w.body.Write(p)
}
