package cli

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestSafeWriter(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"plain", "a line\n\tand a tab", "a line\n\tand a tab"},
		{"colour", "\x1b[31mred\x1b[0m", "[31mred[0m"},
		{"title", "\x1b]0;owned\x07x", "]0;ownedx"},
		{"carriage return", "safe\rforged", "safeforged"},
		{"backspace, bell, NUL, DEL", "a\b\a\x00\x7fb", "ab"},
		{"C1 as UTF-8", "a\u009b31mb", "a31mb"},
		{"C1 as a byte", "a\x9b31mb", "a31mb"},
		{"scripts", "日本 ελ عربى 👩‍🚀", "日本 ελ عربى 👩‍🚀"},
		{"replacement", "a\ufffdb", "a\ufffdb"},
		{"overlong escape", "a\xc0\x9bb", "ab"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for size := 1; size <= len(test.in); size++ {
				var b bytes.Buffer
				w := &safeWriter{w: &b}
				for chunk := range slices.Chunk([]byte(test.in), size) {
					if n, err := w.Write(chunk); n != len(chunk) || err != nil {
						t.Fatalf("wrote %d of %d: %v", n, len(chunk), err)
					}
				}
				if b.String() != test.want {
					t.Errorf("in pieces of %d: %q, want %q", size, b.String(), test.want)
				}
			}
		})
	}
}

func FuzzSafeWriter(f *testing.F) {
	f.Add([]byte("\x1b[2J\u009b1m\xe2\x82"), 1)
	f.Add([]byte("ok 日本\r\n"), 4)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		cut = min(max(cut, 0), len(in))
		var whole, parts bytes.Buffer
		(&safeWriter{w: &whole}).Write(in)
		w := &safeWriter{w: &parts}
		w.Write(in[:cut])
		w.Write(in[cut:])
		if !bytes.Equal(whole.Bytes(), parts.Bytes()) {
			t.Errorf("%q cut at %d: %q and %q", in, cut, whole.Bytes(), parts.Bytes())
		}
		for _, r := range whole.String() {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				t.Errorf("%q lets %U through", in, r)
			}
		}
		if !utf8.Valid(whole.Bytes()) {
			t.Errorf("%q gives invalid UTF-8 %q", in, whole.Bytes())
		}
	})
}

func TestSplitModel(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, d := range []string{"model", "a model"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("my model.gguf", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		flag   string
		args   []string
		model  string
		prompt []string
	}{
		{"", []string{"Why is the sky blue?"}, "", []string{"Why is the sky blue?"}},
		{"", []string{"Why", "is", "it?"}, "", []string{"Why", "is", "it?"}},
		{"", []string{"model", "hello"}, "model", []string{"hello"}},
		{"", []string{"model"}, "model", nil},
		{"", []string{"a model", "hello"}, "a model", []string{"hello"}},
		{"", []string{"my model.gguf", "hello"}, "my model.gguf", []string{"hello"}},
		{"", []string{"what is x.gguf"}, "", []string{"what is x.gguf"}},
		{"", []string{"gone.gguf", "hello"}, "gone.gguf", []string{"hello"}},
		{"", []string{"./gone", "hello"}, "./gone", []string{"hello"}},
		{"", []string{filepath.Join(dir, "gone"), "hello"}, filepath.Join(dir, "gone"), []string{"hello"}},
		{"", []string{"/ is a path, what is a URL?"}, "", []string{"/ is a path, what is a URL?"}},
		{"", []string{"org/model-2.0", "hello"}, "org/model-2.0", []string{"hello"}},
		{"", []string{"and/or"}, "", []string{"and/or"}},
		{"", []string{"org/model@main", "hello"}, "org/model@main", []string{"hello"}},
		{"", []string{"org/model/a.gguf", "hello"}, "org/model/a.gguf", []string{"hello"}},
		{"", []string{"https://example.com/a.gguf", "hello"}, "https://example.com/a.gguf", []string{"hello"}},
		{"", []string{"https://example.com", "hello"}, "", []string{"https://example.com", "hello"}},
		{"", []string{"llama3.1:8b"}, "llama3.1:8b", nil},
		{"", []string{"llama3.1", "hello"}, "llama3.1", []string{"hello"}},
		{"", []string{"lama3.1:8b", "hello"}, "lama3.1:8b", []string{"hello"}},
		{"", []string{"ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf"}, "ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf", nil},
		{"", []string{"mistral"}, "mistral", nil},
		{"", []string{"Mistral", "is", "a", "wind"}, "", []string{"Mistral", "is", "a", "wind"}},
		{"", []string{"mistral is a wind"}, "", []string{"mistral is a wind"}},
		{"", []string{"Translate:", "hello"}, "", []string{"Translate:", "hello"}},
		{"", []string{"10:30", "or", "later?"}, "", []string{"10:30", "or", "later?"}},
		{"", []string{"-"}, "", []string{"-"}},
		{"", nil, "", nil},
		{"other", []string{"model", "hello"}, "other", []string{"model", "hello"}},
	} {
		model, prompt := (&app{}).splitModel(test.flag, test.args)
		if model != test.model || !slices.Equal(prompt, test.prompt) {
			t.Errorf("splitModel(%q, %q) = %q, %q; want %q, %q", test.flag, test.args, model, prompt, test.model, test.prompt)
		}
	}
}

func TestPromptText(t *testing.T) {
	for _, test := range []struct {
		words []string
		stdin string
		want  string
	}{
		{[]string{"one", "two"}, "unread", "one two"},
		{nil, "from stdin\n", "from stdin"},
		{[]string{"-"}, "from stdin\r\n", "from stdin"},
		{[]string{"Summarise:", "-"}, "line 1\nline 2\n", "Summarise: line 1\nline 2"},
	} {
		a := &app{in: strings.NewReader(test.stdin)}
		if got, err := a.promptText(test.words); got != test.want || err != nil {
			t.Errorf("%q with stdin %q: %q, %v", test.words, test.stdin, got, err)
		}
	}
	long := &app{in: strings.NewReader(strings.Repeat("x", maxPrompt+1))}
	if _, err := long.promptText(nil); err == nil || !strings.Contains(err.Error(), "32 MiB") {
		t.Errorf("a prompt over the limit: %v", err)
	}
}

func TestParseIDs(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []int32
		ok   bool
	}{
		{"1,2,3", []int32{1, 2, 3}, true},
		{" [1, 2]\n", []int32{1, 2}, true},
		{"", []int32{}, true},
		{"9", []int32{9}, true},
		{"10", nil, false},
		{"-1", nil, false},
		{"1.5", nil, false},
		{"4294967297", nil, false},
	} {
		got, err := parseIDs(test.in, 10)
		if (err == nil) != test.ok || test.ok && !slices.Equal(got, test.want) {
			t.Errorf("parseIDs(%q) = %v, %v", test.in, got, err)
		}
	}
}

