// Package chat stands between conversations and text. It turns messages and tools into a prompt with the chat template
// of the checkpoint and says which parts of the prompt the template wrote and which a user did, so that the tokenizer reads
// control tokens only in the former. And it takes an answer apart: reasoning, content, calls of tools. How a model writes
// calls is found out by asking its template. It imports the tokenizer's segment type, the grammars' source type and its
// own template interpreter, nothing else of ours.
package chat

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"aquifer/runtime/chat/jinja"
)

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
	Param string // the field of the request that is wrong; empty for its messages
	Msg   string
	Err   error // the *jinja.Error behind it, if any
}

func (e *Error) Error() string { return "chat: " + e.Msg }

// Unwrap returns the error of the template.
func (e *Error) Unwrap() error { return e.Err }

// Source is what a checkpoint says about conversations.
type Source struct {
	Template     string // empty means Plain
	ToolTemplate string // the one for conversations with tools, where that is another
	Special      Special
	// Token reports whether the vocabulary has one token spelled so, and whether that is a control token. nil: none.
	Token func(text string) (known, control bool)
}

// Format renders conversations for one checkpoint. It does not change, so any number of goroutines may use it.
type Format struct {
	special  Special
	token    func(string) (known, control bool)
	controls map[string]byte
	plain    bool
	now      func() time.Time // clock of templates; nil for the real one
	main     *template
	tools    *template // may be main
}

// New compiles a checkpoint's templates. The error is that of jinja.Compile and names the line.
func New(src Source) (*Format, error) {
	f := &Format{special: src.Special, token: src.Token, plain: strings.TrimSpace(src.Template) == ""}
	if f.token == nil {
		f.token = func(string) (known, control bool) { return false, false }
	}
	f.controls = findControls(f.token)
	if f.plain {
		src.Template = Plain
	}
	var err error
	if f.main, err = f.compile(src.Template); err != nil {
		return nil, err
	}
	f.tools = f.main
	if src.ToolTemplate != "" {
		f.tools, err = f.compile(src.ToolTemplate)
	}
	return f, err
}

// IsPlain reports whether the checkpoint brought no template.
func (f *Format) IsPlain() bool { return f.plain }

// Tools describes how the model calls tools.
func (f *Format) Tools() string {
	if f.tools.dialect == nil {
		return "default (" + hermes.name + ")"
	}
	return f.tools.dialect.name
}

// template is a compiled template and what is known of it.
type template struct {
	*jinja.Template
	words     map[string]bool // identifiers in the source
	developer bool            // knows the role of that name
	system    bool            // shows system messages
	shortIDs  bool            // wants identifiers of nine characters
	dialect   *dialect        // in which it shows calls; nil if it does not, or in one that is not known here
	objects   bool            // arguments are shown from values, not from their text
	null      bool            // a message that has only calls must have no content
	marks     *marks          // of reasoning; nil for none
	channels  *channels       // of its messages; nil if what it says is not in channels
	switches  bool            // reasoning can be switched off
	inSystem  bool            // wants tools in the system message, as text
	asText    bool            // does not know calls: they are written into the text of messages
}

var word = regexp.MustCompile(`[A-Za-z_]\w*`)

func (f *Format) compile(src string) (*template, error) {
	compiled, err := jinja.Compile(src)
	if err != nil {
		return nil, fmt.Errorf("chat: template: %w", err)
	}
	t := &template{Template: compiled, words: map[string]bool{}}
	for _, w := range word.FindAllString(src, -1) {
		t.words[w] = true
	}
	t.developer = strings.Contains(src, `'developer'`) || strings.Contains(src, `"developer"`)
	t.shortIDs = strings.Contains(src, "length != 9")
	t.marks = f.findMarks(src)
	t.switches = t.words[thinkingSwitch]
	f.probe(t, src)
	return t, nil
}

// wrap tells the reader of an error message whose doing it is.
func wrap(err error) *Error {
	var e *jinja.Error
	if errors.As(err, &e) && e.Kind == jinja.Raised {
		return &Error{Msg: "the model's chat template refuses these messages: " + e.Msg, Err: err}
	}
	return &Error{Msg: "the model's chat template fails on these messages: " + err.Error(), Err: err}
}
