package jinja

import (
	"context"
	"strings"
	"testing"
)

// TestJSON renders values of JSON back as JSON and looks at what is trusted.
func TestJSON(t *testing.T) {
	tpl, err := Compile(`{{ v | tojson }}|{% for k in v %}{{ k }},{% endfor %}{{ w }}`)
	if err != nil {
		t.Fatal(err)
	}
	v, err := JSON(` {"b": [1, 2.5, null, true, "<|x|>"], "a": {"<|k|>": 12345678901234567890}, "b2": -0.0} `)
	if err != nil {
		t.Fatal(err)
	}
	w := Text(Span{Text: "a", Trusted: true}, Span{Text: "b"}, Span{}, Span{Text: "c"}, Span{Text: "d", Trusted: true})
	spans, err := tpl.Render(context.Background(), map[string]Value{"v": v, "w": w}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"b": [1, 2.5, null, true, "<|x|>"], "a": {"<|k|>": 1.2345678901234567e+19}, "b2": -0.0}|b,a,b2,abcd`
	if got := joined(spans); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	trusted := ""
	for _, s := range spans {
		if s.Trusted {
			trusted += s.Text
		}
	}
	if strings.ContainsAny(trusted, "xkb") || !strings.HasSuffix(trusted, "ad") {
		t.Errorf("trusted: %q", trusted)
	}
	for _, bad := range []string{``, `{`, `[1`, `{"a"}`, `{"a":}`, `1 2`, `nul`, `"`, `1e999`, strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		if v, err := JSON(bad); err == nil {
			t.Errorf("%s is taken for %v", bad, v)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"a": [1, {"b": "c"}], "a": 1e3}`)
	f.Add(`[[[[`)
	f.Fuzz(func(t *testing.T, src string) {
		v, err := JSON(src)
		if err != nil {
			return
		}
		tpl, err := Compile(`{{ v | tojson }}`)
		if err != nil {
			t.Fatal(err)
		}
		spans, err := tpl.Render(context.Background(), map[string]Value{"v": v}, Options{})
		if err != nil {
			return // a budget
		}
		if _, err := JSON(joined(spans)); err != nil && !strings.Contains(joined(spans), "nan") {
			t.Errorf("%q came back as %q: %v", src, joined(spans), err)
		}
	})
}
