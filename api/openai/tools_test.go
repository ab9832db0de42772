package openai_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

// weather is a tool with everything that OpenAI's clients send.
const weather = `{"type":"function","function":{"name":"get_weather","description":"Weather \"now\"","strict":true,"parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}}}`

// TestToolFields checks what of tools reaches the engine.
func TestToolFields(t *testing.T) {
	e := &apitest.Engine{}
	h := newHandler(t, e, openai.Config{})
	tool := engine.Tool{
		Name:       "get_weather",
		Definition: `{"type":"function","function":{"name":"get_weather","description":"Weather \"now\"","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}}}`,
		Parameters: `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}`,
	}
	bare := engine.Tool{Name: "f", Definition: `{"type":"function","function":{"name":"f"}}`, Parameters: `{"type":"object","properties":{}}`}
	both := []engine.Tool{tool, bare}
	for _, tt := range []struct {
		fields string
		tools  []engine.Tool
		choice engine.ToolChoice
	}{
		{``, both, engine.ToolChoice{}},
		{`,"tool_choice":"auto","parallel_tool_calls":true`, both, engine.ToolChoice{}},
		{`,"parallel_tool_calls":false`, both, engine.ToolChoice{Single: true}},
		{`,"tool_choice":"none"`, nil, engine.ToolChoice{}},
		{`,"tool_choice":"required"`, both, engine.ToolChoice{Must: true}},
		{`,"tool_choice":{"type":"function","function":{"name":"f"}}`, both, engine.ToolChoice{Must: true, Single: true, Names: []string{"f"}}},
		{`,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}}`, both, engine.ToolChoice{Names: []string{"f"}}},
		{
			`,"parallel_tool_calls":false,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"get_weather"}}]}}`, both,
			engine.ToolChoice{Must: true, Single: true, Names: []string{"f", "get_weather"}},
		},
	} {
		w := post(h, `{"model":"tiny",`+hi+`,"tools":[`+weather+`,`+oneTool[1:]+tt.fields+`}`)
		if w.Code != 200 {
			t.Errorf("%s: %s", tt.fields, w.Body)
			continue
		}
		all := e.Requests()
		if r := all[len(all)-1]; !reflect.DeepEqual(r.Tools, tt.tools) || !reflect.DeepEqual(r.ToolChoice, tt.choice) {
			t.Errorf("%s: got %+v, %+v", tt.fields, r.Tools, r.ToolChoice)
		}
	}
	// A schema without a type is of an object.
	post(h, `{"model":"tiny",`+hi+`,"tools":[{"type":"function","function":{"parameters":{"properties":{"a":{}}},"name":"f","description":null,"strict":null}}]}`)
	all := e.Requests()
	want := engine.Tool{Name: "f", Definition: `{"type":"function","function":{"parameters":{"properties":{"a":{}}},"name":"f"}}`, Parameters: `{"type":"object","properties":{"a":{}}}`}
	if got := all[len(all)-1].Tools; len(got) != 1 || got[0] != want {
		t.Errorf("got %+v", got)
	}
}

