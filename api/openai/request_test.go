package openai_test

import (
	"context"
	"io"
	"log/slog"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// pool holds JSON values of all types and at the edges of all ranges. Every field must refuse those not listed for it.
var pool = []string{
	`true`, `false`, `0`, `1`, `-1`, `2`, `10`, `0.5`, `1.5`, `2.5`, `-2`, `-2.5`, `11`, `-0`, `-0.0`, `1e309`, `-1e309`, `1e-400`, `1.0`, `1e0`,
	`2147483647`, `2147483648`, `4294967296`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `-9223372036854775809`,
	`""`, `"x"`, `"auto"`, `"none"`, `"default"`, `"medium"`, `"high"`, `"tiny"`, `"1"`, `"true"`, `"NaN"`,
	`[]`, `{}`, `[1]`, `["x"]`, `["x","y"]`, `[""]`, `["text"]`, `["audio"]`, `[null]`, `[[]]`, `[{}]`,
	`{"type":"text"}`, `{"type":"json_object"}`, `{"type":"text","x":1}`, `{"include_usage":true}`, `{"include_usage":1}`, `{"include_usage":null}`,
	`{"include_obfuscation":true}`, `{"include_obfuscation":false}`, `{"a":"b"}`, `{"a":1}`, `{"50256":-100}`, `{"type":"content","content":"x"}`,
	`[{"role":"user","content":"x"}]`, oneTool,
}

var (
	numbers01 = []string{`0`, `1`, `0.5`, `1.0`, `1e0`, `1e-400`}
	numbers2  = append(slices.Clone(numbers01), `2`, `1.5`)
	penalties = append(slices.Clone(numbers2), `-1`, `-2`)
	lengths   = append([]string{`-1`, `0`}, positive...)
	positive  = []string{`1`, `2`, `10`, `11`, `2147483647`}
	strs      = []string{`""`, `"x"`, `"auto"`, `"none"`, `"default"`, `"medium"`, `"high"`, `"tiny"`, `"1"`, `"true"`, `"NaN"`}
	bools     = []string{`true`, `false`}
	keeps     = slices.DeleteFunc(slices.Clone(pool), func(v string) bool { return !strings.ContainsAny(v[:1], "-0123456789") || strings.HasSuffix(v, "e309") })
	schemas   = slices.Concat(bools, slices.DeleteFunc(slices.Clone(pool), func(v string) bool { return v[0] != '{' }))
)

func accepted() map[string][]string {
	return map[string][]string{
		"model":          {`"tiny"`},
		"messages":       {`[{"role":"user","content":"x"}]`},
		"stream":         bools,
		"stream_options": {`{}`, `{"include_usage":true}`, `{"include_usage":null}`, `{"include_obfuscation":false}`},
		"max_tokens":     positive, "max_completion_tokens": positive,
		"stop":        append([]string{`[]`, `["x"]`, `["x","y"]`, `["text"]`, `["audio"]`}, strs[1:]...),
		"seed":        {`0`, `1`, `-1`, `2`, `10`, `11`, `-2`, `2147483647`, `2147483648`, `4294967296`, `9223372036854775807`, `-9223372036854775808`},
		"temperature": numbers2, "top_p": numbers01, "presence_penalty": penalties, "frequency_penalty": penalties,
		"top_k": append([]string{`0`}, positive...), "min_p": numbers01,
		"repeat_penalty": append(slices.Clone(numbers2), `2.5`, `10`),
		"user":           strs, "safety_identifier": strs, "moderation": {},
		"prompt_cache_options": {`{}`, `{"a":"b"}`, `{"type":"text"}`, `{"type":"json_object"}`, `{"type":"content","content":"x"}`}, "prompt_cache_key": strs, "prompt_cache_retention": strs,
		"metadata":            {`{}`, `{"a":"b"}`, `{"type":"text"}`, `{"type":"json_object"}`, `{"type":"content","content":"x"}`},
		"parallel_tool_calls": bools,
		"n":                   {`1`, `2`, `10`, `11`}, "logprobs": bools, "top_logprobs": {`0`, `1`, `2`, `10`, `11`}, "logit_bias": {`{}`, `{"50256":-100}`},
		"typical_p": numbers01, "top_n_sigma": append(slices.Clone(numbers2), `-1`, `10`, `11`, `2.5`), "xtc_probability": numbers01, "xtc_threshold": numbers01,
		"dynatemp_range": numbers2, "dynatemp_exponent": append(slices.Clone(numbers2), `10`, `11`, `2.5`),
		"mirostat": {`0`, `2`}, "mirostat_tau": append(slices.Clone(numbers2), `10`, `11`, `2.5`), "mirostat_eta": numbers01,
		"repeat_last_n": lengths, "dry_penalty_last_n": lengths, "dry_allowed_length": positive,
		"dry_multiplier": append(slices.Clone(numbers2), `10`, `11`, `2.5`), "dry_base": {`1`, `2`, `10`, `11`, `1.5`, `2.5`, `1.0`, `1e0`},
		"dry_sequence_breakers": {`["x"]`, `["x","y"]`, `["text"]`, `["audio"]`}, "ignore_eos": bools, "n_predict": append([]string{`-1`}, positive...),
		"keep_alive": keeps,
		"store":      bools, "service_tier": {`"auto"`, `"default"`}, "response_format": {`{"type":"text"}`, `{"type":"json_object"}`}, "grammar": strs, "json_schema": schemas, "modalities": {`["text"]`},
		"tools": {`[]`, oneTool}, "tool_choice": {`"none"`, `"auto"`}, "functions": {`[]`}, "function_call": {`"none"`, `"auto"`},
		"chat_template_kwargs": slices.DeleteFunc(slices.Clone(schemas), func(v string) bool { return v[0] != '{' || strings.Contains(v, "50256") }), "continue_final_message": bools, "add_generation_prompt": {`false`},
		"cache_prompt": {`true`}, "id_slot": {`-1`}, "n_probs": {`0`}, "min_keep": {`0`}, "n_keep": {`0`}, "samplers": {`[]`}, "post_sampling_probs": {`false`}, "return_tokens": {`false`},
		"return_progress": {`false`}, "timings_per_token": {`false`}, "reasoning_format": {`"auto"`}, "parse_tool_calls": {`true`},
		"reasoning_effort": {`"none"`, `"medium"`, `"high"`}, "verbosity": {`"medium"`}, "audio": {}, "prediction": {`{"type":"content","content":"x"}`}, "web_search_options": {},
	}
}

// TestFieldsDoc compares docs/fields.md with the tables.
func TestFieldsDoc(t *testing.T) {
	const path = "../../docs/fields.md"
	got := openai.FieldsDoc()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != string(got) {
		t.Errorf("%s differs from the tables (%v); run with -update", path, err)
	}
}

// TestFields sends every field with every value of the pool. What a field without effect is given makes no difference to
// the engine, what another is given does, but for the values that are the defaults.
func TestFields(t *testing.T) {
	e := &apitest.Engine{}
	h := newHandler(t, e, openai.Config{})
	table, idle := accepted(), openai.Idle()
	last := func() engine.ChatRequest {
		all := e.Requests()
		r := all[len(all)-1]
		r.Sampling.Seed = 0 // without a seed each gets one of its own
		return r
	}
	post(h, `{"model":"tiny",`+hi2+`}`)
	plain := last()
	if got := openai.FieldNames(); len(got) != len(table) {
		t.Errorf("%d fields in the table, %d here", len(got), len(table))
	}
	cases := 0
	for _, name := range openai.FieldNames() {
		changed := false
		ok, known := table[name]
		if !known {
			t.Errorf("field %q has no expectation", name)
			continue
		}
		for _, v := range pool {
			body := map[string]string{"model": `"tiny"`, "messages": `[{"role":"user","content":"x"}]`}
			if name == "stream_options" {
				body["stream"] = "true"
			}
			switch name {
			case "top_logprobs":
				body["logprobs"] = "true"
			case "parallel_tool_calls", "tool_choice":
				body["tools"] = oneTool
			case "continue_final_message", "add_generation_prompt":
				body["messages"] = `[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]`
			}
			body[name] = v
			w := post(h, object(body))
			cases++
			switch {
			case slices.Contains(ok, v):
				if w.Code != 200 {
					t.Errorf("%s = %s is refused: %s", name, v, w.Body)
					break
				}
				r := last()
				if idle[name] && !reflect.DeepEqual(r, plain) {
					t.Errorf("%s = %s is said to have no effect: %+v", name, v, r)
				}
				changed = changed || !reflect.DeepEqual(r, plain)
			case name == "model" && slices.Contains(strs[1:], v):
				if w.Code != 404 || errorOf(t, w)["param"] != "model" {
					t.Errorf("%s = %s: %d %s", name, v, w.Code, w.Body)
				}
			case w.Code != 400:
				t.Errorf("%s = %s: status %d", name, v, w.Code)
			default:
				if param, _ := errorOf(t, w)["param"].(string); !strings.HasPrefix(param, name) {
					t.Errorf("%s = %s: param %q", name, v, param)
				}
			}
		}
		switch name {
		case "model", "messages", "stream", "stream_options", "seed", "keep_alive": // what they change is not in the engine's request here
		default:
			if !idle[name] && !changed {
				t.Errorf("%s is said to be honoured, and no value reaches the engine", name)
			}
		}
		// null is the same as absent
		body := map[string]string{"model": `"tiny"`, "messages": `[{"role":"user","content":"x"}]`}
		body[name] = "null"
		w := post(h, object(body))
		want := 200
		if name == "model" || name == "messages" {
			want = 400
		}
		if w.Code != want {
			t.Errorf("%s = null: status %d, want %d", name, w.Code, want)
		}
	}
	t.Logf("%d fields, %d cases", len(table), cases)
}

const oneTool = `[{"type":"function","function":{"name":"f"}}]`

const hi2 = `"messages":[{"role":"user","content":"x"}]`

// TestLenient: fields that do not exist are left out on demand, at every place; those that exist and are not supported
// are still refused.
func TestLenient(t *testing.T) {
	for _, tt := range []struct{ body, param string }{
		{`{"model":"tiny","Temperature":9,"x":{"y":[1]},` + hi2 + `}`, "Temperature"},
		{`{"model":"tiny","stream":true,"stream_options":{"nope":1,"include_usage":true},` + hi2 + `}`, "stream_options.nope"},
		{`{"model":"tiny","messages":[{"role":"user","content":"x","Name":"y"}]}`, "messages[0].Name"},
		{`{"model":"tiny","messages":[{"role":"user","content":[{"type":"text","text":"x","more":1}]}]}`, "messages[0].content[0].more"},
	} {
		for _, lenient := range []bool{false, true} {
			e := &apitest.Engine{}
			w := post(newHandler(t, e, openai.Config{IgnoreUnknown: lenient}), tt.body)
			switch {
			case lenient && (w.Code != 200 || e.Requests()[0].Messages[0].Content != "x"):
				t.Errorf("%s: status %d: %s", tt.body, w.Code, w.Body)
			case !lenient && (w.Code != 400 || errorOf(t, w)["param"] != tt.param):
				t.Errorf("%s: status %d: %s", tt.body, w.Code, w.Body)
			}
		}
	}
	h := newHandler(t, &apitest.Engine{}, openai.Config{IgnoreUnknown: true})
	for _, field := range []string{`"tools":[{}]`, `"functions":[{}]`, `"audio":{}`, `"temperature":9`, `"x":1,"x":2`} {
		if w := post(h, `{"model":"tiny",`+field+`,`+hi2+`}`); w.Code != 400 {
			t.Errorf("%s: status %d: %s", field, w.Code, w.Body)
		}
	}
}

func object(fields map[string]string) string {
	keys := make([]string, 0, len(fields))
	for k := range fields {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + k + `":` + fields[k])
	}
	return "{" + b.String() + "}"
}

