package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aquifer/api/apitest"
	"aquifer/api/openai"
)

const ask = `{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}`

const askStream = `{"model":"tiny","stream":true,"messages":[{"role":"user","content":"Hi"}]}`

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func models(e *apitest.Engine) openai.Source {
	s, err := openai.Fixed(openai.Model{ID: "tiny", Engine: e, Created: time.Unix(1700000000, 0), Defaults: openai.Defaults()})
	if err != nil {
		panic(err)
	}
	return s
}

// start runs a server on a free loopback port and stops it when the test ends.
func start(t testing.TB, cfg Config) (s *Server, base string, stop func() error) {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = quiet()
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, "http://" + ln.Addr().String(), stop
}

// client returns a client that keeps no connections for others.
func client(t testing.TB) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func send(t testing.TB, c *http.Client, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// codeOf checks that an answer is an error with the four keys and returns its code.
func codeOf(t testing.TB, body string) string {
	t.Helper()
	var v struct{ Error map[string]any }
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for _, key := range []string{"message", "type", "param", "code"} {
		if _, ok := v.Error[key]; !ok {
			t.Errorf("%q is missing: %s", key, body)
		}
	}
	code, _ := v.Error["code"].(string)
	return code
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timeout: %s", what)
		}
	}
}

func TestRoutesAreListed(t *testing.T) {
	s, err := New(Config{Key: "k", Log: quiet(), Models: models(&apitest.Engine{})})
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]access{}
	for _, r := range s.routes() {
		table[r.method+" "+r.path] = r.access
	}
	public := []string{"GET /health", "HEAD /health"}
	for _, r := range s.router.Routes() {
		name := r.Method + " " + r.Path
		a, ok := table[name]
		if !ok {
			t.Errorf("%s is served but has no access class", name)
		}
		delete(table, name)
		if (a == 1) != slices.Contains(public, name) {
			t.Errorf("%s: access %d", name, a)
		}
		// Without the key only public routes answer.
		req := httptest.NewRequest(r.Method, "http://localhost"+strings.ReplaceAll(r.Path, "*id", "tiny"), strings.NewReader(ask))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		if (w.Code == http.StatusUnauthorized) == (a == 1) {
			t.Errorf("%s without a key: status %d", name, w.Code)
		}
	}
	for name := range table {
		t.Errorf("%s is listed but not served", name)
	}
}

// TestClients: requests carry a name for their client's key, with or without one key for all; not the key itself.
func TestClients(t *testing.T) {
	for _, key := range []string{"", "sk-one"} {
		e := &apitest.Engine{}
		_, base, _ := start(t, Config{Key: key, Models: models(e)})
		c := client(t)
		names := map[string]string{}
		for _, given := range []string{"sk-one", "sk-two", "sk-one", ""} {
			header := []string{"Authorization", "Bearer " + given}
			if given == "" {
				header = nil
			}
			body := `{"model":"tiny","messages":[{"role":"user","content":"x"}]}`
			resp, _ := send(t, c, "POST", base+"/v1/chat/completions", body, header...)
			if want := key == "" || given == key; want != (resp.StatusCode == 200) {
				t.Errorf("key %q with %q: status %d", key, given, resp.StatusCode)
			}
			if resp.StatusCode != 200 {
				continue
			}
			all := e.Requests()
			name := all[len(all)-1].Key
			if before, ok := names[given]; ok && before != name || name == "" || strings.Contains(name, "sk-") {
				t.Errorf("the client with key %q is %q, was %q", given, name, before)
			}
			for other, before := range names {
				if other != given && before == name {
					t.Errorf("clients with the keys %q and %q are both %q", other, given, name)
				}
			}
			names[given] = name
		}
	}
}

