package jinja

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

func snippetVars() map[string]Value {
	return map[string]Value{
		"s": Untrusted("Hello, Wörld <b>&"), "e": Untrusted(""), "n": Int(7), "f": Float(2.5), "yes": Bool(true), "nil": None(),
		"l":     NewList(Int(3), Int(1), Int(2)),
		"words": NewList(Untrusted("b"), Untrusted("A"), Untrusted("c"), Untrusted("b")),
		"d": NewDict(Pair{"x", Int(1)}, Pair{"y", Untrusted("two")}, Pair{"z", NewList(None(), Float(1), Bool(true),
			NewDict(Pair{"k", Untrusted("v\n\"'")}))}),
		"rows": NewList(NewDict(Pair{"name", Untrusted("u")}, Pair{"v", Int(2)}),
			NewDict(Pair{"name", Untrusted("t")}, Pair{"v", Int(1)}), NewDict(Pair{"v", Int(3)})),
	}
}

// stricter lists what Python renders and we refuse, with the reason.
var stricter = map[string]string{
	"{% block a %}{% endblock %}": "template inheritance has no use in a chat template",
}

// TestSnippets compares small templates with what Python made of them.
func TestSnippets(t *testing.T) {
	raw, err := os.ReadFile("testdata/snippets.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Src string
		OK  *string
		Err string
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 100 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		got, err := renderString(c.Src, snippetVars())
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%q: error of type %T", c.Src, err)
		}
		_, strict := stricter[c.Src]
		switch {
		case strict && err == nil:
			t.Errorf("%q is listed as refused but renders %q", c.Src, got)
		case strict:
		case c.OK == nil && err == nil:
			t.Errorf("%q gave %q, Python says %s", c.Src, got, c.Err)
		case c.OK != nil && err != nil:
			t.Errorf("%q: %v, Python gives %q", c.Src, err, *c.OK)
		case c.OK != nil && got != *c.OK:
			t.Errorf("%q:\ngot  %q\nwant %q", c.Src, got, *c.OK)
		}
	}
}

func renderString(src string, vars map[string]Value) (string, error) {
	tpl, err := Compile(src)
	if err != nil {
		return "", err
	}
	spans, err := tpl.Render(context.Background(), vars, Options{Now: fixedNow})
	return joined(spans), err
}
