package sse_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"aquifer/api/sse"
)

func TestFraming(t *testing.T) {
	rec := httptest.NewRecorder()
	w := sse.NewWriter(deadlines{rec}, 0)
	if w.Started() {
		t.Error("started before the first event")
	}
	for _, err := range []error{w.Ping(), w.Event([]byte(`{"a":1}`)), w.Ping(), w.Event([]byte("[DONE]"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, want := rec.Body.String(), ": ping\ndata: {\"a\":1}\n\n: ping\ndata: [DONE]\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := rec.Header().Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	if !w.Started() || !rec.Flushed || rec.Code != 200 {
		t.Errorf("started %v, flushed %v, status %d", w.Started(), rec.Flushed, rec.Code)
	}
}

// deadlines gives a recorder the method it lacks.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetWriteDeadline(time.Time) error { return nil }

// wrapped hides FlushError, as gin's writer does.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Flush()                      { w.ResponseWriter.(http.Flusher).Flush() }
func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// TestSlowReader sends to a client that never reads. The socket buffers are made small: a whole answer would fit in
// the usual ones and the test would prove nothing.
func TestSlowReader(t *testing.T) {
	const timeout = 200 * time.Millisecond
	result := make(chan error, 1)
	sent := make(chan int, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		out := sse.NewWriter(wrapped{w}, timeout)
		event := make([]byte, 4096)
		for i := range event {
			event[i] = 'x'
		}
		n := 0
		for {
			if err := out.Event(event); err != nil {
				sent <- n
				if again := out.Ping(); !errors.Is(again, err) && again.Error() != err.Error() {
					err = errors.New("the error does not last")
				}
				result <- err
				return
			}
			if n += len(event); n > 64<<20 {
				result <- errors.New("64 MiB went to a client that does not read")
				return
			}
		}
	}))
	srv.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if tcp, ok := c.(*net.TCPConn); ok && s == http.StateNew {
			_ = tcp.SetWriteBuffer(4096)
		}
	}
	srv.Start()
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	select {
	case err := <-result:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a timeout", err)
		}
		t.Logf("dropped after %s and %d bytes", time.Since(start), <-sent)
	case <-time.After(20 * time.Second):
		t.Fatal("the writer is stuck")
	}
}
