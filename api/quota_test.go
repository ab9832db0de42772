package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

// TestKeyAnswers: a client with as many answers as it may have is told to wait, whatever they wait for, and another is not.
func TestKeyAnswers(t *testing.T) {
	gate := make(chan struct{})
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply {
		return apitest.Reply{Parts: []apitest.Part{{Until: gate, Text: "x"}}}
	}}
	s, base, _ := start(t, Config{Models: models(e), Limits: Limits{KeyAnswers: 3}})
	c := client(t)
	post := func(key, body string) (*http.Response, string) {
		return send(t, c, "POST", base+"/v1/chat/completions", body, "Authorization", "Bearer "+key)
	}
	choices := func(body string, n int) string { return strings.Replace(body, "{", fmt.Sprintf(`{"n":%d,`, n), 1) }
	var all sync.WaitGroup
	for _, body := range []string{ask, choices(askStream, 2)} {
		all.Go(func() {
			if resp, got := post("secret-a", body); resp.StatusCode != 200 {
				t.Errorf("%s: %d %s", body, resp.StatusCode, got)
			}
		})
	}
	waitFor(t, "two requests", func() bool { return e.Open() == 2 })
	for _, body := range []string{ask, askStream} {
		resp, got := post("secret-a", body)
		if resp.StatusCode != 429 || codeOf(t, got) != "rate_limit_exceeded" || resp.Header.Get("Retry-After") != "2" ||
			!strings.Contains(got, "this API key") {
			t.Errorf("a fourth answer: %d %v %s", resp.StatusCode, resp.Header, got)
		}
	}
	if resp, got := post("secret-b", choices(ask, 4)); resp.StatusCode != 400 || !strings.Contains(got, `"param":"n"`) {
		t.Errorf("more choices than ever: %d %s", resp.StatusCode, got)
	}
	all.Go(func() {
		if resp, got := post("secret-b", choices(ask, 3)); resp.StatusCode != 200 {
			t.Errorf("another client: %d %s", resp.StatusCode, got)
		}
	})
	waitFor(t, "the other client", func() bool { return e.Open() == 3 })
	_, text := send(t, c, "GET", base+"/metrics", "")
	if strings.Count(text, "aquifer_client_answers{client=") != 2 || !strings.Contains(text, "aquifer_client_refusals_total 2\n") {
		t.Error(text)
	}
	if busy, _ := s.openai.Clients(); len(busy) != 2 || busy[0].Answers != 3 || busy[1].Answers != 3 || strings.Contains(fmt.Sprint(busy), "secret") {
		t.Errorf("busy: %+v", busy)
	}
	close(gate)
	all.Wait()
	idle(t, s)
	if resp, got := post("secret-a", choices(ask, 3)); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d %s", resp.StatusCode, got)
	}
}

// idle waits until no client has any answers.
func idle(t *testing.T, s *Server) {
	t.Helper()
	waitFor(t, "answers are still counted", func() bool { busy, _ := s.openai.Clients(); return len(busy) == 0 })
}

// TestKeyAnswersReturn: however a request ends, its client may ask again.
func TestKeyAnswersReturn(t *testing.T) {
	replies := map[string]apitest.Reply{
		"answered":      apitest.Say("x"),
		"refused":       {Err: engine.ErrBusy},
		"broken":        {Parts: []apitest.Part{{Err: errors.New("x")}}},
		"torn":          {Parts: []apitest.Part{{Text: "x"}, {Err: errors.New("x")}}},
		"panic":         {Panic: "x"},
		"panic in text": {Parts: []apitest.Part{{Text: "x"}, {Panic: "x"}}},
	}
	reply := ""
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply { return replies[reply] }}
	source := &changing{Source: models(e)}
	s, base, _ := start(t, Config{Models: source, Limits: Limits{KeyAnswers: 1}})
	c := client(t)
	for reply = range replies {
		for _, body := range []string{ask, askStream} {
			if resp, got := send(t, c, "POST", base+"/v1/chat/completions", body); strings.Contains(got, "this API key") {
				t.Errorf("before %s: %d %s", reply, resp.StatusCode, got)
			}
			idle(t, s)
		}
	}
	source.set(errors.New("no such file"))
	send(t, c, "POST", base+"/v1/chat/completions", ask)
	idle(t, s)
}

// counted is a source that knows how many requests hold its models, and how many did at most.
type counted struct {
	openai.Source
	now, peak *atomic.Int64
}

func (c counted) Acquire(ctx context.Context, name string, keep *time.Duration) (openai.Model, func(), error) {
	m, release, err := c.Source.Acquire(ctx, name, keep)
	if err != nil {
		return m, release, err
	}
	n := c.now.Add(1)
	for p := c.peak.Load(); n > p && !c.peak.CompareAndSwap(p, n); p = c.peak.Load() {
	}
	return m, func() { c.now.Add(-1); release() }, nil
}

// TestKeyAnswersHammer: clients that come and go at random never have more than their share, and leave nothing counted.
func TestKeyAnswersHammer(t *testing.T) {
	const most = 3
	var running, peak, served, refused atomic.Int64
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply {
		return apitest.Reply{Parts: []apitest.Part{{After: time.Millisecond, Text: "x"}}}
	}}
	s, base, _ := start(t, Config{Models: counted{models(e), &running, &peak}, Limits: Limits{KeyAnswers: most}})
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 60 {
				ctx, cancel := context.WithCancel(t.Context())
				if (w+i)%4 == 0 {
					time.AfterFunc(time.Duration(i*20)*time.Microsecond, cancel)
				}
				body := ask
				if i%2 == 0 {
					body = askStream
				}
				req, err := http.NewRequestWithContext(ctx, "POST", base+"/v1/chat/completions", strings.NewReader(body))
				if err != nil {
					t.Error(err)
				}
				req.Header.Set("Content-Type", "application/json")
				if resp, err := c.Do(req); err == nil {
					switch resp.StatusCode {
					case 200:
						served.Add(1)
					case 429:
						refused.Add(1)
					default:
						t.Errorf("status %d", resp.StatusCode)
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				cancel()
			}
		})
	}
	all.Wait()
	idle(t, s)
	if peak.Load() > most || served.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d answers at a time, %d served, %d refused", peak.Load(), served.Load(), refused.Load())
	}
}
