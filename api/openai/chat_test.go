package openai_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// newHandler serves one scripted model called tiny.
func newHandler(t testing.TB, e *apitest.Engine, cfg openai.Config) *openai.Handler {
	t.Helper()
	cfg.Source = fixed(t, openai.Model{ID: "tiny", Engine: e, Created: time.Unix(1700000000, 0), Defaults: openai.Defaults()})
	return openai.New(cfg)
}

func fixed(t testing.TB, models ...openai.Model) openai.Source {
	t.Helper()
	s, err := openai.Fixed(models...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func post(h *openai.Handler, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.Chat(deadlines{w}, r)
	return w
}

// deadlines gives a recorder the method that streams need.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetWriteDeadline(time.Time) error { return nil }

var volatile = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`"id":"chatcmpl-[0-9a-f]{32}"`), `"id":"chatcmpl-ID"`},
	{regexp.MustCompile(`"id":"call_[0-9A-Z]{24}"`), `"id":"call_ID"`},
	{regexp.MustCompile(`"created":1[0-9]{9}\b`), `"created":NOW`},
	{regexp.MustCompile(`(: ping\n)+`), ": ping\n"},
	{regexp.MustCompile(`"system_fingerprint":"fp_[0-9a-f]{12}"`), `"system_fingerprint":"fp_X"`},
}

