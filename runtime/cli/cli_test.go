package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testMain makes the test binary behave as aquifer.
const testMain = "AQUIFER_TEST_MAIN"

// noHub is where nothing listens: no test asks the real hub.
const noHub = "http://127.0.0.1:1"

func TestMain(m *testing.M) {
	if os.Getenv(testMain) != "" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	// No test looks into the store, or the chats, of whoever runs it.
	home, err := os.MkdirTemp("", "aquifer-test")
	if err == nil {
		err = errors.Join(os.Setenv("HF_HOME", home), os.Setenv("XDG_DATA_HOME", home), os.Setenv("HF_ENDPOINT", noHub))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, name := range []string{"HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "AQUIFER_HOST", "AQUIFER_NO_HISTORY"} {
		os.Unsetenv(name)
	}
	code := m.Run()
	os.RemoveAll(home)
	os.Exit(code)
}

// process is aquifer in a process of its own, for what signals and terminals are needed for.
func process(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), testMain+"=1")
	return cmd
}

// exitCode waits for a process to end.
func exitCode(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	var failed *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// invoke runs one command line in this process.
func invoke(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// checkFailure verifies what every failure looks like: one line for people, nothing on stdout.
func checkFailure(t testing.TB, stdout, stderr string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "aquifer: ") || !strings.HasSuffix(stderr, "\n") {
		t.Errorf("stderr does not end with one line of aquifer: %q", stderr)
	}
	for _, bad := range []string{"goroutine", "panic", ".go:", "Usage:", "\x1b"} {
		if strings.Contains(stderr, bad) {
			t.Errorf("stderr contains %q: %s", bad, stderr)
		}
	}
	if stdout != "" {
		t.Errorf("stdout: %q", stdout)
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty.gguf": "", "junk.gguf": "not a gguf file at all", "esc\x1b[31m.gguf": "x", "model-a/config.json": "{}",
		"tok.json": `{"model": 1}`, "taken.gguf": "x",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, test := range []struct {
		name  string
		args  []string
		stdin string
		code  int
		want  []string // parts of stderr
	}{
		{"unknown command", []string{"shwo"}, "", 2, []string{`unknown command "shwo"`, "did you mean show?"}},
		{"unknown command without a neighbour", []string{"zzzzzzz"}, "", 2, []string{"aquifer --help"}},
		{"unknown debug command", []string{"debug", "x"}, "", 2, []string{"debug x"}},
		{"unknown flag", []string{"run", "--nope"}, "", 2, []string{"--nope", "aquifer run --help"}},
		{"flag without value", []string{"run", "--seed"}, "", 2, []string{"--seed"}},
		{"no number", []string{"run", "--top-k", "many", "x"}, "", 2, []string{"top-k"}},
		{"number below", []string{"run", "--max-tokens", "-1", "x"}, "", 2, []string{"--max-tokens is -1, must be 0 to"}},
		{"number above", []string{"run", "--temperature", "2.5", "x"}, "", 2, []string{"--temperature is 2.5, must be 0 to 2"}},
		{"not a number", []string{"run", "--temperature", "NaN", "x"}, "", 2, []string{"--temperature is NaN"}},
		{"not one of", []string{"run", "--kv", "q4", "x"}, "", 2, []string{`--kv is "q4", must be one of f32, f16`}},
		{"no prompt", []string{"run"}, "", 2, []string{"prompt is empty"}},
		{"blank prompt", []string{"run", " ", "\t"}, "", 2, []string{"prompt is empty"}},
		{"prompt in Latin-1", []string{"run", "caf\xe9"}, "", 2, []string{"UTF-8"}},
		{"stdin in Latin-1", []string{"run"}, "caf\xe9", 1, []string{"stdin", "UTF-8"}},
		{"no such model", []string{"run", "-m", in("nothing"), "hi"}, "", 1, []string{in("nothing"), dir + " has", "model-a", "junk.gguf"}},
		{"no such path as argument", []string{"run", in("nothing.gguf"), "hi"}, "", 1, []string{in("nothing.gguf")}},
		{"no such folder either", []string{"show", in("a/b/c")}, "", 1, []string{in("a/b/c"), dir + " has"}},
		{"empty file", []string{"show", in("empty.gguf")}, "", 1, []string{"empty.gguf"}},
		{"no GGUF", []string{"run", in("junk.gguf"), "hi"}, "", 1, []string{"junk.gguf"}},
		{"name with an escape sequence", []string{"show", in("esc\x1b[31m.gguf")}, "", 1, []string{"[31m.gguf"}},
		{"config without an architecture", []string{"show", in("model-a")}, "", 1, []string{"model-a"}},
		{"no tokenizer", []string{"tokenize", in("tok.json"), "x"}, "", 1, []string{"tokenizer"}},
		{"no tokenizer file", []string{"tokenize", in("none.json"), "x"}, "", 1, []string{"none.json"}},
		{"tokenize nothing", []string{"tokenize"}, "", 2, []string{"usage: aquifer tokenize MODEL"}},
		{"output exists", []string{"convert", in("model-a"), in("taken.gguf")}, "", 1, []string{"taken.gguf exists", "--force"}},
		{"one argument", []string{"convert", in("model-a")}, "", 2, []string{"convert FOLDER OUT.gguf"}},
		{"two models", []string{"bench", "-m", "a", "b"}, "", 2, []string{"two models"}},
		{"nothing to measure", []string{"bench", "-p", "0", "-n", "0"}, "", 2, []string{"nothing to measure"}},
		{"no text", []string{"perplexity"}, "", 2, []string{"--file wiki.test.raw"}},
		{"no such text", []string{"perplexity", "-f", in("none.txt")}, "", 1, []string{"none.txt", "name a text file"}},
		{"text in Latin-1", []string{"perplexity", "-f", "-"}, "caf\xe9", 1, []string{"stdin", "UTF-8"}},
		{"no tokens", []string{"debug", "logits", in("model-a")}, "", 2, []string{"--tokens 1,2,3"}},
		{"no ids", []string{"debug", "logits", in("model-a"), "--tokens", "1,x"}, "", 2, []string{`"x" is no token id`}},
		{"no such shell", []string{"completion", "tcsh"}, "", 2, []string{"tcsh", "fish"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := invoke(t, test.stdin, test.args...)
			if code != test.code {
				t.Errorf("exit %d, want %d", code, test.code)
			}
			checkFailure(t, stdout, stderr)
			for _, want := range test.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr lacks %q: %s", want, stderr)
				}
			}
		})
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := invoke(t, "", "--version")
	if code != 0 || !strings.HasPrefix(stdout, "aquifer dev (go") {
		t.Errorf("exit %d: %q", code, stdout)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, stdout, stderr := invoke(t, "", "completion", shell); code != 0 || len(stdout) < 1000 || stderr != "" {
			t.Errorf("%s: exit %d, %d bytes, %s", shell, code, len(stdout), stderr)
		}
	}
}

func TestDoctor(t *testing.T) {
	code, stdout, stderr := invoke(t, "", "doctor", "--json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var d diagnosis
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		t.Fatal(err)
	}
	if d.Logical < 1 || d.Threads < 1 || d.Threads > d.Logical || d.Chosen == "" {
		t.Errorf("%+v", d)
	}
	for _, b := range d.Backends {
		if b.OK != (b.Why == "") {
			t.Errorf("backend %+v: a reason belongs to those that do not run", b)
		}
	}
	if last := d.Backends[len(d.Backends)-1]; last.Name != "ref" || !last.OK {
		t.Errorf("ref must run everywhere: %+v", d.Backends)
	}
	code, text, _ := invoke(t, "", "doctor", "-v")
	if code != 0 || !strings.Contains(text, "chosen     "+d.Chosen) {
		t.Errorf("exit %d:\n%s", code, text)
	}
}

// TestDoctorKernels: every matrix of a model has a kernel, and the cpu backend's choice a reason.
func TestDoctorKernels(t *testing.T) {
	const head = "259x32 bf16"
	want := map[string]int{"32x32 1x8g8": 2, "16x32 1x8g8": 2, "64x32 1x8g8": 2, "32x64 1x8g8": 1, head: 1}
	stdout, _ := succeed(t, "", "doctor", tinyModel(t, true), "--json", "--precision", "fast", "--head", "file")
	var d diagnosis
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, k := range d.Kernels {
		counts[fmt.Sprintf("%dx%d %s", k.Rows, k.Cols, k.Encoding)] += k.Count
		if k.Kernel == "" || d.Chosen == "cpu" && k.Why == "" {
			t.Errorf("%+v", k)
		}
	}
	if !maps.Equal(counts, want) || !strings.Contains(d.Compiled, "tiny-1x8g8 on ") || !strings.HasSuffix(d.Compiled, ", fast") {
		t.Errorf("%q: %v", d.Compiled, counts)
	}
	text, _ := succeed(t, "", "doctor", tinyModel(t, true))
	if !strings.Contains(text, "             1 x 259x32       dense q8_0 ") {
		t.Errorf("%s", text)
	}
	if code, _, stderr := invoke(t, "", "doctor", "./no-such-model"); code != exitFailure || !strings.Contains(stderr, "no-such-model") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestEnvironment(t *testing.T) {
	read := func(args ...string) (settings, error) {
		cmd := (&app{}).serveCommand()
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		return readKnobs(cmd.Flags())
	}
	t.Setenv("AQUIFER_API_KEY", "from-env")
	s, err := read()
	if err != nil || s.str("key") != "from-env" {
		t.Errorf("key %q, %v", s.str("key"), err)
	}
	s, err = read("--key", "from-flag")
	if err != nil || s.str("key") != "from-flag" {
		t.Errorf("the flag must win: key %q, %v", s.str("key"), err)
	}
}
