// Package chat turns a conversation into a prompt with the chat template of the checkpoint. It says which parts of the
// prompt the template wrote and which a user did, so that the tokenizer reads control tokens only in the former. It
// imports the tokenizer's segment type and its own template interpreter, nothing else of ours.
package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"aquifer/runtime/chat/jinja"
	"aquifer/tokenizer"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string // "system", "developer", "user" or "assistant"
	Content string
}

// Special holds the texts of the control tokens that templates ask for by name. An empty one is undefined to the
// template.
type Special struct {
	BOS, EOS, UNK, PAD string
}

// Plain is the template used for checkpoints that bring none. The system message stands first as it is, then every
// turn has a line of its own that starts with the speaker.
const Plain = `{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content | trim }}

{% else %}{{ m.role }}: {{ m.content | trim }}
{% endif %}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}`

// Error says that a conversation cannot be rendered: a role is unknown, or the template refused it, failed on it or
// used up its budget. The fault lies with the conversation or the template, never with the server.
type Error struct {
	Msg string
	Err error // the *jinja.Error behind it, if any
}

func (e *Error) Error() string { return "chat: " + e.Msg }

// Unwrap returns the error of the template.
func (e *Error) Unwrap() error { return e.Err }

// Format renders conversations for one checkpoint. It does not change, so any number of goroutines may use it.
type Format struct {
	template  *jinja.Template
	special   Special
	developer bool // the template knows the role of that name
	plain     bool
}

// New compiles a checkpoint's template; an empty one means Plain. The error is that of jinja.Compile and names the
// line.
func New(template string, special Special) (*Format, error) {
	f := &Format{special: special, plain: strings.TrimSpace(template) == ""}
	if f.plain {
		template = Plain
	}
	var err error
	if f.template, err = jinja.Compile(template); err != nil {
		return nil, fmt.Errorf("chat: template: %w", err)
	}
	f.developer = strings.Contains(template, `'developer'`) || strings.Contains(template, `"developer"`)
	return f, nil
}

// IsPlain reports whether the checkpoint brought no template.
func (f *Format) IsPlain() bool { return f.plain }

// Render returns the prompt as a list of segments: what the template wrote is trusted, what stems from a message's
// content is not, in whatever way the template moved or changed it. The prompt holds the beginning-of-text token if
// the template puts it there; the tokenizer must not add a second one. With addGenerationPrompt the prompt ends where
// the assistant's answer begins. The error is an *Error.
func (f *Format) Render(msgs []Message, addGenerationPrompt bool) ([]tokenizer.Segment, error) {
	list := make([]jinja.Value, len(msgs))
	for i, m := range msgs {
		role := m.Role
		switch role {
		case "developer":
			if !f.developer {
				role = "system"
			}
		case "system", "user", "assistant":
		default:
			return nil, &Error{Msg: fmt.Sprintf("message %d has the unknown role %q", i, m.Role)}
		}
		// The role is one of four known words, so it may take part in a control token: Phi-3 writes '<|' + role + '|>'.
		list[i] = jinja.NewDict(
			jinja.Pair{Key: "role", Value: jinja.String(role)},
			jinja.Pair{Key: "content", Value: jinja.Untrusted(m.Content)},
		)
	}
	vars := map[string]jinja.Value{
		"messages":              jinja.NewList(list...),
		"add_generation_prompt": jinja.Bool(addGenerationPrompt),
		"tools":                 jinja.None(), // transformers passes both, so templates compare them with none
		"documents":             jinja.None(),
	}
	for name, text := range map[string]string{
		"bos_token": f.special.BOS, "eos_token": f.special.EOS, "unk_token": f.special.UNK, "pad_token": f.special.PAD,
	} {
		if text != "" {
			vars[name] = jinja.String(text)
		}
	}
	spans, err := f.template.Render(context.Background(), vars, jinja.Options{})
	if err != nil {
		return nil, wrap(err)
	}
	segs := make([]tokenizer.Segment, len(spans))
	for i, s := range spans {
		segs[i] = tokenizer.Segment{Text: s.Text, Trusted: s.Trusted}
	}
	return segs, nil
}

// wrap tells the reader of an error message whose doing it is.
func wrap(err error) *Error {
	var e *jinja.Error
	if errors.As(err, &e) && e.Kind == jinja.Raised {
		return &Error{Msg: "the model's chat template refuses these messages: " + e.Msg, Err: err}
	}
	return &Error{Msg: "the model's chat template fails on these messages: " + err.Error(), Err: err}
}
