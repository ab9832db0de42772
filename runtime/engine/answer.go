package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"aquifer/runtime/chat"
)

// Names of package chat's types that chats are made of.
type (
	Tool       = chat.Tool
	ToolCall   = chat.ToolCall
	ToolChoice = chat.Choice
	Variable   = chat.Variable
	CallPart   = chat.CallPart
)

// reading takes one answer apart. The zero value takes all of it for content.
type reading struct {
	reader   chat.Reader
	controls map[int32]byte // of the engine
	thought  int            // tokens of reasoning
}

// read returns what has become certain with the next token, and whether that token is a part of the content.
func (q *sequence) read(id int32) (p chat.Parts, content bool) {
	if q.reader == nil {
		return chat.Parts{Content: q.decoder.Push(id)}, true
	}
	thinks := q.reader.Reasoning()
	content = q.reader.Content()
	if b, ok := q.controls[id]; ok {
		p = q.reader.Push(q.decoder.Release() + string([]byte{b}))
	} else if text := q.decoder.Push(id); text != "" {
		p = q.reader.Push(text)
	}
	if thinks || q.reader.Reasoning() {
		q.thought++
	}
	return p, content && q.reader.Content()
}

// rest returns what was held back: no more tokens come.
func (q *sequence) rest() chat.Parts {
	text := q.decoder.Flush()
	if q.reader == nil {
		return chat.Parts{Content: text}
	}
	p := q.reader.Push(text)
	more := q.reader.Flush()
	return chat.Parts{Reasoning: p.Reasoning + more.Reasoning, Content: p.Content + more.Content, Calls: append(p.Calls, more.Calls...)}
}

// called reports whether tools are to be called.
func (r *reading) called() bool { return r.reader != nil && r.reader.Called() }

// piece is what came of one token, or of several.
type piece struct {
	text, reasoning []byte
	calls           []CallPart
	probs           []Logprob
	finish          Finish
	usage           *Usage
}

func (p *piece) empty() bool {
	return len(p.text) == 0 && len(p.reasoning) == 0 && len(p.calls) == 0 && len(p.probs) == 0 && p.finish == ""
}

// add takes over what was read beside the content.
func (p *piece) add(q chat.Parts) {
	p.reasoning = append(p.reasoning, q.Reasoning...)
	p.calls = append(p.calls, q.Calls...)
}

// join adds what came next. Parts of one call become one.
func (p *piece) join(q piece) {
	p.text = append(p.text, q.text...)
	p.reasoning = append(p.reasoning, q.reasoning...)
	for _, c := range q.calls {
		if n := len(p.calls); n > 0 && c.Name == "" && p.calls[n-1].Index == c.Index {
			p.calls[n-1].Arguments += c.Arguments
		} else {
			p.calls = append(p.calls, c)
		}
	}
	p.probs = append(p.probs, q.probs...)
	p.finish, p.usage = q.finish, q.usage
}

// controls returns the ids of the control tokens that the chat format takes answers apart at.
func (c *Config) controls() map[int32]byte {
	if c.Chat == nil || c.Tokenizer == nil {
		return nil
	}
	ids := map[int32]byte{}
	for text, b := range c.Chat.Controls() {
		if id, ok := c.Tokenizer.ID(text); ok {
			ids[id] = b
		}
	}
	return ids
}

// blame says what of a chat's request a form could not be made of. The error of the request's own constraint stays a
// *ConstraintError, that of a tool becomes a *ParamError.
func (e *Engine) blame(ctx context.Context, r ChatRequest, err error) error {
	var form *ConstraintError
	if err == nil || len(r.Tools) == 0 || ctx.Err() != nil || !errors.As(err, &form) {
		return err
	}
	if r.Constraint != nil {
		if _, err := e.compile(ctx, r.Constraint); err != nil {
			return err
		}
	}
	for i, t := range r.Tools {
		if t.Parameters == "" || r.ToolChoice.Names != nil && !slices.Contains(r.ToolChoice.Names, t.Name) {
			continue
		}
		if _, err := e.compile(ctx, &Constraint{Kind: JSONSchema, Text: t.Parameters}); err != nil {
			return &ParamError{Param: fmt.Sprintf("tools[%d].function.parameters", i), Msg: "cannot be enforced: " + err.Error()}
		}
	}
	return &ParamError{Param: "tools", Msg: "cannot be enforced together: " + form.Error()}
}
