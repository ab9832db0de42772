package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var soakTime = flag.Duration("soak", 0, "how long TestSoak runs; 0 is a few seconds, which say nothing about memory")

// soaker counts what clients saw.
type soaker struct {
	base   string
	mu     sync.Mutex
	counts map[string]int
	wrong  []string
}

func (s *soaker) note(kind string, x exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[fmt.Sprintf("%s: %d %s", kind, x.status, x.code)]++
}

func (s *soaker) blame(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrong) < 20 {
		s.wrong = append(s.wrong, fmt.Sprintf(format, a...))
	}
}

// words makes up a text of about n tokens.
func words(rng *rand.Rand, n int) string {
	list := strings.Fields("the river old stone light under winter road small bird night garden key tower ship letter green glass wind")
	var b strings.Builder
	for range n {
		b.WriteString(list[rng.IntN(len(list))] + " ")
	}
	return b.String()
}

// good are requests that can only fail because the server is busy.
func (s *soaker) good(ctx context.Context, c *http.Client, rng *rand.Rand) {
	body := chatBody{"model": s.base, "messages": userSays(words(rng, 5+rng.IntN(60))), "max_tokens": 1 + rng.IntN(40), "stream": rng.IntN(2) == 0}
	switch rng.IntN(8) {
	case 0:
		body["n"] = 1 + rng.IntN(4)
	case 1:
		body["response_format"] = map[string]string{"type": "json_object"}
	case 2:
		body["messages"] = userSays(words(rng, 600))
	case 3:
		body["prediction"] = map[string]any{"type": "content", "content": words(rng, 30)}
	case 4:
		body["logprobs"], body["top_logprobs"] = true, 3
	case 5:
		body["stop"], body["temperature"] = []string{"the", ". "}, 1.5
	}
	x := exchangeChat(ctx, c, s.base, s.named(body), nil)
	s.note("good", x)
	busy := (x.status == 429 || x.status == 503) && x.retry || x.status == 200 && x.code == "queue_timeout"
	if x.failure != nil || !busy && (x.status != 200 || !x.whole) {
		s.blame("a good request: %+v", x)
	}
	if busy { // as clients do
		time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
	}
}

// named puts the model's name in.
func (s *soaker) named(body chatBody) chatBody {
	body["model"] = embeddedName
	return body
}

// embeddedName is the id of the embedded model.
const embeddedName = "smollm2-135m-instruct-aqlm-4x8g8"

// leaving clients go at any time.
func (s *soaker) leaving(ctx context.Context, c *http.Client, rng *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(400))*time.Millisecond)
	defer cancel()
	body := chatBody{"messages": userSays(words(rng, 5+rng.IntN(400))), "stream": rng.IntN(3) > 0, "n": 1 + rng.IntN(3), "max_tokens": 300}
	x := exchangeChat(ctx, c, s.base, s.named(body), nil)
	if x.status == 200 {
		x.code = ""
	}
	s.note("leaving", x)
}

// bad requests get an error that is theirs, never the server's.
func (s *soaker) bad(ctx context.Context, c *http.Client, rng *rand.Rand) {
	bodies := [][]byte{
		[]byte(`{`), []byte(`[]`), nil, bytes.Repeat([]byte(`[`), 200), []byte(`{"model":"x"}`), []byte(`{"model":1,"messages":[]}`),
		[]byte(`{"model":"nobody","messages":[{"role":"user","content":"x"}]}`),
		[]byte(`{"model":"` + embeddedName + `","messages":[{"role":"user","content":"x"}],"temperature":9}`),
		[]byte(`{"model":"` + embeddedName + `","messages":[{"role":"user","content":"` + words(rng, 5000) + `"}]}`),
		[]byte(`{"model":"` + embeddedName + `","messages":[{"role":"user","content":"x"}],"grammar":"root ::= ((("}`),
	}
	x := exchangeChat(ctx, c, s.base, bodies[rng.IntN(len(bodies))], nil)
	s.note("bad", x)
	if x.failure != nil || x.status < 400 || x.status > 415 || x.code == "" {
		s.blame("a bad request: %+v", x)
	}
}

// slow readers let their answer pile up, and some go before it ends.
func (s *soaker) slow(ctx context.Context, _ *http.Client, rng *rand.Rand) {
	small := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096) // a wish
		}
		return conn, err
	}}
	defer small.CloseIdleConnections()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body := chatBody{"messages": userSays(words(rng, 10)), "stream": true, "max_tokens": 200, "logprobs": true, "top_logprobs": 20}
	leave := rng.IntN(40)
	x := exchangeChat(ctx, &http.Client{Transport: small}, s.base, s.named(body), func(n int) {
		time.Sleep(20 * time.Millisecond)
		if n == leave {
			cancel()
		}
	})
	s.note("slow", x)
}

