package chat

import (
	"slices"
	"strings"
)

// Parts are what of an answer has become certain.
type Parts struct {
	Reasoning string
	Content   string
	Calls     []CallPart
}

// clean leaves out the bytes of control tokens that stand where none is looked for.
func (p Parts) clean() Parts {
	p.Reasoning, p.Content = withoutControls(p.Reasoning), withoutControls(p.Content)
	return p
}

func withoutControls(text string) string {
	if !slices.ContainsFunc([]byte(text), func(b byte) bool { return b >= FirstControl }) {
		return text
	}
	return string(slices.DeleteFunc([]byte(text), func(b byte) bool { return b >= FirstControl }))
}

// A Reader takes one answer apart: reasoning, content, calls. What it returns does not depend on how the answer is cut into
// pieces, but for the cuts between parts.
type Reader interface {
	// Reasoning reports whether what comes next is reasoning, as far as is known.
	Reasoning() bool
	// Content reports whether what comes next is content, as far as is known.
	Content() bool
	// Called reports whether a call has begun.
	Called() bool
	// Push takes the next piece of the answer: whole characters, or the byte of a control token.
	Push(text string) Parts
	// Flush ends the answer: it returns what was held back.
	Flush() Parts
}

// A markReader takes answers apart that are text, with marks around what is not.
type markReader struct {
	turn  *Turn
	state readerState
	held  string // text that may be a part of a mark, or white space that is dropped in front of one
	calls caller
	begun bool // content has begun
}

// A caller takes apart what stands behind the mark of calls, byte by byte.
type caller interface {
	start() // behind a mark
	// push appends to the parts what came of a byte, and reports whether the calls behind this mark are over.
	push(b byte, parts []CallPart) ([]CallPart, bool)
	called() int // calls that have begun
}

type readerState uint8

const (
	atStart      readerState = iota // reasoning may begin
	inReasoning                     // behind its mark
	behindReason                    // in front of content: white space is dropped
	atContent                       // calls without a mark may begin
	inContent
	inCalls
	behindCalls // of one mark
)

// Reader returns what reads the answer, nil if all of it is content.
func (t *Turn) Reader() Reader {
	if t.channels != nil && (t.dialect == nil || t.dialect.form == channelled) {
		r := &channelReader{c: t.channels, tools: t.dialect != nil}
		if t.continued {
			r.state = inFinal
		}
		return r
	}
	if t.dialect == nil && t.begin != mayThink && t.begin != mustThink {
		return nil
	}
	r := &markReader{turn: t}
	switch t.begin {
	case mustThink:
		r.state = inReasoning
	case mayThink:
	default:
		r.state = atContent
	}
	switch {
	case t.dialect != nil && t.dialect.form == tagged:
		r.calls = &tagReader{d: t.dialect, fields: t.fields}
	case t.dialect != nil:
		r.calls = &callReader{d: t.dialect}
	}
	return r
}

func (r *markReader) Reasoning() bool { return r.state == inReasoning }

func (r *markReader) Content() bool {
	return r.state != inReasoning && r.state != inCalls && r.state != behindCalls
}

func (r *markReader) Called() bool { return r.calls != nil && r.calls.called() > 0 }

func (r *markReader) Push(text string) Parts {
	var p Parts
	r.held += text
	for r.advance(&p, false) {
	}
	return p.clean()
}

func (r *markReader) Flush() Parts {
	var p Parts
	for r.advance(&p, true) {
	}
	return p.clean()
}

const spaces = " \t\r\n"

// advance takes what is certain from the held text; last says that no more comes. It reports whether to go on.
func (r *markReader) advance(p *Parts, last bool) bool {
	if r.held == "" {
		return false
	}
	switch r.state {
	case atStart:
		open := r.turn.marks.open
		text := strings.TrimLeft(r.held, spaces)
		if rest, ok := strings.CutPrefix(text, open); ok {
			r.held, r.state = rest, inReasoning
			return true
		}
		if !last && strings.HasPrefix(open, text) {
			return false
		}
		r.state = atContent
		return true
	case inReasoning:
		return r.reasoning(p, last)
	case behindReason:
		r.held = strings.TrimLeft(r.held, spaces)
		if r.held != "" {
			r.state = atContent
		}
		return r.held != ""
	case atContent:
		return r.bare(last)
	case inContent:
		return r.content(p, last)
	case inCalls:
		return r.read(p)
	}
	return r.behind()
}

