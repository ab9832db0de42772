package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aquifer/backends/ref"
	"aquifer/models/synthetic"
	"aquifer/runtime/engine"
	"aquifer/runtime/plan"
	"aquifer/runtime/store"
	"aquifer/runtime/store/catalogue"
	"aquifer/runtime/store/hubtest"
)

// hubWithTiny is a fake hub that has the tiny model as org/tiny and under a name of the catalogue, and a store of the
// test's own.
func hubWithTiny(t testing.TB) (h *hubtest.Hub, home string) {
	t.Helper()
	files := filesOf(t, tinyModel(t, true))
	h = hubtest.New(t)
	h.Add("org/tiny", "main", files)
	h.Add("ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf", "main", files)
	home = t.TempDir()
	if tb, ok := t.(interface{ Setenv(key, value string) }); ok {
		tb.Setenv("HF_HOME", home)
		tb.Setenv("HF_ENDPOINT", h.URL)
	}
	return h, home
}

func asJSON[T any](t testing.TB, args ...string) (v T) {
	t.Helper()
	stdout, _ := succeed(t, "", append(args, "--json")...)
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatalf("aquifer %q: %v: %s", args, err, stdout)
	}
	return v
}

// TestFromAFreshMachine is what a new user does: pull, list, run, name, verify, remove.
func TestFromAFreshMachine(t *testing.T) {
	h, home := hubWithTiny(t)
	stdout, _ := succeed(t, "", "list")
	if !strings.Contains(stdout, "no models in "+filepath.Join(home, "hub")) {
		t.Errorf("an empty store: %s", stdout)
	}
	if _, err := os.Stat(filepath.Join(home, "hub")); err == nil {
		t.Error("list made a store")
	}
	_, stderr := succeed(t, "", "pull", "gemma:2b")
	for _, want := range []string{"aquifer: pulled gemma:2b: ", "aquifer run gemma:2b"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("pull lacks %q: %s", want, stderr)
		}
	}
	ask := []string{"--temperature", "1", "--seed", "7", "-n", "20", "hello"}
	byName, stderr := succeed(t, "", append([]string{"run", "gemma:2b"}, ask...)...)
	if !strings.HasPrefix(stderr, "aquifer: gemma-2b-AQLM-2Bit-2x8-hf, 1x8g8, ") {
		t.Errorf("%s", stderr)
	}
	succeed(t, "", "cp", "gemma:2b", "mine")
	for _, name := range []string{"mine", "gemma", "ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf", "ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf@main"} {
		if got, _ := succeed(t, "", append([]string{"run", name}, ask...)...); got != byName {
			t.Errorf("%s answers %q, gemma:2b %q", name, got, byName)
		}
		succeed(t, "", "show", name)
		succeed(t, "", "tokenize", name, "x")
		succeed(t, "", "bench", name, "--plan-only")
	}
	models := asJSON[[]listedModel](t, "list")
	if len(models) != 1 || models[0].Name != "gemma:2b" || !slices.Equal(models[0].Aliases, []string{"mine"}) || !models[0].Pulled ||
		models[0].Problem != "" || !slices.Equal(models[0].Revisions, []string{"main"}) || models[0].Source != h.URL || models[0].Bytes < 1000 {
		t.Errorf("%+v", models)
	}
	stdout, _ = succeed(t, "", "list")
	if !strings.Contains(stdout, "gemma:2b") || !strings.Contains(stdout, "mine, ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf") {
		t.Errorf("%s", stdout)
	}
	checks := asJSON[[]verified](t, "verify")
	if len(checks) != 1 || !checks[0].OK || len(checks[0].Files) != 0 {
		t.Errorf("%+v", checks)
	}
	d := asJSON[diagnosis](t, "doctor")
	if d.Store.Models != 1 || d.Store.Path != filepath.Join(home, "hub") || d.Store.Free <= 0 || len(d.Store.Problems) > 0 || d.Store.Why != "" {
		t.Errorf("%+v", d.Store)
	}
	if d.Hub.Endpoint != h.URL || !d.Hub.Reachable || d.Hub.Why != "" {
		t.Errorf("%+v", d.Hub)
	}
	if d := asJSON[diagnosis](t, "doctor", "--endpoint", noHub); d.Hub.Reachable || !strings.Contains(d.Hub.Why, "refused") {
		t.Errorf("%+v", d.Hub)
	}
	if stdout, _ := succeed(t, "", "doctor", "--endpoint", noHub); !strings.Contains(stdout, "can't be reached") || !strings.Contains(stdout, "run without it") {
		t.Errorf("%s", stdout)
	}
	if _, stderr := succeed(t, "", "rm", "mine"); !strings.Contains(stderr, "the model stays") {
		t.Errorf("%s", stderr)
	}
	succeed(t, "", "cp", "gemma", "again")
	gone := asJSON[[]removedModel](t, "rm", "gemma:2b")
	if len(gone) != 1 || gone[0].Bytes < 1000 || !slices.Equal(gone[0].Aliases, []string{"again"}) {
		t.Errorf("%+v", gone)
	}
	if models := asJSON[[]listedModel](t, "list"); len(models) != 0 {
		t.Errorf("%+v", models)
	}
}

