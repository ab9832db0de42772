package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"aquifer/api/sse"
)

// TestCompressed sends a long and a short text and an event stream through the compressing handler.
func TestCompressed(t *testing.T) {
	long := strings.Repeat(`{"id":"x"},`, compressAbove)
	second := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, long)
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		out := sse.NewWriter(w, time.Minute)
		if err := out.Event([]byte("1")); err != nil {
			t.Errorf("no stream behind the compressing writer: %v", err)
		}
		<-second
		if err := out.Event([]byte("2")); err != nil {
			t.Error(err)
		}
	})
	h, err := compressed(mux)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()

	get := func(path, accept string) *http.Response {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", accept)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	read := func(r io.Reader, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}

	resp := get("/long", "gzip")
	if e := resp.Header.Get("Content-Encoding"); e != "gzip" {
		t.Fatalf("long answer: encoding %q", e)
	}
	if got := read(gzip.NewReader(resp.Body)); got != long {
		t.Errorf("gzip changed %d bytes to %d", len(long), len(got))
	}
	resp = get("/long", "zstd")
	if e := resp.Header.Get("Content-Encoding"); e != "zstd" {
		t.Fatalf("long answer: encoding %q", e)
	}
	if got := read(zstd.NewReader(resp.Body)); got != long {
		t.Errorf("zstd changed %d bytes to %d", len(long), len(got))
	}
	for path, accept := range map[string]string{"/long": "identity", "/short": "gzip"} {
		if e := get(path, accept).Header.Get("Content-Encoding"); e != "" {
			t.Errorf("%s with %s: encoding %q", path, accept, e)
		}
	}

	resp = get("/stream", "gzip, zstd")
	if e := resp.Header.Get("Content-Encoding"); e != "" {
		t.Fatalf("stream: encoding %q", e)
	}
	event := make([]byte, len("data: 1\n\n"))
	if _, err := io.ReadFull(resp.Body, event); err != nil || string(event) != "data: 1\n\n" {
		t.Errorf("the first event did not arrive alone: %q, %v", event, err)
	}
	close(second)
	if got := read(resp.Body, nil); got != "data: 2\n\n" {
		t.Errorf("then %q", got)
	}
}
