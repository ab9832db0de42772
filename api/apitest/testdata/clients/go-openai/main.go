// Every check of the matrix with sashabaranov/go-openai. Usage: client BASE KEY OPEN
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	openai "github.com/sashabaranov/go-openai"
	"github.com/sashabaranov/go-openai/jsonschema"
)

const (
	library = "github.com/sashabaranov/go-openai"
	model   = "tiny"
)

var (
	ctx          = context.Background()
	client       *openai.Client
	base         string
	openRequests string
)

// must ends a check.
func must(ok bool, format string, a ...any) {
	if !ok {
		panic(fmt.Sprintf(format, a...))
	}
}

type request = openai.ChatCompletionRequest

func ask(change func(*request)) request {
	seed := 7
	p := request{
		Model: model, MaxTokens: 24, Seed: &seed,
		Messages: []openai.ChatCompletionMessage{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "Hello"}},
	}
	if change != nil {
		change(&p)
	}
	return p
}

func create(change func(*request)) openai.ChatCompletionResponse {
	c, err := client.CreateChatCompletion(ctx, ask(change))
	must(err == nil, "%v", err)
	return c
}

type call struct{ name, arguments string }

// collected is what came of one choice of a stream.
type collected struct {
	text, finish string
	calls        []call
}

// stream puts the deltas of each choice together.
func stream(change func(*request)) (choices []collected, usage *openai.Usage) {
	s, err := client.CreateChatCompletionStream(ctx, ask(change))
	must(err == nil, "%v", err)
	defer s.Close()
	for {
		chunk, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return choices, usage
		}
		must(err == nil, "%v", err)
		if chunk.Usage != nil {
			usage = chunk.Usage
		}
		for _, c := range chunk.Choices {
			for len(choices) <= c.Index {
				choices = append(choices, collected{})
			}
			to := &choices[c.Index]
			to.text += c.Delta.Content
			to.finish += string(c.FinishReason)
			for _, part := range c.Delta.ToolCalls {
				must(part.Index != nil, "a call without an index")
				if *part.Index == len(to.calls) {
					must(part.ID != "" && part.Type == "function", "%+v", part)
					to.calls = append(to.calls, call{name: part.Function.Name})
				}
				to.calls[*part.Index].arguments += part.Function.Arguments
			}
		}
	}
}

func tools(p *request) {
	p.MaxTokens = 400
	p.Tools = []openai.Tool{
		{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{
			Name: "weather", Description: "The weather of a city", Strict: true,
			Parameters: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string","maxLength":12},"days":{"type":"integer","minimum":1,"maximum":7}},"required":["city","days"],"additionalProperties":false}`),
		}},
		{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{
			Name: "now", Parameters: jsonschema.Definition{Type: jsonschema.Object, Properties: map[string]jsonschema.Definition{}},
		}},
	}
}

// callsOf returns the answer and checks that a stream comes to the same calls.
func callsOf(change func(*request)) openai.ChatCompletionChoice {
	both := func(p *request) { tools(p); change(p) }
	one := create(both).Choices[0]
	choices, _ := stream(both)
	two := choices[0]
	must(string(one.FinishReason) == two.finish && len(one.Message.ToolCalls) == len(two.calls), "%+v, %+v", one, two)
	for i, c := range one.Message.ToolCalls {
		must(two.calls[i] == call{c.Function.Name, c.Function.Arguments}, "%+v, %+v", c, two.calls[i])
		if one.FinishReason != "length" {
			valid(c.Function.Name, c.Function.Arguments)
		}
	}
	return one
}

func valid(name, arguments string) {
	var v struct {
		City *string
		Days *int
	}
	err := json.Unmarshal([]byte(arguments), &v)
	ok := name == "now" && v.City == nil && v.Days == nil ||
		name == "weather" && v.City != nil && len([]rune(*v.City)) <= 12 && v.Days != nil && *v.Days >= 1 && *v.Days <= 7
	must(err == nil && ok, "%s %s: %v", name, arguments, err)
}

