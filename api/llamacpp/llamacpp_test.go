package llamacpp

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

// slotted is an engine with slots.
type slotted struct {
	*apitest.Engine
	slots []engine.Slot
}

func (s slotted) Slots() []engine.Slot { return s.slots }

func handler(e openai.Engine) *Handler {
	return New(Config{
		Build: "test 1", WriteTimeout: time.Second,
		Find: func(id string) (openai.Model, *openai.Error) {
			if id != "" && id != "tiny" {
				return openai.Model{}, openai.Invalid(404, "model_not_found", "model", "no such model")
			}
			return openai.Model{ID: "tiny", Engine: e, Defaults: engine.Sampling{Temperature: 0.6, TopK: 40}}, nil
		},
	})
}

func ask(t *testing.T, f func(*httptest.ResponseRecorder), want int, into any) {
	t.Helper()
	w := httptest.NewRecorder()
	f(w)
	if w.Code != want {
		t.Fatalf("status %d, want %d: %s", w.Code, want, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
}

func TestProps(t *testing.T) {
	h := handler(slotted{Engine: &apitest.Engine{}})
	var got struct {
		Default struct {
			Context int `json:"n_ctx"`
			Params  map[string]any
		} `json:"default_generation_settings"`
		Alias      string `json:"model_alias"`
		Path       string `json:"model_path"`
		Slots      bool   `json:"endpoint_slots"`
		Build      string `json:"build_info"`
		Modalities map[string]bool
	}
	get := func(query string) func(*httptest.ResponseRecorder) {
		return func(w *httptest.ResponseRecorder) { h.Props(w, httptest.NewRequest("GET", "/props"+query, nil)) }
	}
	ask(t, get(""), 200, &got)
	p := got.Default.Params
	if got.Default.Context != 4096 || got.Alias != "tiny" || got.Path != "scripted" || !got.Slots || got.Build != "test 1" {
		t.Errorf("%+v", got)
	}
	// Defaults that are spelled by zero inside are spelled out.
	if p["top_k"] != 40.0 || p["top_p"] != 1.0 || p["repeat_penalty"] != 1.0 || p["top_n_sigma"] != -1.0 || p["repeat_last_n"] != 64.0 {
		t.Errorf("params %v", p)
	}
	if v, ok := got.Modalities["vision"]; !ok || v {
		t.Errorf("modalities %v", got.Modalities)
	}
	var e struct{ Error struct{ Code string } }
	if ask(t, get("?model=huge"), 404, &e); e.Error.Code != "model_not_found" {
		t.Errorf("%+v", e)
	}
}

func TestSlots(t *testing.T) {
	e := slotted{&apitest.Engine{}, []engine.Slot{
		{Busy: true, Sequence: 5, Prompt: 30, Cached: 10, Run: 26, Generated: 0, Left: 8, Sampling: engine.Sampling{Seed: 99, MinP: 0.5}},
		{},
	}}
	h := handler(e)
	get := func(query string) func(*httptest.ResponseRecorder) {
		return func(w *httptest.ResponseRecorder) { h.Slots(w, httptest.NewRequest("GET", "/slots"+query, nil)) }
	}
	var got []map[string]any
	ask(t, get(""), 200, &got)
	if len(got) != 2 || got[0]["is_processing"] != true || got[1]["is_processing"] != false || got[1]["id_task"] != -1.0 {
		t.Fatalf("%v", got)
	}
	if got[0]["n_prompt_tokens"] != 30.0 || got[0]["n_prompt_tokens_processed"] != 16.0 || got[0]["n_prompt_tokens_cache"] != 10.0 {
		t.Errorf("%v", got[0])
	}
	params, _ := json.Marshal(got[0]["params"])
	if !strings.Contains(string(params), `"min_p":0.5`) || strings.Contains(string(params), "99") && !strings.Contains(string(params), "4294967295") {
		t.Errorf("params %s", params)
	}
	ask(t, get("?fail_on_no_slot=1"), 200, &got)
	e.slots[1].Busy = true
	var refused struct{ Error struct{ Code string } }
	if ask(t, get("?fail_on_no_slot=1"), 503, &refused); refused.Error.Code != "no_slot_available" {
		t.Errorf("%+v", refused)
	}
	h = handler(&apitest.Engine{})
	ask(t, get(""), 501, &refused)
}
