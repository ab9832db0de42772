package jinja

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

// The fixtures are real templates of model makers, so they are not in the repository. ref.json holds what Python's
// jinja2 3.1.6 renders with transformers' settings for 59 templates and 10 conversations each.

func fixtures(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			at := filepath.Join(dir, "..", "shared", "reference", "chat-templates")
			if _, err := os.Stat(at); err != nil {
				t.Skipf("reference renderings are not on this machine: %v", err)
			}
			return at
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above the package")
	return ""
}

type rendering struct {
	OK      *string `json:"ok"`
	Err     *string `json:"err"`
	Compile *string `json:"compile"`
}

func joined(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		b.WriteString(s.Text)
	}
	return b.String()
}

func fixedNow() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// TestReference demands equality of every rendering, and that what Python refuses is refused here, except for the
// differences counted in known.
func TestReference(t *testing.T) {
	dir := fixtures(t)
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var contexts []map[string]json.RawMessage
	if err := json.Unmarshal(read("contexts.json"), &contexts); err != nil {
		t.Fatal(err)
	}
	var ref map[string]map[string]rendering
	if err := json.Unmarshal(read("ref.json"), &ref); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(ref))
	for name := range ref {
		names = append(names, name)
	}
	sort.Strings(names)

	equal, refused := 0, 0
	for _, name := range names {
		tpl, err := Compile(string(read(filepath.Join("templates", name))))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, ctx := range contexts {
			var label string
			if err := json.Unmarshal(ctx["name"], &label); err != nil {
				t.Fatal(err)
			}
			vars := map[string]Value{
				"bos_token": String("<s>"), "eos_token": String("</s>"), "unk_token": String("<unk>"), "pad_token": String("<pad>"),
			}
			for k, raw := range ctx {
				if k != "name" {
					if vars[k], err = JSON(string(raw)); err != nil {
						t.Fatal(err)
					}
				}
			}
			spans, err := tpl.Render(context.Background(), vars, Options{Now: fixedNow})
			want := ref[name][label]
			got := joined(spans)
			switch {
			case want.OK != nil && err != nil:
				t.Errorf("%s/%s: refused: %v", name, label, err)
			case want.OK != nil && got != *want.OK:
				t.Errorf("%s/%s: %s", name, label, firstDifference(got, *want.OK))
			case want.OK != nil:
				equal++
			case err == nil:
				t.Errorf("%s/%s: rendered what Python refuses with %q", name, label, *want.Err)
			default:
				refused++
				var e *Error
				if !errors.As(err, &e) {
					t.Errorf("%s/%s: error of type %T: %v", name, label, err, err)
				}
			}
		}
	}
	t.Logf("%d templates: %d renderings equal to Python's, %d refused by both", len(names), equal, refused)
}

func firstDifference(got, want string) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	from := max(0, i-30)
	return fmt.Sprintf("differs at byte %d: got %q, want %q", i, got[from:min(len(got), i+40)], want[from:min(len(want), i+40)])
}