// TestRunPulls: run and serve fetch what is not there if they may, and say how they may.
func TestRunPulls(t *testing.T) {
	h, _ := hubWithTiny(t)
	code, stdout, stderr := invoke(t, "", "run", "org/tiny", "hello")
	checkFailure(t, stdout, stderr)
	if code != exitFailure || !strings.Contains(stderr, "org/tiny is not in the store") || !strings.Contains(stderr, "--yes") || len(h.Log()) > 0 {
		t.Errorf("exit %d, %d calls: %s", code, len(h.Log()), stderr)
	}
	_, stderr = succeed(t, "", "run", "org/tiny", "hello", "--yes", "-n", "5")
	if !strings.Contains(stderr, "pulled org/tiny") || !strings.Contains(stderr, "aquifer: tiny, 1x8g8") {
		t.Errorf("%s", stderr)
	}
	succeed(t, "", "run", "org/tiny", "hello", "-n", "5")
	code, stdout, stderr = invoke(t, "", "show", "gemma:2b")
	checkFailure(t, stdout, stderr)
	if code != exitFailure || !strings.Contains(stderr, "aquifer pull gemma:2b fetches it") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// tinyGGUF returns a tiny model as one file.
func tinyGGUF(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "tiny.gguf")
	succeed(t, "", "convert", tinyModel(t, true), out)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPullURL(t *testing.T) {
	h, home := hubWithTiny(t)
	data := tinyGGUF(t)
	commit := h.Add("org/files", "main", map[string][]byte{"a/tiny.gguf": data, "b.gguf": data})
	h.Fail(func(c *hubtest.Call) bool {
		if c.R.URL.Path != "/plain/tiny.gguf" {
			return false
		}
		c.Hub.Content(c.W, c.R, data, `"1"`)
		return true
	})
	ask := []string{"-n", "5", "--seed", "1", "hello"}
	plain := h.URL + "/plain/tiny.gguf"
	first := asJSON[[]pulledModel](t, "pull", plain)[0]
	if !strings.HasSuffix(first.Path, "tiny.gguf") || !strings.HasPrefix(first.Path, home) {
		t.Errorf("%+v", first)
	}
	want, _ := succeed(t, "", append([]string{"run", "-m", plain}, ask...)...)
	// The hub's own URLs are models of it.
	own := h.URL + "/org/files/resolve/main/a/tiny.gguf"
	if p := asJSON[[]pulledModel](t, "pull", own)[0]; p.Repo != "org/files" || p.Commit != commit || p.Revision != "main" {
		t.Errorf("%+v", p)
	}
	for _, name := range []string{own, "org/files/a/tiny.gguf", "org/files"} {
		if got, _ := succeed(t, "", append([]string{"run", "-m", name}, ask...)...); got != want {
			t.Errorf("%s answers %q, want %q", name, got, want)
		}
	}
	succeed(t, "", "pull", "org/files/b.gguf")
	if code, _, stderr := invoke(t, "", "show", "org/files"); code != exitFailure || !strings.Contains(stderr, "several GGUF files") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	succeed(t, "", "show", "org/files/b.gguf")
	succeed(t, "", "rm", plain)
}

func TestStoreFailures(t *testing.T) {
	h, home := hubWithTiny(t)
	h.Add("org/two", "main", map[string][]byte{"a.gguf": []byte("GGUF1"), "b.gguf": []byte("GGUF2")})
	h.Add("org/pickle", "main", map[string][]byte{"config.json": []byte("{}"), "pytorch_model.bin": []byte("x")})
	h.Add("org/gated", "main", map[string][]byte{"config.json": []byte("{}")})
	h.Gate("org/gated", "hf_x")
	succeed(t, "", "pull", "org/tiny")
	succeed(t, "", "cp", "org/tiny", "mine")
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"typo", []string{"pull", "lama3.1:8b"}, 1, []string{"no model is called lama3.1:8b", "did you mean llama3.1:8b"}},
		{"typo of an alias", []string{"show", "mien"}, 1, []string{"no model is called mien"}},
		{"nothing near", []string{"pull", "zebra"}, 1, []string{"aquifer list --remote"}},
		{"ambiguous", []string{"pull", "llama3.2"}, 1, []string{"llama3.2:1b and llama3.2:3b"}},
		{"ambiguous to run", []string{"run", "llama3.2"}, 2, nil},
		{"not on the hub", []string{"pull", "org/none"}, 1, []string{"no such model", "HF_TOKEN"}},
		{"no such revision", []string{"pull", "org/tiny@dev"}, 1, []string{"no such revision"}},
		{"gated", []string{"pull", "org/gated"}, 1, []string{"accept terms first", h.URL + "/org/gated"}},
		{"pickles", []string{"pull", "org/pickle"}, 1, []string{"PyTorch only"}},
		{"which file", []string{"pull", "org/two"}, 1, []string{"a.gguf, b.gguf", "org/two/a.gguf"}},
		{"no such file", []string{"pull", "org/two/c.gguf"}, 1, []string{"no file \"c.gguf\"", "a.gguf"}},
		{"no GGUF", []string{"pull", "org/two/a.bin"}, 1, []string{"must be a .gguf file"}},
		{"bad name", []string{"pull", "org/../x"}, 1, []string{"name a model as ORG/REPO"}},
		{"URL without a file", []string{"pull", "https://example.com/x"}, 1, []string{"does not end in .gguf"}},
		{"URL on http", []string{"pull", "http://example.com/x.gguf"}, 1, []string{"use https"}},
		{"endpoint on http", []string{"pull", "org/tiny", "--endpoint", "http://example.com"}, 2, []string{"use https", "HF_ENDPOINT"}},
		{"remove what is not there", []string{"rm", "org/none"}, 1, []string{"org/none is not in the store"}},
		{"remove a file", []string{"rm", "org/two/a.gguf"}, 2, []string{"rm removes whole models"}},
		{"verify what is not there", []string{"verify", "org/none"}, 1, []string{"is not in the store"}},
		{"name for nothing", []string{"cp", "org/none", "x"}, 1, []string{"org/none is not in the store"}},
		{"bad alias", []string{"cp", "org/tiny", "A/B"}, 2, []string{"can't be the name of a model"}},
		{"alias that is taken", []string{"cp", "org/tiny", "mine"}, 1, []string{"--force"}},
		{"no arguments", []string{"pull"}, 2, []string{"usage: aquifer pull NAME..."}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := invoke(t, "", test.args...)
			if test.want == nil {
				return // whatever it is, TestFailures looks at its kind
			}
			checkFailure(t, stdout, stderr)
			if code != test.code {
				t.Errorf("exit %d, want %d", code, test.code)
			}
			for _, want := range test.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr lacks %q: %s", want, stderr)
				}
			}
		})
	}
	// The token opens what is gated, from the variable or from its file.
	t.Setenv("HF_TOKEN", "hf_x")
	if _, _, stderr := invoke(t, "", "pull", "org/gated"); !strings.Contains(stderr, "no weights") {
		t.Errorf("with the token: %s", stderr)
	}
	t.Setenv("HF_TOKEN", "")
	if err := os.WriteFile(filepath.Join(home, "token"), []byte("hf_x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, stderr := invoke(t, "", "pull", "org/gated"); !strings.Contains(stderr, "no weights") {
		t.Errorf("with the token's file: %s", stderr)
	}
}

