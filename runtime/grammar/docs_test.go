package grammar

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestKeywordTable checks the tables of keywords in docs/structured-output.md: what they call supported has instances in
// schemaCases, what they call refused is.
func TestKeywordTable(t *testing.T) {
	data, err := os.ReadFile("../../docs/structured-output.md")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, tt := range schemaCases {
		if len(tt.yes)+len(tt.no) > 0 {
			all.WriteString(tt.schema)
		}
	}
	c := newCompiler(t, byteVocabulary(), Options{})
	row := regexp.MustCompile("^\\| `([$A-Za-z]+)` \\|")
	section, supported, refused := "", 0, 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "| keyword |") || strings.HasPrefix(line, "| refused |") {
			section = strings.Fields(line)[1]
		}
		m := row.FindStringSubmatch(line)
		switch {
		case m == nil:
		case section == "keyword":
			supported++
			if !strings.Contains(all.String(), `"`+m[1]+`":`) {
				t.Errorf("%s is called supported and has no instances", m[1])
			}
		case section == "refused":
			refused++
			_, err := c.Compile(t.Context(), Source{Kind: JSONSchema, Text: `{"` + m[1] + `":{}}`})
			var e *Error
			if !errors.As(err, &e) || e.Keyword != m[1] || !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s is called refused: %v", m[1], err)
			}
		}
	}
	if supported < 25 || refused < 12 {
		t.Errorf("%d supported and %d refused keywords found", supported, refused)
	}
	for name := range formats {
		if !strings.Contains(string(data), "`"+name+"`") {
			t.Errorf("format %s is not listed", name)
		}
	}
	listed := regexp.MustCompile(`Without effect[^.]*\.`).FindString(string(data))
	for _, m := range regexp.MustCompile("`([$A-Za-z]+)`").FindAllStringSubmatch(listed, -1) {
		if _, err := c.Compile(t.Context(), Source{Kind: JSONSchema, Text: `{"` + m[1] + `":"x"}`}); err != nil {
			t.Errorf("%s is called without effect: %v", m[1], err)
		}
	}
}