// golden compares an answer with testdata/NAME.golden byte for byte, except for what differs from run to run.
func golden(t *testing.T, name string, w *httptest.ResponseRecorder) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d %s\n", w.Code, w.Header().Get("Content-Type"))
	if after := w.Header().Get("Retry-After"); after != "" {
		fmt.Fprintf(&b, "Retry-After: %s\n", after)
	}
	fmt.Fprintf(&b, "\n%s", w.Body)
	got := b.Bytes()
	for _, v := range volatile {
		got = v.pattern.ReplaceAll(got, []byte(v.with))
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

const hi = `"messages":[{"role":"user","content":"Hi"}]`

func TestAnswers(t *testing.T) {
	length := apitest.Say("one", " two")
	length.Finish = engine.FinishLength
	early := apitest.Reply{Parts: []apitest.Part{{Err: engine.ErrQueueTimeout}}}
	late := apitest.Reply{Parts: []apitest.Part{{Text: "par"}, {Err: errors.New("secret: device on fire")}}}
	panics := apitest.Reply{Parts: []apitest.Part{{Text: "par"}, {Panic: "secret"}}}
	slow := apitest.Say("a", "b")
	slow.Parts[0].After, slow.Parts[1].After = 200*time.Millisecond, 200*time.Millisecond
	top := []engine.Logprob{{ID: 1, Bytes: []byte("a"), Value: -0.5}, {ID: 2, Bytes: []byte{0xe2, 0x82}, Value: math.Inf(-1)}}
	probs := apitest.Reply{Usage: engine.Usage{Prompt: 9, Completion: 4}, Parts: []apitest.Part{
		{Text: "a", Probs: []engine.Logprob{{ID: 1, Bytes: []byte("a"), Value: -0.5, Top: top}}},
		{Probs: []engine.Logprob{{ID: 2, Bytes: []byte{' ', 0xe2, 0x82}, Value: -1.25, Top: top[:1]}}}, // two parts of a character
		{Text: " €\"", Probs: []engine.Logprob{{ID: 3, Bytes: []byte{0xac, '"'}, Value: -20000}}},
		{Text: "!"},
	}}
	three := apitest.Reply{Usage: engine.Usage{Prompt: 40, Cached: 32, Completion: 2}, Parts: []apitest.Part{
		{Choice: 1, Text: "b"}, {Text: "a"}, {Choice: 1, Text: "B"}, {Choice: 2}, {Text: "A"}, {Choice: 2, Text: "C"},
	}}
	tests := []struct {
		name  string
		body  string
		reply apitest.Reply
	}{
		{"whole_choices", `{"model":"tiny","n":3,` + hi + `}`, three},
		{"stream_choices", `{"model":"tiny","n":3,"stream":true,"stream_options":{"include_usage":true},` + hi + `}`, three},
		{"whole_choices_unfinished", `{"model":"tiny","n":4,` + hi + `}`, three},
		{"stream_choices_unfinished", `{"model":"tiny","n":4,"stream":true,` + hi + `}`, three},
		{"whole_logprobs", `{"model":"tiny","logprobs":true,"top_logprobs":2,` + hi + `}`, probs},
		{"whole_logprobs_empty", `{"model":"tiny","logprobs":true,` + hi + `}`, apitest.Say()},
		{"stream_logprobs", `{"model":"tiny","stream":true,"logprobs":true,"top_logprobs":2,` + hi + `}`, probs},
		{"whole", `{"model":"tiny",` + hi + `}`, apitest.Say("Hel", "lo <b>", " \"ü\" \u2028\n")},
		{"whole_length", `{"model":"tiny",` + hi + `}`, length},
		{"whole_empty", `{"model":"tiny",` + hi + `}`, apitest.Say()},
		{"stream", `{"model":"tiny","stream":true,` + hi + `}`, apitest.Say("Hel", "lo <b>", " \"ü\" \u2028\n")},
		{"stream_no_usage", `{"model":"tiny","stream":true,"stream_options":{"include_usage":false},` + hi + `}`, length},
		{"stream_usage", `{"model":"tiny","stream":true,"stream_options":{"include_usage":true},` + hi + `}`, length},
		{"stream_empty", `{"model":"tiny","stream":true,` + hi + `}`, apitest.Say()},
		{"stream_error_first", `{"model":"tiny","stream":true,` + hi + `}`, early},
		{"stream_error_late", `{"model":"tiny","stream":true,` + hi + `}`, late},
		{"stream_panic", `{"model":"tiny","stream":true,` + hi + `}`, panics},
		{"stream_ping", `{"model":"tiny","stream":true,` + hi + `}`, slow},
		{"whole_error", `{"model":"tiny",` + hi + `}`, late},
		{"busy", `{"model":"tiny",` + hi + `}`, apitest.Reply{Err: engine.ErrBusy}},
		{"busy_stream", `{"model":"tiny","stream":true,` + hi + `}`, apitest.Reply{Err: engine.ErrBusy}},
		{"closing", `{"model":"tiny",` + hi + `}`, apitest.Reply{Err: engine.ErrClosed}},
		{"broken", `{"model":"tiny",` + hi + `}`, apitest.Reply{Err: engine.ErrBroken}},
		{"too_long", `{"model":"tiny","stream":true,` + hi + `}`, apitest.Reply{Err: fmt.Errorf("wrapped: %w", &engine.ContextError{Prompt: 5000, Context: 4096})}},
		{"param", `{"model":"tiny",` + hi + `}`, apitest.Reply{Err: &engine.ParamError{Param: "top_p", Msg: "is odd"}}},
		{"template", `{"model":"tiny",` + hi + `}`, apitest.Reply{Err: &engine.ChatError{Msg: "the model's chat template refuses these messages: roles must alternate"}}},
		{"no_model", `{"model":"gpt-5 <canary>",` + hi + `}`, apitest.Reply{}},
		{"bad_json", `{"model":"tiny",`, apitest.Reply{}},
		{"unknown_field", `{"model":"tiny","Temperature":1,` + hi + `}`, apitest.Reply{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply { return tt.reply }}
			log := &bytes.Buffer{}
			cfg := openai.Config{Log: textLog(log)}
			if tt.name == "stream_ping" {
				cfg.Heartbeat = 40 * time.Millisecond
			}
			h := newHandler(t, e, cfg)
			w := post(h, tt.body)
			golden(t, tt.name, w)
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("an internal error reached the client: %s", w.Body)
			}
			if strings.HasSuffix(tt.name, "_late") && !strings.Contains(log.String(), "device on fire") {
				t.Errorf("an internal error is not in the log: %s", log)
			}
			deadline := time.Now().Add(2 * time.Second)
			for e.Open() > 0 && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
			if n := e.Open(); n > 0 {
				t.Errorf("%d answers are still open", n)
			}
		})
	}
}

// TestStreamShape checks every stream against the rules that clients were seen to break on.
func TestStreamShape(t *testing.T) {
	h := newHandler(t, &apitest.Engine{}, openai.Config{})
	w := post(h, `{"model":"tiny","stream":true,"stream_options":{"include_usage":true},`+hi+`}`)
	body := w.Body.String()
	if !strings.HasSuffix(body, "data: [DONE]\n\n") || strings.Contains(body, "\r") {
		t.Errorf("no end mark with a blank line: %q", body)
	}
	events := strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n")
	var id string
	for i, ev := range events[:len(events)-1] {
		data, ok := strings.CutPrefix(ev, "data: ")
		if !ok || strings.Contains(data, "\n") {
			t.Fatalf("event %d is %q", i, ev)
		}
		var c map[string]any
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatal(err)
		}
		if _, ok := c["error"]; ok {
			t.Errorf("event %d has an error key", i)
		}
		if i == 0 {
			id = fmt.Sprint(c["id"], c["created"])
		} else if fmt.Sprint(c["id"], c["created"]) != id {
			t.Errorf("event %d has another id or time", i)
		}
		choices, ok := c["choices"].([]any)
		usage, has := c["usage"]
		last := i == len(events)-2
		if !ok || !has || (len(choices) == 0) != last || (usage != nil) != last {
			t.Errorf("event %d of %d: %s", i, len(events), data)
		}
	}
}

