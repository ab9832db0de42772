package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aquifer/api/openai"
	"aquifer/models/embedded"
	"aquifer/runtime/store/hubtest"
)

// chatAnswer is what these tests read of an answer.
type chatAnswer struct {
	Model   string
	Choices []struct{ Message struct{ Content string } }
	Error   struct{ Code, Message, Param string }
}

// askModel asks a server for a few tokens.
func askModel(t *testing.T, base, model, more string) (int, chatAnswer) {
	t.Helper()
	var a chatAnswer
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hello"}],"max_tokens":4,"seed":1%s}`, model, more)
	return get(t, "POST", base+"/v1/chat/completions", body, &a), a
}

// ps asks the server what it has loaded, as the command does.
func ps(t *testing.T, base string) []openai.RunningModel {
	t.Helper()
	return asJSON[[]openai.RunningModel](t, "ps", "--addr", strings.TrimPrefix(base, "http://"))
}

// waitLoaded waits until exactly these models are loaded.
func waitLoaded(t *testing.T, base string, ids ...string) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got = nil
		for _, m := range ps(t, base) {
			got = append(got, m.ID)
		}
		if slices.Equal(got, ids) {
			return
		}
	}
	t.Fatalf("loaded: %v, want %v", got, ids)
}

// hubWithEndless adds a model to the fake hub whose answers end with the context only.
func hubWithEndless(t *testing.T) *hubtest.Hub {
	h, _ := hubWithTiny(t)
	h.Add("org/endless", "main", filesOf(t, tinyModel(t, false)))
	return h
}

