package chat

import (
	"fmt"
	"strings"

	"aquifer/runtime/chat/jinja"
	"aquifer/tokenizer"
)

// marks enclose reasoning. Both are as in dialect.
type marks struct {
	open, close string
	text        [2]string // as they are spelled
}

var thinkMarks = [][2]string{{"<think>", "</think>"}, {"[THINK]", "[/THINK]"}, {"<|START_THINKING|>", "<|END_THINKING|>"}}

// Names of template variables.
const (
	thinkingSwitch = "enable_thinking"
	effortLevel    = "reasoning_effort"
)

// findMarks returns the marks that a template writes or takes out, or that the vocabulary has tokens for.
func (f *Format) findMarks(src string) *marks {
	for _, m := range thinkMarks {
		opens, _ := f.token(m[0])
		closes, _ := f.token(m[1])
		if strings.Contains(src, m[1]) || opens && closes {
			return &marks{open: f.mark(m[0]), close: f.mark(m[1]), text: m}
		}
	}
	return nil
}

// thinking is where an answer begins.
type thinking uint8

const (
	noThinking   thinking = iota // in its content
	mayThink                     // in reasoning, if the mark comes first
	mustThink                    // in reasoning: the prompt has the mark
	thoughtAlong                 // in content: the prompt has reasoning that is closed
)

// begin looks at the end of a prompt, as far as the template wrote it.
func (m *marks) begin(prompt []tokenizer.Segment) thinking {
	if m == nil {
		return noThinking
	}
	if len(prompt) == 0 || !prompt[len(prompt)-1].Trusted {
		return mayThink
	}
	switch text := strings.TrimSpace(prompt[len(prompt)-1].Text); {
	case strings.HasSuffix(text, m.text[0]):
		return mustThink
	case strings.HasSuffix(text, m.text[1]):
		return thoughtAlong
	}
	return mayThink
}

// effort sets the variables that an amount of reasoning stands for.
func (t *template) effort(effort string, vars map[string]jinja.Value) *Error {
	refuse := func(format string, a ...any) *Error {
		return &Error{Param: effortLevel, Msg: fmt.Sprintf(format, a...)}
	}
	switch {
	case effort == "":
	case t.words[effortLevel]:
		vars[effortLevel] = jinja.String(effort)
		if effort == "none" && t.switches {
			vars[thinkingSwitch] = jinja.Bool(false)
		}
	case effort == "none" && t.switches:
		vars[thinkingSwitch] = jinja.Bool(false)
	case t.marks == nil && effort != "none":
		return refuse("must be none: this model does not reason apart from its answer")
	case t.marks != nil && effort == "none":
		return refuse("cannot be none: this model's reasoning cannot be switched off")
	case t.marks != nil && effort != "medium" && t.switches:
		return refuse("must be none or medium: this model has no levels of reasoning")
	case t.marks != nil && effort != "medium":
		return refuse("must be medium: this model has no levels of reasoning")
	}
	return nil
}
