package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"aquifer/runtime/chat/jinja"
	"aquifer/tokenizer"
)

// entry is a message on its way into a template.
type entry struct {
	Message
	content []jinja.Span // in place of Message.Content, where a part of it is ours; nil otherwise
	system  string       // the tools, for templates that want them in the system message
}

// view is what a template is shown.
type view struct {
	entries  []entry
	tools    []Tool
	generate bool
}

// Turn is an assistant's turn: what it follows, and how it is read.
type Turn struct {
	// Prompt is trusted where the template wrote it, and nowhere else, in whatever way the template moved or changed what
	// stems from messages and tools. It holds the beginning-of-text token if the template puts it there; the tokenizer must
	// not add a second one.
	Prompt []tokenizer.Segment

	channels  *channels // nil: the answer is not made of messages
	continued bool      // it goes on with a message

	begin   thinking
	marks   *marks
	dialect *dialect // nil: no tools may be called
	tools   []Tool   // that may be
	choice  Choice
	fields  map[string][]field // their arguments, where calls name them one by one
}

// Render makes the prompt for the next message of a conversation. The error is an *Error.
func (f *Format) Render(c Conversation) (*Turn, error) {
	t, v := f.main, view{tools: c.Tools, generate: !c.Continue}
	if len(c.Tools) > 0 || usesTools(c.Messages) {
		t = f.tools
	}
	for i, m := range c.Messages {
		switch m.Role {
		case "developer":
			if !t.developer {
				m.Role = "system"
			}
		case "system", "user", "assistant", "tool":
		default:
			return nil, &Error{Msg: fmt.Sprintf("message %d has the unknown role %q", i, m.Role)}
		}
		v.entries = append(v.entries, entry{Message: m})
	}
	if c.Continue {
		if n := len(v.entries); n == 0 || v.entries[n-1].Role != "assistant" || len(v.entries[n-1].Calls) > 0 {
			return nil, &Error{Param: "continue_final_message", Msg: "needs a last message that is text of the assistant's"}
		}
		last := &v.entries[len(v.entries)-1]
		last.Content += endOfPrompt
	}
	if c.Continue && t.channels != nil && c.Choice.Must {
		return nil, &Error{Param: "tool_choice", Msg: "cannot demand a call where the answer goes on with a message"}
	}
	if !t.system {
		v.withoutSystem()
	}
	dialect := t.dialect
	switch {
	case dialect == nil:
		dialect = f.resolve(&hermes)
		fold(&v, t, dialect, c.Choice)
	case t.inSystem:
		callsAsText(&v, &phi)
		tellSystem(&v)
	case t.channels != nil:
		oneByOne(&v)
	case t.asText:
		callsAsText(&v, &granite)
	}
	vars, e := t.variables(c)
	if e != nil {
		return nil, e
	}
	segs, err := f.render(t, v, vars)
	if err != nil && len(v.tools) > 0 && errors.As(err, new(*jinja.Error)) {
		// Some templates want a description of everything.
		described := v
		described.tools = describe(v.tools)
		if again, err2 := f.render(t, described, vars); err2 == nil {
			segs, err = again, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if c.Continue {
		if segs, e = cutPrompt(segs); e != nil {
			return nil, e
		}
	}
	turn := &Turn{Prompt: segs, marks: t.marks, begin: t.marks.begin(segs), channels: t.channels, continued: c.Continue}
	if len(c.Tools) > 0 {
		turn.dialect, turn.choice = dialect, c.Choice
		if turn.tools, err = chosen(c.Tools, c.Choice.Names); err == nil && dialect.form == tagged {
			err = turn.takeApart()
		}
	}
	return turn, err
}

// takeApart finds the arguments of the tools.
func (t *Turn) takeApart() error {
	t.fields = map[string][]field{}
	for _, tool := range t.tools {
		list, e := fieldsOf(tool, t.dialect.tags)
		if e != nil {
			return e
		}
		t.fields[tool.Name] = list
	}
	return nil
}

func usesTools(msgs []Message) bool {
	for _, m := range msgs {
		if m.Role == "tool" || len(m.Calls) > 0 {
			return true
		}
	}
	return false
}

// chosen returns the tools of some names, all for nil.
func chosen(tools []Tool, names []string) ([]Tool, error) {
	if names == nil {
		return tools, nil
	}
	var out []Tool
	for _, name := range names {
		found := false
		for _, t := range tools {
			if t.Name == name {
				out, found = append(out, t), true
				break
			}
		}
		if !found {
			return nil, &Error{Param: "tool_choice", Msg: fmt.Sprintf("names %q, which is none of the tools", name)}
		}
	}
	return out, nil
}

// variables are what a template gets beside the messages and tools.
func (t *template) variables(c Conversation) (map[string]jinja.Value, *Error) {
	const field = "chat_template_kwargs"
	vars := map[string]jinja.Value{}
	for _, v := range c.Variables {
		param := field + "." + v.Name
		if reserved[v.Name] {
			return nil, &Error{Param: param, Msg: "cannot be set: it belongs to the conversation"}
		}
		if !t.words[v.Name] {
			if v.Name == thinkingSwitch && v.JSON == "false" && t.marks == nil {
				continue // what does not reason need not be told not to
			}
			return nil, &Error{Param: param, Msg: "is not a variable of this model's chat template"}
		}
		value, err := jinja.JSON(v.JSON)
		if err != nil {
			return nil, &Error{Param: param, Msg: "is not valid JSON"}
		}
		vars[v.Name] = value
	}
	if e := t.effort(c.Effort, vars); e != nil {
		return nil, e
	}
	return vars, nil
}

var reserved = map[string]bool{
	"messages": true, "tools": true, "documents": true, "add_generation_prompt": true, "bos_token": true, "eos_token": true,
	"unk_token": true, "pad_token": true,
}

// render runs a template.
func (f *Format) render(t *template, v view, vars map[string]jinja.Value) ([]tokenizer.Segment, error) {
	list := make([]jinja.Value, len(v.entries))
	for i := range v.entries {
		var e *Error
		if list[i], e = t.value(&v.entries[i]); e != nil {
			return nil, e
		}
	}
	all := map[string]jinja.Value{
		"messages":              jinja.NewList(list...),
		"add_generation_prompt": jinja.Bool(v.generate),
		"tools":                 jinja.None(), // transformers passes both, so templates compare them with none
		"documents":             jinja.None(),
	}
	if len(v.tools) > 0 {
		tools := make([]jinja.Value, len(v.tools))
		for i, tool := range v.tools {
			var err error
			if tools[i], err = jinja.JSON(tool.Definition); err != nil {
				return nil, &Error{Param: "tools", Msg: fmt.Sprintf("[%d] is not valid JSON", i)}
			}
		}
		all["tools"] = jinja.NewList(tools...)
	}
	for name, value := range vars {
		all[name] = value
	}
	for name, text := range map[string]string{
		"bos_token": f.special.BOS, "eos_token": f.special.EOS, "unk_token": f.special.UNK, "pad_token": f.special.PAD,
	} {
		if text != "" {
			all[name] = jinja.String(text)
		}
	}
	spans, err := t.Render(context.Background(), all, jinja.Options{Now: f.now})
	if err != nil {
		return nil, wrap(err)
	}
	segs := make([]tokenizer.Segment, len(spans))
	for i, s := range spans {
		segs[i] = tokenizer.Segment{Text: s.Text, Trusted: s.Trusted}
	}
	return segs, nil
}

// endOfPrompt is put behind a message that the answer goes on with: two characters for private use.
const endOfPrompt = "\uF8E1\uF8E2"

// cutPrompt ends a prompt where the message ends that the answer goes on with. Its mark is the last one in what the
// template did not write.
func cutPrompt(segs []tokenizer.Segment) ([]tokenizer.Segment, *Error) {
	for i := len(segs) - 1; i >= 0; i-- {
		at := strings.LastIndex(segs[i].Text, endOfPrompt)
		if segs[i].Trusted || at < 0 {
			continue
		}
		segs[i].Text = segs[i].Text[:at]
		if segs = segs[:i+1]; at == 0 {
			segs = segs[:i]
		}
		return segs, nil
	}
	return nil, &Error{Param: "continue_final_message", Msg: "is not possible: the model's chat template does not show the last message as it is"}
}