func TestKey(t *testing.T) {
	const key = "sk-canary-key"
	log := &syncBuffer{}
	_, base, _ := start(t, Config{Key: key, Models: models(&apitest.Engine{}), Log: slog.New(slog.NewTextHandler(log, nil))})
	c := client(t)
	for _, tt := range []struct {
		header []string
		status int
	}{
		{nil, 401},
		{[]string{"Authorization", "Bearer " + key}, 200},
		{[]string{"Authorization", "bearer  " + key + " "}, 200},
		{[]string{"X-Api-Key", key}, 200},
		{[]string{"Authorization", "Bearer " + key + "x"}, 401},
		{[]string{"Authorization", "Bearer " + key[:5]}, 401},
		{[]string{"Authorization", "Bearer"}, 401},
		{[]string{"Authorization", "Bearer "}, 401},
		{[]string{"Authorization", key}, 401},
		{[]string{"Authorization", "Basic " + key}, 401},
		{[]string{"X-Api-Key", strings.ToUpper(key)}, 401},
		{[]string{"Authorization", "Bearer wrong", "X-Api-Key", key}, 401},
	} {
		for _, path := range []string{"/v1/models", "/v1/models/tiny"} {
			resp, body := send(t, c, "GET", base+path, "", tt.header...)
			if resp.StatusCode != tt.status {
				t.Errorf("%s with %q: status %d, want %d", path, tt.header, resp.StatusCode, tt.status)
			}
			if tt.status == 401 && (codeOf(t, body) != "invalid_api_key" || resp.Header.Get("WWW-Authenticate") != "Bearer") {
				t.Errorf("%s with %q: %v %s", path, tt.header, resp.Header, body)
			}
			if strings.Contains(body, "canary") {
				t.Errorf("the key is in the answer: %s", body)
			}
		}
		if resp, _ := send(t, c, "GET", base+"/health", "", tt.header...); resp.StatusCode != 200 {
			t.Errorf("health with %q: status %d", tt.header, resp.StatusCode)
		}
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("the key is in the log: %s", log)
	}
}

func TestExposure(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, tt := range []struct {
		addr net.Addr
		open bool // fine without a key
	}{
		{tcp("127.0.0.1:80"), true},
		{tcp("127.9.9.9:80"), true},
		{tcp("[::1]:80"), true},
		{tcp("[::ffff:127.0.0.1]:80"), true},
		{&net.UnixAddr{Name: "/run/x.sock", Net: "unix"}, true},
		{tcp("0.0.0.0:80"), false},
		{tcp("[::]:80"), false},
		{tcp(":80"), false},
		{tcp("192.168.1.5:80"), false},
		{tcp("10.0.0.1:80"), false},
		{tcp("[fe80::1%1]:80"), false},
	} {
		err := CheckExposure(tt.addr, "")
		if (err == nil) != tt.open {
			t.Errorf("%s without a key: %v", tt.addr, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "set a key") || !strings.Contains(err.Error(), "127.0.0.1")) {
			t.Errorf("%s: no remedy in %q", tt.addr, err)
		}
		if err := CheckExposure(tt.addr, "key"); err != nil {
			t.Errorf("%s with a key: %v", tt.addr, err)
		}
	}
	s, err := New(Config{Log: quiet(), Models: models(&apitest.Engine{})})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Skipf("cannot listen on all addresses: %v", err)
	}
	if err := s.Serve(context.Background(), ln); err == nil {
		t.Error("served all addresses without a key")
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}

// TestHostAndOrigin goes through all combinations of what a browser or a client may send.
func TestHostAndOrigin(t *testing.T) {
	s, err := New(Config{Log: quiet(), Hosts: []string{"Box.lan"}, Models: models(&apitest.Engine{})})
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST:1": true, "127.0.0.1": true, "127.0.0.1:8080": true, "127.1.2.3": true,
		"[::1]": true, "[::1]:8080": true, "[::ffff:127.0.0.1]:1": true, "192.168.7.7:8080": true, "box.lan": true, "BOX.LAN:8080": true,
		"evil.example": false, "evil.example:8080": false, "localhost.evil.example": false, "localhost.": false, "127.0.0.1.nip.io": false,
		"192.168.7.8:8080": false, "10.0.0.1": false, "": false, "box.lan.evil.example": false, "0.0.0.0:8080": false, "[::]": false,
		"2130706433": false, "0x7f.1": false, "app.localhost": false, "box": false, "[fe80::1%25lo]": false, "localhost:80:80": false,
	}
	origins := []struct {
		origin, site string
		ok           bool // for a POST
	}{
		{"", "", true},
		{"", "same-origin", true},
		{"", "none", true},
		{"", "cross-site", false},
		{"", "same-site", false},
		{"http://HOST", "", true},
		{"http://HOST", "same-origin", true},
		{"http://evil.example", "", false},
		{"http://evil.example", "cross-site", false},
		{"null", "", false},
		{"null", "cross-site", false},
		{"http://localhost:3000", "same-site", false},
	}
	combinations := 0
	for host, hostOK := range hosts {
		for _, o := range origins {
			for _, method := range []string{"GET", "POST", "OPTIONS"} {
				for _, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", ""} {
					if method != "POST" && kind != "" {
						continue
					}
					path := "/v1/models"
					if method != "GET" {
						path = "/v1/chat/completions"
					}
					r := httptest.NewRequest(method, path, strings.NewReader(ask))
					r.Host = host
					local := &net.TCPAddr{IP: net.IPv4(192, 168, 7, 7), Port: 8080}
					r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
					origin := strings.Replace(o.origin, "HOST", host, 1)
					if origin != "" {
						r.Header.Set("Origin", origin)
					}
					if o.site != "" {
						r.Header.Set("Sec-Fetch-Site", o.site)
					}
					if kind != "" {
						r.Header.Set("Content-Type", kind)
					}
					w := httptest.NewRecorder()
					s.ServeHTTP(w, r)
					want := 200
					switch {
					case !hostOK:
						want = 403
					case method == "OPTIONS":
						want = 405
					case method == "POST" && !o.ok:
						want = 403
					case method == "POST" && kind != "application/json":
						want = 415
					}
					combinations++
					if w.Code != want {
						t.Errorf("%s Host %q Origin %q Site %q Type %q: status %d, want %d: %s", method, host, origin, o.site, kind, w.Code, want, w.Body)
					}
					for name := range w.Header() {
						if strings.HasPrefix(name, "Access-Control-") {
							t.Errorf("header %s", name)
						}
					}
				}
			}
		}
	}
	t.Logf("%d combinations", combinations)
	for _, bad := range []string{"", "*", "*.lan", "a:80", "http://a"} {
		if _, err := New(Config{Hosts: []string{bad}, Log: quiet()}); err == nil {
			t.Errorf("host %q is accepted", bad)
		}
	}
}