func filesOf(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestServeStore: a server offers what the store has, at any time, by all its names, and nothing else.
func TestServeStore(t *testing.T) {
	hubWithTiny(t)
	base, _, stderr := startServer(t, "--context", "100", "--max-models", "1")
	succeed(t, "", "pull", "gemma:2b", "org/tiny") // while it runs
	succeed(t, "", "cp", "gemma:2b", "mine")
	var models struct {
		Data []struct {
			ID      string
			Aliases []string
			Created int64
			Status  struct{ Value string }
		}
	}
	if code := get(t, "GET", base+"/v1/models", "", &models); code != 200 {
		t.Fatalf("models: %d", code)
	}
	var ids []string
	for _, m := range models.Data {
		ids = append(ids, m.ID)
		if m.Status.Value != "unloaded" {
			t.Errorf("%+v", m)
		}
	}
	want := []string{"gemma:2b", "org/tiny"}
	if _, _, name, ok := embedded.Open(); ok {
		want = append(want, name)
	}
	slices.Sort(ids[:2]) // by time, and pulled within the same second
	if !slices.Equal(ids, want) {
		t.Fatalf("models %v, want %v", ids, want)
	}
	if list := ps(t, base); len(list) != 0 {
		t.Errorf("before any request: %+v", list)
	}
	const full = "ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf"
	for _, name := range []string{"gemma:2b", "gemma", "mine", full, full + "@main"} {
		if code, a := askModel(t, base, name, ""); code != 200 || a.Model != "gemma:2b" || len(a.Choices) != 1 {
			t.Errorf("%s: %d %+v", name, code, a)
		}
	}
	list := ps(t, base)
	if len(list) != 1 || list[0].ID != "gemma:2b" || list[0].Status != "loaded" || list[0].Bytes < 1000 || list[0].Context != 100 ||
		list[0].Scheme != "1x8g8" || list[0].Backend == "" || list[0].ExpiresAt == nil || list[0].Pinned {
		t.Errorf("%+v", list)
	}
	if code, a := askModel(t, base, "org/tiny", ""); code != 200 || a.Model != "org/tiny" {
		t.Errorf("another model: %d %+v", code, a)
	}
	waitLoaded(t, base, "org/tiny")
	if code, _ := askModel(t, base, "org/tiny", `,"keep_alive":0`); code != 200 {
		t.Errorf("keep_alive 0: %d", code)
	}
	waitLoaded(t, base)
	for _, text := range []string{"unloaded gemma:2b", "unloaded org/tiny", "loads what is asked for"} {
		if !strings.Contains(stderr.String(), text) {
			t.Errorf("stderr lacks %q: %s", text, stderr)
		}
	}
	for _, name := range []string{
		"nothing", "org/nothing", tinyModel(t, true), "../tiny", "./x.gguf", "org/tiny@v9", "org/tiny/x.gguf", "llama3.2:1b",
		"https://example.com/x.gguf", "", "a/b/../../c.gguf", strings.Repeat("x/", 1000),
	} {
		code, a := askModel(t, base, name, "")
		if wantCode := "model_not_found"; name != "" && (code != 404 || a.Error.Code != wantCode || strings.Contains(a.Error.Message, "nothing")) {
			t.Errorf("%.50s: %d %+v", name, code, a.Error)
		}
	}
}

// TestServePrunes: what a server has loaded can't be removed and survives a prune; what it only offers can go.
func TestServeBesideRmAndPrune(t *testing.T) {
	hubWithTiny(t)
	succeed(t, "", "pull", "gemma:2b", "org/tiny")
	base, _, _ := startServer(t, "--context", "100")
	if code, _ := askModel(t, base, "gemma:2b", ""); code != 200 {
		t.Fatal(code)
	}
	code, stdout, stderr := invoke(t, "", "rm", "gemma:2b")
	checkFailure(t, stdout, stderr)
	if code != exitFailure || !strings.Contains(stderr, "gemma:2b is in use by another aquifer") || !strings.Contains(stderr, "aquifer ps") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	succeed(t, "", "prune")
	if checks := asJSON[[]verified](t, "verify", "gemma:2b"); len(checks) != 1 || !checks[0].OK {
		t.Errorf("after prune: %+v", checks)
	}
	if code, _ := askModel(t, base, "gemma:2b", ""); code != 200 {
		t.Error(code)
	}
	succeed(t, "", "rm", "org/tiny") // offered, but not loaded
	if code, a := askModel(t, base, "org/tiny", ""); code != 404 {
		t.Errorf("a removed model: %d %+v", code, a)
	}
	if code, _ := askModel(t, base, "gemma:2b", `,"keep_alive":0`); code != 200 {
		t.Error(code)
	}
	waitLoaded(t, base)
	succeed(t, "", "rm", "gemma:2b")
	if code, a := askModel(t, base, "gemma:2b", ""); code != 404 {
		t.Errorf("a removed model: %d %+v", code, a)
	}
}

// TestServeSwap: a request for another model does not cut a running answer.
func TestServeSwap(t *testing.T) {
	hubWithEndless(t)
	succeed(t, "", "pull", "org/endless", "org/tiny")
	base, _, _ := startServer(t, "--context", "60000", "--max-models", "1", "--parallel", "2")
	rest := openStream(t, base, `{"model":"org/endless","messages":[{"role":"user","content":"x"}],"max_tokens":3000,"temperature":1,"stream":true}`)
	other := make(chan int)
	go func() {
		code, _ := askModel(t, base, "org/tiny", "")
		other <- code
	}()
	if last := rest(); last != "data: [DONE]" {
		t.Errorf("the answer was cut: it ends with %q", last)
	}
	if code := <-other; code != 200 {
		t.Errorf("the other model: %d", code)
	}
	waitLoaded(t, base, "org/tiny")
}

// TestServeDamaged: a model that can't be loaded is an error of its own, without the machine's paths.
func TestServeDamaged(t *testing.T) {
	_, home := hubWithTiny(t)
	succeed(t, "", "pull", "gemma:2b", "org/tiny")
	damage := func(repo, file, text string) {
		found, err := filepath.Glob(filepath.Join(home, "hub", "models--"+repo, "snapshots", "*", file))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if err := os.Remove(found[0]); err != nil {
			t.Fatal(err)
		}
		if text != "" {
			if err := os.WriteFile(found[0], []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	base, _, stderr := startServer(t, "--context", "100")
	damage("org--tiny", "tokenizer.json", "")
	code, a := askModel(t, base, "org/tiny", "")
	if code != 500 || a.Error.Code != "model_load_failed" || !strings.Contains(a.Error.Message, "tokenizer.json is missing") {
		t.Errorf("incomplete: %d %+v", code, a.Error)
	}
	// Of the right length, so that only who reads it notices.
	snapshot, err := filepath.Glob(filepath.Join(home, "hub", "models--ISTA*", "snapshots", "*", "tokenizer.json"))
	if err != nil || len(snapshot) != 1 {
		t.Fatal(snapshot, err)
	}
	info, err := os.Stat(snapshot[0])
	if err != nil {
		t.Fatal(err)
	}
	damage("ISTA-DASLab--gemma-2b-AQLM-2Bit-2x8-hf", "tokenizer.json", strings.Repeat("x", int(info.Size())))
	code, a = askModel(t, base, "gemma:2b", "")
	if code != 500 || a.Error.Code != "model_load_failed" || !strings.Contains(a.Error.Message, "tokenizer.json") || strings.Contains(a.Error.Message, home) {
		t.Errorf("damaged: %d %+v", code, a.Error)
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(stderr.String(), "a model can't be loaded"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) { // it comes through a pipe
			t.Fatalf("the log is silent: %s", stderr)
		}
	}
	if list := ps(t, base); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// TestServeSeveral: models that are named are there from the start, stay, and are the only ones.
func TestServeSeveral(t *testing.T) {
	hubWithTiny(t)
	succeed(t, "", "pull", "gemma:2b", "org/tiny")
	dir := tinyModel(t, true)
	base, _, stderr := startServer(t, "gemma:2b", dir, "--context", "100", "--keep-alive", "0")
	list := ps(t, base)
	if len(list) != 2 || list[0].ID != "gemma:2b" || list[1].ID != "tiny-1x8g8" || !list[0].Pinned || list[0].ExpiresAt != nil {
		t.Errorf("%+v", list)
	}
	for _, name := range []string{"gemma:2b", "tiny-1x8g8", "gemma-2b-AQLM-2Bit-2x8-hf", "ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf"} {
		if code, a := askModel(t, base, name, `,"keep_alive":0`); code != 200 {
			t.Errorf("%s: %d %+v", name, code, a)
		}
	}
	if code, _ := askModel(t, base, "org/tiny", ""); code != 404 {
		t.Errorf("a model of the store that was not named: %d", code)
	}
	if list := ps(t, base); len(list) != 2 {
		t.Errorf("they do not stay: %+v", list)
	}
	if !strings.Contains(stderr.String(), "gemma:2b, tiny-1x8g8 answers at") {
		t.Errorf("%s", stderr)
	}
	code, stdout, text := invoke(t, "", "serve", dir, dir, "--addr", "127.0.0.1:0")
	checkFailure(t, stdout, text)
	if code != exitUsage || !strings.Contains(text, "two models are called tiny-1x8g8") {
		t.Errorf("exit %d: %s", code, text)
	}
}

func TestPs(t *testing.T) {
	t.Setenv("AQUIFER_API_KEY", "secret")
	answers := map[string]func(w http.ResponseWriter){
		"wants another key":  func(w http.ResponseWriter) { w.WriteHeader(401) },
		"is no aquifer":      func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") },
		"it says 404":        func(w http.ResponseWriter) { w.WriteHeader(404) },
		"it says 307":        func(w http.ResponseWriter) { w.Header().Set("Location", "http://127.0.0.1:1/"); w.WriteHeader(307) },
		"names no models":    func(w http.ResponseWriter) { fmt.Fprint(w, "{}") },
		"unexpected end of ": func(w http.ResponseWriter) { fmt.Fprint(w, `{"models":[`+strings.Repeat(" ", 2*psSize)) },
	}
	for want, answer := range answers {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer secret" || r.URL.Path != "/ps" {
				t.Errorf("%s %v", r.URL, r.Header)
			}
			answer(w)
		}))
		code, stdout, stderr := invoke(t, "", "ps", "--addr", s.Listener.Addr().String())
		checkFailure(t, stdout, stderr)
		if code != exitFailure || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d: %s", want, code, stderr)
		}
		s.Close()
		t.Setenv("AQUIFER_HOST", s.Listener.Addr().String())
		code, stdout, stderr = invoke(t, "", "ps")
		checkFailure(t, stdout, stderr)
		if code != exitFailure || !strings.Contains(stderr, "no server answers at "+s.Listener.Addr().String()) || !strings.Contains(stderr, "aquifer serve starts one") {
			t.Errorf("none runs: exit %d: %s", code, stderr)
		}
	}
	for _, addr := range []string{"127.0.0.1", "x:y:z", "127.0.0.1:8 0", "http://127.0.0.1:8750"} {
		if code, _, stderr := invoke(t, "", "ps", "--addr", addr); code == exitOK {
			t.Errorf("%s: %s", addr, stderr)
		}
	}
}

