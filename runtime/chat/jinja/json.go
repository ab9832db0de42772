package jinja

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxJSONDepth bounds how deep values of JSON nest.
const maxJSONDepth = 64

// JSON makes the value of a JSON text, objects with their keys in order. All its strings are untrusted, keys too.
func JSON(src string) (Value, error) {
	d := json.NewDecoder(strings.NewReader(src))
	d.UseNumber()
	v, err := jsonValue(d, 0)
	if err != nil {
		return nil, fmt.Errorf("jinja: JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("jinja: JSON: text behind the value")
	}
	return v, nil
}

func jsonValue(d *json.Decoder, depth int) (Value, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxJSONDepth)
	}
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case nil:
		return None(), nil
	case bool:
		return Bool(tok), nil
	case string:
		return Untrusted(tok), nil
	case json.Number:
		if n, err := tok.Int64(); err == nil {
			return Int(n), nil
		}
		f, err := tok.Float64()
		return Float(f), err
	}
	if tok == json.Delim('[') {
		var items []Value
		for d.More() {
			item, err := jsonValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		_, err = d.Token()
		return NewList(items...), err
	}
	object := &dict{}
	for d.More() {
		key, err := jsonValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		value, err := jsonValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		if err := object.set(key, value); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return object, err
}

// Text makes a string of parts, each trusted or not.
func Text(parts ...Span) Value {
	var t text
	var s strings.Builder
	for _, p := range parts {
		if !p.Trusted && p.Text != "" {
			from, to := s.Len(), s.Len()+len(p.Text)
			if n := len(t.marks); n > 0 && t.marks[n-1].to == from {
				t.marks[n-1].to = to
			} else {
				t.marks = append(t.marks, mark{from, to})
			}
		}
		s.WriteString(p.Text)
	}
	t.s = s.String()
	return t
}
