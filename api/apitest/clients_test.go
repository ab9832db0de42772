package apitest_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"

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
		case "length":
			r := apitest.Say("cut")
			r.Finish = engine.FinishLength
			return r
		}
		return apitest.Say("Grüße", " 😀\n", "\"done\"")
	}}
	source, err := openai.Fixed(openai.Model{ID: "org/tiny", Engine: e, Created: time.Unix(1700000000, 0), Defaults: openai.Defaults()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := api.New(api.Config{
		Key: key, Log: slog.New(slog.DiscardHandler), Limits: api.Limits{Heartbeat: 50 * time.Millisecond},
		Models: source,
	})
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
	return "http://" + ln.Addr().String() + "/v1", e
}

const answer = "Grüße 😀\n\"done\""

func ask(content string) sdk.ChatCompletionNewParams {
	return sdk.ChatCompletionNewParams{
		Model:    "org/tiny",
		Messages: []sdk.ChatCompletionMessageParamUnion{sdk.SystemMessage("Be brief."), sdk.UserMessage(content)},
	}
}

// requests counts what a client really sends, retries included.
type requests struct{ n atomic.Int64 }

func (r *requests) RoundTrip(req *http.Request) (*http.Response, error) {
	r.n.Add(1)
	return http.DefaultTransport.RoundTrip(req)
}

func TestGoClient(t *testing.T) {
	base, e := serve(t)
	sent := &requests{}
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	c := sdk.NewClient(option.WithBaseURL(base), option.WithAPIKey(key), option.WithHTTPClient(&http.Client{Transport: sent}))
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()

	t.Run("whole", func(t *testing.T) {
		p := ask("hello")
		p.Temperature, p.TopP, p.Seed, p.MaxCompletionTokens = param.NewOpt(0.5), param.NewOpt(0.9), param.NewOpt[int64](7), param.NewOpt[int64](33)
		p.Stop = sdk.ChatCompletionNewParamsStopUnion{OfStringArray: []string{"a", "b"}}
		p.User = param.NewOpt("me")
		got, err := c.Chat.Completions.New(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		m := got.Choices[0]
		if m.Message.Content != answer || m.Message.Role != "assistant" || m.FinishReason != "stop" || got.Usage.TotalTokens != 12 || got.Model != "org/tiny" {
			t.Errorf("%s", got.RawJSON())
		}
		if !m.Message.JSON.Refusal.Valid() && m.Message.JSON.Refusal.Raw() != "null" {
			t.Errorf("refusal is %q", m.Message.JSON.Refusal.Raw())
		}
		all := e.Requests()
		r := all[len(all)-1]
		if r.Sampling.Temperature != 0.5 || r.Sampling.TopP != 0.9 || r.Sampling.Seed != 7 || r.MaxTokens != 33 || len(r.Stop) != 2 || len(r.Messages) != 2 {
			t.Errorf("the engine got %+v", r)
		}
	})
	t.Run("stream", func(t *testing.T) {
		p := ask("hello")
		p.StreamOptions.IncludeUsage = param.NewOpt(true)
		stream := c.Chat.Completions.NewStreaming(ctx, p)
		acc := sdk.ChatCompletionAccumulator{}
		events, finished := 0, false
		for stream.Next() {
			events++
			if !acc.AddChunk(stream.Current()) {
				t.Errorf("chunk %d does not fit: %s", events, stream.Current().RawJSON())
			}
			if text, ok := acc.JustFinishedContent(); ok {
				finished = text == answer
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		if !finished || acc.Choices[0].Message.Content != answer || acc.Choices[0].FinishReason != "stop" || acc.Usage.TotalTokens != 12 || events != 6 {
			t.Errorf("%d events, %+v", events, acc)
		}
	})
	t.Run("choices", func(t *testing.T) {
		p := ask("hello")
		p.N, p.Logprobs, p.TopLogprobs, p.LogitBias = param.NewOpt[int64](3), param.NewOpt(true), param.NewOpt[int64](2), map[string]int64{"5": -100}
		got, err := c.Chat.Completions.New(ctx, p)
		if err != nil || len(got.Choices) != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		acc := sdk.ChatCompletionAccumulator{}
		stream := c.Chat.Completions.NewStreaming(ctx, p)
		for stream.Next() {
			if !acc.AddChunk(stream.Current()) {
				t.Errorf("chunk does not fit: %s", stream.Current().RawJSON())
			}
		}
		for i := range 3 {
			if m := got.Choices[i]; m.Index != int64(i) || m.Message.Content != answer || m.FinishReason != "stop" {
				t.Errorf("choice %d: %s", i, m.RawJSON())
			}
			if m := acc.Choices[i]; stream.Err() != nil || m.Message.Content != answer || m.FinishReason != "stop" {
				t.Errorf("choice %d of the stream: %+v, %v", i, m, stream.Err())
			}
		}
		all := e.Requests()
		if r := all[len(all)-1]; r.N != 3 || !r.Logprobs || r.TopLogprobs != 2 || len(r.Sampling.LogitBias) != 1 {
			t.Errorf("the engine got %+v", r)
		}
	})
	t.Run("stream with heartbeats", func(t *testing.T) {
		stream := c.Chat.Completions.NewStreaming(ctx, ask("slow"))
		text := ""
		for stream.Next() {
			if choices := stream.Current().Choices; len(choices) > 0 {
				text += choices[0].Delta.Content
			}
		}
		if stream.Err() != nil || text != "slow answer" {
			t.Errorf("%q, %v", text, stream.Err())
		}
	})
	t.Run("length", func(t *testing.T) {
		if got, err := c.Chat.Completions.New(ctx, ask("length")); err != nil || got.Choices[0].FinishReason != "length" {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("stream fails", func(t *testing.T) {
		stream := c.Chat.Completions.NewStreaming(ctx, ask("fails"))
		text := ""
		for stream.Next() {
			text += stream.Current().Choices[0].Delta.Content
		}
		if stream.Err() == nil || !strings.Contains(stream.Err().Error(), "internal") || text != "part" {
			t.Errorf("%q, %v", text, stream.Err())
		}
	})
	t.Run("leaves", func(t *testing.T) {
		stream := c.Chat.Completions.NewStreaming(ctx, ask("for ever"))
		if !stream.Next() {
			t.Fatal(stream.Err())
		}
		stream.Close()
		for deadline := time.Now().Add(5 * time.Second); e.Open() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the answer goes on without a reader")
			}
		}
	})
	t.Run("models", func(t *testing.T) {
		list, err := c.Models.List(ctx)
		if err != nil || len(list.Data) != 1 || list.Data[0].ID != "org/tiny" || list.Data[0].Created != 1700000000 || list.Data[0].OwnedBy == "" {
			t.Errorf("%+v, %v", list, err)
		}
		if one, err := c.Models.Get(ctx, "org/tiny"); err != nil || one.ID != "org/tiny" {
			t.Errorf("%+v, %v", one, err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		odd := ask("hello")
		odd.N = param.NewOpt[int64](129)
		tools := ask("hello")
		tools.Tools = []sdk.ChatCompletionToolUnionParam{sdk.ChatCompletionFunctionTool(sdk.FunctionDefinitionParam{Name: "f"})}
		format := ask("hello")
		format.ResponseFormat.OfJSONSchema = &sdk.ResponseFormatJSONSchemaParam{JSONSchema: sdk.ResponseFormatJSONSchemaJSONSchemaParam{Name: "x", Schema: 5}}
		other := ask("hello")
		other.Model = "gpt-5"
		hot := ask("hello")
		hot.Temperature = param.NewOpt(3.0)
		for _, tt := range []struct {
			p           sdk.ChatCompletionNewParams
			status      int
			code, param string
			tries       int64
		}{
			{odd, 400, "invalid_value", "n", 1},
			{tools, 400, "unsupported_parameter", "tools", 1},
			{format, 400, "invalid_type", "response_format.json_schema.schema", 1},
			{hot, 400, "invalid_value", "temperature", 1},
			{other, 404, "model_not_found", "model", 1},
			{ask("too long"), 400, "context_length_exceeded", "messages", 1},
			{ask("template"), 400, "invalid_messages", "messages", 1},
			{ask("busy"), 429, "rate_limit_exceeded", "", 2},
		} {
			before := sent.n.Load()
			_, err := c.Chat.Completions.New(ctx, tt.p, option.WithMaxRetries(1))
			var e *sdk.Error
			if !errors.As(err, &e) || e.StatusCode != tt.status || e.Code != tt.code || e.Param != tt.param || e.Message == "" || e.Type == "" {
				t.Errorf("want %d %s %q, got %v", tt.status, tt.code, tt.param, err)
			}
			if n := sent.n.Load() - before; n != tt.tries {
				t.Errorf("%s: sent %d times, want %d", tt.code, n, tt.tries)
			}
			// The same as a stream: the status comes before it begins.
			stream := c.Chat.Completions.NewStreaming(ctx, tt.p, option.WithMaxRetries(0))
			if stream.Next() || !errors.As(stream.Err(), &e) || e.StatusCode != tt.status {
				t.Errorf("stream: want %d, got %v", tt.status, stream.Err())
			}
		}
		wrong := sdk.NewClient(option.WithBaseURL(base), option.WithAPIKey("wrong"))
		var e *sdk.Error
		if _, err := wrong.Models.List(ctx); !errors.As(err, &e) || e.StatusCode != 401 || e.Code != "invalid_api_key" {
			t.Errorf("wrong key: %v", err)
		}
	})
}

// TestSpecification: docs/fields.md has every field that the official client can send.
func TestSpecification(t *testing.T) {
	doc, err := os.ReadFile("../../docs/fields.md")
	if err != nil {
		t.Fatal(err)
	}
	params, fields := reflect.TypeFor[sdk.ChatCompletionNewParams](), 0
	for i := range params.NumField() {
		name, _, _ := strings.Cut(params.Field(i).Tag.Get("json"), ",")
		if name == "" {
			continue
		}
		fields++
		if !strings.Contains(string(doc), "| `"+name+"` |") {
			t.Errorf("%s is missing", name)
		}
	}
	if fields < 30 {
		t.Errorf("only %d fields were found in the client", fields)
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
