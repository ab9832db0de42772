package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"aquifer/models/embedded"
)

// asProgram makes the test binary behave as aquifer, so that tests can start it as a process of its own.
const asProgram = "AQUIFER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// sky is how the reference implementation (transformers, fp32, greedy) begins its answer to the question.
const (
	question = "Why is the sky blue?"
	sky      = "The sky is blue because of the way the Earth's atmosphere interacts with the sun's rays."
)

func needModel(t *testing.T) {
	t.Helper()
	if _, _, _, ok := embedded.Open(); !ok {
		t.Skip("this build carries no model (tag nomodel, or the file is missing)")
	}
}

// serveEmbedded starts "aquifer serve" with the embedded model and returns the address of its API. At the end of the
// test the server must leave cleanly on SIGTERM.
func serveEmbedded(t *testing.T, args ...string) string {
	t.Helper()
	needModel(t)
	t.Setenv("HF_HOME", t.TempDir()) // no other models
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute+*soakTime)
	cmd := program(ctx, append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	var log strings.Builder
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(address)
		says := regexp.MustCompile(`answers at (http://\S+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if !strings.Contains(lines.Text(), "level=INFO") {
				log.WriteString(lines.Text() + "\n")
			}
			if m := says.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	})
	t.Cleanup(func() {
		defer cancel()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		reading.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v:\n%s", err, log.String())
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", log.String())
		}
	})
	base, ok := <-address
	if !ok {
		t.Fatal("the server ended before it answered")
	}
	return base
}

// asked is what a request for a chat completion came to.
type asked struct {
	status int
	text   string
	finish string
	usage  struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	}
	calls []struct {
		Function struct{ Name, Arguments string }
	}
	code string // of an error
}

// post sends a request with what is given beside the model; a stream's parts are put together.
func post(ctx context.Context, base string, fields map[string]any) (a asked, err error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return a, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, event := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if len(data) == 0 || event && string(data) == "[DONE]" {
			continue
		}
		var v struct {
			Choices []struct {
				Message struct {
					Content string
					Calls   []struct {
						Function struct{ Name, Arguments string }
					} `json:"tool_calls"`
				}
				Delta  struct{ Content string }
				Finish string `json:"finish_reason"`
			}
			Usage *struct {
				Prompt     int `json:"prompt_tokens"`
				Completion int `json:"completion_tokens"`
			}
			Error struct{ Code string }
		}
		if err := json.Unmarshal(data, &v); err != nil {
			return a, fmt.Errorf("%q: %w", data, err)
		}
		a.code += v.Error.Code
		for _, c := range v.Choices {
			a.text += c.Message.Content + c.Delta.Content
			a.finish += c.Finish
			a.calls = append(a.calls, c.Message.Calls...)
		}
		if v.Usage != nil {
			a.usage = *v.Usage
		}
	}
	return a, lines.Err()
}

// TestServeEndToEnd asks the embedded model through the whole program.
func TestServeEndToEnd(t *testing.T) {
	base := serveEmbedded(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	resp, err := http.Get(base + "/models")
	if err != nil {
		t.Fatal(err)
	}
	var models struct{ Data []struct{ ID string } }
	err = errors.Join(json.NewDecoder(resp.Body).Decode(&models), resp.Body.Close())
	if err != nil || len(models.Data) != 1 {
		t.Fatalf("models: %+v, %v", models, err)
	}
	ask := func(content string, more map[string]any) (asked, error) {
		fields := map[string]any{
			"model": models.Data[0].ID, "temperature": 0, "max_tokens": 40, "messages": []any{map[string]any{"role": "user", "content": content}},
		}
		maps.Copy(fields, more)
		return post(ctx, base, fields)
	}

	whole, err := ask(question, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(whole.text, sky) || whole.finish != "length" {
		t.Errorf("got %+v, want it to begin with %q", whole, sky)
	}

	var streams sync.WaitGroup
	for range 4 {
		streams.Go(func() {
			got, err := ask(question, map[string]any{"stream": true, "stream_options": map[string]any{"include_usage": true}})
			if err != nil || got.text != whole.text || got.finish != "length" || got.usage.Completion != 40 || got.usage.Prompt == 0 {
				t.Errorf("streamed %+v, %v, want %q", got, err, whole.text)
			}
		})
	}
	streams.Wait()

	if got, err := ask("Count to ten.", map[string]any{"stop": []string{"3"}}); err != nil || got.text == "" || strings.Contains(got.text, "3") {
		t.Errorf("a stop string is in the answer: %+v, %v", got, err)
	}
	// A small model, and one that was never shown a tool, calls it as its schema says.
	tool := map[string]any{"type": "function", "function": map[string]any{
		"name": "get_weather", "description": "The weather of a city", "parameters": map[string]any{
			"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string", "maxLength": 20}}, "required": []string{"city"},
		},
	}}
	got, err := ask("What is the weather in Paris?", map[string]any{"tools": []any{tool}, "tool_choice": "required", "parallel_tool_calls": false, "max_tokens": 60})
	if err != nil || got.finish != "tool_calls" || len(got.calls) != 1 || got.calls[0].Function.Name != "get_weather" || got.calls[0].Function.Arguments != `{"city": "Paris"}` {
		t.Errorf("a call: %+v, %v", got, err)
	}

	if got, err := ask(strings.Repeat("word ", 20_000), nil); err != nil || got.status != http.StatusBadRequest || got.code != "context_length_exceeded" {
		t.Errorf("a prompt beyond the context: %+v, %v", got, err)
	}
}

// TestPythonClientEndToEnd does the same with an unmodified OpenAI client, the official Python client, if there is one.
func TestPythonClientEndToEnd(t *testing.T) {
	python := os.Getenv("AQUIFER_TEST_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import openai").CombinedOutput(); err != nil {
		t.Skipf("%s cannot import openai (pip install openai; AQUIFER_TEST_PYTHON names the interpreter): %v %s", python, err, out)
	}
	base := serveEmbedded(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "testdata/client.py", base, question)
	cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "PYTHONIOENCODING=utf-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 || lines[0] != lines[1] || !strings.HasPrefix(lines[0], sky) {
		t.Errorf("whole and streamed answers:\n%s", out)
	}
}

// TestRunEndToEnd is the README's first command: stdout holds the answer and nothing else.
func TestRunEndToEnd(t *testing.T) {
	needModel(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := program(ctx, "run", "--temperature", "0", "--max-tokens", "24", question)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(stdout)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if !strings.HasPrefix(string(out), sky) {
		t.Errorf("answered %q, want it to begin with %q", out, sky)
	}
	if !strings.Contains(stderr.String(), "4x8g8") {
		t.Errorf("the start-up line is missing: %q", stderr.String())
	}
}
