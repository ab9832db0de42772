package chat

import (
	"regexp"
	"strings"

	"aquifer/runtime/grammar"
)

// channels are the marks of answers that are made of messages, each in a channel: reasoning in analysis, calls in commentary
// with the function as recipient, what the user sees in final, and in commentary where there is no recipient (OpenAI's
// harmony format). All are as in dialect.
type channels struct {
	start, end, channel, constrain, message string
}

// harmony writes one call as the last message of an answer.
var harmony = dialect{name: "Harmony", form: channelled, open: []string{"<|channel|>commentary to=functions."}}

var shownMessage = regexp.MustCompile(`to=functions\.` + needleTool + `<\|channel\|>commentary [^<]*<\|message\|>` + shownArgs.String())

// The channels. What has another name is not shown.
const (
	analysis   = "analysis"
	commentary = "commentary"
	final      = "final"
)

// findChannels returns the marks if a template shows what an assistant said as a message in its channel. shown is a
// conversation that ends with the needle, of the assistant's.
func (f *Format) findChannels(shown string) *channels {
	if !strings.Contains(shown, "<|channel|>"+final+"<|message|>"+needleText) {
		return nil
	}
	return &channels{
		start: f.mark("<|start|>"), end: f.mark("<|end|>"), channel: f.mark("<|channel|>"), constrain: f.mark("<|constrain|>"), message: f.mark("<|message|>"),
	}
}

// form is that of an answer behind the prompt's "assistant": messages, and at last one that is text, or a call. own is the
// form of the text.
func (c *channels) form(t *Turn, own *grammar.Source) grammar.Source {
	text := c.text()
	if own != nil {
		text = *own
	}
	if t.continued {
		return text
	}
	var last []grammar.Source
	if t.dialect != nil {
		for _, tool := range t.tools {
			last = append(last, c.call(tool))
		}
	}
	if t.dialect == nil || !t.choice.Must {
		last = append(last, sequence(literal(c.channel+final+c.message), text))
	}
	before := []grammar.Source{c.earlier(analysis)}
	if !t.choice.Must && own == nil {
		before = append(before, c.earlier(commentary))
	}
	return sequence(either(nothing(), many("", either(before...))), either(last...))
}

// text is that of a message.
func (c *channels) text() grammar.Source {
	return prose(finding(c.start, c.end, c.channel, c.message, c.constrain))
}

// earlier is a message that others follow.
func (c *channels) earlier(channel string) grammar.Source {
	return sequence(literal(c.channel+channel+c.message), c.text(), literal(c.end+c.start+"assistant"))
}

// call is a message that calls a function. Models name it in front of the channel, as templates do, or behind.
func (c *channels) call(tool Tool) grammar.Source {
	arguments := grammar.Source{Kind: grammar.JSONObject}
	if tool.Parameters != "" {
		arguments = grammar.Source{Kind: grammar.JSONSchema, Text: tool.Parameters}
	}
	to := " to=functions." + tool.Name
	head := either(literal(to+c.channel+commentary), literal(c.channel+commentary+to))
	kind := either(literal(" "+c.constrain+"json"), literal(" json"))
	return sequence(head, kind, literal(c.message), arguments)
}

// oneByOne splits messages with several calls, of which the template would show the first, and puts the result of each
// behind it.
func oneByOne(v *view) {
	var out []entry
	moved := map[int]bool{}
	for i, e := range v.entries {
		if moved[i] {
			continue
		}
		if len(e.Calls) < 2 {
			out = append(out, e)
			continue
		}
		for n, call := range e.Calls {
			one := e
			one.Calls = []ToolCall{call}
			if n > 0 {
				one.Content, one.Reasoning, one.content = "", "", nil
			}
			out = append(out, one)
			for j := i + 1; j < len(v.entries) && v.entries[j].Role == "tool"; j++ {
				if !moved[j] && v.entries[j].CallID == call.ID {
					moved[j] = true
					out = append(out, v.entries[j])
					break
				}
			}
		}
	}
	v.entries = out
}