func TestUnknown(t *testing.T) {
	log := &syncBuffer{}
	_, base, _ := start(t, Config{Models: models(&apitest.Engine{}), Log: slog.New(slog.NewTextHandler(log, nil))})
	c := client(t)
	for _, tt := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/", 404, "unknown_url"},
		{"GET", "/canary", 404, "unknown_url"},
		{"GET", "/V1/models", 404, "unknown_url"},
		{"GET", "/v1/models/canary", 404, "model_not_found"},
		{"GET", "/v1/models/a%2Fcanary", 404, "model_not_found"},
		{"GET", "/v1/models/", 404, "model_not_found"},
		{"GET", "/v1/chat/completions", 405, "method_not_allowed"},
		{"DELETE", "/v1/models/tiny", 405, "method_not_allowed"},
		{"POST", "/v1/models", 405, "method_not_allowed"},
		{"POST", "/health", 405, "method_not_allowed"},
		{"POST", "/v1/chat/completions/", 404, "unknown_url"},
		{"CANARY", "/v1/models", 405, "method_not_allowed"},
	} {
		resp, body := send(t, c, tt.method, base+tt.path, "{}")
		if resp.StatusCode != tt.status || codeOf(t, body) != tt.code {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, resp.StatusCode, body)
		}
		if strings.Contains(body, "canary") || !strings.HasPrefix(resp.Header.Get("X-Request-Id"), "req_") {
			t.Errorf("%s %s: %v %s", tt.method, tt.path, resp.Header, body)
		}
	}
	_, body := send(t, c, "POST", base+"/v1/chat/completions", strings.Replace(ask, "Hi", "canary", 1))
	if !strings.Contains(body, "Hello there!") {
		t.Error(body)
	}
	if strings.Contains(strings.ToLower(log.String()), "canary") {
		t.Errorf("what a client sent is in the log: %s", log)
	}
	if n := strings.Count(log.String(), "msg=request"); n != 13 {
		t.Errorf("%d request lines: %s", n, log)
	}
}

// TestHead: a monitor that asks for the head gets the status and no body; "OPTIONS *" passes the same checks as the rest.
func TestHead(t *testing.T) {
	_, base, _ := start(t, Config{Key: "k", Models: models(&apitest.Engine{})})
	c := client(t)
	for path, want := range map[string]int{"/health": 200, "/v1/models": 401, "/nothing": 404} {
		if resp, body := send(t, c, http.MethodHead, base+path, ""); resp.StatusCode != want || body != "" {
			t.Errorf("HEAD %s: %d %q, want %d", path, resp.StatusCode, body, want)
		}
	}
	if resp, body := send(t, c, http.MethodHead, base+"/v1/models", "", "X-Api-Key", "k"); resp.StatusCode != 200 || body != "" {
		t.Errorf("HEAD /v1/models: %d %q", resp.StatusCode, body)
	}
	for host, want := range map[string]string{"localhost": "404", "evil.example": "403"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 "+want) {
			t.Errorf("OPTIONS * as %s: %q, %v", host, got, err)
		}
		conn.Close()
	}
}