// checks are in the order of the table.
var checks = []struct {
	name string
	run  func()
}{
	{"chat", func() {
		c := create(nil)
		m := c.Choices[0]
		must(m.Message.Content != "" && m.Message.Role == "assistant" && (m.FinishReason == "stop" || m.FinishReason == "length") && c.ID != "" && c.Model == model, "%+v", c)
		one, err := client.GetModel(ctx, model)
		must(err == nil && one.ID == model, "%v", err)
	}},
	{"stream", func() {
		one := create(nil).Choices[0]
		choices, _ := stream(nil)
		must(choices[0].text == one.Message.Content && choices[0].finish == string(one.FinishReason), "%+v", choices)
	}},
	{"usage", func() {
		u := create(nil).Usage
		must(u.TotalTokens == u.PromptTokens+u.CompletionTokens && u.PromptTokens > 0, "%+v", u)
		_, streamed := stream(func(p *request) { p.StreamOptions = &openai.StreamOptions{IncludeUsage: true} })
		must(streamed != nil && streamed.CompletionTokens == u.CompletionTokens, "%+v", streamed)
	}},
	{"n", func() {
		three := func(p *request) { p.N = 3 }
		one := create(three)
		choices, _ := stream(three)
		must(len(one.Choices) == 3 && len(choices) == 3 && one.Choices[0].Message.Content != one.Choices[1].Message.Content, "%+v", one)
		for i := range 3 {
			must(one.Choices[i].Message.Content == choices[i].text, "choice %d", i)
		}
	}},
	{"logprobs", func() {
		entries := create(func(p *request) { p.LogProbs, p.TopLogProbs = true, 3 }).Choices[0].LogProbs.Content
		must(len(entries) > 0 && len(entries[0].TopLogProbs) == 3, "%+v", entries)
	}},
	{"tools: auto", func() {
		one := callsOf(func(p *request) { p.ToolChoice = "auto" })
		must(one.FinishReason == "length" || (one.FinishReason == "tool_calls") == (len(one.Message.ToolCalls) > 0), "%+v", one)
	}},
	{"tools: required", func() {
		one := callsOf(func(p *request) { p.ToolChoice, p.ParallelToolCalls = "required", false })
		must(one.FinishReason == "tool_calls" && len(one.Message.ToolCalls) == 1, "%+v", one)
		answer := create(func(p *request) {
			tools(p)
			p.ToolChoice = "none"
			p.Messages = append(p.Messages, one.Message, openai.ChatCompletionMessage{Role: "tool", Content: "21", ToolCallID: one.Message.ToolCalls[0].ID})
		})
		must(answer.Choices[0].Message.Content != "", "%+v", answer)
	}},
	{"tools: named", func() {
		one := callsOf(func(p *request) {
			p.ToolChoice = openai.ToolChoice{Type: openai.ToolTypeFunction, Function: openai.ToolFunction{Name: "now"}}
		})
		must(len(one.Message.ToolCalls) == 1 && one.Message.ToolCalls[0].Function.Name == "now", "%+v", one)
	}},
	{"tools: none", func() {
		one := callsOf(func(p *request) { p.ToolChoice = "none" })
		must(len(one.Message.ToolCalls) == 0 && one.Message.Content != "", "%+v", one)
	}},
	{"JSON schema", func() {
		type answer struct {
			Kind string `json:"kind" enum:"a,b"`
			N    int64  `json:"n"`
		}
		var v answer
		schema, err := jsonschema.GenerateSchemaForType(v)
		must(err == nil, "%v", err)
		c := create(func(p *request) {
			p.MaxTokens = 200
			p.ResponseFormat = &openai.ChatCompletionResponseFormat{
				Type: openai.ChatCompletionResponseFormatTypeJSONSchema, JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: "x", Schema: schema, Strict: true},
			}
		})
		err = schema.Unmarshal(c.Choices[0].Message.Content, &v)
		must(err == nil && (v.Kind == "a" || v.Kind == "b"), "%+v: %v", c, err)
	}},
	{"stop", func() {
		runes := []rune(create(nil).Choices[0].Message.Content)
		text, stop := string(runes), string(runes[5:8])
		got := create(func(p *request) { p.Stop = []string{stop} }).Choices[0]
		must(got.Message.Content == text[:strings.Index(text, stop)] && got.FinishReason == "stop", "%q, %+v", text, got)
	}},
	{"errors", checkErrors},
	{"waiting", func() {
		choices, _ := stream(func(p *request) { p.Model = "slow" })
		must(choices[0].text == create(nil).Choices[0].Message.Content, "%+v", choices)
		s, err := client.CreateChatCompletionStream(ctx, ask(func(p *request) { p.Model = "broken" }))
		must(err == nil, "%v", err)
		// The library puts heartbeats in front of the error's text and cannot read it then.
		_, err = s.Recv()
		must(err != nil && !errors.Is(err, io.EOF), "%v", err)
		panic(other("an error, without its text"))
	}},
	{"cancel", func() {
		// The library cannot send ignore_eos; a bias keeps the answer from ending.
		s, err := client.CreateChatCompletionStream(ctx, ask(func(p *request) { p.MaxTokens, p.LogitBias = 3000, map[string]int{"257": -100} }))
		must(err == nil, "%v", err)
		_, err = s.Recv()
		must(err == nil && s.Close() == nil, "%v", err)
		for range 500 {
			resp, err := http.Get(openRequests)
			must(err == nil, "%v", err)
			n := -1
			err = json.NewDecoder(resp.Body).Decode(&n)
			resp.Body.Close()
			must(err == nil, "%v", err)
			if n == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		must(false, "the answer goes on")
	}},
}

