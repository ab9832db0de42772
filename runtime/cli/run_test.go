package cli

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"aquifer/models/modeltest"
)

// backendsHere are the names of the backends that this machine can run.
func backendsHere() []string {
	var names []string
	for _, b := range diagnose().Backends {
		if b.OK {
			names = append(names, b.Name)
		}
	}
	return names
}

// succeed runs a command that must not fail and returns what it printed.
func succeed(t testing.TB, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := invoke(t, stdin, args...)
	if code != 0 {
		t.Fatalf("aquifer %q: exit %d: %s", args, code, stderr)
	}
	return stdout, stderr
}

func TestRun(t *testing.T) {
	dir := tinyModel(t, true)
	common := []string{"--temperature", "1", "--seed", "7", "--max-tokens", "30"}
	as := func(args ...string) string {
		stdout, stderr := succeed(t, "hello\n", append(append([]string{"run"}, args...), common...)...)
		if !strings.HasPrefix(stderr, "aquifer: tiny-1x8g8, 1x8g8, ") || strings.Contains(stderr, "small model") {
			t.Errorf("the first line does not describe the model: %s", stderr)
		}
		if !strings.HasSuffix(stdout, "\n") {
			t.Errorf("the answer does not end its line: %q", stdout)
		}
		return stdout
	}
	want := as("-m", dir, "hello")
	for name, args := range map[string][]string{
		"model as argument": {dir, "hello"},
		"prompt from stdin": {dir},
		"a dash":            {"-m", dir, "-"},
		"two threads":       {dir, "--threads", "2", "hello"},
		"one thread":        {dir, "--threads", "1", "hello"},
	} {
		if got := as(args...); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, args := range map[string][]string{
		"another prompt": {dir, "hello!"},
		"system message": {dir, "--system", "Be brief.", "hello"},
		"raw":            {dir, "--raw", "hello"},
		"another seed":   {dir, "hello", "--seed", "8"},
	} {
		args = append(append([]string{"run"}, common...), args...)
		if got, _ := succeed(t, "", args...); got == want {
			t.Errorf("%s changes nothing", name)
		}
	}
}

func TestRunSamplesUnlessTold(t *testing.T) {
	dir := tinyModel(t, false)
	answer := func(args ...string) string {
		text, _ := succeed(t, "", append([]string{"run", dir, "hello", "-n", "20"}, args...)...)
		return text
	}
	if first, second := answer(), answer(); first == second {
		t.Errorf("without a recommendation the answers are always %q", first)
	}
	if first, second := answer("--seed", "9"), answer("--seed", "9"); first != second {
		t.Errorf("one seed, two answers: %q and %q", first, second)
	}
	if first, second := answer("--temperature", "0", "--seed", "8"), answer("--temperature", "0", "--seed", "9"); first != second {
		t.Errorf("at temperature 0 the seed matters: %q and %q", first, second)
	}
}

func TestRunSaysWhatWasCut(t *testing.T) {
	dir := tinyModel(t, false)
	for _, test := range []struct{ args, want string }{
		{"-n 5", "cut after 5 tokens: --max-tokens"},
		{"-c 64", "the context is full"},
	} {
		_, stderr := succeed(t, "", append([]string{"run", dir, "hello"}, strings.Fields(test.args)...)...)
		if !strings.Contains(stderr, test.want) {
			t.Errorf("%s: stderr lacks %q: %s", test.args, test.want, stderr)
		}
	}
	code, stdout, stderr := invoke(t, "", "run", dir, "-c", "32", strings.Repeat("too long ", 10))
	checkFailure(t, stdout, stderr)
	if code != 1 || !strings.Contains(stderr, "32") || !strings.Contains(stderr, "--context") {
		t.Errorf("a prompt over the context: exit %d: %s", code, stderr)
	}
	code, stdout, stderr = invoke(t, "", "run", dir, "-c", "70000", "x")
	checkFailure(t, stdout, stderr)
	if code != 1 || !strings.Contains(stderr, "65536") {
		t.Errorf("a context over the model's: exit %d: %s", code, stderr)
	}
}

func TestStats(t *testing.T) {
	_, stderr := succeed(t, "", "run", tinyModel(t, false), "--stats", "--seed", "5", "--raw", "-n", "4", "hello")
	for _, want := range []string{"prompt 5 tokens in", "answer 4 tokens in", "tok/s", "seed 5"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr lacks %q: %s", want, stderr)
		}
	}
}

func TestPlan(t *testing.T) {
	plan, _ := succeed(t, "", "debug", "plan", tinyModel(t, true))
	for _, want := range []string{"vocab 259", "kv 0 (1, 16)", "attention", "1x8g8"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
}

func TestConvert(t *testing.T) {
	dir, out := tinyModel(t, true), filepath.Join(t.TempDir(), "tiny.gguf")
	_, stderr := succeed(t, "", "convert", dir, out)
	if !strings.Contains(stderr, "aquifer run "+out) {
		t.Errorf("it does not say what to do with the file: %s", stderr)
	}
	ask := []string{"run", "--temperature", "1", "--seed", "7", "-n", "30", "hello", "-m"}
	folder, _ := succeed(t, "", append(ask, dir)...)
	if file, _ := succeed(t, "", append(ask, out)...); file != folder {
		t.Errorf("the file answers %q, the folder %q", file, folder)
	}
	before, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, _ := invoke(t, "", "convert", dir, out); code != 1 {
		t.Errorf("an existing file: exit %d", code)
	}
	succeed(t, "", "convert", dir, out, "--force")
	after, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("converting again gives another file")
	}
	succeed(t, "", "convert", dir, out, "--force", "--embedding", "q8_0")
	succeed(t, "", append(ask, out)...)

	code, stdout, stderr := invoke(t, "", "convert", dir, filepath.Join(filepath.Dir(out), "no", "such", "x.gguf"))
	checkFailure(t, stdout, stderr)
	if entries, err := os.ReadDir(filepath.Dir(out)); code != 1 || err != nil || len(entries) != 1 {
		t.Errorf("exit %d; files left behind: %v %v", code, entries, err)
	}
}

