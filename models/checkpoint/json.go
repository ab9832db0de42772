package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds the nesting of JSON files.
const maxDepth = 64

// parseObject decodes a JSON object strictly: one value and nothing behind it, valid UTF-8, no key twice, limited
// depth, finite numbers. Values are map[string]any, []any, string, json.Number, bool and nil. Errors name the field.
func parseObject(text []byte) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("invalid UTF-8")
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	p := parser{dec: json.NewDecoder(bytes.NewReader(text)), size: len(text)}
	p.dec.UseNumber()
	v, err := p.value("", 0)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("is %s, must be an object", kindOf(v))
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("invalid JSON: text after the end of the object at byte %d", p.dec.InputOffset())
	}
	return m, nil
}

type parser struct {
	dec  *json.Decoder
	size int
}

// token reads the next token; path names the field for errors.
func (p *parser) token(path string) (json.Token, error) {
	t, err := p.dec.Token()
	if err == nil {
		return t, nil
	}
	msg := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		msg = fmt.Sprintf("the text ends early, after %d bytes", p.size)
	} else if bad := (*json.SyntaxError)(nil); errors.As(err, &bad) {
		msg = fmt.Sprintf("%v at byte %d", bad, bad.Offset)
	}
	return nil, at(path, "invalid JSON: %s", msg)
}

func (p *parser) value(path string, depth int) (any, error) {
	t, err := p.token(path)
	if err != nil {
		return nil, err
	}
	return p.rest(t, path, depth)
}

// rest decodes the value that starts with token t.
func (p *parser) rest(t json.Token, path string, depth int) (any, error) {
	switch t := t.(type) {
	case json.Delim:
		if depth == maxDepth {
			return nil, at(path, "nesting deeper than %d", maxDepth)
		}
		if t == '{' {
			return p.object(path, depth)
		}
		return p.array(path, depth)
	case json.Number:
		if f, err := strconv.ParseFloat(string(t), 64); err != nil || math.IsInf(f, 0) {
			return nil, at(path, "%.40s is not a finite number", t)
		}
		return t, nil
	default:
		return t, nil
	}
}

func (p *parser) object(path string, depth int) (any, error) {
	m := map[string]any{}
	for {
		t, err := p.token(path)
		if err != nil {
			return nil, err
		}
		if t == json.Delim('}') {
			return m, nil
		}
		key, ok := t.(string)
		if !ok {
			return nil, at(path, "invalid JSON: a key is not a string")
		}
		inner := join(path, key)
		if _, ok := m[key]; ok {
			return nil, at(inner, "duplicate key")
		}
		if m[key], err = p.value(inner, depth+1); err != nil {
			return nil, err
		}
	}
}

func (p *parser) array(path string, depth int) (any, error) {
	list := []any{}
	for {
		t, err := p.token(path)
		if err != nil {
			return nil, err
		}
		if t == json.Delim(']') {
			return list, nil
		}
		v, err := p.rest(t, path, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}

// at puts the field's name before a message.
func at(path, format string, args ...any) error {
	msg := fmt.Sprintf(format, args...)
	if path == "" {
		return errors.New(msg)
	}
	return errors.New(path + ": " + msg)
}

// join extends a field's name; both are kept short and on one line, for they come from a file.
func join(path, key string) string {
	const most = 80
	if len(key) > most {
		key = key[:most] + "..."
	}
	key = shown(key)
	if path == "" || len(path) > 4*most {
		return key
	}
	return path + "." + key
}

// kindOf names a decoded value's type for errors.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case []any:
		return "an array"
	}
	return "an object"
}
