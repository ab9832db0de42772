package openai

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestFieldTable demands a reason for every field that is accepted without being honoured.
func TestFieldTable(t *testing.T) {
	seen := map[string]bool{}
	noted := false
	for _, f := range chatFields() {
		if seen[f.name] || f.set == nil {
			t.Errorf("field %q stands twice or does nothing", f.name)
		}
		seen[f.name] = true
		if noted = noted || f.note != ""; noted && f.note == "" {
			t.Errorf("field %q has no note", f.name)
		}
	}
}

// plain turns a tree into what encoding/json gives with UseNumber.
func (v node) plain() any {
	switch v.kind {
	case kindBool:
		return v.truth
	case kindNumber:
		return json.Number(v.text)
	case kindString:
		return v.text
	case kindArray:
		out := []any{}
		for _, x := range v.items {
			out = append(out, x.plain())
		}
		return out
	case kindObject:
		out := map[string]any{}
		for i, k := range v.keys {
			out[k] = v.items[i].plain()
		}
		return out
	}
	return nil
}

func checkAgainstStdlib(t *testing.T, data []byte) {
	t.Helper()
	v, err := parseJSON(data)
	if err != nil {
		return // stricter is fine; TestStrict says in what
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var want any
	if err := dec.Decode(&want); err != nil {
		t.Fatalf("%q: accepted, encoding/json says %v", data, err)
	}
	if got := v.plain(); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: got %#v, want %#v", data, got, want)
	}
}

func TestJSON(t *testing.T) {
	big := `{` + strings.Repeat(`"k`, 0)
	for i := range 40 {
		if i > 0 {
			big += ","
		}
		big += `"` + strings.Repeat("k", i+1) + `":` + strings.Repeat("[", 3) + strings.Repeat("]", 3)
	}
	big += `}`
	for _, s := range []string{
		`null`, ` true `, "\t\r\n false\n", `0`, `-0`, `-1.5e+10`, `1E5`, `""`, `"a\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00"`, `[]`, `[ ]`, `[1, 2 ,[3]]`,
		`{}`, `{ }`, `{"a":1, "b" : {"c":[]}}`, `"\u0000"`, `"` + strings.Repeat("x", 1000) + `\n"`, big,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
	} {
		if _, err := parseJSON([]byte(s)); err != nil {
			t.Errorf("%.50q: %v", s, err)
		}
		checkAgainstStdlib(t, []byte(s))
	}
}

func TestStrict(t *testing.T) {
	many := strings.Repeat(`0,`, maxValues-2) + "0" // and the array: maxValues in all
	if _, err := parseJSON([]byte("[" + many + "]")); err != nil {
		t.Errorf("%d values: %v", maxValues, err)
	}
	keys := ""
	for i := range 20 {
		keys += `"` + strings.Repeat("k", i+1) + `":0,`
	}
	for s, want := range map[string]string{
		"":                               "unexpected end",
		"  ":                             "unexpected end",
		"[":                              "unexpected end",
		"[1":                             "expected ',' or ']'",
		"[1,]":                           "expected a value",
		"[,1]":                           "expected a value",
		"{":                              "expected a key",
		`{"a"`:                           "expected ':'",
		`{"a":1`:                         "expected ',' or '}'",
		`{"a":1,}`:                       "expected a key",
		`{a:1}`:                          "expected a key",
		`{"a":1,"a":2}`:                  "duplicate key",
		`{"a":1,"\u0061":2}`:             "duplicate key",
		`{` + keys + `"kkk":1}`:          "duplicate key",
		`1 2`:                            "text after the value",
		`nul`:                            "expected a value",
		`tru`:                            "expected a value",
		`nulll`:                          "text after",
		"\x00":                           "expected a value",
		"\"\xff\"":                       "invalid UTF-8",
		"\"\xed\xa0\x80\"":               "invalid UTF-8",
		"\xef\xbb\xbf1":                  "expected a value",
		"\"a":                            "string without end",
		`"\`:                             "string without end",
		`"\u12`:                          "truncated",
		`"\u12g4"`:                       "malformed escape",
		`"\u+123"`:                       "malformed escape",
		`"\x"`:                           "unknown escape",
		"\"\x01\"":                       "control character",
		`"\ud800"`:                       "surrogate",
		`"\ud800\u0041"`:                 "surrogate",
		`"\ude00"`:                       "surrogate",
		`"\ud800\ud800"`:                 "surrogate",
		`-`:                              "malformed number",
		`01`:                             "malformed number",
		`1.`:                             "malformed number",
		`1e`:                             "malformed number",
		`.1`:                             "expected a value",
		`NaN`:                            "expected a value",
		strings.Repeat("[", 65):          "nested",
		strings.Repeat(`{"a":`, 100_000): "nested",
		"[" + many + ",0]":               "values",
	} {
		_, err := parseJSON([]byte(s))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50q: got %v, want %q", s, err, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00",null,true]}`, `[[]]`, `"\ud800"`, `{"a":1,"a":2}`, "\xff", `1e5 `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkAgainstStdlib(t, data) })
}
