package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A field is an argument of a tool, for forms of calls that write the arguments one by one.
type field struct {
	name     string
	required bool
	schema   string   // of its value
	raw      bool     // a string that stands there as it is; other values are JSON
	oneOf    []string // the texts that a raw one may be; nil for any
}

// fieldsOf returns the arguments of a tool in the order of its schema. The error, for the client, says that they are not a
// plain list.
func fieldsOf(tool Tool, g *tags) ([]field, *Error) {
	if tool.Parameters == "" {
		return nil, nil
	}
	refuse := func(format string, a ...any) *Error {
		return &Error{Param: "tools", Msg: fmt.Sprintf("has a function %q whose parameters cannot be enforced: this model's calls name arguments one by one, and ", tool.Name) + fmt.Sprintf(format, a...)}
	}
	list, err := members([]byte(tool.Parameters))
	if err != nil {
		return nil, refuse("the schema is no object")
	}
	var properties, shared []member
	var required []string
	for _, m := range list {
		switch {
		case m.key == "properties":
			properties, err = members(m.value)
		case m.key == "required":
			err = json.Unmarshal(m.value, &required)
		case m.key == "type":
			if string(m.value) != `"object"` {
				return nil, refuse("'type' must be object")
			}
		case m.key == "$defs", m.key == "definitions":
			shared = append(shared, m)
		case m.key == "additionalProperties", annotation(m.key):
		default:
			return nil, refuse("'%s' speaks of all of them; put it into a property", m.key)
		}
		if err != nil {
			return nil, refuse("'%s' has the wrong form", m.key)
		}
	}
	for _, name := range required {
		if !slices.ContainsFunc(properties, func(m member) bool { return m.key == name }) {
			properties = append(properties, member{name, json.RawMessage("{}")})
		}
	}
	var fields []field
	for _, p := range properties {
		must := slices.Contains(required, p.key)
		switch {
		case p.key == "" || strings.ContainsAny(p.key, "<>\"\n"):
			return nil, refuse("the property %q cannot be a name there", p.key)
		case string(p.value) == "false" && must:
			return nil, refuse("the property %q is required and accepts nothing", p.key)
		case string(p.value) == "false":
			continue
		}
		f := field{name: p.key, required: must, schema: withShared(p.value, shared)}
		f.raw, f.oneOf = rawText(p.value, g)
		fields = append(fields, f)
	}
	return fields, nil
}

// annotation reports whether a keyword of schemas accepts and refuses nothing.
func annotation(key string) bool {
	switch key {
	case "title", "description", "default", "examples", "$comment", "$schema", "$id", "deprecated", "readOnly", "writeOnly":
		return true
	}
	return false
}

// rawText reports whether a value of a schema can stand as it is: a string of which at most a list of values is demanded.
// What asks for more, a length or a pattern, is written as JSON, where it can be enforced.
func rawText(schema json.RawMessage, g *tags) (raw bool, oneOf []string) {
	list, err := members(schema)
	if err != nil {
		return false, nil
	}
	for _, m := range list {
		var one string
		switch {
		case m.key == "type" && string(m.value) == `"string"`:
			raw = true
		case m.key == "enum" && oneOf == nil && json.Unmarshal(m.value, &oneOf) == nil && len(oneOf) > 0:
		case m.key == "const" && oneOf == nil && json.Unmarshal(m.value, &one) == nil:
			oneOf = []string{one}
		case annotation(m.key):
		default:
			return false, nil
		}
	}
	return raw && !slices.ContainsFunc(oneOf, func(s string) bool { return strings.Contains(s, g.valueClose) }), oneOf
}

// withShared gives a schema the definitions that it may refer to.
func withShared(schema json.RawMessage, shared []member) string {
	list, err := members(schema)
	if err != nil || len(shared) == 0 {
		return string(schema) // true
	}
	var b bytes.Buffer
	for _, m := range slices.Concat(shared, list) {
		key, _ := json.Marshal(m.key) // strings always have a JSON form
		fmt.Fprintf(&b, ",%s:%s", key, m.value)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

// A member is one of an object, as it is written.
type member struct {
	key   string
	value json.RawMessage
}

// members lists those of an object in their order.
func members(object []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("not an object: %w", err)
	}
	var list []member
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{key: key.(string)} // the decoder takes no other keys
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}
