package apitest_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"aquifer/api"
	"aquifer/api/apitest"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

const key = "sk-test"

// serve starts a server whose answers depend on the last message, and counts chat requests.
func serve(t *testing.T) (base string, e *apitest.Engine) {
	t.Helper()
	e = &apitest.Engine{Answer: func(r engine.ChatRequest) apitest.Reply {
		switch r.Messages[len(r.Messages)-1].Content {
		case "busy":
			return apitest.Reply{Err: engine.ErrBusy}
		case "too long":
			return apitest.Reply{Err: &engine.ContextError{Prompt: 5000, Context: 4096}}
		case "template":
			return apitest.Reply{Err: &engine.ChatError{Msg: "roles must alternate"}}
		case "slow":
			r := apitest.Say("slow", " answer")
			r.Parts[0].After, r.Parts[1].After = 300*time.Millisecond, 300*time.Millisecond
			return r
		case "fails":
			return apitest.Reply{Parts: []apitest.Part{{Text: "part"}, {Err: errors.New("device lost")}}}
		case "for ever":
			var r apitest.Reply
			for range 10_000 {
				r.Parts = append(r.Parts, apitest.Part{Text: "x", After: time.Millisecond})
			}
			return r
		case "calls":
			return apitest.Reply{Finish: engine.FinishCalls, Parts: []apitest.Part{
				{Text: "Let me"},
				{Text: " see."},
				{Calls: []engine.CallPart{{Name: "f", Arguments: `{"a"`}}},
				{Calls: []engine.CallPart{{Arguments: ": 1}"}}},
				{Calls: []engine.CallPart{{Index: 1, Name: "f", Arguments: "{}"}}},
			}}
		case "length":
			r := apitest.Say("cut")
			r.Finish = engine.FinishLength
			return r
		}
		return apitest.Say("Grüße", " 😀\n", "\"done\"")
	}}
	m := openai.Model{ID: "org/tiny", Engine: e, Created: time.Unix(1700000000, 0), Defaults: openai.Defaults()}
	return serveModel(t, m, api.Limits{Heartbeat: 50 * time.Millisecond}), e
}

// serveModel serves one model with the key and returns the API's address.
func serveModel(t *testing.T, model openai.Model, limits api.Limits) (base string) {
	t.Helper()
	source, err := openai.Fixed(model)
	if err != nil {
		t.Fatal(err)
	}
	return serveSource(t, source, limits)
}

func serveSource(t *testing.T, source openai.Source, limits api.Limits) (base string) {
	t.Helper()
	s, err := api.New(api.Config{Key: key, Log: slog.New(slog.DiscardHandler), Limits: limits, Models: source})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String() + "/v1"
}

// TestGoClient runs the official Go client, the newest and an older one, against the script.
func TestGoClient(t *testing.T) {
	for _, mod := range []string{"go.mod", "older.mod"} {
		t.Run(mod, func(t *testing.T) {
			argv, skip := goProgram("openai-go", mod)(t)
			if skip != "" {
				t.Skipf("SKIPPED, the Go client is not tested: %s", skip)
			}
			base, e := serve(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, argv[0], base, key, "scripted")
			cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			checks := 0
			for line := range strings.Lines(string(out)) {
				var l matrixLine
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				if checks++; !l.OK {
					t.Errorf("%s: %s", l.Check, l.Error)
				}
			}
			if checks != 10 {
				t.Errorf("%d lines:\n%s", checks, out)
			}
			seen := map[string]int{} // what was asked, retries included
			for _, r := range e.Requests() {
				seen[r.Messages[len(r.Messages)-1].Content]++
			}
			if seen["busy"] != 2 || seen["too long"] != 1 || seen["template"] != 1 {
				t.Errorf("a client retried what it must not, or the other way round: %v", seen)
			}
			if r := e.Requests()[0]; r.Sampling.Temperature != 0.5 || r.Sampling.TopP != 0.9 || r.Sampling.Seed != 7 || r.MaxTokens != 33 || len(r.Stop) != 2 || len(r.Messages) != 2 {
				t.Errorf("the engine got %+v", r)
			}
			for deadline := time.Now().Add(time.Minute); e.Open() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("an answer goes on without a reader")
				}
			}
		})
	}
}

// TestSpecification: docs/fields.md has every field that the official client can send.
func TestSpecification(t *testing.T) {
	argv, skip := goProgram("openai-go", "go.mod")(t)
	if skip != "" {
		t.Skipf("SKIPPED, the fields of the Go client are not known: %s", skip)
	}
	doc, err := os.ReadFile("../../docs/fields.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(argv[0], "fields").Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(out))
	for _, name := range fields {
		if !strings.Contains(string(doc), "| `"+name+"` |") {
			t.Errorf("%s is missing", name)
		}
	}
	if len(fields) < 30 {
		t.Errorf("only %d fields were found in the client", len(fields))
	}
}

// TestPythonClient runs testdata/client.py with the first Python that has the openai module: AQUIFER_TEST_PYTHON, or
// python3.
func TestPythonClient(t *testing.T) {
	python := os.Getenv("AQUIFER_TEST_PYTHON")
	if python == "" {
		python = "python3"
	}
	path, err := exec.LookPath(python)
	if err != nil {
		t.Skipf("SKIPPED, the Python client is not tested: %v", err)
	}
	version, err := exec.Command(path, "-c", "import openai; print(openai.__version__)").CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED, the Python client is not tested: %s cannot import openai (pip install openai; AQUIFER_TEST_PYTHON names the interpreter): %v",
			path, err)
	}
	base, _ := serve(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "testdata/client.py", base, key)
	cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "PYTHONIOENCODING=utf-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("openai %s: %s", strings.TrimSpace(string(version)), out)
}