func checkErrors() {
	for _, tt := range []struct {
		change func(*request)
		status int
		param  string
	}{
		{func(p *request) { p.Temperature = 9 }, 400, "temperature"},
		{func(p *request) { p.Model = "other" }, 404, "model"},
		{func(p *request) {
			p.Tools = []openai.Tool{{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{
				Name: "f", Parameters: json.RawMessage(`{"type":"object","not":{}}`),
			}}}
		}, 400, "tools[0].function.parameters"},
	} {
		var e *openai.APIError
		_, err := client.CreateChatCompletion(ctx, ask(tt.change))
		must(errors.As(err, &e) && e.HTTPStatusCode == tt.status && e.Param != nil && *e.Param == tt.param && e.Code != nil, "%v", err)
		_, err = client.CreateChatCompletionStream(ctx, ask(tt.change))
		must(errors.As(err, &e) && e.HTTPStatusCode == tt.status, "%v", err)
	}
	cfg := openai.DefaultConfig("wrong")
	cfg.BaseURL = base
	var e *openai.APIError
	_, err := openai.NewClientWithConfig(cfg).ListModels(ctx)
	must(errors.As(err, &e) && e.HTTPStatusCode == 401 && e.Code == "invalid_api_key", "%v", err)
}

// other ends a check with what the client does instead.
type other string

type result struct {
	Client  string `json:"client,omitempty"`
	Version string `json:"version,omitempty"`
	Check   string `json:"check,omitempty"`
	OK      bool   `json:"ok"`
	NA      string `json:"na,omitempty"`
	Error   string `json:"error,omitempty"`
}

func report(r result) {
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == library {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return "unknown"
}

func main() {
	base, openRequests = os.Args[1], os.Args[3]
	cfg := openai.DefaultConfig(os.Args[2])
	cfg.BaseURL = base
	client = openai.NewClientWithConfig(cfg)
	report(result{Client: "go-openai", Version: version(), OK: true})
	for _, c := range checks {
		r := result{Check: c.name, OK: true}
		func() {
			defer func() {
				v := recover()
				if text, ok := v.(other); ok {
					r.NA = string(text)
				} else if v != nil {
					r.OK, r.Error = false, fmt.Sprint(v)
				}
			}()
			c.run()
		}()
		report(r)
	}
}
