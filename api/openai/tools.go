package openai

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"aquifer/runtime/engine"
)

// Limits of tools, OpenAI's.
const (
	maxTools    = 128
	maxToolName = 64
)

func setTools(r *chatRequest, v node, name string) *Error {
	if v.kind != kindArray {
		return wrongType(name, "an array", v)
	}
	if len(v.items) > maxTools {
		return badParam(name, "must not have more than %d tools, it has %d", maxTools, len(v.items))
	}
	for i, item := range v.items {
		at := name + "[" + strconv.Itoa(i) + "]"
		fn, e := typed(item, at, "function", r.lenient)
		if e != nil {
			return e
		}
		tool, e := function(fn, at+".function", r.lenient)
		if e != nil {
			return e
		}
		if slices.ContainsFunc(r.tools, func(t engine.Tool) bool { return t.Name == tool.Name }) {
			return badParam(at+".function.name", "is that of another tool")
		}
		r.tools = append(r.tools, tool)
	}
	return nil
}

// typed reads {"type": kind, kind: {...}} and returns the inner object.
func typed(v node, name, kind string, lenient bool) (node, *Error) {
	if v.kind != kindObject {
		return node{}, wrongType(name, "an object", v)
	}
	if t := v.get("type"); t.kind != kindString {
		return node{}, wrongType(name+".type", "a string", t)
	} else if t.text != kind {
		return node{}, unsupported(name+".type", "is supported as %q only", kind)
	}
	for _, key := range v.keys {
		if key != "type" && key != kind && !lenient {
			return node{}, unknown(name + "." + key)
		}
	}
	if inner := v.get(kind); inner.kind != kindObject {
		return node{}, wrongType(name+"."+kind, "an object", inner)
	}
	return v.get(kind), nil
}

// get returns the value of a key, null if there is none.
func (n node) get(key string) node {
	if i := slices.Index(n.keys, key); i >= 0 {
		return n.items[i]
	}
	return node{}
}

// function reads the definition of a function. strict makes no difference: arguments are always held to the schema, and
// a schema that cannot be enforced is refused, whether or not the client insists.
func function(v node, name string, lenient bool) (engine.Tool, *Error) {
	var t engine.Tool
	shown := node{kind: kindObject} // to the model
	show := func(key string, item node) {
		shown.keys, shown.items = append(shown.keys, key), append(shown.items, item)
	}
	parameters := node{kind: kindObject, keys: []string{"type", "properties"}, items: []node{{kind: kindString, text: "object"}, {kind: kindObject}}}
	for i, key := range v.keys {
		item, at := v.items[i], name+"."+key
		switch key {
		case "name":
			if e := functionName(item, at); e != nil {
				return t, e
			}
			t.Name = item.text
			show(key, item)
		case "description":
			if item.kind != kindString && item.kind != kindNull {
				return t, wrongType(at, "a string", item)
			}
			if item.kind == kindString {
				show(key, item)
			}
		case "strict":
			if item.kind != kindBool && item.kind != kindNull {
				return t, wrongType(at, "a boolean", item)
			}
		case "parameters":
			if item.kind == kindNull {
				break
			}
			var e *Error
			if parameters, e = argumentSchema(item, at); e != nil {
				return t, e
			}
			show(key, item)
		default:
			if !lenient {
				return t, unknown(at)
			}
		}
	}
	if t.Name == "" {
		return t, Invalid(400, "missing_required_parameter", name+".name", "'%s.name' is required", name)
	}
	t.Parameters = parameters.json()
	t.Definition = `{"type":"function","function":` + shown.json() + `}`
	return t, nil
}

func functionName(v node, name string) *Error {
	if v.kind != kindString {
		return wrongType(name, "a string", v)
	}
	odd := strings.IndexFunc(v.text, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	})
	if v.text == "" || len(v.text) > maxToolName || odd >= 0 {
		return badParam(name, "must be 1 to %d letters, digits, _ and -", maxToolName)
	}
	return nil
}

// argumentSchema returns the schema with its type stated: arguments are an object.
func argumentSchema(v node, name string) (node, *Error) {
	if v.kind != kindObject {
		return v, wrongType(name, "an object", v)
	}
	switch t := v.get("type"); {
	case !slices.Contains(v.keys, "type"):
		v.keys = append([]string{"type"}, v.keys...)
		v.items = append([]node{{kind: kindString, text: "object"}}, v.items...)
	case t.kind != kindString || t.text != "object":
		return v, badParam(name+".type", "must be \"object\": arguments have names")
	}
	return v, nil
}