func TestRefusals(t *testing.T) {
	h := newHandler(t, &apitest.Engine{}, openai.Config{})
	msg := func(s string) string { return `{"model":"tiny","messages":[` + s + `]}` }
	user := `{"role":"user","content":"x"}`
	for _, tt := range []struct{ body, param, code string }{
		{`{}`, "model", "missing_required_parameter"},
		{`{"model":""}`, "model", "missing_required_parameter"},
		{`{"model":"tiny"}`, "messages", "missing_required_parameter"},
		{`[]`, "", "invalid_json"},
		{`"x"`, "", "invalid_json"},
		{`{"model":"tiny"} x`, "", "invalid_json"},
		{"\xef\xbb\xbf{}", "", "invalid_json"},
		{`{"model":"tiny","model":"tiny"}`, "", "invalid_json"},
		{msg(`{"role":"user","content":"\ud800"}`), "", "invalid_json"},
		{msg(`{"role":"user","content":"\udc00\ud800"}`), "", "invalid_json"},
		{msg(`{"role":"user","content":"` + "\xff" + `"}`), "", "invalid_json"},
		{msg(`{"role":"user","content":"` + "\n" + `"}`), "", "invalid_json"},
		{`{"temperature":NaN}`, "", "invalid_json"},
		{`{"temperature":Infinity}`, "", "invalid_json"},
		{`{"temperature":01}`, "", "invalid_json"},
		{`{"temperature":.5}`, "", "invalid_json"},
		{`{"temperature":+1}`, "", "invalid_json"},
		{`{"temperature":0x1}`, "", "invalid_json"},
		{`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "", "invalid_json"},
		{`{"MODEL":"tiny"}`, "MODEL", "unknown_parameter"},
		{`{"model ":"tiny"}`, "model ", "unknown_parameter"},
		{`{"max_tokens ":1}`, "max_tokens ", "unknown_parameter"},
		{`{"` + strings.Repeat("x", 5000) + `":1}`, strings.Repeat("x", 64) + "...", "unknown_parameter"},
		{`{"model":"tiny","stream_options":{"include_usage":true},"messages":[` + user + `]}`, "stream_options", "invalid_value"},
		{`{"model":"tiny","top_logprobs":1,"messages":[` + user + `]}`, "top_logprobs", "invalid_value"},
		{`{"model":"tiny","top_logprobs":20,"logprobs":false,"messages":[` + user + `]}`, "top_logprobs", "invalid_value"},
		{`{"logit_bias":{"x":1}}`, "logit_bias", "invalid_value"},
		{`{"logit_bias":{"01":1}}`, "logit_bias", "invalid_value"},
		{`{"logit_bias":{"-1":1}}`, "logit_bias", "invalid_value"},
		{`{"logit_bias":{"2147483648":1}}`, "logit_bias", "invalid_value"},
		{`{"logit_bias":{"1":100.5}}`, "logit_bias.1", "invalid_value"},
		{`{"logit_bias":{"1":false}}`, "logit_bias.1", "invalid_type"},
		{`{"mirostat":1}`, "mirostat", "unsupported_parameter"},
		{`{"dry_sequence_breakers":[]}`, "dry_sequence_breakers", "invalid_value"},
		{`{"dry_sequence_breakers":["a",""]}`, "dry_sequence_breakers[1]", "invalid_value"},
		{`{"dry_sequence_breakers":["` + strings.Repeat("x", 41) + `"]}`, "dry_sequence_breakers[0]", "invalid_value"},
		{`{"dry_sequence_breakers":[` + strings.TrimSuffix(strings.Repeat(`"x",`, 65), ",") + `]}`, "dry_sequence_breakers", "invalid_value"},
		{`{"n":129}`, "n", "invalid_value"},
		{`{"n_predict":0}`, "n_predict", "invalid_value"},
		{`{"logprobs":true,"top_logprobs":21}`, "top_logprobs", "invalid_value"},
		{`{"stream_options":{"nope":true}}`, "stream_options.nope", "unknown_parameter"},
		{msg(``), "messages", "invalid_value"},
		{msg(`1`), "messages[0]", "invalid_type"},
		{msg(`{}`), "messages[0].role", "missing_required_parameter"},
		{msg(`{"role":"user"}`), "messages[0].content", "missing_required_parameter"},
		{msg(`{"role":"user","content":null}`), "messages[0].content", "missing_required_parameter"},
		{msg(`{"content":"x"}`), "messages[0].role", "missing_required_parameter"},
		{msg(`{"role":"function","content":"x"}`), "messages[0].role", "unsupported_parameter"},
		{msg(`{"role":"User","content":"x"}`), "messages[0].role", "invalid_value"},
		{msg(`{"role":5,"content":"x"}`), "messages[0].role", "invalid_type"},
		{msg(`{"role":"user","content":5}`), "messages[0].content", "invalid_type"},
		{msg(`{"role":"user","content":[]}`), "messages[0].content", "invalid_value"},
		{msg(`{"role":"user","content":["x"]}`), "messages[0].content[0]", "invalid_type"},
		{msg(`{"role":"user","content":[{"type":"text"}]}`), "messages[0].content[0].text", "invalid_type"},
		{msg(`{"role":"user","content":[{"text":"x"}]}`), "messages[0].content[0].type", "invalid_type"},
		{msg(`{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"http://169.254.169.254/"}}]}`), "messages[0].content[1].type", "unsupported_parameter"},
		{msg(`{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}`), "messages[0].content[0].type", "unsupported_parameter"},
		{msg(`{"role":"user","content":[{"type":"text","text":"x","x":1}]}`), "messages[0].content[0].x", "unknown_parameter"},
		{`{"service_tier":"best"}`, "service_tier", "invalid_value"},
		{`{"service_tier":1}`, "service_tier", "invalid_type"},
		{msg(`{"role":"user","content":"x","Content":"y"}`), "messages[0].Content", "unknown_parameter"},
		{msg(strings.TrimSuffix(strings.Repeat(user+",", 4097), ",")), "messages", "invalid_value"},
		{`{"stop":[` + strings.TrimSuffix(strings.Repeat(`"x",`, 17), ",") + `]}`, "stop", "invalid_value"},
		{`{"stop":["a","` + strings.Repeat("x", 1025) + `"]}`, "stop[1]", "invalid_value"},
		{`{"stop":""}`, "stop", "invalid_value"},
	} {
		refused(t, h, tt.body, tt.param, tt.code)
	}
}

// refused demands that a request is a 400 for a parameter.
func refused(t *testing.T, h *openai.Handler, body, param, code string) {
	t.Helper()
	w := post(h, body)
	short := body[:min(len(body), 160)]
	if w.Code != 400 {
		t.Errorf("%s: status %d", short, w.Code)
		return
	}
	e := errorOf(t, w)
	if got, _ := e["param"].(string); got != param || e["code"] != code {
		t.Errorf("%s: param %q code %v, want %q %s: %v", short, got, e["code"], param, code, e["message"])
	}
}

// holding is a source that notes how long models are to be kept, and whether they are given back.
type holding struct {
	openai.Source
	keep *time.Duration
	held int
}

func (s *holding) Acquire(ctx context.Context, name string, keep *time.Duration) (openai.Model, func(), error) {
	m, _, err := s.Source.Acquire(ctx, name, keep)
	s.keep = keep
	s.held++
	return m, func() { s.held-- }, err
}

func TestKeepAlive(t *testing.T) {
	s := &holding{Source: fixed(t, openai.Model{ID: "tiny", Engine: &apitest.Engine{}})}
	h := openai.New(openai.Config{Source: s})
	const never = -time.Second
	for value, want := range map[string]time.Duration{
		`0`: 0, `1`: time.Second, `0.5`: time.Second / 2, `-1`: never, `-1e300`: never, `1e300`: -1, `"10m"`: 10 * time.Minute,
		`"1h30m"`: 90 * time.Minute, `"-1s"`: never, `"0"`: 0, `"200000h"`: -1,
	} {
		w := post(h, `{"model":"tiny","stream":true,"keep_alive":`+value+`,`+hi2+`}`)
		if w.Code != 200 || s.keep == nil || *s.keep != want {
			t.Errorf("%s: %d, kept for %v, want %v", value, w.Code, s.keep, want)
		}
	}
	for _, value := range []string{`"5"`, `"x"`, `""`, `true`, `[]`, `{}`, `"999999999h"`} {
		if w := post(h, `{"model":"tiny","keep_alive":`+value+`,`+hi2+`}`); w.Code != 400 || errorOf(t, w)["param"] != "keep_alive" {
			t.Errorf("%s: %d %s", value, w.Code, w.Body)
		}
	}
	if post(h, `{"model":"tiny",`+hi2+`}`); s.keep != nil {
		t.Errorf("nothing said: kept for %v", s.keep)
	}
	if s.held != 0 {
		t.Errorf("%d requests still hold the model", s.held)
	}
}

// TestHonoured checks what reaches the engine.
func TestHonoured(t *testing.T) {
	e := &apitest.Engine{}
	defaults := engine.Sampling{Temperature: 0.6, TopP: 0.9, TopK: 40}
	h := openai.New(openai.Config{Source: fixed(t, openai.Model{ID: "tiny", Engine: e, Defaults: defaults})})
	const tiny = math.SmallestNonzeroFloat32
	user := []engine.Message{{Role: "user", Content: "Hi"}}
	for _, tt := range []struct {
		fields string
		want   engine.ChatRequest
	}{
		{`"seed":7`, engine.ChatRequest{Sampling: engine.Sampling{Temperature: 0.6, TopP: 0.9, TopK: 40, Seed: 7}}},
		{`"seed":-1,"temperature":0,"top_p":1,"top_k":0`, engine.ChatRequest{Sampling: engine.Sampling{TopP: 1, Seed: 1<<64 - 1}}},
		{`"seed":0,"top_p":0`, engine.ChatRequest{Sampling: engine.Sampling{Temperature: 0.6, TopK: 1}}},
		{
			`"seed":0,"temperature":2,"top_p":0.5,"min_p":0.25,"repeat_penalty":1.5,"presence_penalty":-2,"frequency_penalty":2,"top_k":5`,
			engine.ChatRequest{Sampling: engine.Sampling{
				Temperature: 2, TopP: 0.5, MinP: 0.25, RepeatPenalty: 1.5, PresencePenalty: -2, FrequencyPenalty: 2, TopK: 5,
			}},
		},
		{`"seed":0,"n":3,"n_predict":7,"ignore_eos":true`, engine.ChatRequest{N: 3, MaxTokens: 7, NoEOS: true, Sampling: defaults}},
		{`"seed":0,"n_predict":-1`, engine.ChatRequest{Sampling: defaults}},
		{`"seed":0,"n_predict":7,"max_tokens":6`, engine.ChatRequest{MaxTokens: 6, Sampling: defaults}},
		{
			`"seed":0,"logit_bias":{"5":-100,"0":1.5},"typical_p":0.5,"top_n_sigma":2,"xtc_probability":0.5,"xtc_threshold":0.2,"mirostat":2,"mirostat_tau":3,` +
				`"mirostat_eta":0.5,"dynatemp_range":1,"dynatemp_exponent":2,"repeat_last_n":-1,"dry_multiplier":1,"dry_base":2,"dry_allowed_length":3,` +
				`"dry_penalty_last_n":100,"dry_sequence_breakers":["a","b"]`,
			engine.ChatRequest{Sampling: engine.Sampling{
				Temperature: 0.6, TopP: 0.9, TopK: 40, LogitBias: []engine.Bias{{ID: 5, Value: -100}, {ID: 0, Value: 1.5}}, TypicalP: 0.5, TopNSigma: 2,
				XTCProbability: 0.5, XTCThreshold: 0.2, Mirostat: 2, MirostatTau: 3, MirostatEta: 0.5, DynatempRange: 1, DynatempExponent: 2, RepeatLastN: -1,
				DRYMultiplier: 1, DRYBase: 2, DRYAllowedLength: 3, DRYLastN: 100, DRYBreakers: []string{"a", "b"},
			}},
		},
		{ // zeros that mean something
			`"seed":0,"typical_p":0,"top_n_sigma":-1,"xtc_threshold":0,"mirostat_tau":0,"mirostat_eta":0,"dynatemp_exponent":0`,
			engine.ChatRequest{Sampling: engine.Sampling{
				Temperature: 0.6, TopP: 0.9, TopK: 40, TypicalP: tiny, XTCThreshold: tiny, MirostatTau: tiny, MirostatEta: tiny, DynatempExponent: tiny,
			}},
		},
		{`"seed":0,"repeat_penalty":1.5,"presence_penalty":1,"frequency_penalty":1,"repeat_last_n":0`, engine.ChatRequest{Sampling: defaults}},
		{
			`"seed":0,"dry_penalty_last_n":0,"dry_multiplier":1`,
			engine.ChatRequest{Sampling: defaults},
		},
		{`"seed":0,"logprobs":true`, engine.ChatRequest{Logprobs: true, Sampling: defaults}},
		{`"seed":0,"logprobs":true,"top_logprobs":20`, engine.ChatRequest{Logprobs: true, TopLogprobs: 20, Sampling: defaults}},
		{`"seed":0,"max_tokens":5,"stop":"a"`, engine.ChatRequest{MaxTokens: 5, Stop: []string{"a"}, Sampling: defaults}},
		{`"seed":0,"max_tokens":5,"max_completion_tokens":3,"stop":["a","b"]`, engine.ChatRequest{MaxTokens: 3, Stop: []string{"a", "b"}, Sampling: defaults}},
	} {
		tt.want.Messages = user
		if w := post(h, `{"model":"tiny",`+hi+`,`+tt.fields+`}`); w.Code != 200 {
			t.Errorf("%s: %s", tt.fields, w.Body)
			continue
		}
		all := e.Requests()
		if got := all[len(all)-1]; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", tt.fields, got, tt.want)
		}
	}

	post(h, `{"model":"tiny",`+hi+`}`)
	post(h, `{"model":"tiny",`+hi+`}`)
	if all := e.Requests(); all[len(all)-1].Sampling.Seed == all[len(all)-2].Sampling.Seed {
		t.Error("two requests without a seed got the same one")
	}

	body := `{"model":"tiny","messages":[{"role":"system","content":"S"},{"role":"developer","content":"D"},
		{"role":"user","content":[{"type":"text","text":"a","prompt_cache_breakpoint":{}},{"text":"b\u00e9\ud83d\ude00","type":"text"}]},
		{"role":"assistant","content":"ok","refusal":null,"tool_calls":[],"annotations":[],"audio":null,"function_call":null},
		{"role":"user","content":""}]}`
	if w := post(h, body); w.Code != 200 {
		t.Fatal(w.Body)
	}
	all := e.Requests()
	want := []engine.Message{
		{Role: "system", Content: "S"}, {Role: "developer", Content: "D"}, {Role: "user", Content: "a\nbé😀"}, {Role: "assistant", Content: "ok"}, {Role: "user"},
	}
	if got := all[len(all)-1].Messages; !reflect.DeepEqual(got, want) {
		t.Errorf("messages %q, want %q", got, want)
	}
}

func FuzzChatRequest(f *testing.F) {
	for name, values := range accepted() {
		for _, v := range values {
			f.Add(`{"model":"tiny","messages":[{"role":"user","content":"x"}],"` + name + `":` + v + `}`)
		}
	}
	for _, v := range pool {
		f.Add(`{"model":"tiny","stream":true,"messages":` + v + `}`)
	}
	h := newHandler(f, &apitest.Engine{}, openai.Config{Log: textLog(io.Discard)})
	f.Fuzz(func(t *testing.T, body string) {
		w := post(h, body)
		switch w.Code {
		case 200:
		case 400, 404:
			errorOf(t, w)
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
