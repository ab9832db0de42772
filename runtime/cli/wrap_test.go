package cli

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// wrapText sends a text through a wrapper in pieces.
func wrapText(t *testing.T, width int, pieces ...string) string {
	t.Helper()
	var b strings.Builder
	w := &wrapper{w: &b, width: func() int { return width }}
	for _, p := range pieces {
		if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		name  string
		width int
		text  string
		want  string
	}{
		{"short", 20, "a few words", "a few words"},
		{"words", 10, "the quick brown fox jumps", "the quick \nbrown fox \njumps"},
		{"to the edge", 9, "the quick brown", "the quick\nbrown"},
		{"line breaks", 10, "one\n\ntwo three four\nfive", "one\n\ntwo three \nfour\nfive"},
		{"a word longer than the line", 5, "a abcdefghijkl b", "a \nabcde\nfghij\nkl b"},
		{"no spaces in Chinese", 7, "今天天气很好吗", "今天天\n气很好\n吗"},
		{"wide and combining", 6, "né\u0301 日本 e\u0301e\u0301e\u0301", "né\u0301 日\n本 e\u0301e\u0301e\u0301"},
		{"emoji of several characters", 5, "aa 👩‍👩‍👧 bb", "aa 👩‍👩‍👧\nbb"},
		{"indentation", 12, "  - one two three", "  - one two \nthree"},
		{"spaces at the edge", 5, "abcde     f", "abcde\nf"},
		{"hyphen", 8, "well-known thing", "well-\nknown \nthing"},
		{"tab", 12, "a\tbcd efg", "a\tbcd \nefg"},
		{"code", 10, "see:\n```go\nfunc main() { return }\n```\nand so on and on", "see:\n```go\nfunc main() { return }\n```\nand so on \nand on"},
		{"code with other fences", 8, "~~~\naaaa bbbb cccc ```\n```\n~~~\naaaa bbbb", "~~~\naaaa bbbb cccc ```\n```\n~~~\naaaa \nbbbb"},
		{"no width", 0, "the quick brown fox", "the quick brown fox"},
	} {
		if got := wrapText(t, tt.width, tt.text); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		// It does not matter how the text is cut.
		rng := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			var pieces []string
			for rest := tt.text; rest != ""; {
				n := 1 + rng.IntN(5)
				for n < len(rest) && !utf8.RuneStart(rest[n]) {
					n++
				}
				n = min(n, len(rest))
				pieces = append(pieces, rest[:n])
				rest = rest[n:]
			}
			if got := wrapText(t, tt.width, pieces...); got != tt.want {
				t.Fatalf("%s, %q: %q, want %q", tt.name, pieces, got, tt.want)
			}
		}
	}
}

// TestWrapHolds: a word appears when it is known to be whole, code at once.
func TestWrapHolds(t *testing.T) {
	var b strings.Builder
	w := &wrapper{w: &b, width: func() int { return 80 }}
	for _, step := range []struct{ text, shown string }{
		{"Hel", ""}, {"lo", ""}, {" wor", "Hello "}, {"ld\n", "Hello world\n"}, {"```\n", "Hello world\n```\n"}, {"x =", "Hello world\n```\nx ="},
	} {
		if _, err := w.Write([]byte(step.text)); err != nil || b.String() != step.shown {
			t.Errorf("behind %q: %q, %v", step.text, b.String(), err)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestWrapFails(t *testing.T) {
	w := &wrapper{w: failing{}, width: func() int { return 10 }}
	if _, err := w.Write([]byte("some words here")); err == nil {
		t.Error("no error")
	}
}

// FuzzWrap: no line is longer than the terminal, and nothing but white space is lost or made up.
func FuzzWrap(f *testing.F) {
	f.Add("the quick brown fox 日本語 e\u0301 👩‍👩‍👧\tx\n\ny", uint8(10))
	f.Add("```\nlong line of code\n```\nx", uint8(5))
	f.Fuzz(func(t *testing.T, text string, width uint8) {
		text = printable(strings.ToValidUTF8(text, ""))
		got := wrapText(t, int(width)+4, text)
		bare := func(s string) string { return strings.Join(strings.Fields(s), "") }
		if bare(got) != bare(text) {
			t.Fatalf("%q became %q", text, got)
		}
		if strings.ContainsAny(text, "`~\t\u2028\u2029") {
			return // code; columns of tabs are not counted here
		}
		for line := range strings.Lines(got) {
			if n := uniseg.StringWidth(strings.TrimRight(line, "\n")); n > int(width)+4 {
				t.Fatalf("%q has a line of %d columns: %q", text, n, line)
			}
		}
	})
}