// named is a source whose first model has another name, and which has one more model that is not loaded.
type named struct{ openai.Source }

func (n named) Models() ([]openai.Listing, error) {
	list, err := n.Source.Models()
	list[0].Aliases = []string{"short"}
	return append(list, openai.Listing{ID: "org/c:1b"}), err
}

func TestModels(t *testing.T) {
	e := &apitest.Engine{}
	when := time.Unix(1700000000, 0)
	h := openai.New(openai.Config{Source: named{fixed(t, openai.Model{ID: "org/a", Engine: e, Created: when}, openai.Model{ID: "b", Engine: e, Created: when})}})
	list := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.Models(w, httptest.NewRequest(http.MethodGet, "/v1/models", nil))
		return w
	}
	one := func(id string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.Model(w, httptest.NewRequest(http.MethodGet, "/v1/models/x", nil), id)
		return w
	}
	for _, bad := range [][]openai.Model{{{Engine: e}}, {{ID: "a"}}, {{ID: "a", Engine: e}, {ID: "a", Engine: e}}} {
		if _, err := openai.Fixed(bad...); err == nil {
			t.Errorf("models %v are accepted", bad)
		}
	}
	golden(t, "models", list())
	golden(t, "model", one("org/a"))
	golden(t, "model", one("short"))
	golden(t, "model_unknown", one("canary"))
}

// TestBody covers what is wrong with a request before its JSON is looked at.
func TestBody(t *testing.T) {
	h := newHandler(t, &apitest.Engine{}, openai.Config{MaxBody: 200})
	fits := `{"model":"tiny",` + hi + `}`
	pad := func(n int) string { return fits + strings.Repeat(" ", n-len(fits)) }
	tests := []struct {
		name          string
		body          io.Reader
		kind, coding  string
		status        int
		code          string
		contentLength int64
	}{
		{"fits", strings.NewReader(pad(200)), "application/json", "", 200, "", 200},
		{"one byte over", strings.NewReader(pad(201)), "application/json", "", 413, "request_too_large", 201},
		{"one byte over, chunked", strings.NewReader(pad(201)), "application/json", "", 413, "request_too_large", -1},
		{"fits, chunked", strings.NewReader(pad(200)), "application/json; charset=UTF-8", "identity", 200, "", -1},
		{"announced too long", strings.NewReader(fits), "application/json", "", 413, "request_too_large", 1 << 40},
		{"form", strings.NewReader(fits), "application/x-www-form-urlencoded", "", 415, "unsupported_media_type", -1},
		{"text", strings.NewReader(fits), "text/plain", "", 415, "unsupported_media_type", -1},
		{"none", strings.NewReader(fits), "", "", 415, "unsupported_media_type", -1},
		{"malformed", strings.NewReader(fits), "application/json; charset", "", 415, "unsupported_media_type", -1},
		{"latin", strings.NewReader(fits), "application/json; charset=latin1", "", 415, "unsupported_media_type", -1},
		{"gzip", strings.NewReader(fits), "application/json", "gzip", 415, "unsupported_content_encoding", -1},
		{"broken off", io.MultiReader(strings.NewReader(fits[:9]), errReader{}), "application/json", "", 400, "body_unreadable", -1},
		{"empty", strings.NewReader(""), "application/json", "", 400, "invalid_json", -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", tt.body)
			r.ContentLength = tt.contentLength
			if tt.kind != "" {
				r.Header.Set("Content-Type", tt.kind)
			}
			if tt.coding != "" {
				r.Header.Set("Content-Encoding", tt.coding)
			}
			w := httptest.NewRecorder()
			h.Chat(w, r)
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if tt.code != "" {
				if e := errorOf(t, w); e["code"] != tt.code {
					t.Errorf("code %v, want %s", e["code"], tt.code)
				}
			}
		})
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// errorOf decodes an error answer and checks that it has exactly the keys that clients need.
func errorOf(t testing.TB, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var body struct{ Error map[string]any }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("content type %q", w.Header().Get("Content-Type"))
	}
	for _, key := range []string{"message", "type"} {
		if s, ok := body.Error[key].(string); !ok || s == "" {
			t.Errorf("%s is %v: %s", key, body.Error[key], w.Body)
		}
	}
	for _, key := range []string{"param", "code"} {
		v, has := body.Error[key]
		if s, ok := v.(string); !has || v != nil && (!ok || s == "") {
			t.Errorf("%s is %v: %s", key, v, w.Body)
		}
	}
	return body.Error
}