// TestDamage: damage is found, said, removed and mended.
func TestDamage(t *testing.T) {
	_, _ = hubWithTiny(t)
	succeed(t, "", "pull", "org/tiny")
	path := asJSON[[]listedModel](t, "list")[0].Path
	weights := filepath.Join(path, "model.safetensors")
	data, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(weights, data, 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := invoke(t, "", "verify", "org/tiny")
	if code != exitFailure || !strings.Contains(stdout, "DAMAGED  org/tiny") || !strings.Contains(stdout, "model.safetensors: its content has changed") ||
		!strings.Contains(stderr, "--repair") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	if code, _, stderr := invoke(t, "", "verify", "--repair"); code != exitFailure || !strings.Contains(stderr, "pull them again") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, stderr := invoke(t, "", "show", "org/tiny"); code != exitFailure || !strings.Contains(stderr, "is incomplete in the store: model.safetensors is missing") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if d := asJSON[diagnosis](t, "doctor"); len(d.Store.Problems) != 1 || !strings.Contains(d.Store.Problems[0], "org/tiny: model.safetensors is missing") {
		t.Errorf("%+v", d.Store)
	}
	succeed(t, "", "pull", "org/tiny")
	succeed(t, "", "verify")
	succeed(t, "", "show", "org/tiny")
}

// TestInUse: what runs can't be removed, and prune leaves it alone.
func TestInUse(t *testing.T) {
	_, home := hubWithTiny(t)
	succeed(t, "", "pull", "org/tiny")
	orphan := filepath.Join(home, "hub", "models--org--tiny", "blobs", strings.Repeat("ab", 32))
	if err := os.WriteFile(orphan, []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := &app{}
	if _, err := a.locate("org/tiny"); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := invoke(t, "", "rm", "org/tiny")
	checkFailure(t, stdout, stderr)
	if code != exitFailure || !strings.Contains(stderr, "in use by another aquifer") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if p := asJSON[prunedFiles](t, "prune"); len(p.Files) != 0 || !slices.Equal(p.InUse, []string{"org/tiny"}) {
		t.Errorf("%+v", p)
	}
	for _, lock := range a.held {
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if p := asJSON[prunedFiles](t, "prune", "--dry-run"); len(p.Files) != 1 || p.Bytes != 5 || p.Removed {
		t.Errorf("%+v", p)
	}
	if stdout, _ := succeed(t, "", "prune"); !strings.Contains(stdout, "abab") {
		t.Errorf("%s", stdout)
	}
	if _, err := os.Stat(orphan); err == nil {
		t.Error("it is still there")
	}
	succeed(t, "", "rm", "org/tiny")
}

func TestListRemote(t *testing.T) {
	_, _ = hubWithTiny(t)
	succeed(t, "", "pull", "gemma:2b")
	models := asJSON[[]remoteModel](t, "list", "--remote")
	if len(models) != len(catalogue.All()) {
		t.Errorf("%d models", len(models))
	}
	_, available := memory()
	for _, m := range models {
		if m.Stored != (m.Name == "gemma:2b") {
			t.Errorf("%s: stored %v", m.Name, m.Stored)
		}
		if available > 0 && m.Memory < available/2 && !*m.Fits || available > 0 && m.Memory > 2*available && *m.Fits {
			t.Errorf("%s: fits %v", m.Name, *m.Fits)
		}
	}
	stdout, _ := succeed(t, "", "list", "--remote")
	if lines := strings.Count(stdout, "\n"); lines != len(models)+1 || !strings.Contains(stdout, "is here") {
		t.Errorf("%d lines: %s", lines, stdout)
	}
}

// TestCatalogueFigures compares the catalogue with what the program says itself of models of these shapes.
func TestCatalogueFigures(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range catalogue.All() {
		spec := m.Shape + ":" + m.Scheme
		if seen[spec] {
			continue
		}
		seen[spec] = true
		ck, err := synthetic.Open(spec)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		model, err := buildModel(ck)
		if err != nil {
			t.Fatal(err)
		}
		d, err := describe(ck, model)
		if err != nil {
			t.Fatal(err)
		}
		if d.Architecture != m.Arch || !within(d.BitsPerWeight, m.Bits, 0.01) || !within(float64(d.Bytes), float64(m.Size), 0.01) {
			t.Errorf("%s: %s, %.3f bits, %d bytes; the catalogue has %+v", m.Name, d.Architecture, d.BitsPerWeight, d.Bytes, m)
		}
		b := ref.New(1)
		e, err := engine.Measure(engine.Config{Model: model, Checkpoint: ck, Backend: b, Context: 2048, MaxSeqs: 1, KV: plan.F16})
		b.Close()
		if err != nil || !within(float64(e.Memory.Total()), float64(m.Memory), 0.05) {
			t.Errorf("%s: %d bytes of memory, the catalogue has %d; %v", m.Name, e.Memory.Total(), m.Memory, err)
		}
	}
}

func within(got, want, part float64) bool { return got > want*(1-part) && got < want*(1+part) }

func TestCompleteNames(t *testing.T) {
	_, _ = hubWithTiny(t)
	succeed(t, "", "pull", "gemma:2b", "org/tiny")
	succeed(t, "", "cp", "org/tiny", "gem-of-mine")
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"run", "gem"}, []string{"gemma:2b", "gem-of-mine"}},
		{[]string{"run", "gemma:2b", ""}, nil},
		{[]string{"rm", "gemma:2b", "gem"}, []string{"gem-of-mine"}},
		{[]string{"serve", "org"}, []string{"org/tiny"}},
		{[]string{"pull", "llama3.2:1"}, []string{"llama3.2:1b", "llama3.2:1b-base"}},
	} {
		stdout, _ := succeed(t, "", append([]string{"__complete"}, test.args...)...)
		var got []string
		for line := range strings.Lines(stdout) {
			if name, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(name, ":") {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		slices.Sort(test.want)
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.args, got, test.want)
		}
	}
}

