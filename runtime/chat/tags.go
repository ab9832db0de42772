package chat

import (
	"regexp"
	"strings"

	"aquifer/runtime/grammar"
)

// tags are the marks of a call that names its arguments one by one.
type tags struct {
	nameOpen, nameClose   string // around the name; it ends in front of the next mark, or of the line's end, if nameClose is empty
	keyOpen, keyClose     string // around the name of an argument
	isRaw, isJSON         string // behind the name: what the value is; empty where the schema says it
	valueOpen, valueClose string // around its value; valueOpen may be empty
	end                   string // of a call; if empty that is the dialect's close
	lines                 bool   // values stand on lines of their own
	inside                bool   // several calls stand between open and close
}

// shown returns a regular expression that finds how a template writes the call of the needle.
func (d *dialect) shown() *regexp.Regexp {
	if d.tags == nil {
		return join(d.open[0], d.before+needleTool+d.args, needleArgs, d.after, d.close)
	}
	g := d.tags
	return join(d.open[0], g.nameOpen+needleTool+g.nameClose, g.keyOpen+needleKey+g.isRaw+g.keyClose, g.valueOpen, needleValue, g.valueClose, g.end, d.close)
}

// join finds texts that stand one behind the other, with white space at most between them.
func join(texts ...string) *regexp.Regexp {
	var list []string
	for _, t := range texts {
		if t == needleArgs {
			list = append(list, shownArgs.String())
		} else if t != "" {
			list = append(list, regexp.QuoteMeta(t))
		}
	}
	return regexp.MustCompile(strings.Join(list, `\s*`))
}

// tagged is a call with its arguments one by one, without the dialect's own marks. Those that need not be there may be
// missing; the order is that of the schema.
func (t *Turn) tagged(tool Tool) grammar.Source {
	g := t.dialect.tags
	line := regex(`\n?`)
	parts := []grammar.Source{literal(g.nameOpen + tool.Name + g.nameClose), line}
	for _, f := range t.fields[tool.Name] {
		open, stop := literal(g.valueOpen), literal(g.valueClose)
		if g.lines {
			open, stop = literal(g.valueOpen+"\n"), literal("\n"+g.valueClose)
		}
		value := grammar.Source{Kind: grammar.JSONSchema, Text: f.schema}
		switch {
		case f.oneOf != nil && f.raw:
			value = grammar.Source{Kind: grammar.Choice, Choices: f.oneOf}
		case f.raw:
			value = prose(finding(g.valueClose))
		}
		key := g.isJSON
		if f.raw {
			key = g.isRaw
		}
		key = g.keyOpen + f.name + key + g.keyClose
		argument := sequence(literal(key), line, open, value, stop, line)
		if g.valueOpen == "" {
			argument = sequence(literal(key), open, value, stop, line)
		}
		if !f.required {
			argument = either(nothing(), argument)
		}
		parts = append(parts, argument)
	}
	return sequence(append(parts, literal(g.end))...)
}

// A tagReader reads calls whose arguments are named one by one, and makes JSON of them. It follows the form that grammars hold
// answers to; what has another form is passed over.
type tagReader struct {
	d      *dialect
	fields map[string][]field
	state  tagState
	text   []byte // what is being looked at
	name   string
	key    string
	first  bool // the call has no arguments yet
	skip   bool // white space in front of a value
	index  int  // of the next call
	str    bool // inside a string of JSON
	esc    bool // behind its backslash
}

type tagState uint8

const (
	tagName   tagState = iota // in front of a call, or in its name
	tagNext                   // in front of an argument, or of the end
	tagKey                    // in the name of an argument
	tagOpen                   // in front of its value
	tagRaw                    // in a value that is a string
	tagJSON                   // in another
	tagClosed                 // behind it
)

func (r *tagReader) start()      { r.state, r.text = tagName, r.text[:0] }
func (r *tagReader) called() int { return r.index }

