package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"aquifer/api/apitest"
	"aquifer/runtime/engine"
)

func TestPanics(t *testing.T) {
	log := &syncBuffer{}
	replies := []apitest.Reply{
		{Panic: "secret"},
		{Parts: []apitest.Part{{Panic: "secret"}}},
		{Parts: []apitest.Part{{Text: "x"}, {Panic: "secret"}}},
	}
	n := 0
	e := &apitest.Engine{}
	e.Answer = func(engine.ChatRequest) apitest.Reply { return replies[n] }
	s, base, _ := start(t, Config{Models: models(e), Log: slog.New(slog.NewTextHandler(log, nil))})
	c := client(t)
	count := int64(0)
	for n = range replies {
		for _, body := range []string{ask, askStream} {
			resp, got := send(t, c, "POST", base+"/v1/chat/completions", body)
			count++
			late := n == 2 && body == askStream
			if want := map[bool]int{true: 200, false: 500}[late]; resp.StatusCode != want {
				t.Errorf("reply %d: status %d, want %d", n, resp.StatusCode, want)
			}
			if !strings.Contains(got, `"internal_error"`) || strings.Contains(got, "secret") || strings.Contains(got, "goroutine") {
				t.Errorf("reply %d: %s", n, got)
			}
			if s.Panics() != count {
				t.Errorf("reply %d: %d panics counted, want %d", n, s.Panics(), count)
			}
		}
	}
	replies = append(replies, apitest.Say("fine"))
	n = len(replies) - 1
	if resp, body := send(t, c, "POST", base+"/v1/chat/completions", ask); resp.StatusCode != 200 {
		t.Errorf("after the panics: %d %s", resp.StatusCode, body)
	}
	if !strings.Contains(log.String(), "secret") {
		t.Error("the panics are not in the log")
	}
}

// TestTornAnswer: a panic after the first byte must not look like the end of the answer.
func TestTornAnswer(t *testing.T) {
	s, err := New(Config{Log: quiet(), Models: models(&apitest.Engine{})})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(tearing{w}, r) }))
	defer srv.Close()
	req, err := http.NewRequest("POST", srv.URL+"/v1/chat/completions", strings.NewReader(askStream))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client(t).Do(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil || s.Panics() != 1 {
		t.Errorf("read error %v, %d panics", err, s.Panics())
	}
}

// tearing panics after a write, as a bug in a handler would.
type tearing struct{ http.ResponseWriter }

func (w tearing) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w tearing) Write(p []byte) (int, error) {
	n, _ := w.ResponseWriter.Write(p)
	if n > 0 {
		panic("bug")
	}
	return n, nil
}

func TestHostileBodies(t *testing.T) {
	_, base, _ := start(t, Config{Models: models(&apitest.Engine{}), Limits: Limits{HeaderBytes: 8 << 10}})
	c := client(t)
	chat := base + "/v1/chat/completions"
	keys := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"model":"tiny"`)
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":0`, i)
		}
		return b.String() + "}"
	}
	for name, tt := range map[string]struct {
		body   string
		status int
	}{
		"65 deep":           {`{"messages":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, 400},
		"a million deep":    {strings.Repeat("[", 1_000_000), 400},
		"a million keys":    {keys(1_000_000), 400},
		"32 MiB and a byte": {strings.Repeat(" ", 32<<20+1), 413},
		"30 MiB of spaces":  {strings.Repeat(" ", 30<<20), 400},
		"a long string":     {`{"` + strings.Repeat("x", 8<<20), 400},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		resp, body := send(t, c, "POST", chat, tt.body)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if resp.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, tt.status)
		}
		codeOf(t, body)
		t.Logf("%s: %s, %d MiB allocated", name, took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
	}
	raw, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(raw, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 20<<10))
	if line, err := bufio.NewReader(raw).ReadString('\n'); err != nil || !strings.Contains(line, "431") {
		t.Errorf("long header: %q, %v", line, err)
	}

	// A gigabyte that never ends: the server must hang up, not read it.
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", 1<<30)
	sent := int64(0)
	block := bytes.Repeat([]byte(" "), 1<<16)
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	for sent < 1<<30 {
		n, err := conn.Write(block)
		if sent += int64(n); err != nil {
			break
		}
	}
	if sent > 64<<20 {
		t.Errorf("the server took %d MiB of a body it refuses", sent>>20)
	}
}

// TestTimeouts: a client that does not send its headers or its body is dropped.
func TestTimeouts(t *testing.T) {
	const limit = 150 * time.Millisecond
	_, base, _ := start(t, Config{Models: models(&apitest.Engine{}), Limits: Limits{HeaderTime: limit, BodyTime: limit, IdleTime: limit}})
	for name, tt := range map[string]struct{ sent, want string }{
		"headers": {"POST /v1/chat/completions HTTP/1.1\r\nHost: local", ""},
		"body":    {"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", "400 Bad Request"},
		"idle":    {"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", "200 OK"},
		"nothing": {"", ""},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, tt.sent); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(got), tt.want) || tt.want == "" && strings.Contains(string(got), "200") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		conn.Close()
	}
}

// TestKeepAlive: deadlines of one answer must not reach the next one of the connection.
func TestKeepAlive(t *testing.T) {
	const write = 100 * time.Millisecond
	_, base, _ := start(t, Config{Models: models(&apitest.Engine{}), Limits: Limits{WriteTime: write, BodyTime: write}})
	c := client(t)
	for range 3 {
		for _, body := range []string{ask, askStream} {
			if resp, got := send(t, c, "POST", base+"/v1/chat/completions", body); resp.StatusCode != 200 || !strings.Contains(got, "Hello") {
				t.Fatalf("%d %s", resp.StatusCode, got)
			}
		}
		time.Sleep(3 * write / 2)
	}
}

func TestSlowAnswerOutlivesDeadlines(t *testing.T) {
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply {
		r := apitest.Say("a", "b")
		r.Parts[1].After = 400 * time.Millisecond
		return r
	}}
	const short = 100 * time.Millisecond
	_, base, _ := start(t, Config{Models: models(e), Limits: Limits{WriteTime: short, BodyTime: short, HeaderTime: short, IdleTime: short}})
	for _, body := range []string{ask, askStream} {
		if resp, got := send(t, client(t), "POST", base+"/v1/chat/completions", body); resp.StatusCode != 200 || !strings.Contains(got, "b") {
			t.Errorf("%d %s", resp.StatusCode, got)
		}
	}
}

func TestConnectionCap(t *testing.T) {
	_, base, _ := start(t, Config{Models: models(&apitest.Engine{}), Limits: Limits{Connections: 2}})
	addr := strings.TrimPrefix(base, "http://")
	get := func(c net.Conn, wait time.Duration) error {
		_ = c.SetDeadline(time.Now().Add(wait))
		fmt.Fprint(c, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	for _, c := range conns[:2] {
		if err := get(c, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := get(conns[2], 200*time.Millisecond); err == nil {
		t.Error("a third connection was served")
	}
	conns[0].Close()
	_ = conns[2].SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := http.ReadResponse(bufio.NewReader(conns[2]), nil); err != nil {
		t.Errorf("after another has closed: %v", err)
	}
}
