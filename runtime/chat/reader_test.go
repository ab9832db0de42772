package chat

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// TestReader takes answers apart that models were seen to give.
func TestReader(t *testing.T) {
	call := func(i int, name, arguments string) CallPart {
		return CallPart{Index: i, Name: name, Arguments: arguments}
	}
	for _, tt := range []struct {
		name, template string
		control, tools bool
		vars           []Variable
		answer         string
		want           Parts
	}{
		{"text", "Hermes", false, true, nil, " Just <b>text</b>.\n", Parts{Content: " Just <b>text</b>.\n"}},
		{"text behind white space", "Hermes", false, true, nil, "a\n\nb", Parts{Content: "a\n\nb"}},
		{"part of a mark", "Hermes", false, true, nil, "x <tool_cal", Parts{Content: "x <tool_cal"}},
		{
			"Hermes", "Hermes", false, true, nil, "Let me look.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Z}\\\"]ürich\", \"days\": 3}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>",
			Parts{Content: "Let me look.", Calls: []CallPart{call(0, "get_weather", `{"city": "Z}\"]ürich", "days": 3}`), call(1, "now", "{}")}},
		},
		{
			"Llama", "Llama 3", false, true, nil, "\n{\"name\": \"now\", \"parameters\": {\"list\": []}}",
			Parts{Calls: []CallPart{call(0, "now", `{"list": []}`)}},
		},
		{"Llama, marked", "Llama 3", true, true, nil, "\xfa{\"name\": \"now\", \"parameters\": {}}", Parts{Calls: []CallPart{call(0, "now", "{}")}}},
		{"Llama, other JSON", "Llama 3", true, true, nil, "{\"names\": 1}", Parts{Content: "{\"names\": 1}"}},
		{"Llama, JSON in text", "Llama 3", true, true, nil, "So: {\"name\": 1}", Parts{Content: "So: {\"name\": 1}"}},
		{
			"Mistral", "Mistral", true, true, nil, "Ok \xf8[{\"name\": \"now\", \"arguments\": {}}, {\"name\": \"get_weather\", \"arguments\": {\"city\":\"[]\"}, \"id\": \"abc123xyz\"}]",
			Parts{Content: "Ok", Calls: []CallPart{call(0, "now", "{}"), call(1, "get_weather", `{"city":"[]"}`)}},
		},
		{"Mistral, spelled", "Mistral", true, true, nil, "[TOOL_CALLS][", Parts{Content: "[TOOL_CALLS]["}},
		{
			"Mistral, apart", "Mistral with arguments apart", true, true, nil, "\xf8now\xf9{}\xf8get_weather\xf9{\"city\": {\"a\":[1]}}",
			Parts{Calls: []CallPart{call(0, "now", "{}"), call(1, "get_weather", `{"city": {"a":[1]}}`)}},
		},
		{
			"Command-R", "Command-R", false, true, nil, "I will.\nAction: ```json\n[\n    {\n        \"tool_name\": \"now\",\n        \"parameters\": {}\n    }\n]```",
			Parts{Content: "I will.", Calls: []CallPart{call(0, "now", "{}")}},
		},
		{
			"Command-R, directly", "Command-R", false, true, nil, "Action: ```json\n[{\"tool_name\": \"directly_answer\", \"parameters\": {}}\n]```\nHello!",
			Parts{Content: "Hello!"},
		},
		{
			"Phi", "Phi-4", true, true, nil, "\xfb[{\"name\": \"now\", \"arguments\": {}}]\xfc",
			Parts{Calls: []CallPart{call(0, "now", "{}")}},
		},
		{"cut in a call", "Hermes", false, true, nil, "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"li", Parts{Calls: []CallPart{call(0, "now", `{"li`)}}},
		{"cut in a name", "Hermes", false, true, nil, "<tool_call>\n{\"name\": \"no", Parts{}},
		{"no tools", "thinking", false, false, nil, "<tool_call>{\"name\"", Parts{Content: "<tool_call>{\"name\""}},
		{"reasoning", "thinking", false, false, nil, "\n<think>\nHm, <b> </thin\n</think>\n\n Yes.\n", Parts{Reasoning: "Hm, <b> </thin", Content: "Yes.\n"}},
		{"reasoning that is cut", "thinking", false, false, nil, "<think> Hm </thi", Parts{Reasoning: "Hm </thi"}},
		{"no reasoning", "thinking", false, false, nil, " Yes <think>", Parts{Content: " Yes <think>"}},
		{"reasoning that the prompt opens", "thinking", false, false, []Variable{{thinkingSwitch, "true"}}, "Hm</think>Yes", Parts{Reasoning: "Hm", Content: "Yes"}},
		{"opened twice", "thinking", false, false, []Variable{{thinkingSwitch, "true"}}, "<think>\nHm</think>Yes", Parts{Reasoning: "Hm", Content: "Yes"}},
		{"closed by the prompt", "thinking", false, false, []Variable{{thinkingSwitch, "false"}}, "Yes</think>", Parts{Content: "Yes</think>"}},
		{
			"reasoning, then a call", "thinking", false, true, nil, "<think>\n\n</think>\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>",
			Parts{Calls: []CallPart{call(0, "now", "{}")}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFormat(t, tt.template, tt.control)
			c := Conversation{Messages: []Message{{Role: "user", Content: "Hi"}}, Variables: tt.vars}
			if tt.tools {
				c.Tools = twoTools
			}
			turn, err := f.Render(c)
			if err != nil {
				t.Fatal(err)
			}
			r := turn.Reader()
			if r == nil {
				if p := (Parts{Content: tt.answer}); !reflect.DeepEqual(p, tt.want) {
					t.Errorf("no reader for %q", tt.answer)
				}
				return
			}
			rng := rand.New(rand.NewPCG(1, 2))
			for range 30 {
				if p := readAll(turn.Reader(), rng, tt.answer); !reflect.DeepEqual(p, tt.want) {
					t.Fatalf("got  %+v\nwant %+v", p, tt.want)
				}
			}
			p := r.Push(tt.answer)
			q := r.Flush()
			if p.Reasoning+q.Reasoning != tt.want.Reasoning || p.Content+q.Content != tt.want.Content || r.Called() != (len(tt.want.Calls) > 0) {
				t.Errorf("in one piece: %+v, %+v", p, q)
			}
		})
	}
}

// FuzzReader: whatever a model writes, no text is lost or made up, and cuts do not matter.
func FuzzReader(f *testing.F) {
	f.Add("Hermes", "a <tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\": \"\\\"}\"}}\n</tool_call> b", uint64(1))
	f.Add("Llama 3", `{"name": "x", "parameters": {"a": [1, {}]}}`, uint64(2))
	f.Add("Mistral", "\xf8[{\"name\": 1, \"x\": [{]}, {}]", uint64(3))
	f.Add("Mistral with arguments apart", "\xf8a\xf9{}\xf8", uint64(4))
	f.Add("Command-R", "Action: ```json [{\"tool_name\": \"directly-answer\"}]``` x", uint64(5))
	f.Add("thinking", "<think>a</think> b<tool_call>", uint64(6))
	f.Add("Qwen3-Coder", "<tool_call>\n<function=now>\n<parameter=list>\n[\"<\"]\n</parameter>\n</function>\n</tool_call>", uint64(7))
	f.Add("GLM-4.5", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>\"</arg_value></tool_call>", uint64(8))
	f.Add("MiniMax-M2", "<minimax:tool_call><invoke name=\"now\"></invoke></minimax:tool_call>", uint64(9))
	f.Add("DeepSeek", "\xfd\xfefunction\xffnow\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", uint64(10))
	f.Add("Harmony", "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=functions.now json<|message|>{\"a\": \"<|end|>\"}", uint64(12))
	f.Add("DeepSeek V3.2", "<｜DSML｜tool_calls><｜DSML｜invoke name=\"now\"></｜DSML｜invoke></｜DSML｜tool_calls>", uint64(13))
	f.Add("Functionary 3.1", "<function=now>{}</function>", uint64(11))
	f.Fuzz(func(t *testing.T, name, answer string, seed uint64) {
		if dialectTemplates[name] == "" || len(answer) > 1000 {
			return
		}
		turn, err := newFormat(t, name, true).Render(Conversation{Messages: []Message{{Role: "user", Content: "Hi"}}, Tools: twoTools})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		p := readAll(turn.Reader(), rng, answer)
		if q := readAll(turn.Reader(), rng, answer); !reflect.DeepEqual(p, q) {
			t.Fatalf("%q depends on cuts:\n%+v\n%+v", answer, p, q)
		}
		if clean := withoutControls(answer); !strings.Contains(clean, p.Content) && turn.dialect.direct == "" && turn.channels == nil {
			t.Fatalf("%q has no content %q", answer, p.Content)
		}
		for _, c := range p.Calls {
			if turn.dialect.form != tagged && !strings.Contains(answer, c.Arguments) {
				t.Fatalf("%q has no arguments %q", answer, c.Arguments)
			}
		}
	})
}
