package chat

import (
	"encoding/json"
	"regexp"
	"strings"

	"aquifer/runtime/grammar"
)

// Pieces of grammars. White space in the frame of a call is what models write there, and no more.
const (
	gap   = `(?: |\n[ \t]{0,40})?`
	blank = `[ \n]{0,4}`
)

func literal(s string) grammar.Source { return grammar.Source{Kind: grammar.Literal, Text: s} }
func regex(s string) grammar.Source   { return grammar.Source{Kind: grammar.Regex, Text: s} }
func prose(without string) grammar.Source {
	return grammar.Source{Kind: grammar.Prose, Text: without}
}

func sequence(parts ...grammar.Source) grammar.Source {
	return grammar.Source{Kind: grammar.Sequence, Parts: parts}
}

func either(parts ...grammar.Source) grammar.Source {
	return grammar.Source{Kind: grammar.Either, Parts: parts}
}

func many(between string, parts ...grammar.Source) grammar.Source {
	return grammar.Source{Kind: grammar.Many, Text: between, Parts: parts}
}

func nothing() grammar.Source { return grammar.Source{Kind: grammar.Choice, Choices: []string{""}} }

// finding returns a regular expression that finds any of some marks in a text; control tokens are in no text.
func finding(marks ...string) string {
	var list []string
	for _, m := range marks {
		if !isControl(m) {
			list = append(list, regexp.QuoteMeta(m))
		}
	}
	return strings.Join(list, "|")
}

// Form returns the form of the answer: own is that of its content, nil for any. The form is nil if the answer is free.
// Calls have arguments that their schemas accept; other text cannot begin a call. The error, a *grammar.Error, says that
// own and the calls cannot be told apart; what is wrong with a schema shows when the form is compiled.
func (t *Turn) Form(own *grammar.Source) (*grammar.Source, error) {
	if own == nil && t.dialect == nil {
		return nil, nil
	}
	if t.channels != nil && (t.dialect == nil || t.dialect.form == channelled) {
		form := t.channels.form(t, own)
		return &form, nil
	}
	var body grammar.Source
	switch {
	case t.dialect == nil:
		body = *own
	case t.choice.Must:
		body = sequence(regex(blank), t.calls())
	case own == nil:
		body = t.mayCall()
	case t.dialect.form == bare:
		return nil, &grammar.Error{Msg: "this model's calls are JSON without a mark and cannot be told from a form of the answer; use tool_choice none or required", Err: grammar.ErrUnsupported}
	default:
		body = either(t.calls(), *own)
	}
	switch t.begin {
	case mustThink:
		body = sequence(t.thought(), body)
	case mayThink:
		open := sequence(regex(blank), literal(t.marks.open), t.thought())
		body = sequence(either(nothing(), open), body)
	}
	return &body, nil
}

// thought is reasoning from behind its mark to the white space behind its end.
func (t *Turn) thought() grammar.Source {
	return sequence(prose(finding(t.marks.close)), literal(t.marks.close), regex(blank))
}

// mayCall is text, then possibly calls.
func (t *Turn) mayCall() grammar.Source {
	d := t.dialect
	if d.form == bare {
		// A call is the whole answer. Text is whatever does not begin like one.
		start := `^[ \t\n\r]*\{[ \t\n\r]*"` + d.nameKey + `"[ \t\n\r]*:`
		return either(prose(t.outside(start)), sequence(regex(blank), t.calls()))
	}
	end := []grammar.Source{nothing(), t.calls()}
	if d.direct != "" {
		// The model says by a call that it makes none; what it has to say follows.
		end = append(end, sequence(t.listed(t.call(Tool{Name: d.direct, Parameters: `{"type":"object","properties":{}}`})), regex(blank), regex(`\S`), prose(t.outside(finding(d.open...)))))
	}
	return sequence(prose(t.outside(finding(d.open...))), either(end...))
}

// outside adds to what is left out of text the mark of reasoning at its begin, which would be read as such.
func (t *Turn) outside(without string) string {
	if t.begin == mayThink && !isControl(t.marks.open) {
		return strings.TrimPrefix(without+`|^\s*`+regexp.QuoteMeta(t.marks.open), "|")
	}
	return without
}

// calls is one call, or one or more.
func (t *Turn) calls() grammar.Source {
	d := t.dialect
	list := make([]grammar.Source, len(t.tools))
	for i, tool := range t.tools {
		list[i] = t.call(tool)
	}
	call := either(list...)
	switch d.form {
	case bare:
		if isControl(d.open[0]) {
			return sequence(either(nothing(), literal(d.open[0])), call)
		}
		return call
	case listed:
		return t.listed(call)
	case named:
		call = sequence(literal(d.open[0]), call)
	case framed:
		return t.inside(call, `\n?`)
	case tagged:
		if d.tags.inside {
			return t.inside(call, `\n?`)
		}
		between := gap
		if d.tags.nameOpen == "" { // the name stands right behind the mark
			between = ""
		}
		call = sequence(literal(d.open[0]), regex(between), call, regex(between), literal(d.close))
	case each:
		call = sequence(literal(d.open[0]), regex(gap), call, regex(gap), literal(d.close))
	}
	if t.choice.Single {
		return call
	}
	return many(`\n?`, call)
}

// inside is one call, or one or more, between the marks of all.
func (t *Turn) inside(call grammar.Source, between string) grammar.Source {
	if !t.choice.Single {
		call = many(between, call)
	}
	return sequence(literal(t.dialect.open[0]), regex(between), call, regex(between), literal(t.dialect.close))
}

// listed is a list of calls with its marks.
func (t *Turn) listed(call grammar.Source) grammar.Source {
	opens := make([]grammar.Source, len(t.dialect.open))
	for i, open := range t.dialect.open {
		opens[i] = literal(open)
	}
	if !t.choice.Single {
		call = many(`,`+gap, call)
	}
	return sequence(either(opens...), regex(gap+`\[`+gap), call, regex(gap+`\]`+gap), literal(t.dialect.close))
}

// call is one call of a tool, without marks.
func (t *Turn) call(tool Tool) grammar.Source {
	d := t.dialect
	if d.form == tagged {
		return t.tagged(tool)
	}
	arguments := grammar.Source{Kind: grammar.JSONSchema, Text: tool.Parameters}
	if tool.Parameters == "" {
		arguments = grammar.Source{Kind: grammar.JSONObject}
	}
	if d.form == named || d.form == framed {
		return sequence(literal(d.before+tool.Name+d.args), arguments, literal(d.after))
	}
	quoted, _ := json.Marshal(tool.Name) // strings always have a JSON form
	before := `\{` + gap
	if d.firstID != "" {
		before += d.firstID + `,` + gap
	}
	before += `"` + d.nameKey + `": ?`
	names := regexp.QuoteMeta(string(quoted))
	if d.direct == tool.Name { // spelled in both ways
		names = `"directly[-_]answer"`
	}
	after := gap + `\}`
	if d.id != "" {
		after = `(?:,` + gap + d.id + `)?` + after
	}
	return sequence(regex(before+names+`,`+gap+`"`+d.argsKey+`": ?`), arguments, regex(after))
}