// TestInterruptedPull: Ctrl-C ends a pull with 130 and a word on how to go on.
func TestInterruptedPull(t *testing.T) {
	h, _ := hubWithTiny(t)
	h.Fail(hubtest.On(hubtest.API, -1, hubtest.Status(http.StatusServiceUnavailable, "Retry-After", "30")))
	cmd := process("pull", "org/tiny")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(h.Log()) == 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd); code != exitInterrupt || !strings.Contains(stderr.String(), "pull again to go on") {
		t.Errorf("exit %d: %s", code, &stderr)
	}
}

func TestSpeed(t *testing.T) {
	var v speed
	start := time.Unix(1000, 0)
	if v.text(0, 100) != "" {
		t.Error("a speed of nothing")
	}
	for i := range 100 {
		v.add(start.Add(time.Duration(i)*100*time.Millisecond), int64(i)*100_000)
	}
	if got := v.text(9_900_000, 19_900_000); got != "1.0 MB/s, 10s left" {
		t.Errorf("%q", got)
	}
	for i := range 100 {
		v.add(start.Add(time.Minute+time.Duration(i)*time.Second), 9_900_000)
	}
	if got := v.text(9_900_000, 19_900_000); got != "waiting" {
		t.Errorf("%q", got)
	}
}

func TestReferences(t *testing.T) {
	for text, want := range map[string]string{
		"org/model": "org/model", "org/model@v1": "org/model@v1", "org/model/a/b.gguf": "org/model/a/b.gguf",
		"org/model/x.gguf@refs/pr/1": "org/model/x.gguf@refs/pr/1", "gpt2": "gpt2",
		"org/model/x": "", "org/model@": "", "org/model@../x": "", "org//x": "", "org/model/../x.gguf": "", "a b/c": "", "": "",
	} {
		r, err := parseReference(text)
		if (err == nil) != (want != "") || err == nil && r.String() != want {
			t.Errorf("%q: %s, %v", text, r, err)
		}
	}
	hub := "https://huggingface.co"
	for text, want := range map[string]string{
		hub + "/org/model/resolve/main/a.gguf": "org/model/a.gguf@main", hub + "/org/model/blob/refs/a.gguf": "org/model/a.gguf@refs",
		"https://example.com/d/a.gguf?x=1": "example.com/a", "https://h:8443/a%20b.gguf": "h-8443/a-b",
	} {
		r, err := parseURL(text, hub)
		if err != nil || r.String() != want {
			t.Errorf("%s: %s, %v", text, r, err)
		}
	}
}