func TestTokenize(t *testing.T) {
	dir := tinyModel(t, true)
	for _, path := range []string{dir, filepath.Join(dir, "tokenizer.json")} {
		for _, test := range []struct {
			stdin string
			args  []string
			want  string
		}{
			{"", []string{"hi", "!"}, "104\t\"h\"\n105\t\"i\"\n32\t\" \"\n33\t\"!\"\n"},
			{"hi", nil, "104\t\"h\"\n105\t\"i\"\n"},
			{"", []string{"--json", "hi<|im_end|>"}, "[104,105,257]\n"},
			{"\"hi\"\n\"\"\n\"\\u00e9\"\n", []string{"--jsonl"}, "[104,105]\n[]\n[195,169]\n"},
			{"[104,105]\n[195,169]\n[]\n", []string{"--jsonl", "--decode"}, "\"hi\"\n\"é\"\n\"\"\n"},
			{"", []string{"--decode", "104,105", "257"}, "hi\n"},
			{"60 62", []string{"--decode"}, "<>\n"},
			{"[60,62]", []string{"--decode", "--jsonl"}, "\"<>\"\n"},
		} {
			got, _ := succeed(t, test.stdin, append([]string{"tokenize", path}, test.args...)...)
			if got != test.want {
				t.Errorf("%q: %q, want %q", test.args, got, test.want)
			}
		}
		for stdin, want := range map[string]string{
			"\"a\"\nnot json\n": "line 2", "[1]\n": "line 1", "\"a\n": "line 1",
		} {
			code, _, stderr := invoke(t, stdin, "tokenize", path, "--jsonl")
			if code != 1 || !strings.Contains(stderr, want) || !strings.Contains(stderr, "JSON string") {
				t.Errorf("%q: exit %d: %s", stdin, code, stderr)
			}
		}
	}
	code, stdout, stderr := invoke(t, "", "tokenize", dir, "--decode", "259")
	checkFailure(t, stdout, stderr)
	if code != 2 || !strings.Contains(stderr, "0 to 258") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// logitsOf runs debug logits.
func logitsOf(t *testing.T, args ...string) []float64 {
	t.Helper()
	stdout, _ := succeed(t, "", append([]string{"debug", "logits", "--json"}, args...)...)
	var got struct{ Logits []float64 }
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	return got.Logits
}

func TestDebugLogits(t *testing.T) {
	dir := tinyModel(t, true)
	want := logitsOf(t, dir, "--tokens", "1,2,3", "--backend", "ref")
	if len(want) != 259 {
		t.Fatalf("%d logits", len(want))
	}
	for _, backend := range backendsHere() {
		for _, threads := range []string{"1", "2"} {
			got := logitsOf(t, dir, "--tokens", "1,2,3", "--backend", backend, "--threads", threads)
			if worst := largestGap(got, want); worst > 1e-4 {
				t.Errorf("%s with %s threads: off by %g", backend, threads, worst)
			}
		}
	}
	text, _ := succeed(t, "", "debug", "logits", dir, "--tokens", "1,2,3", "--backend", "ref")
	if lines := strings.Count(text, "\n"); lines != 259 || !strings.HasPrefix(text, "0\t") {
		t.Errorf("%d lines: %.60q", lines, text)
	}
	code, stdout, stderr := invoke(t, "", "debug", "logits", dir, "--tokens", "1,259")
	checkFailure(t, stdout, stderr)
	if code != 2 || !strings.Contains(stderr, "259") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func largestGap(got, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	worst := 0.0
	for i := range got {
		worst = max(worst, math.Abs(got[i]-want[i]))
	}
	return worst
}

// TestGoldenLogits compares the instrument with the reference implementation's numbers. The tolerance is the one that
// came with them for fp32 paths.
func TestGoldenLogits(t *testing.T) {
	const tolerance = 2e-4
	dir := filepath.Join(modeltest.Golden(t), "llama-2x8g8")
	data, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Prompts []struct {
			IDs        []int     `json:"ids"`
			LastLogits []float64 `json:"last_logits"`
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Prompts) == 0 {
		t.Fatal("no prompts in golden.json")
	}
	for _, p := range golden.Prompts {
		ids := make([]string, len(p.IDs))
		for i, id := range p.IDs {
			ids[i] = strconv.Itoa(id)
		}
		for _, backend := range backendsHere() {
			got := logitsOf(t, dir, "--tokens", strings.Join(ids, ","), "--backend", backend)
			if worst := largestGap(got, p.LastLogits); worst > tolerance {
				t.Errorf("%s, %d tokens: off by %g", backend, len(ids), worst)
			}
		}
	}
}

// TestMalformedCheckpoints puts every malformed checkpoint through the command line: one line, exit 1.
func TestMalformedCheckpoints(t *testing.T) {
	bad := filepath.Join(modeltest.Golden(t), "bad")
	entries, err := os.ReadDir(bad)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		code, stdout, stderr := invoke(t, "", "debug", "logits", filepath.Join(bad, e.Name()), "--tokens", "1", "--backend", "ref")
		if e.Name() == "ok-base" {
			if code != 0 {
				t.Errorf("ok-base: exit %d: %s", code, stderr)
			}
			continue
		}
		refused++
		checkFailure(t, stdout, stderr)
		if code != 1 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d: %q", e.Name(), code, stderr)
		}
	}
	if refused < 50 {
		t.Errorf("only %d malformed checkpoints found", refused)
	}
}