func TestPrintRunning(t *testing.T) {
	now := time.Unix(1700000000, 0)
	in := func(d time.Duration) *time.Time { at := now.Add(d); return &at }
	var b strings.Builder
	err := printRunning(&b, []openai.RunningModel{
		{ID: "a", Status: "loading", Progress: 0.42},
		{ID: "b", Status: "loaded", Progress: 1, Bytes: 2.5e9, Backend: "cpu avx2", Context: 8192, ExpiresAt: in(260 * time.Second)},
		{ID: "c", Status: "loaded", Progress: 1, Bytes: 3e6, Backend: "ref", Context: 100, Requests: 2},
		{ID: "d", Status: "loaded", Progress: 1, Bytes: 3e6, Backend: "ref", Context: 100, Requests: 1, Pinned: true},
		{ID: "e", Status: "loaded", Progress: 1, Bytes: 3e6, Backend: "ref", Context: 100, ExpiresAt: in(-time.Second)},
		{ID: "f\x1b[2J", Status: "unloading"},
	}, now)
	const want = `NAME  STATUS        SIZE     BACKEND   CONTEXT  REQUESTS  UNTIL
a     loading 42 %                              0
b     loaded        2.50 GB  cpu avx2  8192     0         4 minutes
c     loaded        3 MB     ref       100      2         in use
d     loaded        3 MB     ref       100      1         for good
e     loaded        3 MB     ref       100      0         0 seconds
f[2J  unloading                                 0
`
	var lines []string
	for line := range strings.Lines(b.String()) {
		lines = append(lines, strings.TrimRight(line, " \n")+"\n")
	}
	if got := strings.Join(lines, ""); err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	b.Reset()
	if err := printRunning(&b, nil, now); err != nil || !strings.Contains(b.String(), "no model is loaded") {
		t.Errorf("%v %s", err, &b)
	}
}

