package chat

import (
	"strings"

	"aquifer/runtime/chat/jinja"
)

// probe asks a template what it can do, by rendering small conversations with it. A template says nothing about itself,
// and its text says little: what counts is what it writes.
func (f *Format) probe(t *template, src string) {
	user := Message{Role: "user", Content: needleText}
	shown := func(c view) string {
		segs, err := f.render(t, c, nil)
		if err != nil {
			return ""
		}
		var b strings.Builder
		for _, s := range segs {
			b.WriteString(s.Text)
		}
		return b.String()
	}
	tool := Tool{
		Name:       needleTool,
		Definition: `{"type": "function", "function": {"name": "` + needleTool + `", "description": "d", "parameters": {"type": "object", "properties": {"needle_key": {"type": "string", "description": "d"}}}}}`,
	}
	t.channels = f.findChannels(shown(view{entries: []entry{{Message: user}, {Message: Message{Role: "assistant", Content: needleText}}}}))
	const rule = "System needle."
	withRule := []entry{{Message: Message{Role: "system", Content: rule}}, {Message: user}}
	t.system = strings.Contains(shown(view{entries: withRule}), rule) ||
		strings.Contains(shown(view{entries: withRule, tools: []Tool{tool}}), rule) // some templates want tools
	if strings.Contains(src, "<|tool|>") && t.words["tools"] {
		if known, _ := f.token(phi.open[0]); known && !strings.Contains(shown(view{entries: []entry{{Message: user}}, tools: []Tool{tool}}), needleTool) {
			t.dialect, t.inSystem = f.resolve(&phi), true
			return
		}
	}
	if !strings.Contains(shown(view{entries: []entry{{Message: user}}, tools: []Tool{tool}}), needleTool) {
		return // calls without tools to call are of no use
	}
	call := Message{Role: "assistant", Calls: []ToolCall{{ID: needleID, Name: needleTool, Arguments: needleArgs}}}
	for _, try := range []struct{ objects, null bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		t.objects, t.null = try.objects, try.null
		text := shown(view{entries: []entry{{Message: user}, {Message: call}}, tools: []Tool{tool}})
		_, answer, _ := strings.Cut(text[strings.Index(text, needleTool)+1:], needleText)
		if d := recognise(answer); d != nil && !strings.Contains(answer, "None") {
			t.dialect = f.resolve(d)
			return
		}
	}
	t.objects, t.null = false, false
	if strings.Contains(src, granite.open[0]) && strings.Contains(src, "JSON list") {
		t.dialect, t.asText = f.resolve(&granite), true // told to the model, but not written by the template
	}
}

// value is what a template gets for one message.
func (t *template) value(e *entry) (jinja.Value, *Error) {
	content := e.content
	if content == nil {
		content = []jinja.Span{{Text: e.Content}}
	}
	text := jinja.Text(content...)
	if e.Content == "" && e.content == nil && len(e.Calls) > 0 && t.null {
		text = jinja.None()
	}
	// The role is one of five known words, so it may take part in a control token: Phi-3 writes '<|' + role + '|>'.
	pairs := []jinja.Pair{{Key: "role", Value: jinja.String(e.Role)}, {Key: "content", Value: text}}
	add := func(key, text string) {
		if text != "" {
			pairs = append(pairs, jinja.Pair{Key: key, Value: jinja.Untrusted(text)})
		}
	}
	add("name", e.Name)
	add("reasoning_content", e.Reasoning)
	if t.channels != nil && (e.Content == "" || len(e.Calls) == 0) {
		add("thinking", e.Reasoning) // beside content it is refused for messages with calls
	}
	add("tool_call_id", t.id(e.CallID))
	if e.system != "" {
		add("tools", e.system)
	}
	if len(e.Calls) > 0 {
		calls := make([]jinja.Value, len(e.Calls))
		for i, c := range e.Calls {
			arguments := jinja.Untrusted(c.Arguments)
			if t.objects {
				var err error
				if arguments, err = jinja.JSON(c.Arguments); err != nil {
					return nil, &Error{Msg: "the arguments of a call are not valid JSON"}
				}
			}
			calls[i] = jinja.NewDict(
				jinja.Pair{Key: "id", Value: jinja.Untrusted(t.id(c.ID))},
				jinja.Pair{Key: "type", Value: jinja.String("function")},
				jinja.Pair{Key: "function", Value: jinja.NewDict(
					jinja.Pair{Key: "name", Value: jinja.Untrusted(c.Name)}, jinja.Pair{Key: "arguments", Value: arguments},
				)},
			)
		}
		pairs = append(pairs, jinja.Pair{Key: "tool_calls", Value: jinja.NewList(calls...)})
	}
	return jinja.NewDict(pairs...), nil
}

func (t *template) id(id string) string {
	if id == "" || !t.shortIDs {
		return id
	}
	return shortID(id)
}
