package grammar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// suiteFolder is where the JSON-Schema-Test-Suite lies: Google's validator, which the API's tests use anyway, carries a copy.
func suiteFolder(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/jsonschema-go")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("go list: %v: %s", err, stderr.Bytes())
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "jsonschema", "testdata", "draft2020-12")
	if _, err := os.Stat(dir); err != nil {
		t.Skip(err)
	}
	return dir
}

type suiteCase struct {
	Description string
	Schema      json.RawMessage
	Tests       []struct {
		Description string
		Data        json.RawMessage
		Valid       bool
	}
}

// orders are the texts of a value with the members of its objects in every order, at most some thousands: answers have
// them in the schema's.
func orders(t *testing.T, raw json.RawMessage) []string {
	t.Helper()
	var parts []json.RawMessage
	var names []string
	switch dec := json.NewDecoder(bytes.NewReader(raw)); raw[0] {
	case '[':
		if err := json.Unmarshal(raw, &parts); err != nil {
			t.Fatal(err)
		}
	case '{':
		dec.Token()
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			quoted := new(bytes.Buffer)
			enc := json.NewEncoder(quoted)
			enc.SetEscapeHTML(false)
			var value json.RawMessage
			if err := errors.Join(enc.Encode(name), dec.Decode(&value)); err != nil {
				t.Fatal(err)
			}
			names, parts = append(names, strings.TrimSpace(quoted.String())+":"), append(parts, value)
		}
	default:
		return []string{string(raw)}
	}
	texts := make([][]string, len(parts))
	for i, p := range parts {
		texts[i] = orders(t, p)
	}
	var all []string
	used := make([]bool, len(parts))
	var extend func(n int, text string)
	extend = func(n int, text string) {
		if n == len(parts) {
			all = append(all, text+string(raw[0]+2)) // ']' is '[' + 2, '}' is '{' + 2
			return
		}
		for i := range parts {
			if used[i] || names == nil && i != n || len(all) > 5000 {
				continue
			}
			used[i] = true
			for _, x := range texts[i] {
				next := text
				if n > 0 {
					next += ","
				}
				if names != nil {
					next += names[i]
				}
				extend(n+1, next+x)
			}
			used[i] = false
		}
	}
	extend(0, string(raw[0]))
	return all
}

// narrower are parts of the names of valid instances that can't be answers, by what docs/structured-output.md says of
// it. Everything else that is valid must be possible.
var narrower = map[string][]string{
	"without a type, only the types that the keywords speak of": {": ignores ", "JavaScript pseudo-array is valid"},
	"objects with properties have no others unless additionalProperties says so": {
		"additional properties are allowed", "both anyOf valid (complex)", "doesn't invalidate other properties", "root pointer ref: match", "root pointer ref: recursive match",
	},
	"no items behind prefixItems unless items or maxItems says so": {
		"array with additional items", "only the first item is validated", "uniqueItems=false with an array of items: unique array extended", "uniqueItems=false with an array of items: non-unique array extended",
	},
	"enum and const are written as in the schema, integers without a point": {
		"float zero is valid", "float one is valid", "integer -2 is valid", "limits: float is valid", "[0.0] is valid", "[1.0] is valid", "a float with zero fractional part is an integer",
	},
}

// excluded says whether the valid instance of that name is one of narrower.
func excluded(name string) bool {
	for _, parts := range narrower {
		for _, part := range parts {
			if strings.Contains(name, part) {
				return true
			}
		}
	}
	return false
}

// TestSuite holds the language of every schema of the JSON-Schema-Test-Suite that compiles against the suite's
// instances: no invalid one can be an answer, and each valid one can, but for those that the documentation excludes.
func TestSuite(t *testing.T) {
	dir := suiteFolder(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files in %s, %v", len(files), dir, err)
	}
	c := newCompiler(t, byteVocabulary(), Options{})
	refused := map[string]int{}
	var compiled, valid, possible, invalid int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []suiteCase
		if err := json.Unmarshal(text, &cases); err != nil {
			t.Fatal(err)
		}
		for _, tt := range cases {
			g, err := c.Compile(context.Background(), compact(string(tt.Schema)))
			if e := (*Error)(nil); errors.As(err, &e) {
				refused[e.Keyword]++
				for _, x := range tt.Tests {
					if errors.Is(err, ErrUnsatisfiable) && x.Valid {
						t.Errorf("%s: %s: %v, but %s is valid", filepath.Base(file), tt.Description, err, x.Data)
					}
				}
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			compiled++
			for _, x := range tt.Tests {
				data := new(bytes.Buffer)
				if err := json.Compact(data, x.Data); err != nil {
					t.Fatal(err)
				}
				can := false
				for _, text := range orders(t, data.Bytes()) {
					n, end := accepts(g.NewMatcher(), text)
					can = can || n == len(text) && end
				}
				name := strings.TrimSuffix(filepath.Base(file), ".json") + ": " + tt.Description + ": " + x.Description
				switch {
				case !x.Valid && can:
					t.Errorf("%s: %s is invalid and can be an answer", name, data)
				case x.Valid && !can && !excluded(name):
					t.Errorf("%s: %s is valid and can't be an answer", name, data)
				case x.Valid && can && excluded(name):
					t.Errorf("%s: %s can be an answer; it is no longer an exception", name, data)
				}
				if x.Valid {
					valid++
				} else {
					invalid++
				}
				if x.Valid && can {
					possible++
				}
			}
		}
	}
	t.Logf("%d schemas compiled, refused by keyword %v; of %d valid instances %d can be answers, of %d invalid ones none", compiled, refused, valid, possible, invalid)
}