func FuzzParseIDs(f *testing.F) {
	f.Add("1,2,3")
	f.Add("[1, -2]\t99999999999")
	f.Fuzz(func(t *testing.T, in string) {
		ids, err := parseIDs(in, 100)
		for _, id := range ids {
			if err == nil && (id < 0 || id >= 100) {
				t.Errorf("%q gives %d", in, id)
			}
		}
	})
}

func TestMeanStddev(t *testing.T) {
	if mean, dev := meanStddev([]float64{2, 4, 4, 4, 5, 5, 7, 9}); mean != 5 || math.Abs(dev-math.Sqrt(32.0/7)) > 1e-12 {
		t.Errorf("%v ± %v", mean, dev)
	}
	if mean, dev := meanStddev([]float64{3}); mean != 3 || dev != 0 {
		t.Errorf("of one: %v ± %v", mean, dev)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 kB", 999_000: "999 kB", 1_000_000: "1 MB", 113_500_000: "114 MB", 2_200_000_000: "2.20 GB", 44e9: "44.0 GB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestHistory(t *testing.T) {
	var h history
	for _, line := range []string{"a", "b", "b", " ", "c"} {
		h.Add(line)
	}
	if h.Len() != 3 || h.At(0) != "c" || h.At(2) != "a" {
		t.Errorf("%q", h.lines)
	}
	for range maxHistory {
		h.Add("x")
		h.Add("y")
	}
	if h.Len() != maxHistory || h.At(0) != "y" {
		t.Errorf("%d entries, newest %q", h.Len(), h.At(0))
	}
}

func TestProgressLines(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, "converting", true)
	for done := int64(0); done <= 1000; done += 10 {
		p.set(done, 1000)
	}
	p.end()
	const want = "aquifer: converting: 25 %\naquifer: converting: 50 %\naquifer: converting: 75 %\n"
	if b.String() != want {
		t.Errorf("%q", b.String())
	}
	b.Reset()
	p = newProgress(&b, "measuring", true)
	for i := range 4 {
		p.step(i+1, 4, "so far "+string(rune('a'+i)))
	}
	p.end()
	const steps = "aquifer: measuring: 25 %, so far a\naquifer: measuring: 50 %, so far b\naquifer: measuring: 75 %, so far c\n"
	if b.String() != steps {
		t.Errorf("%q", b.String())
	}
	n := &note{"so far", time.Now().Add(90*time.Second + 100*time.Millisecond)}
	if n.String() != "so far, 1m30s left" {
		t.Errorf("%q", n)
	}
	if n.end = time.Now().Add(-time.Minute); n.String() != "so far, 0s left" {
		t.Errorf("%q", n)
	}
	b.Reset()
	p = newProgress(&b, "loading", false)
	p.set(500, 1000)
	p.end()
	if b.String() != "" {
		t.Errorf("without a terminal loading prints %q", b.String())
	}
}