func TestToolRefusals(t *testing.T) {
	h := newHandler(t, &apitest.Engine{}, openai.Config{})
	fn := func(s string) string { return `{"tools":[{"type":"function","function":{"name":"f",` + s + `}}]}` }
	choice := func(s string) string {
		return `{"model":"tiny",` + hi + `,"tools":` + oneTool + `,"tool_choice":` + s + `}`
	}
	msg := func(s string) string { return `{"model":"tiny","messages":[` + s + `]}` }
	call := func(s string) string { return msg(`{"role":"assistant","content":null,"tool_calls":[` + s + `]}`) }
	asked := `{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}`
	for _, tt := range []struct{ body, param, code string }{
		{`{"tools":{}}`, "tools", "invalid_type"},
		{`{"tools":[` + strings.TrimSuffix(strings.Repeat(`{},`, 129), ",") + `]}`, "tools", "invalid_value"},
		{`{"tools":[1]}`, "tools[0]", "invalid_type"},
		{`{"tools":[{"type":"custom","custom":{"name":"f"}}]}`, "tools[0].type", "unsupported_parameter"},
		{`{"tools":[{"type":"function"}]}`, "tools[0].function", "invalid_type"},
		{`{"tools":[{"type":"function","function":{}}]}`, "tools[0].function.name", "missing_required_parameter"},
		{`{"tools":[{"type":"function","function":{"name":"a b"}}]}`, "tools[0].function.name", "invalid_value"},
		{`{"tools":[{"type":"function","function":{"name":"` + strings.Repeat("x", 65) + `"}}]}`, "tools[0].function.name", "invalid_value"},
		{`{"tools":[{"type":"function","x":1,"function":{"name":"f"}}]}`, "tools[0].x", "unknown_parameter"},
		{`{"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"f"}}]}`, "tools[1].function.name", "invalid_value"},
		{fn(`"description":1`), "tools[0].function.description", "invalid_type"},
		{fn(`"strict":"yes"`), "tools[0].function.strict", "invalid_type"},
		{fn(`"parameters":[]`), "tools[0].function.parameters", "invalid_type"},
		{fn(`"parameters":{"type":"string"}`), "tools[0].function.parameters.type", "invalid_value"},
		{fn(`"parameters":{"type":["object","null"]}`), "tools[0].function.parameters.type", "invalid_value"},
		{fn(`"returns":{}`), "tools[0].function.returns", "unknown_parameter"},
		{choice(`"any"`), "tool_choice", "invalid_value"},
		{choice(`{}`), "tool_choice.type", "invalid_type"},
		{choice(`{"type":"custom","custom":{"name":"f"}}`), "tool_choice.type", "unsupported_parameter"},
		{choice(`{"type":"function","function":{"name":"g"}}`), "tool_choice", "invalid_value"},
		{choice(`{"type":"function","function":{}}`), "tool_choice.function.name", "invalid_type"},
		{choice(`{"type":"allowed_tools","allowed_tools":{"mode":"none","tools":[]}}`), "tool_choice.allowed_tools.mode", "invalid_value"},
		{choice(`{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}`), "tool_choice.allowed_tools.tools", "invalid_value"},
		{choice(`{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"g"}}]}}`), "tool_choice", "invalid_value"},
		{`{"model":"tiny",` + hi + `,"tool_choice":"required"}`, "tool_choice", "invalid_value"},
		{`{"model":"tiny",` + hi + `,"tool_choice":{"type":"function","function":{"name":"f"}}}`, "tool_choice", "invalid_value"},
		{`{"function_call":{"name":"f"}}`, "function_call", "unsupported_parameter"},
		{`{"functions":[{"name":"f"}]}`, "functions", "unsupported_parameter"},
		{call(`{"id":"c"}`), "messages[0].tool_calls[0].type", "invalid_type"},
		{call(`{"type":"function","function":{"name":"f","arguments":"{}"}}`), "messages[0].tool_calls[0].id", "missing_required_parameter"},
		{call(`{"id":"c","type":"function","function":{"name":"f","arguments":{}}}`), "messages[0].tool_calls[0].function.arguments", "invalid_type"},
		{call(`{"id":"c","type":"function","function":{"name":"f","arguments":"[]"}}`), "messages[0].tool_calls[0].function.arguments", "invalid_value"},
		{call(`{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":"}}`), "messages[0].tool_calls[0].function.arguments", "invalid_value"},
		{call(`{"id":"c","type":"function","function":{"name":"f","arguments":"{}","x":1}}`), "messages[0].tool_calls[0].function.x", "unknown_parameter"},
		{call(`{"id":"c","type":"custom","custom":{"name":"f","input":""}}`), "messages[0].tool_calls[0].type", "unsupported_parameter"},
		{msg(`{"role":"user","content":"x","tool_calls":[]}`), "messages[0].tool_calls", "invalid_value"},
		{msg(`{"role":"user","content":"x","tool_call_id":"c"}`), "messages[0].tool_call_id", "invalid_value"},
		{msg(`{"role":"tool","content":"x"}`), "messages[0].tool_call_id", "missing_required_parameter"},
		{msg(`{"role":"tool","content":"x","tool_call_id":"c1"}`), "messages[0].tool_call_id", "invalid_value"},
		{msg(asked + `,{"role":"tool","tool_call_id":"c1"}`), "messages[1].content", "missing_required_parameter"},
		{msg(asked + `,{"role":"user","content":"x"},{"role":"tool","content":"x","tool_call_id":"c1"}`), "messages[2].tool_call_id", "invalid_value"},
		{msg(`{"role":"user","content":"x","refusal":"no"}`), "messages[0].refusal", "invalid_value"},
		{msg(`{"role":"assistant","content":"x","refusal":"no"}`), "messages[0].refusal", "invalid_value"},
		{msg(`{"role":"assistant","content":"x","reasoning":"a","reasoning_content":"b"}`), "messages[0].reasoning_content", "invalid_value"},
		{msg(`{"role":"user","content":"x","reasoning":"a"}`), "messages[0].reasoning", "invalid_value"},
		{msg(`{"role":"user","content":[{"type":"refusal","refusal":"x"}]}`), "messages[0].content[0].type", "unsupported_parameter"},
		{msg(`{"role":"assistant","content":"x","audio":{"id":"a"}}`), "messages[0].audio", "unsupported_parameter"},
		{`{"reasoning_effort":"max"}`, "reasoning_effort", "invalid_value"},
		{`{"chat_template_kwargs":{"` + strings.Repeat("x", 65) + `":1}}`, "chat_template_kwargs." + strings.Repeat("x", 43) + "...", "unknown_parameter"},
		{`{"model":"tiny",` + hi + `,"continue_final_message":true}`, "continue_final_message", "invalid_value"},
		{`{"model":"tiny",` + hi + `,"add_generation_prompt":false}`, "add_generation_prompt", "invalid_value"},
	} {
		refused(t, h, tt.body, tt.param, tt.code)
	}
}