// TestServeFiles: a model of several GGUF files is offered file by file.
func TestServeFiles(t *testing.T) {
	h, _ := hubWithTiny(t)
	data := tinyGGUF(t)
	h.Add("org/files", "main", map[string][]byte{"a/tiny.gguf": data, "b.gguf": data})
	succeed(t, "", "pull", "org/files/b.gguf")
	base, _, _ := startServer(t, "--context", "100")
	if code, a := askModel(t, base, "org/files", ""); code != 200 || a.Model != "org/files" {
		t.Errorf("the only file: %d %+v", code, a)
	}
	succeed(t, "", "pull", "org/files/a/tiny.gguf")
	code, a := askModel(t, base, "org/files", "")
	for until := time.Now().Add(20 * recentTime); code == 200 && time.Now().Before(until); time.Sleep(recentTime / 10) { // the name is remembered for a moment
		code, a = askModel(t, base, "org/files", "")
	}
	if code != 400 || a.Error.Code != "model_ambiguous" || !strings.Contains(a.Error.Message, "org/files/a/tiny.gguf, org/files/b.gguf") {
		t.Errorf("one of two: %d %+v", code, a.Error)
	}
	for _, name := range []string{"org/files/a/tiny.gguf", "org/files/b.gguf"} {
		if code, a := askModel(t, base, name, ""); code != 200 || a.Model != name {
			t.Errorf("%s: %d %+v", name, code, a)
		}
	}
}
