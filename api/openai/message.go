package openai

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"aquifer/runtime/engine"
)

// maxMessages bounds a conversation.
const maxMessages = 4096

func setMessages(r *chatRequest, v node, name string) *Error {
	if v.kind != kindArray {
		return wrongType(name, "an array", v)
	}
	if len(v.items) == 0 || len(v.items) > maxMessages {
		return badParam(name, "must have from 1 to %d messages, it has %d", maxMessages, len(v.items))
	}
	r.messages = make([]engine.Message, 0, len(v.items))
	var calls []engine.ToolCall // whose results may come now
	for i, item := range v.items {
		at := name + "[" + strconv.Itoa(i) + "]"
		m, e := message(item, at, r.lenient)
		if e != nil {
			return e
		}
		if m.Role == "tool" {
			j := slices.IndexFunc(calls, func(c engine.ToolCall) bool { return c.ID == m.CallID })
			if j < 0 {
				return badParam(at+".tool_call_id", "must be the id of a call in the assistant's message before it")
			}
			if m.Name == "" {
				m.Name = calls[j].Name
			}
		} else {
			calls = m.Calls
		}
		r.messages = append(r.messages, m)
	}
	return nil
}

// draft is a message while its fields are read.
type draft struct {
	engine.Message
	content bool // was given
	refusal string
	lenient bool
}

// message decodes one message. Fields that clients copy from an answer into the next request are accepted.
func message(v node, name string, lenient bool) (engine.Message, *Error) {
	if v.kind != kindObject {
		return engine.Message{}, wrongType(name, "an object", v)
	}
	d := &draft{lenient: lenient}
	var e *Error
	if d.Role, e = role(v.get("role"), name+".role"); e != nil {
		return d.Message, e
	}
	for i, key := range v.keys {
		if v.items[i].kind == kindNull {
			if !lenient && !slices.Contains(messageFields, key) {
				return d.Message, unknown(name + "." + key)
			}
			continue
		}
		if e := d.set(key, v.items[i], name+"."+key); e != nil {
			return d.Message, e
		}
	}
	return d.Message, d.finish(name)
}

// messageFields are all that a message may have.
var messageFields = []string{
	"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "reasoning_content", "reasoning", "annotations", "audio", "function_call",
}

// set takes over a field that is not null.
func (d *draft) set(key string, v node, name string) (e *Error) {
	assistant := d.Role == "assistant"
	switch key {
	case "role":
	case "content":
		d.content = true
		d.Content, e = text(v, name, assistant, d.lenient)
	case "name":
		if e = anyString(nil, v, name); e == nil {
			d.Name = v.text
		}
	case "tool_call_id":
		if d.Role != "tool" {
			return badParam(name, "is for messages of the role tool")
		}
		if e = anyString(nil, v, name); e == nil {
			d.CallID = v.text
		}
	case "tool_calls":
		if !assistant {
			return badParam(name, "is for messages of the role assistant")
		}
		d.Calls, e = toolCalls(v, name, d.lenient)
	case "refusal":
		if e = anyString(nil, v, name); e == nil {
			d.refusal = v.text
		}
	case "reasoning_content", "reasoning":
		if !assistant {
			return badParam(name, "is for messages of the role assistant")
		}
		switch e = anyString(nil, v, name); {
		case e != nil:
		case d.Reasoning != "" && d.Reasoning != v.text:
			e = badParam(name, "must be the same as the other field of reasoning")
		default:
			d.Reasoning = v.text
		}
	case "annotations":
		if v.kind != kindArray {
			e = wrongType(name, "an array", v)
		}
	case "audio", "function_call":
		e = unsupported(name, "is not supported")
	default:
		if !d.lenient {
			e = unknown(name)
		}
	}
	return e
}

// finish looks at what a message must have.
func (d *draft) finish(name string) *Error {
	missing := func(field string) *Error {
		return Invalid(http.StatusBadRequest, "missing_required_parameter", name+"."+field, "'%s.%s' is required", name, field)
	}
	if d.refusal != "" {
		if d.Content != "" || d.Role != "assistant" {
			return badParam(name+".refusal", "is for messages of the role assistant, in place of content")
		}
		d.Content, d.content = d.refusal, true
	}
	switch {
	case d.Role == "tool" && d.CallID == "":
		return missing("tool_call_id")
	case !d.content && len(d.Calls) == 0:
		return missing("content")
	}
	return nil
}