// TestToolMessages: what an answer holds can be sent back as it is.
func TestToolMessages(t *testing.T) {
	e := &apitest.Engine{}
	h := newHandler(t, e, openai.Config{})
	body := `{"model":"tiny","effort":null,"messages":[
		{"role":"user","content":"x","name":"bob"},
		{"role":"assistant","content":null,"refusal":null,"reasoning_content":"r","reasoning":"r","annotations":[{}],"audio":null,"function_call":null,
		 "tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},
		{"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"two"}]},
		{"role":"tool","tool_call_id":"c1","content":"one","name":"own"},
		{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},
		{"role":"user","content":"y"},
		{"role":"assistant","refusal":"never"}],"reasoning_effort":"low","chat_template_kwargs":{"enable_thinking":false,"x":[1]}}`
	if w := post(h, strings.Replace(body, `"effort":null,`, "", 1)); w.Code != 200 {
		t.Fatal(w.Body)
	}
	r := e.Requests()[0]
	want := []engine.Message{
		{Role: "user", Content: "x", Name: "bob"},
		{Role: "assistant", Reasoning: "r", Calls: []engine.ToolCall{{ID: "c1", Name: "f", Arguments: `{"a": 1}`}, {ID: "c2", Name: "g", Arguments: "{}"}}},
		{Role: "tool", Content: "two", Name: "g", CallID: "c2"},
		{Role: "tool", Content: "one", Name: "own", CallID: "c1"},
		{Role: "assistant", Content: "no"},
		{Role: "user", Content: "y"},
		{Role: "assistant", Content: "never"},
	}
	if !reflect.DeepEqual(r.Messages, want) {
		t.Errorf("got  %+v\nwant %+v", r.Messages, want)
	}
	if !r.Continue || r.Effort != "low" || !slices.Equal(r.Variables, []engine.Variable{{Name: "enable_thinking", JSON: "false"}, {Name: "x", JSON: "[1]"}}) {
		t.Errorf("%+v", r)
	}
}

// parts is an answer with everything.
func parts() apitest.Reply {
	return apitest.Reply{
		Finish: engine.FinishCalls, Usage: engine.Usage{Prompt: 9, Completion: 20, Reasoning: 7},
		Parts: []apitest.Part{
			{Reasoning: "Hm"},
			{Reasoning: ", \"so\""},
			{Text: "Let me"},
			{Text: " see."},
			{Calls: []engine.CallPart{{Name: "get_weather"}}},
			{Calls: []engine.CallPart{{Arguments: `{"city"`}}},
			{Calls: []engine.CallPart{{Arguments: `: "Z"}`}, {Index: 1, Name: "f", Arguments: "{"}}},
			{Calls: []engine.CallPart{{Index: 1, Arguments: "}"}}},
		},
	}
}

func TestToolAnswers(t *testing.T) {
	only := apitest.Reply{Finish: engine.FinishCalls, Parts: []apitest.Part{{Calls: []engine.CallPart{{Name: "f", Arguments: "{}"}}}}}
	for _, tt := range []struct {
		name  string
		body  string
		reply apitest.Reply
	}{
		{"whole_calls", `{"model":"tiny","tools":[` + weather + `],` + hi + `}`, parts()},
		{"whole_calls_only", `{"model":"tiny","tools":[` + weather + `],` + hi + `}`, only},
		{"stream_calls", `{"model":"tiny","stream":true,"stream_options":{"include_usage":true},"tools":[` + weather + `],` + hi + `}`, parts()},
		{"stream_calls_choices", `{"model":"tiny","stream":true,"n":2,"tools":[` + weather + `],` + hi + `}`, only},
		{"bad_schema", `{"model":"tiny","tools":[` + weather + `],` + hi + `}`, apitest.Reply{Err: &engine.ParamError{Param: "tools[0].function.parameters", Msg: "cannot be enforced: x"}}},
		{"bad_variable", `{"model":"tiny",` + hi + `}`, apitest.Reply{Err: &engine.ChatError{Param: "chat_template_kwargs.x", Msg: "is not a variable"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply { return tt.reply }}
			golden(t, tt.name, post(newHandler(t, e, openai.Config{}), tt.body))
		})
	}
}

// TestCallIDs: every call has an identifier of its own, in a stream the same in all of its deltas.
func TestCallIDs(t *testing.T) {
	e := &apitest.Engine{Answer: func(engine.ChatRequest) apitest.Reply { return parts() }}
	w := post(newHandler(t, e, openai.Config{}), `{"model":"tiny","stream":true,"n":2,`+hi+`}`)
	ids := map[string]bool{}
	calls := 0
	for line := range strings.Lines(w.Body.String()) {
		var c struct {
			Choices []struct {
				Index int
				Delta struct {
					Calls []struct {
						Index int
						ID    *string
					} `json:"tool_calls"`
				}
			}
		}
		if json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &c) != nil {
			continue
		}
		for _, choice := range c.Choices {
			for _, call := range choice.Delta.Calls {
				if call.ID != nil {
					calls++
					ids[fmt.Sprint(*call.ID)] = true
				}
			}
		}
	}
	if calls != 4 || len(ids) != 4 {
		t.Errorf("%d calls, %d identifiers", calls, len(ids))
	}
}
