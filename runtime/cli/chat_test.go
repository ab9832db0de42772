package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aquifer/models/checkpoint"
	"aquifer/runtime/engine"
)

func testData(t testing.TB) *userData {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	d, err := openUserData()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.close() })
	return d
}

func TestUserHistory(t *testing.T) {
	d := testData(t)
	if lines, err := d.history(); err != nil || lines != nil {
		t.Errorf("%q, %v", lines, err)
	}
	for i := range 2*maxHistory + 1 {
		if err := d.add(historyFile, fmt.Sprint("line ", i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the first time cuts the file
		lines, err := d.history()
		if err != nil || len(lines) != maxHistory || lines[0] != fmt.Sprint("line ", maxHistory+1) || lines[maxHistory-1] != fmt.Sprint("line ", 2*maxHistory) {
			t.Fatalf("%d lines, %v", len(lines), err)
		}
	}
	text, err := d.read(historyFile, maxLines)
	if err != nil || strings.Count(text, "\n") != maxHistory {
		t.Errorf("%d lines in the file, %v", strings.Count(text, "\n"), err)
	}
	if err := d.write(historyFile, []byte("a\x1b[2Jb\n")); err != nil {
		t.Fatal(err)
	}
	if lines, err := d.history(); err != nil || !slices.Equal(lines, []string{"a[2Jb"}) {
		t.Errorf("%q, %v", lines, err)
	}
	if err := d.write(historyFile, []byte("\xff\n")); err != nil {
		t.Fatal(err)
	}
	if lines, err := d.history(); err == nil {
		t.Errorf("not UTF-8: %q", lines)
	}
}

func TestChatFile(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, "a b", ".hidden", "nul", "COM1", "a:b", "x\n", strings.Repeat("x", 600), "/etc/passwd"} {
		if file, err := chatFile(name); err == nil {
			t.Errorf("%q is the file %s", name, file)
		}
	}
	for _, name := range []string{"a", "My-chat_1.2", "größe"[:2]} {
		if file, err := chatFile(name); err != nil || file != "chats/"+name+".json" {
			t.Errorf("%q: %s, %v", name, file, err)
		}
	}
	d := testData(t)
	if names, err := d.chats(); err != nil || names != nil {
		t.Errorf("%q, %v", names, err)
	}
	if err := d.write("chats/b.json", nil); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(d.root.Name(), "chats")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "c.json"), 0o700), os.WriteFile(filepath.Join(dir, "a.txt"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if names, err := d.chats(); err != nil || !slices.Equal(names, []string{"b"}) {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := d.read("chats/none.json", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	// A link out of the folder is not followed.
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "link.json")); err != nil {
		t.Skip(err)
	}
	if text, err := d.read("chats/link.json", 10); err == nil {
		t.Errorf("read %q through a link", text)
	}
}

// quietConversation is a chat without a terminal or a model that answers.
func quietConversation(t *testing.T) (c *conversation, errs *strings.Builder) {
	t.Helper()
	errs = &strings.Builder{}
	return &conversation{
		app: &app{out: io.Discard, err: errs}, sess: &session{ck: &checkpoint.Checkpoint{Name: "tiny"}}, data: testData(t),
	}, errs
}

func TestSaveAndLoad(t *testing.T) {
	c, _ := quietConversation(t)
	c.messages = []engine.Message{{Role: "user", Content: "a\n\"b\" 日本"}, {Role: "assistant", Content: "<c>"}}
	c.ask.system = "S"
	for _, line := range []string{"temperature 0.25", "seed 7", `stop "a\nb"`, "top-k 5"} {
		if err := c.set(line); err != nil {
			t.Fatal(err)
		}
	}
	want, ask := slices.Clone(c.messages), c.ask
	for range 2 { // a name can be used again
		if err := c.save("x"); err != nil {
			t.Fatal(err)
		}
	}
	d := c.data
	c, errs := quietConversation(t)
	c.data = d
	c.sess.ck.Name = "other"
	if err := c.load("x"); err != nil {
		t.Fatal(err)
	}
	if len(c.messages) != 2 || c.messages[0].Content != want[0].Content || c.messages[1].Content != want[1].Content ||
		c.ask.system != "S" || c.ask.sampling.Temperature != 0.25 || c.ask.sampling.Seed != 7 || c.ask.sampling.TopK != 5 || !slices.Equal(c.ask.stop, ask.stop) {
		t.Errorf("%+v %+v", c.messages, c.ask)
	}
	if !strings.Contains(errs.String(), "which were with tiny") {
		t.Errorf("%s", errs)
	}

	before := c.ask
	for name, text := range map[string]string{
		"EOF":                      ``,
		"invalid character":        `x`,
		"unknown field":            `{"version":1,"model":"m","messages":[],"more":1}`,
		"its version is 2":         `{"version":2,"model":"m","messages":[]}`,
		"its version is 0":         `{}`,
		"messages[0].role":         `{"version":1,"messages":[{"role":"assistant","content":"x"}]}`,
		"messages[1].role":         `{"version":1,"messages":[{"role":"user","content":"x"},{"role":"user","content":"x"}]}`,
		"follows its end":          `{"version":1,"messages":[]} {}`,
		"temperature is 9":         `{"version":1,"system":"other","set":{"temperature":"9"},"messages":[]}`,
		"nothing is called":        `{"version":1,"system":"other","set":{"raw":"true"},"messages":[]}`,
		"not UTF-8":                "{\"version\":1,\"model\":\"\xff\"}",
		"cannot unmarshal":         `{"version":1,"messages":{}}`,
		"/load lists what is save": `missing`,
	} {
		if text == "missing" {
			if err := c.load("missing"); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err := d.write("chats/bad.json", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := c.load("bad"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if len(c.messages) != 2 || c.ask.system != before.system || c.ask.sampling.Temperature != before.sampling.Temperature {
			t.Errorf("%s has changed the conversation", name)
		}
	}
}

func FuzzParseSaved(f *testing.F) {
	f.Add(`{"version":1,"model":"m","system":"s","set":{"seed":"1"},"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}`)
	f.Add(`{"version":1,"messages":[{"role":"system"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		in, err := parseSaved(text)
		if err != nil {
			return
		}
		for i, m := range in.Messages {
			if (i%2 == 0) != (m.Role == "user") {
				t.Errorf("message %d is the %s's", i, m.Role)
			}
		}
		var q ask
		for name, value := range in.Set {
			_ = q.change(name, value)
		}
		if err := q.sampling.Validate(); err != nil {
			t.Errorf("%v sets what the engine refuses: %v", in.Set, err)
		}
	})
}

func TestOptions(t *testing.T) {
	for _, o := range options() {
		if k := findKnob(o.name); k.help == "" {
			t.Errorf("%s has no help", o.name)
		}
	}
	for _, test := range []struct {
		name, value, want string // "" for an error
	}{
		{"temperature", "0.5", "0.5"},
		{"temperature", "NaN", ""},
		{"temperature", "-1", ""},
		{"top-p", "0", ""},
		{"top-p", "1", "1"},
		{"top-k", "1.5", ""},
		{"top-k", "40", "40"},
		{"min-p", "1", "1"},
		{"repeat-penalty", "0", ""},
		{"repeat-penalty", "1.1", "1.1"},
		{"seed", "9223372036854775807", "9223372036854775807"},
		{"seed", "9223372036854775808", ""},
		{"max-tokens", "0", "0"},
		{"max-tokens", "x", ""},
		{"stop", `"\n\n"`, `"\n\n"`},
		{"stop", "END", `"END"`},
		{"stop", `"open`, ""},
		{"stop", `""`, ""},
		{"stats", "yes", ""},
		{"stats", "true", "true"},
		{"model", "x", ""},
	} {
		q := ask{stop: []string{"old"}}
		err := q.change(test.name, test.value)
		got := ""
		for _, o := range options() {
			if o.name == test.name && err == nil {
				got = o.get(&q)
			}
		}
		if got != test.want || err == nil && got == "" && test.value != `""` {
			t.Errorf("%s %s: %q, %v; want %q", test.name, test.value, got, err, test.want)
		}
	}
}

func TestFences(t *testing.T) {
	for text, want := range map[string]bool{
		`"""`: true, `"""a`: true, `"""a"""`: false, `""""""`: false, `  """a`: true, `a """`: false, `/system """a`: true,
		`/system """a"""`: false, `"""a` + "\nb": true, `"""a` + "\n" + `"""`: false, `""`: false, "": false, `"""""`: true,
	} {
		if got := unfinished(text); got != want {
			t.Errorf("unfinished(%q) = %v", text, got)
		}
	}
	for text, want := range map[string]string{
		`"""a"""`: "a", `"""` + "\na\nb\n" + `"""`: "a\nb", `""""""`: "", "a": "a", `"""a`: `"""a`, `a"""`: `a"""`, `"""""`: `"""""`,
	} {
		if got := unwrap(text); got != want {
			t.Errorf("unwrap(%q) = %q, want %q", text, got, want)
		}
	}
}
