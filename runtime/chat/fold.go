package chat

import (
	"encoding/json"
	"strings"

	"aquifer/runtime/chat/jinja"
)

// fold puts tools, calls and results into the text of messages, for templates that know nothing of them or write calls in
// a way that is not known here. It is the form of the Hermes models, which many others have seen: tools as JSON in the
// system message, calls between <tool_call> marks, results from the user between <tool_response> marks.
func fold(v *view, t *template, d *dialect, choice Choice) {
	var out []entry
	results := false // the last entry is of results
	for _, e := range v.entries {
		switch {
		case e.Role == "tool":
			span := []jinja.Span{{Text: "<tool_response>\n", Trusted: true}, {Text: e.Content}, {Text: "\n</tool_response>", Trusted: true}}
			if results {
				last := &out[len(out)-1]
				last.content = append(append(last.content, jinja.Span{Text: "\n", Trusted: true}), span...)
			} else {
				out = append(out, entry{Message: Message{Role: "user"}, content: span})
			}
			results = true
			continue
		case e.Role == "user" && results: // many templates want users and assistants by turns
			last := &out[len(out)-1]
			last.content = append(last.content, jinja.Span{Text: "\n\n", Trusted: true}, jinja.Span{Text: e.Content})
		case len(e.Calls) > 0:
			spans := []jinja.Span{{Text: e.Content}}
			for i, c := range e.Calls {
				if i > 0 || e.Content != "" {
					spans = append(spans, jinja.Span{Text: "\n", Trusted: true})
				}
				spans = append(spans, callSpans(d, c)...)
			}
			e.content, e.Calls = spans, nil
			out = append(out, e)
		default:
			out = append(out, e)
		}
		results = false
	}
	v.entries = out
	if len(v.tools) > 0 {
		v.instruct(t, toolText(v.tools, choice))
		v.tools = nil
	}
}

// callSpans writes a call in the default form.
func callSpans(d *dialect, c ToolCall) []jinja.Span {
	name, _ := json.Marshal(c.Name) // strings always have a JSON form
	return []jinja.Span{
		{Text: "<tool_call>\n{\"" + d.nameKey + "\": ", Trusted: true},
		{Text: string(name)},
		{Text: ", \"" + d.argsKey + "\": ", Trusted: true},
		{Text: c.Arguments},
		{Text: "}\n</tool_call>", Trusted: true},
	}
}

// toolText tells a model about tools.
func toolText(tools []Tool, choice Choice) []jinja.Span {
	spans := []jinja.Span{{Text: "You can call functions. <tools> holds one JSON object for each:\n<tools>\n", Trusted: true}}
	for _, t := range tools {
		spans = append(spans, jinja.Span{Text: t.Definition}, jinja.Span{Text: "\n", Trusted: true})
	}
	how := "</tools>\nTo call one, write its name and its arguments as JSON inside <tool_call>, and nothing behind it:\n" +
		"<tool_call>\n{\"name\": \"function name\", \"arguments\": {\"argument name\": \"value\"}}\n</tool_call>\n"
	if !choice.Single {
		how += "Several calls stand one below the other. "
	}
	return append(spans, jinja.Span{Text: how + "Results come inside <tool_response>. Call functions only where they help; otherwise just answer.", Trusted: true})
}

// instruct adds text to the system message, or to the first user's where the template shows no system message.
func (v *view) instruct(t *template, text []jinja.Span) {
	role := "system"
	if !t.system {
		role = "user"
	}
	gap := jinja.Span{Text: "\n\n", Trusted: true}
	for i := range v.entries {
		e := &v.entries[i]
		if e.Role != role || role == "system" && i > 0 {
			continue
		}
		own := e.content
		if own == nil {
			own = []jinja.Span{{Text: e.Content}}
		}
		if role == "system" {
			e.content = append(append(own[:len(own):len(own)], gap), text...)
		} else {
			e.content = append(append(text[:len(text):len(text)], gap), own...)
		}
		return
	}
	v.entries = append([]entry{{Message: Message{Role: role}, content: text}}, v.entries...)
}

// withoutSystem puts a first system message in front of what the user says, for templates that show or want none.
func (v *view) withoutSystem() {
	if len(v.entries) < 2 || v.entries[0].Role != "system" || v.entries[1].Role != "user" {
		return
	}
	user := v.entries[1]
	user.content = []jinja.Span{{Text: v.entries[0].Content}, {Text: "\n\n", Trusted: true}, {Text: user.Content}}
	v.entries = append([]entry{user}, v.entries[2:]...)
}

// callsAsText writes calls into the text of their messages, for templates that do not know them: a list between the marks
// of a dialect as they are spelled.
func callsAsText(v *view, d *dialect) {
	for i := range v.entries {
		e := &v.entries[i]
		if len(e.Calls) == 0 {
			continue
		}
		e.content = []jinja.Span{{Text: e.Content}, {Text: d.open[0] + "[", Trusted: true}}
		for j, c := range e.Calls {
			if j > 0 {
				e.content = append(e.content, jinja.Span{Text: ", ", Trusted: true})
			}
			name, _ := json.Marshal(c.Name)
			e.content = append(
				e.content, jinja.Span{Text: `{"` + d.nameKey + `": `, Trusted: true}, jinja.Span{Text: string(name)},
				jinja.Span{Text: `, "` + d.argsKey + `": `, Trusted: true}, jinja.Span{Text: c.Arguments}, jinja.Span{Text: "}", Trusted: true},
			)
		}
		e.content = append(e.content, jinja.Span{Text: "]" + d.close, Trusted: true})
		e.Calls = nil
	}
}

// tellSystem gives the tools to the system message, where Phi-4's template looks for them, as a list of functions.
func tellSystem(v *view) {
	var list []string
	for _, t := range v.tools {
		var def struct{ Function json.RawMessage }
		if json.Unmarshal([]byte(t.Definition), &def) == nil {
			list = append(list, string(def.Function))
		}
	}
	if len(list) == 0 {
		return
	}
	if len(v.entries) == 0 || v.entries[0].Role != "system" {
		v.entries = append([]entry{{Message: Message{Role: "system"}}}, v.entries...)
	}
	v.entries[0].system = "[" + strings.Join(list, ", ") + "]"
	v.tools = nil
}

// describe gives every tool and every property of its arguments a description, empty where there is none.
func describe(tools []Tool) []Tool {
	out := make([]Tool, len(tools))
	for i, t := range tools {
		out[i] = t
		var def struct {
			Type     string `json:"type"`
			Function struct {
				Name        string         `json:"name"`
				Description string         `json:"description"`
				Parameters  map[string]any `json:"parameters,omitempty"`
			} `json:"function"`
		}
		if json.Unmarshal([]byte(t.Definition), &def) != nil {
			continue
		}
		properties, _ := def.Function.Parameters["properties"].(map[string]any)
		for _, p := range properties {
			if p, ok := p.(map[string]any); ok && p["description"] == nil {
				p["description"] = ""
			}
		}
		if text, err := json.Marshal(def); err == nil {
			out[i].Definition = string(text)
		}
	}
	return out
}