// figures reads /metrics.
func figures(t *testing.T, base string) map[string]float64 {
	t.Helper()
	resp, err := http.Get(strings.TrimSuffix(base, "/v1") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("metrics: %v, status %d", err, resp.StatusCode)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			all[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return all
}

func mean(list []float64) (m float64) {
	for _, v := range list {
		m += v / float64(len(list))
	}
	return m
}

// TestSoak has four times as many clients as may wait, of all kinds, and looks at what they and the server's figures say: no
// error but that it is busy, and nothing left at the end.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const parallel, queue = 4, 8
	base := serveEmbedded(t, "--parallel", strconv.Itoa(parallel), "--queue", strconv.Itoa(queue), "--context", "1024", "--queue-timeout", "3s")
	s := &soaker{base: base, counts: map[string]int{}}
	if x := exchangeChat(t.Context(), http.DefaultClient, base, s.named(chatBody{"messages": userSays("Hi"), "max_tokens": 1}), nil); !x.whole {
		t.Fatalf("the first request, which loads the model: %+v", x)
	}
	http.DefaultClient.CloseIdleConnections()
	before := figures(t, base)
	duration := max(*soakTime, 3*time.Second)
	ctx, stop := context.WithTimeout(t.Context(), duration)
	defer stop()
	var clients sync.WaitGroup
	for i := range 4 * queue {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 77))
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			c := &http.Client{Transport: transport}
			for ctx.Err() == nil {
				// The last ones may end: what a stop would cut is no error of the server's.
				do := []func(context.Context, *http.Client, *rand.Rand){s.good, s.good, s.good, s.leaving, s.bad, s.slow}[rng.IntN(6)]
				do(t.Context(), c, rng)
			}
		})
	}
	var memory, goroutines []float64
	for tick := time.NewTicker(max(duration/60, 100*time.Millisecond)); ctx.Err() == nil; {
		select {
		case <-tick.C:
			f := figures(t, base)
			memory, goroutines = append(memory, f["process_resident_memory_bytes"]), append(goroutines, f["go_goroutines"])
		case <-ctx.Done():
			tick.Stop()
		}
	}
	clients.Wait()
	for _, w := range s.wrong {
		t.Error(w)
	}
	s.report(t)
	// Connections that nobody uses any more need a moment.
	var after map[string]float64
	model := `{model="` + embeddedName
	for wait := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		after = figures(t, base)
		if after["aquifer_sequences_running"+model+`"}`] == 0 && after["go_goroutines"] <= before["go_goroutines"]+2 || time.Now().After(wait) {
			break
		}
	}
	for _, name := range []string{"aquifer_sequences_running" + model + `"}`, "aquifer_sequences_waiting" + model + `"}`, "aquifer_kv_blocks" + model + `",state="used"}`} {
		if v, ok := after[name]; v != 0 || !ok {
			t.Errorf("%s is %v at the end", name, v)
		}
	}
	if g := after["go_goroutines"]; g > before["go_goroutines"]+2 {
		t.Errorf("%v goroutines at the end, %v at the start", g, before["go_goroutines"])
	}
	if fds := after["process_open_fds"]; fds > before["process_open_fds"]+2 {
		t.Errorf("%v files open at the end, %v at the start", fds, before["process_open_fds"])
	}
	if p := after["aquifer_http_panics_total"] + after["aquifer_engine_panics_total"+model+`"}`]; p != 0 {
		t.Errorf("%v panics", p)
	}
	n := len(memory)
	early, late := mean(memory[n/6:n/3]), mean(memory[n-n/6:])
	t.Logf("memory %.1f MB in the second sixth of the time, %.1f MB in the last; goroutines at most %.0f, %.0f at the end",
		early/1e6, late/1e6, slices.Max(goroutines), after["go_goroutines"])
	if *soakTime >= 5*time.Minute && late > early*1.02 {
		t.Errorf("memory grew from %.1f to %.1f MB", early/1e6, late/1e6)
	}
}

// report logs what clients saw, the most frequent first.
func (s *soaker) report(t *testing.T) {
	var lines []string
	for what, n := range s.counts {
		lines = append(lines, fmt.Sprintf("%6d  %s", n, what))
	}
	slices.Sort(lines)
	slices.Reverse(lines)
	t.Logf("exchanges:\n%s", strings.Join(lines, "\n"))
}