// A channelReader takes answers apart that are made of messages.
type channelReader struct {
	c     *channels
	tools bool // there are some to call
	state channelState
	held  string // a header, or text that may be a part of a mark
	call  object // its arguments
	begun bool   // an earlier message had text of this kind
	said  bool
	mused bool
	index int // of the next call
}

type channelState uint8

const (
	inHeader channelState = iota
	inAnalysis
	inFinal
	inCall
	inUnknown // a message that nobody is to see
)

func (r *channelReader) Reasoning() bool { return r.state == inAnalysis }
func (r *channelReader) Content() bool   { return r.state == inFinal }
func (r *channelReader) Called() bool    { return r.index > 0 }

func (r *channelReader) Push(text string) Parts {
	var p Parts
	r.held += text
	for r.advance(&p, false) {
	}
	return p.clean()
}

func (r *channelReader) Flush() Parts {
	var p Parts
	for r.advance(&p, true) {
	}
	return p.clean()
}

// advance takes what is certain from the held text. It reports whether to go on.
func (r *channelReader) advance(p *Parts, last bool) bool {
	if r.state == inHeader {
		head, rest, found := strings.Cut(r.held, r.c.message)
		if !r.header(r.held, last && !found) {
			r.state, r.begun = inFinal, r.said // a model that leaves the form
			return r.held != ""
		}
		if found {
			r.held = rest
			r.enter(head, p)
		}
		return found
	}
	if r.state == inCall { // a mark that is spelled in a string is none
		for i := range len(r.held) {
			if r.call.push(r.held[i]) {
				r.pass(r.held[:i+1], p)
				r.held, r.state = r.held[i+1:], inUnknown
				return true
			}
		}
		r.pass(r.held, p)
		r.held = ""
		return false
	}
	text, rest, found := strings.Cut(r.held, r.c.end)
	if found {
		r.pass(text, p)
		r.held, r.state = rest, inHeader
		return true
	}
	keep := 0
	if !last {
		keep = beginning(r.held, r.c.end)
	}
	r.pass(r.held[:len(r.held)-keep], p)
	r.held = r.held[len(r.held)-keep:]
	return false
}

// header reports whether a text can be the begin of a message's header.
func (r *channelReader) header(text string, last bool) bool {
	text = strings.TrimLeft(text, spaces)
	if last {
		return text == "" || strings.HasPrefix(text, r.c.channel) || strings.HasPrefix(text, r.c.start) || strings.HasPrefix(text, "to=")
	}
	for _, begin := range []string{r.c.channel, r.c.start, "to="} {
		if strings.HasPrefix(text, begin) || strings.HasPrefix(begin, text) {
			return true
		}
	}
	return false
}

var recipient = regexp.MustCompile(`to=functions\.([A-Za-z0-9_.-]+)`)

// enter begins a message.
func (r *channelReader) enter(head string, p *Parts) {
	_, channel, _ := strings.Cut(head, r.c.channel)
	to := recipient.FindStringSubmatch(head)
	switch {
	case to != nil && r.tools:
		r.state, r.call = inCall, object{}
		p.Calls = append(p.Calls, CallPart{Index: r.index, Name: to[1]})
		r.index++
	case to == nil && strings.Contains(head, "to="):
		r.state = inUnknown
	case strings.HasPrefix(channel, analysis):
		r.state, r.begun = inAnalysis, r.mused
	case strings.HasPrefix(channel, final), strings.HasPrefix(channel, commentary):
		r.state, r.begun = inFinal, r.said
	default:
		r.state = inUnknown
	}
}

// pass hands on text of a message. That of a second one is set apart.
func (r *channelReader) pass(text string, p *Parts) {
	if text == "" {
		return
	}
	apart := ""
	if r.begun {
		apart = "\n\n"
	}
	r.begun = false
	switch r.state {
	case inAnalysis:
		p.Reasoning += apart + text
		r.mused = true
	case inFinal:
		p.Content += apart + text
		r.said = true
	case inCall:
		if n := len(p.Calls); n > 0 && p.Calls[n-1].Index == r.index-1 {
			p.Calls[n-1].Arguments += text
		} else {
			p.Calls = append(p.Calls, CallPart{Index: r.index - 1, Arguments: text})
		}
	}
}
