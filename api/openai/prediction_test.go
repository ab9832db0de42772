package openai_test

import (
	"encoding/json"
	"strings"
	"testing"

	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

// TestPrediction: the text reaches the engine, and what became of it is in the usage, of all choices, streamed or not.
func TestPrediction(t *testing.T) {
	reply := apitest.Say("a", "b")
	reply.Usage = engine.Usage{Prompt: 3, Completion: 2, Accepted: 4, Rejected: 1}
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply { return reply }}
	h := newHandler(t, e, openai.Config{})
	type usage struct {
		Details *struct {
			Accepted int `json:"accepted_prediction_tokens"`
			Rejected int `json:"rejected_prediction_tokens"`
		} `json:"completion_tokens_details"`
	}
	for _, tt := range []struct{ field, want string }{
		{`"prediction":{"type":"content","content":"guess"},`, "guess"},
		{`"prediction":{"content":[{"type":"text","text":"one"},{"type":"text","text":"two"}],"type":"content"},"n":2,`, "one\ntwo"},
		{`"prediction":{"type":"content","content":""},`, ""},
		{`"prediction":null,`, ""},
		{``, ""},
	} {
		for _, stream := range []string{"", `"stream":true,"stream_options":{"include_usage":true},`} {
			w := post(h, `{"model":"tiny",`+tt.field+stream+`"messages":[{"role":"user","content":"x"}]}`)
			if w.Code != 200 {
				t.Fatalf("%s: status %d: %s", tt.field, w.Code, w.Body)
			}
			all := e.Requests()
			if got := all[len(all)-1].Prediction; got != tt.want {
				t.Errorf("%s: the engine got %q", tt.field, got)
			}
			var got struct{ Usage usage }
			text := w.Body.String()
			if stream != "" {
				events := strings.Split(strings.TrimSpace(text), "\n\n")
				text = strings.TrimPrefix(events[len(events)-2], "data: ")
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			n := strings.Count(tt.field, `"n":2`) + 1
			if !strings.Contains(tt.field, "content") {
				n = 0
			}
			if d := got.Usage.Details; d == nil || d.Accepted != 4*n || d.Rejected != n {
				t.Errorf("%s: usage %s", tt.field, text)
			}
		}
	}
}

// TestPredictionRefused: what is wrong is named.
func TestPredictionRefused(t *testing.T) {
	h := newHandler(t, &apitest.Engine{}, openai.Config{})
	for value, param := range map[string]string{
		`"text"`:                                    "prediction",
		`{"content":"x"}`:                           "prediction.type",
		`{"type":"content"}`:                        "prediction.content",
		`{"type":"other","content":"x"}`:            "prediction.type",
		`{"type":"content","content":3}`:            "prediction.content",
		`{"type":"content","content":[]}`:           "prediction.content",
		`{"type":"content","content":"x","more":1}`: "prediction.more",
	} {
		w := post(h, `{"model":"tiny","prediction":`+value+`,"messages":[{"role":"user","content":"x"}]}`)
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"param":"`+param+`"`) {
			t.Errorf("%s: %d %s", value, w.Code, w.Body)
		}
	}
}
