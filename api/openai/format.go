package openai

import (
	"encoding/json"
	"strings"

	"aquifer/runtime/engine"
)

// setResponseFormat reads OpenAI's response_format. strict makes no difference: a schema that cannot be enforced is
// refused, whether or not the client insists.
func setResponseFormat(r *chatRequest, v node, name string) *Error {
	if v.kind != kindObject {
		return wrongType(name, "an object", v)
	}
	kind, schema := node{}, node{}
	for i, key := range v.keys {
		switch key {
		case "type":
			kind = v.items[i]
		case "json_schema":
			schema = v.items[i]
		default:
			return unknown(name + "." + key)
		}
	}
	if kind.kind != kindString {
		return wrongType(name+".type", "a string", kind)
	}
	if kind.text != "json_schema" && schema.kind != kindNull {
		return badParam(name+".json_schema", "is only allowed with the type \"json_schema\"")
	}
	switch kind.text {
	case "text":
		return nil
	case "json_object":
		return r.constrain(name, engine.Constraint{Kind: engine.JSONObject})
	case "json_schema":
		return setNamedSchema(r, schema, name+".json_schema")
	}
	return unsupported(name+".type", "is supported as \"text\", \"json_object\" and \"json_schema\" only")
}

// setNamedSchema reads {"name": ..., "schema": {...}, "strict": ..., "description": ...}.
func setNamedSchema(r *chatRequest, v node, name string) *Error {
	if v.kind != kindObject {
		return wrongType(name, "an object", v)
	}
	var schema node
	named := false
	for i, key := range v.keys {
		item := v.items[i]
		var e *Error
		switch key {
		case "name":
			named = item.kind == kindString && item.text != ""
		case "description":
			if item.kind != kindString && item.kind != kindNull {
				e = wrongType(name+"."+key, "a string", item)
			}
		case "strict":
			if item.kind != kindBool && item.kind != kindNull {
				e = wrongType(name+"."+key, "a boolean", item)
			}
		case "schema":
			schema = item
		default:
			e = unknown(name + "." + key)
		}
		if e != nil {
			return e
		}
	}
	if !named {
		return badParam(name+".name", "must be a string that is not empty")
	}
	return setSchema(r, schema, name+".schema")
}

// setSchema reads a schema that stands for itself, llama.cpp's json_schema.
func setSchema(r *chatRequest, v node, name string) *Error {
	if v.kind != kindObject && v.kind != kindBool {
		return wrongType(name, "an object", v)
	}
	return r.constrain(name, engine.Constraint{Kind: engine.JSONSchema, Text: v.json()})
}

// setGrammar reads llama.cpp's grammar, a text in its GBNF language; an empty one is none.
func setGrammar(r *chatRequest, v node, name string) *Error {
	if v.kind != kindString {
		return wrongType(name, "a string", v)
	}
	if v.text == "" {
		return nil
	}
	return r.constrain(name, engine.Constraint{Kind: engine.GBNF, Text: v.text})
}

func (r *chatRequest) constrain(name string, c engine.Constraint) *Error {
	if r.constraint != nil {
		return badParam(name, "cannot be combined with '%s'", r.constraintParam)
	}
	r.constraint, r.constraintParam = &c, name
	return nil
}

// json writes a value as JSON text, with the keys of objects in their order.
func (n node) json() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n node) write(b *strings.Builder) {
	quote := func(s string) {
		text, _ := json.Marshal(s) // strings always have a JSON form
		b.Write(text)
	}
	switch n.kind {
	case kindNull:
		b.WriteString("null")
	case kindBool:
		b.WriteString(map[bool]string{true: "true", false: "false"}[n.truth])
	case kindNumber:
		b.WriteString(n.text)
	case kindString:
		quote(n.text)
	case kindArray:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	case kindObject:
		b.WriteByte('{')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			quote(n.keys[i])
			b.WriteByte(':')
			item.write(b)
		}
		b.WriteByte('}')
	}
}