// behind looks for the end of calls, and for the mark of the next ones.
func (r *markReader) behind() bool {
	d := r.turn.dialect
	r.held = strings.TrimLeft(r.held, spaces)
	if rest, ok := strings.CutPrefix(r.held, d.close); ok && d.close != "" {
		if r.held = rest; d.direct != "" && !r.Called() {
			r.state = behindReason
		}
		return true
	}
	waiting := strings.HasPrefix(d.close, r.held)
	for _, open := range d.open {
		if rest, ok := strings.CutPrefix(r.held, open); ok {
			r.held, r.state = rest, inCalls
			r.calls.start()
			return true
		}
		waiting = waiting || strings.HasPrefix(open, r.held)
	}
	if !waiting {
		r.held = "" // in no form that is known
	}
	return false
}

// reasoning passes on text up to the closing mark, without white space at its ends.
func (r *markReader) reasoning(p *Parts, last bool) bool {
	if !r.begun {
		r.held = strings.TrimLeft(r.held, spaces)
		// A prompt may have the mark already when the model writes it.
		if rest, ok := strings.CutPrefix(r.held, r.turn.marks.open); ok {
			r.held = rest
			return true
		}
		if r.held == "" || !last && strings.HasPrefix(r.turn.marks.open, r.held) {
			return false
		}
		r.begun = true
	}
	text, rest, found := strings.Cut(r.held, r.turn.marks.close)
	if found {
		p.Reasoning += strings.TrimRight(text, spaces)
		r.held, r.state, r.begun = rest, behindReason, false
		return true
	}
	keep := 0
	if !last {
		keep = beginning(r.held, r.turn.marks.close)
	}
	certain := strings.TrimRight(r.held[:len(r.held)-keep], spaces)
	p.Reasoning += certain
	r.held = r.held[len(certain):]
	return false
}

// beginning returns the length of the longest end of text that mark begins with, short of the whole.
func beginning(text, mark string) int {
	for n := min(len(mark)-1, len(text)); n > 0; n-- {
		if strings.HasSuffix(text, mark[:n]) {
			return n
		}
	}
	return 0
}

// bare decides whether the answer is a call without a mark.
func (r *markReader) bare(last bool) bool {
	r.state = inContent
	d := r.turn.dialect
	if d == nil || d.form != bare {
		return true
	}
	text := strings.TrimLeft(r.held, spaces)
	rest, marked := strings.CutPrefix(text, d.open[0])
	switch {
	case marked && isControl(d.open[0]):
		r.held, r.state = rest, inCalls
		r.calls.start()
	case d.start.MatchString(text):
		r.held, r.state = text, inCalls
		r.calls.start()
	case !last && mayBeCall(text, d.nameKey):
		r.state = atContent
		return false
	}
	return true
}

// mayBeCall reports whether text, which does not begin with white space, can become the begin of a call.
func mayBeCall(text, key string) bool {
	for _, piece := range []string{"{", `"` + key + `"`, ":"} {
		if len(text) < len(piece) {
			return strings.HasPrefix(piece, text)
		}
		var ok bool
		if text, ok = strings.CutPrefix(text, piece); !ok {
			return false
		}
		text = strings.TrimLeft(text, spaces)
	}
	return true
}

// content passes on text up to the mark of a call. White space is held back: in front of a call it is dropped.
func (r *markReader) content(p *Parts, last bool) bool {
	d := r.turn.dialect
	if d == nil || d.form == bare {
		p.Content += r.held
		r.held = ""
		return false
	}
	at, size, keep := len(r.held), 0, 0
	for _, open := range d.open {
		if i := strings.Index(r.held, open); i >= 0 && i < at {
			at, size = i, len(open)
		}
		keep = max(keep, beginning(r.held, open))
	}
	if size > 0 {
		p.Content += strings.TrimRight(r.held[:at], spaces)
		r.held, r.state = r.held[at+size:], inCalls
		r.calls.start()
		return true
	}
	certain := r.held
	if !last {
		certain = strings.TrimRight(r.held[:len(r.held)-keep], spaces)
	}
	p.Content += certain
	r.held = r.held[len(certain):]
	return false
}

// read passes bytes to the reader of calls until those behind one mark are over.
func (r *markReader) read(p *Parts) bool {
	for i := range len(r.held) {
		over := false
		if p.Calls, over = r.calls.push(r.held[i], p.Calls); over {
			r.held, r.state = r.held[i+1:], behindCalls
			return true
		}
	}
	r.held = ""
	return false
}