// TestOtherToolsModels: what another tool left in the cache is listed, runs, and can be incomplete.
func TestOtherToolsModels(t *testing.T) {
	_, home := hubWithTiny(t)
	dir := filepath.Join(home, "hub", "models--other--tool")
	commit := strings.Repeat("c", 40)
	snapshot := filepath.Join(dir, "snapshots", commit)
	if err := os.MkdirAll(filepath.Dir(snapshot), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tinyModel(t, true), snapshot); err != nil {
		t.Skipf("temporary folders on different disks: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "refs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "refs", store.MainRevision), []byte(commit), 0o644); err != nil {
		t.Fatal(err)
	}
	succeed(t, "", "run", "other/tool", "hello", "-n", "5")
	if m := asJSON[[]listedModel](t, "list"); len(m) != 1 || m[0].Name != "other/tool" || m[0].Pulled || m[0].Problem != "" {
		t.Errorf("%+v", m)
	}
	if err := os.Remove(filepath.Join(snapshot, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	if m := asJSON[[]listedModel](t, "list"); len(m) != 1 || m[0].Problem == "" {
		t.Errorf("%+v", m)
	}
}

// TestBrokenAliases: a file of names that nobody can read is named with what to do about it.
func TestBrokenAliases(t *testing.T) {
	_, home := hubWithTiny(t)
	succeed(t, "", "pull", "org/tiny")
	file := filepath.Join(home, "aquifer", "aliases.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"{": "repair or delete the file", `{"version":2}`: "newer than this program"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := invoke(t, "", "list")
		checkFailure(t, stdout, stderr)
		if code != exitFailure || !strings.Contains(stderr, file) || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d: %s", text, code, stderr)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	succeed(t, "", "list")
}
