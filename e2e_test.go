package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"

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

// TestGoClientEndToEnd asks the embedded model through the whole program with an unmodified OpenAI client.
func TestGoClientEndToEnd(t *testing.T) {
	base := serveEmbedded(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	client := sdk.NewClient(option.WithBaseURL(base), option.WithAPIKey("none"), option.WithMaxRetries(0))
	models, err := client.Models.List(ctx)
	if err != nil || len(models.Data) != 1 {
		t.Fatalf("models: %+v, %v", models, err)
	}
	ask := func(content string) sdk.ChatCompletionNewParams {
		return sdk.ChatCompletionNewParams{
			Model: models.Data[0].ID, Temperature: param.NewOpt(0.0), MaxTokens: param.NewOpt[int64](40),
			Messages: []sdk.ChatCompletionMessageParamUnion{sdk.UserMessage(content)},
		}
	}
	stream := func() (string, error) {
		p := ask(question)
		p.StreamOptions.IncludeUsage = param.NewOpt(true)
		s := client.Chat.Completions.NewStreaming(ctx, p)
		var acc sdk.ChatCompletionAccumulator
		for s.Next() {
			if !acc.AddChunk(s.Current()) {
				return "", errors.New("a chunk does not fit: " + s.Current().RawJSON())
			}
		}
		if err := s.Err(); err != nil {
			return "", err
		}
		if u := acc.Usage; u.CompletionTokens != 40 || u.PromptTokens == 0 {
			t.Errorf("usage %+v", u)
		}
		return acc.Choices[0].Message.Content, nil
	}

	whole, err := client.Chat.Completions.New(ctx, ask(question))
	if err != nil {
		t.Fatal(err)
	}
	want := whole.Choices[0].Message.Content
	if !strings.HasPrefix(want, sky) || whole.Choices[0].FinishReason != "length" {
		t.Errorf("got %q (%s), want it to begin with %q", want, whole.Choices[0].FinishReason, sky)
	}

	var streams sync.WaitGroup
	for range 4 {
		streams.Go(func() {
			if got, err := stream(); err != nil || got != want {
				t.Errorf("streamed %q, %v, want %q", got, err, want)
			}
		})
	}
	streams.Wait()

	p := ask("Count to ten.")
	p.Stop = sdk.ChatCompletionNewParamsStopUnion{OfStringArray: []string{"3"}}
	if got, err := client.Chat.Completions.New(ctx, p); err != nil || strings.Contains(got.Choices[0].Message.Content, "3") {
		t.Errorf("a stop string is in the answer: %+v, %v", got, err)
	}

	var e *sdk.Error
	if _, err = client.Chat.Completions.New(ctx, ask(strings.Repeat("word ", 20_000))); !errors.As(err, &e) ||
		e.StatusCode != http.StatusBadRequest || e.Code != "context_length_exceeded" {
		t.Errorf("a prompt beyond the context: %v", err)
	}
}

// TestPythonClientEndToEnd does the same with the official Python client, if there is one.
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
