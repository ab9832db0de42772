package chat

import (
	"encoding/json"
	"strings"
)

// A CallPart is what came of one call: its name at first, then pieces of its arguments.
type CallPart struct {
	Index     int    // of the call in the answer
	Name      string // in the first part of a call
	Arguments string // JSON text, goes on where the part before ended
}

// A callReader takes apart what stands behind the mark of calls. It follows the form that grammars hold answers to; what
// has another form is passed over.
type callReader struct {
	d      *dialect
	state  callState
	object                 // the arguments; its marks of strings serve for others as well
	text   strings.Builder // of a key, a name or another value
	key    string
	index  int  // of the next call
	any    bool // the call has its name
}

type callState uint8

const (
	beforeCall callState = iota
	beforeKey            // in the object of a call
	inKey
	beforeValue
	inName
	inArguments
	inOther // the value of another key
	inMark  // named, framed: what stands in front of the arguments
	inAfter // likewise: the mark behind them
	behindCall
)

// start begins behind a mark.
func (r *callReader) start() {
	r.state = beforeCall
	r.text.Reset()
	if r.d.form == named || r.d.form == framed {
		r.state = inMark
	}
}

func (r *callReader) called() int { return r.index }

// push takes the next byte and appends to the parts. It reports whether the calls behind this mark are over.
func (r *callReader) push(b byte, parts []CallPart) ([]CallPart, bool) {
	switch r.state {
	case beforeCall:
		switch {
		case b == '{':
			r.state, r.any = beforeKey, false
		case b == ']' && r.d.form == listed:
			return parts, true
		}
	case beforeKey:
		switch b {
		case '"':
			r.open(inKey, b)
		case '}':
			r.state = beforeCall
			return parts, r.d.form != listed
		}
	case inKey, inName, inOther:
		return r.value(b, parts), false
	case beforeValue:
		switch {
		case b == ':' || isSpace(b):
		case r.key == r.d.argsKey:
			r.state, r.object = inArguments, object{}
			return r.arguments(b, parts), false
		case r.key == r.d.nameKey:
			r.open(inName, b)
		default:
			r.open(inOther, b)
		}
	case inArguments:
		return r.arguments(b, parts), r.state == behindCall
	case inMark:
		r.text.WriteByte(b)
		text := strings.TrimLeft(r.text.String(), spaces)
		if r.d.form == framed && text == r.d.close {
			return parts, true
		}
		if name, ok := strings.CutSuffix(text, r.d.args); ok {
			parts = r.named(strings.TrimSpace(strings.TrimPrefix(name, r.d.before)), parts)
			r.state, r.object = inArguments, object{}
		}
	case inAfter:
		r.text.WriteByte(b)
		if strings.HasSuffix(r.text.String(), r.d.after) {
			r.start()
			return parts, r.d.form == named
		}
	}
	return parts, false
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }

func (r *callReader) open(s callState, b byte) {
	r.state, r.str, r.esc = s, b == '"', false
	r.text.Reset()
	r.text.WriteByte(b)
}

// value reads a string, or another value that has no structure.
func (r *callReader) value(b byte, parts []CallPart) []CallPart {
	if !r.str { // a number or a word: it ends in front of what follows
		if b == ',' || b == '}' {
			r.state = beforeKey
			parts, _ = r.push(b, parts)
		}
		return parts
	}
	r.text.WriteByte(b)
	switch {
	case r.esc:
		r.esc = false
	case b == '\\':
		r.esc = true
	case b == '"':
		var s string
		_ = json.Unmarshal([]byte(r.text.String()), &s) // what is no string has no name
		switch r.state {
		case inKey:
			r.key, r.state = s, beforeValue
			return parts
		case inName:
			parts = r.named(s, parts)
		}
		r.state = beforeKey
	}
	return parts
}

// named begins a call.
func (r *callReader) named(name string, parts []CallPart) []CallPart {
	if name == r.d.direct || r.d.direct != "" && strings.ReplaceAll(name, "_", "-") == r.d.direct {
		r.any = false
		return parts
	}
	r.any = true
	r.index++
	return append(parts, CallPart{Index: r.index - 1, Name: name})
}

// arguments passes on a byte of an object, and finds its end.
func (r *callReader) arguments(b byte, parts []CallPart) []CallPart {
	if r.depth == 0 && b != '{' {
		return parts // white space in front
	}
	if n := len(parts); n > 0 && r.any && parts[n-1].Index == r.index-1 {
		parts[n-1].Arguments += string([]byte{b})
	} else if r.any {
		parts = append(parts, CallPart{Index: r.index - 1, Arguments: string([]byte{b})})
	}
	if r.object.push(b) {
		switch r.state = beforeKey; {
		case r.d.after != "":
			r.state = inAfter
			r.text.Reset()
		case r.d.form == named:
			r.state = behindCall
		}
	}
	return parts
}