func role(v node, name string) (string, *Error) {
	switch {
	case v.kind == kindNull:
		return "", Invalid(http.StatusBadRequest, "missing_required_parameter", name, "'%s' is required", name)
	case v.kind != kindString:
		return "", wrongType(name, "a string", v)
	}
	switch v.text {
	case "system", "developer", "user", "assistant", "tool":
		return v.text, nil
	case "function":
		return "", unsupported(name, "is not supported as %q: use tools, and the role tool for their results", v.text)
	}
	return "", badParam(name, "must be system, developer, user, assistant or tool")
}

// toolCalls decodes the calls of an assistant's message.
func toolCalls(v node, name string, lenient bool) ([]engine.ToolCall, *Error) {
	if v.kind != kindArray {
		return nil, wrongType(name, "an array", v)
	}
	if len(v.items) > maxTools {
		return nil, badParam(name, "must not have more than %d calls", maxTools)
	}
	var calls []engine.ToolCall
	for i, item := range v.items {
		at := name + "[" + strconv.Itoa(i) + "]"
		rest := node{kind: item.kind}
		var c engine.ToolCall
		for j, key := range item.keys {
			switch key {
			case "index": // of a streamed call
			case "id":
				if e := anyString(nil, item.items[j], at+".id"); e != nil {
					return nil, e
				}
				c.ID = item.items[j].text
			default:
				rest.keys, rest.items = append(rest.keys, key), append(rest.items, item.items[j])
			}
		}
		fn, e := typed(rest, at, "function", lenient)
		if e != nil {
			return nil, e
		}
		for _, key := range fn.keys {
			if key != "name" && key != "arguments" && !lenient {
				return nil, unknown(at + ".function." + key)
			}
		}
		if e := functionName(fn.get("name"), at+".function.name"); e != nil {
			return nil, e
		}
		c.Name = fn.get("name").text
		if c.ID == "" {
			return nil, Invalid(http.StatusBadRequest, "missing_required_parameter", at+".id", "'%s.id' is required", at)
		}
		if c.Arguments, e = arguments(fn.get("arguments"), at+".function.arguments"); e != nil {
			return nil, e
		}
		calls = append(calls, c)
	}
	return calls, nil
}

// arguments decodes the arguments of a call: a string that holds a JSON object; empty for no arguments.
func arguments(v node, name string) (string, *Error) {
	if v.kind != kindString {
		return "", wrongType(name, "a string", v)
	}
	if strings.TrimSpace(v.text) == "" {
		return "{}", nil
	}
	if tree, err := parseJSON([]byte(v.text)); err != nil || tree.kind != kindObject {
		return "", badParam(name, "must be a JSON object in a string")
	}
	return v.text, nil
}

// text decodes content: a string, or text parts, which are joined by line breaks.
func text(v node, name string, assistant, lenient bool) (string, *Error) {
	switch v.kind {
	case kindString:
		return v.text, nil
	case kindArray:
	default:
		return "", wrongType(name, "a string or an array of parts", v)
	}
	if len(v.items) == 0 {
		return "", badParam(name, "must have at least one part")
	}
	parts := make([]string, len(v.items))
	for i, part := range v.items {
		var e *Error
		if parts[i], e = textPart(part, name+"["+strconv.Itoa(i)+"]", assistant, lenient); e != nil {
			return "", e
		}
	}
	return strings.Join(parts, "\n"), nil
}

func textPart(v node, name string, assistant, lenient bool) (string, *Error) {
	if v.kind != kindObject {
		return "", wrongType(name, "an object", v)
	}
	kind := v.get("type")
	if kind.kind != kindString {
		return "", wrongType(name+".type", "a string", kind)
	}
	if kind.text != "text" && !(kind.text == "refusal" && assistant) {
		return "", unsupported(name+".type", "is supported as \"text\" only")
	}
	for _, key := range v.keys {
		// A hint for caches, as those in the table of fields.
		if key != "type" && key != kind.text && key != "prompt_cache_breakpoint" && !lenient {
			return "", unknown(name + "." + key)
		}
	}
	content := v.get(kind.text)
	if content.kind != kindString {
		return "", wrongType(name+"."+kind.text, "a string", content)
	}
	return content.text, nil
}