// setToolChoice reads "none", "auto", "required", {"type": "function", ...} and {"type": "allowed_tools", ...}.
func setToolChoice(r *chatRequest, v node, name string) *Error {
	if v.kind == kindString {
		return r.toolMode(v, name)
	}
	if v.kind != kindObject {
		return wrongType(name, "a string or an object", v)
	}
	kind := v.get("type")
	if kind.kind != kindString {
		return wrongType(name+".type", "a string", kind)
	}
	switch kind.text {
	case "function":
		fn, e := typed(v, name, "function", r.lenient)
		if e != nil {
			return e
		}
		if e := functionName(fn.get("name"), name+".function.name"); e != nil {
			return e
		}
		r.toolChoice.Must, r.toolChoice.Single, r.toolChoice.Names = true, true, []string{fn.get("name").text}
		return nil
	case "allowed_tools":
		allowed, e := typed(v, name, "allowed_tools", r.lenient)
		if e != nil {
			return e
		}
		return setAllowed(r, allowed, name+".allowed_tools")
	}
	return unsupported(name+".type", "is supported as \"function\" and \"allowed_tools\" only")
}

func (r *chatRequest) toolMode(v node, name string) *Error {
	switch v.text {
	case "none":
		r.noTools = true
	case "auto":
	case "required":
		r.toolChoice.Must = true
	default:
		return badParam(name, "must be none, auto, required or an object")
	}
	return nil
}

// setAllowed reads {"mode": "auto" or "required", "tools": [{"type": "function", "function": {"name": ...}}, ...]}.
func setAllowed(r *chatRequest, v node, name string) *Error {
	if mode := v.get("mode"); mode.kind != kindString || mode.text != "auto" && mode.text != "required" {
		return badParam(name+".mode", "must be auto or required")
	} else if e := r.toolMode(mode, name+".mode"); e != nil {
		return e
	}
	list := v.get("tools")
	if list.kind != kindArray {
		return wrongType(name+".tools", "an array", list)
	}
	if len(list.items) == 0 || len(list.items) > maxTools {
		return badParam(name+".tools", "must have from 1 to %d tools", maxTools)
	}
	for i, item := range list.items {
		at := name + ".tools[" + strconv.Itoa(i) + "]"
		fn, e := typed(item, at, "function", r.lenient)
		if e != nil {
			return e
		}
		if e := functionName(fn.get("name"), at+".function.name"); e != nil {
			return e
		}
		if n := fn.get("name").text; !slices.Contains(r.toolChoice.Names, n) {
			r.toolChoice.Names = append(r.toolChoice.Names, n)
		}
	}
	return nil
}

// checkTools looks at what only all fields together say.
func (r *chatRequest) checkTools() *Error {
	if len(r.tools) == 0 {
		if r.toolChoice.Must || r.toolChoice.Names != nil {
			return badParam("tool_choice", "asks for a call, and there are no 'tools'")
		}
		return nil
	}
	for _, name := range r.toolChoice.Names {
		if !slices.ContainsFunc(r.tools, func(t engine.Tool) bool { return t.Name == name }) {
			return badParam("tool_choice", "names %s, which is none of the 'tools'", quoteName(name))
		}
	}
	r.toolChoice.Single = r.toolChoice.Single || r.oneCall
	return nil
}

// efforts are OpenAI's words for how much a model reasons.
var efforts = []string{"none", "minimal", "low", "medium", "high", "xhigh"}

func setEffort(r *chatRequest, v node, name string) *Error {
	if e := words(efforts...)(r, v, name); e != nil {
		return e
	}
	r.effort = v.text
	return nil
}

// maxVariables bounds chat_template_kwargs.
const maxVariables = 64

var variableName = regexp.MustCompile(`^[A-Za-z_][0-9A-Za-z_]{0,63}$`)

func setVariables(r *chatRequest, v node, name string) *Error {
	if v.kind != kindObject {
		return wrongType(name, "an object", v)
	}
	if len(v.keys) > maxVariables {
		return badParam(name, "must not have more than %d variables", maxVariables)
	}
	for i, key := range v.keys {
		if !variableName.MatchString(key) {
			return unknown(name + "." + key)
		}
		r.variables = append(r.variables, engine.Variable{Name: key, JSON: v.items[i].json()})
	}
	return nil
}

func isNumber(want int) func(node) bool {
	return func(v node) bool { return v.kind == kindNumber && v.text == strconv.Itoa(want) }
}

func isBool(want bool) func(node) bool {
	return func(v node) bool { return v.kind == kindBool && v.truth == want }
}