// push takes the next byte and appends to the parts. It reports whether the calls behind this mark are over.
func (r *tagReader) push(b byte, parts []CallPart) ([]CallPart, bool) {
	g := r.d.tags
	if r.state == tagRaw {
		return r.raw(b, parts), false
	}
	if r.state == tagJSON && (r.str || b != '<' && b < FirstControl) {
		return r.json(b, parts), false
	}
	if r.state == tagJSON {
		r.to(tagClosed)
	}
	r.text = append(r.text, b)
	s := strings.TrimLeft(string(r.text), spaces)
	switch r.state {
	case tagName:
		return r.named(s, parts)
	case tagNext:
		switch {
		case s == g.keyOpen:
			r.to(tagKey)
		case s != "" && (s == g.end || g.end == "" && s == r.d.close):
			if r.first {
				parts = r.add(parts, "{")
			}
			r.to(tagName)
			return r.add(parts, "}"), !g.inside
		}
	case tagKey:
		if key, ok := strings.CutSuffix(s, g.keyClose); ok {
			r.key = strings.TrimSuffix(strings.TrimSuffix(key, g.isRaw), g.isJSON)
			if r.to(tagOpen); g.valueOpen == "" {
				parts = r.value(parts)
			}
		}
	case tagOpen:
		if s == g.valueOpen {
			parts = r.value(parts)
		}
	case tagClosed:
		if s == g.valueClose {
			r.to(tagNext)
		}
	}
	return parts, false
}

func (r *tagReader) to(s tagState) { r.state, r.text = s, r.text[:0] }

// named looks for the end of a name, or of all calls.
func (r *tagReader) named(s string, parts []CallPart) ([]CallPart, bool) {
	g := r.d.tags
	if g.inside && s == r.d.close {
		return parts, true
	}
	rest := ""
	if g.nameClose == "" {
		if s == "" || strings.IndexByte("<\n", s[len(s)-1]) < 0 && s[len(s)-1] < FirstControl {
			return parts, false
		}
		s, rest = s[:len(s)-1], s[len(s)-1:]
	} else {
		var opened, closed bool
		if s, opened = strings.CutPrefix(s, g.nameOpen); !opened {
			return parts, false
		}
		if s, closed = strings.CutSuffix(s, g.nameClose); !closed {
			return parts, false
		}
	}
	r.name, r.first = strings.TrimSpace(s), true
	r.index++
	r.to(tagNext)
	r.text = append(r.text, rest...)
	return append(parts, CallPart{Index: r.index - 1, Name: r.name}), false
}

// value begins that of an argument.
func (r *tagReader) value(parts []CallPart) []CallPart {
	r.to(tagJSON)
	r.skip, r.str, r.esc = true, false, false
	text := ", "
	if r.first {
		text = "{"
	}
	r.first = false
	text += quote(r.key) + ": "
	for _, f := range r.fields[r.name] {
		if f.name == r.key && f.raw {
			r.state, r.skip = tagRaw, r.d.tags.lines
			text += `"`
		}
	}
	return r.add(parts, text)
}

// raw takes a byte of a string, and holds back what may be its end.
func (r *tagReader) raw(b byte, parts []CallPart) []CallPart {
	stop := r.d.tags.valueClose
	if r.d.tags.lines {
		stop = "\n" + stop
	}
	skip := r.skip
	if r.skip = false; skip && b == '\n' {
		return parts
	}
	r.text = append(r.text, b)
	text := string(r.text)
	if value, ok := strings.CutSuffix(text, stop); ok {
		r.to(tagNext)
		return r.add(parts, escape(value)+`"`)
	}
	certain := len(text) - beginning(text, stop)
	r.text = append(r.text[:0], text[certain:]...)
	return r.add(parts, escape(text[:certain]))
}

// json takes a byte of another value. White space at its ends is dropped.
func (r *tagReader) json(b byte, parts []CallPart) []CallPart {
	switch {
	case r.esc:
		r.esc = false
	case r.str && b == '\\':
		r.esc = true
	case b == '"':
		r.str = !r.str
	case !r.str && isSpace(b):
		if len(r.text) > 0 || !r.skip {
			r.text = append(r.text, b)
		}
		return parts
	}
	text := string(append(r.text, b))
	if r.skip {
		text = strings.TrimLeft(text, spaces)
	}
	r.skip, r.text = false, r.text[:0]
	return r.add(parts, text)
}

// add passes on more of the arguments of the last call.
func (r *tagReader) add(parts []CallPart, text string) []CallPart {
	if n := len(parts); n > 0 && parts[n-1].Index == r.index-1 {
		parts[n-1].Arguments += text
		return parts
	}
	if text == "" {
		return parts
	}
	return append(parts, CallPart{Index: r.index - 1, Arguments: text})
}
