package openai_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

// heavyOnes are requests that take time before they run: a form, a tool, a long text.
func heavyOnes() []string {
	return []string{
		`{"model":"tiny","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}}`,
		`{"model":"tiny","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}`,
		fmt.Sprintf(`{"model":"tiny","messages":[{"role":"user","content":"%s"}]}`, strings.Repeat("long ", 20<<10)),
	}
}

// TestHeavyTurns: of requests that are expensive before they run only a few are worked on at a time; light ones overtake them, and
// in the end all have been answered.
func TestHeavyTurns(t *testing.T) {
	for _, body := range heavyOnes() {
		synctest.Test(t, func(t *testing.T) {
			most := max(runtime.GOMAXPROCS(0)/4, 1)
			release := make(chan struct{})
			var inside, worst atomic.Int32
			e := &apitest.Engine{Answer: func(r engine.ChatRequest) apitest.Reply {
				if r.MaxTokens != 7 { // a heavy one
					worst.Store(max(worst.Load(), inside.Add(1)))
					<-release
					inside.Add(-1)
				}
				return apitest.Say("Hello")
			}}
			h := newHandler(t, e, openai.Config{BodyTimeout: time.Hour})
			var all sync.WaitGroup
			for range 3*most + 1 {
				all.Go(func() {
					if w := post(h, body); w.Code != http.StatusOK {
						t.Errorf("status %d: %s", w.Code, w.Body)
					}
				})
			}
			synctest.Wait()
			if n := int(inside.Load()); n != most {
				t.Errorf("%d are worked on, want %d", n, most)
			}
			if w := post(h, `{"model":"tiny","messages":[{"role":"user","content":"x"}],"max_tokens":7}`); w.Code != http.StatusOK {
				t.Errorf("a light one: status %d: %s", w.Code, w.Body)
			}
			close(release)
			all.Wait()
			if n := int(worst.Load()); n != most {
				t.Errorf("%d at a time, want %d", n, most)
			}
		})
	}
}

// TestHeavyPatience: who waits too long for a turn is told to come again, and who leaves while waiting takes none.
func TestHeavyPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply {
			<-release
			return apitest.Say("Hello")
		}}
		h := newHandler(t, e, openai.Config{BodyTimeout: time.Minute})
		body := heavyOnes()[0]
		var all sync.WaitGroup
		for range max(runtime.GOMAXPROCS(0)/4, 1) {
			all.Go(func() { post(h, body) })
		}
		synctest.Wait()
		start := time.Now()
		w := post(h, body)
		if waited := time.Since(start); w.Code != http.StatusServiceUnavailable || waited != time.Minute {
			t.Errorf("status %d after %v: %s", w.Code, waited, w.Body)
		}
		if errorOf(t, w)["code"] != "busy" || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s, Retry-After %q", w.Body, w.Header().Get("Retry-After"))
		}
		gone := make(chan *httptest.ResponseRecorder)
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.Chat(deadlines{w}, r)
			gone <- w
		}()
		synctest.Wait()
		leave()
		<-gone
		close(release)
		all.Wait()
		if w := post(h, body); w.Code != http.StatusOK {
			t.Errorf("afterwards: status %d: %s", w.Code, w.Body)
		}
	})
}
