package engine

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"aquifer/runtime/chat"
)

// callTemplate writes calls as the Hermes models do, and takes out reasoning.
const callTemplate = `{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content.split('</think>')[-1] }}` +
	`{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments }}}
</tool_call>{% endfor %}{% endfor %}`

var lookUp = []Tool{
	{Name: "look_up", Definition: `{"type":"function","function":{"name":"look_up"}}`, Parameters: `{"type":"object","properties":{"n":{"type":"integer","minimum":0,"maximum":99},"s":{"type":"string","maxLength":4}},"required":["n"],"additionalProperties":false}`},
	{Name: "now", Definition: `{"type":"function","function":{"name":"now"}}`, Parameters: `{"type":"object","properties":{}}`},
}

func callFormat(t *testing.T) *chat.Format {
	t.Helper()
	f, err := chat.New(chat.Source{Template: callTemplate})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// whole collects the first answer of a stream.
func whole(t *testing.T, s *Stream) (d Delta) {
	t.Helper()
	for {
		next, err := s.Next()
		if errors.Is(err, io.EOF) {
			return d
		}
		if err != nil {
			t.Fatal(err)
		}
		if next.Index != 0 {
			continue
		}
		all := piece{calls: d.Calls}
		all.join(piece{calls: next.Calls})
		d.Calls = all.calls
		d.Text += next.Text
		d.Reasoning += next.Reasoning
		d.Logprobs = append(d.Logprobs, next.Logprobs...)
		d.Finish, d.Usage = next.Finish, next.Usage
	}
}

// TestAnswerParts: an answer comes as reasoning, content and calls, each with what belongs to it.
func TestAnswerParts(t *testing.T) {
	const call = "<tool_call>\n{\"name\": \"look_up\", \"arguments\": {\"n\": 7, \"s\": \"stop\"}}\n</tool_call>"
	b := &fakeBackend{scripts: [][]byte{
		[]byte("<think>\nA stop.\n</think>\n\nSee: " + call + "\n" + call),
		[]byte("Just text, stop here"),
		[]byte("<tool_call>{\"name\": \"look_up\""),
	}}
	e := start(t, b, nil)
	turn, err := callFormat(t).Render(chat.Conversation{Messages: []Message{{Role: "user", Content: "x"}}, Tools: lookUp})
	if err != nil {
		t.Fatal(err)
	}
	form, err := turn.Form(nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(i, most int) Delta {
		s, err := e.Generate(t.Context(), Request{Prompt: scripted(i), MaxTokens: most, Stop: []string{"stop"}, Logprobs: true, Constraint: form, turn: turn})
		if err != nil {
			t.Fatal(err)
		}
		return whole(t, s)
	}
	d := ask(0, 0)
	arguments := `{"n": 7, "s": "stop"}`
	if d.Reasoning != "A stop." || d.Text != "See:" || len(d.Calls) != 2 || d.Calls[1] != (CallPart{Index: 1, Name: "look_up", Arguments: arguments}) || d.Finish != FinishCalls {
		t.Errorf("%+v", d)
	}
	// Only the last character of the first mark tells what the others were.
	if thought := len(">\nA stop.\n</think>"); d.Usage.Reasoning != thought {
		t.Errorf("%d tokens of reasoning, want %d", d.Usage.Reasoning, thought)
	}
	if n, want := len(d.Logprobs), len("<think"+"\n\nSee: "+"<tool_call"); n != want {
		t.Errorf("%d log-probabilities for %q, want %d", n, d.Text, want)
	}
	if d = ask(1, 0); d.Text != "Just text, " || d.Finish != FinishStop || len(d.Calls) != 0 || d.Usage.Reasoning != 0 {
		t.Errorf("%+v", d)
	}
	// The form goes on where the model would end.
	if d = ask(2, 40); d.Finish != FinishLength && d.Finish != FinishCalls || len(d.Calls) != 1 || d.Calls[0].Name != "look_up" || d.Text != "" {
		t.Errorf("%+v", d)
	}
	waitIdle(t, e)
}

// TestRequiredCalls: whatever the model would like to write, it calls a tool as its schema says.
func TestRequiredCalls(t *testing.T) {
	e := start(t, &fakeBackend{}, func(c *Config) { c.Chat = callFormat(t) })
	complete := 0
	for seed := range uint64(25) {
		s, err := e.Chat(t.Context(), ChatRequest{
			Messages: []Message{{Role: "user", Content: "x"}}, Tools: lookUp, ToolChoice: ToolChoice{Must: true, Single: true},
			MaxTokens: 120, Sampling: Sampling{Temperature: 1.5, Seed: seed},
		})
		if err != nil {
			t.Fatal(err)
		}
		d := whole(t, s)
		if d.Finish == FinishLength {
			continue
		}
		complete++
		if d.Finish != FinishCalls || len(d.Calls) != 1 || d.Text != "" {
			t.Fatalf("%+v", d)
		}
		var v struct {
			N *int
			S string
		}
		if err := json.Unmarshal([]byte(d.Calls[0].Arguments), &v); err != nil || d.Calls[0].Name == "look_up" && (v.N == nil || *v.N < 0 || *v.N > 99 || len([]rune(v.S)) > 4) {
			t.Errorf("%+v: %v", d.Calls[0], err)
		}
	}
	if complete < 5 {
		t.Errorf("%d complete calls", complete)
	}
}

// TestControlTokens: a control token takes an answer apart, and what is spelled like one does not.
func TestControlTokens(t *testing.T) {
	f, err := chat.New(chat.Source{
		Template: `{{ tools }}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments }}{% endfor %}{% endfor %}`,
		Token:    func(text string) (known, control bool) { return text == "[TOOL_CALLS]", text == "[TOOL_CALLS]" },
	})
	if err != nil {
		t.Fatal(err)
	}
	turn, err := f.Render(chat.Conversation{Messages: []Message{{Role: "user", Content: "x"}}, Tools: lookUp})
	if err != nil {
		t.Fatal(err)
	}
	q := &sequence{decoder: testTokenizer().NewDecoder(true), reading: reading{reader: turn.Reader(), controls: map[int32]byte{bosID: f.Controls()["[TOOL_CALLS]"]}}}
	var all piece
	push := func(ids ...int32) {
		for _, id := range ids {
			p, _ := q.read(id)
			all.text = append(all.text, p.Content...)
			all.join(piece{text: nil, calls: p.Calls})
		}
	}
	text := func(s string) {
		for i := range len(s) {
			push(int32(s[i]))
		}
	}
	text("[TOOL_CALLS]é\xc3")
	push(bosID)
	text("now[ARGS]{}")
	rest := q.rest()
	if string(all.text)+rest.Content != "[TOOL_CALLS]é\uFFFD" || len(all.calls) != 1 || all.calls[0].Name != "now" || all.calls[0].Arguments != "{}" || !q.called() {
		t.Errorf("%q, %+v, %+v", all.text, all.calls, rest)
	}
}

// TestBlame: an error says which of a request's schemas it is about.
func TestBlame(t *testing.T) {
	e := start(t, &fakeBackend{}, func(c *Config) { c.Chat = callFormat(t) })
	bad := `{"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}}`
	r := ChatRequest{Messages: []Message{{Role: "user", Content: "x"}}, Tools: []Tool{lookUp[0], {Name: "b", Definition: "{}", Parameters: bad}}}
	var param *ParamError
	if _, err := e.Chat(t.Context(), r); !errors.As(err, &param) || param.Param != "tools[1].function.parameters" || !strings.Contains(param.Msg, "uniqueItems") {
		t.Errorf("a tool: %v", err)
	}
	r.ToolChoice.Names = []string{"look_up"}
	s, err := e.Chat(t.Context(), r)
	if err != nil {
		t.Fatalf("a tool that is not called: %v", err)
	}
	s.Close()
	r.Constraint = &Constraint{Kind: JSONSchema, Text: bad}
	var form *ConstraintError
	if _, err := e.Chat(t.Context(), r); !errors.As(err, &form) || errors.As(err, &param) {
		t.Errorf("the constraint: %v", err)
	}
	waitIdle(t, e)
}
