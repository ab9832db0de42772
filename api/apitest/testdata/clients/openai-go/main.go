// Every check of the matrix with the official Go client. Usage: client BASE KEY OPEN. With the word scripted in place of OPEN
// it runs the checks that need a server with a script, and "client fields" lists the fields of a request.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/packages/ssestream"
)

const (
	library = "github.com/openai/openai-go/v3"
	model   = "tiny"
)

var (
	ctx          = context.Background()
	client       openai.Client
	base         string
	openRequests string
)

// must ends a check.
func must(ok bool, format string, a ...any) {
	if !ok {
		panic(fmt.Sprintf(format, a...))
	}
}

func ask(change func(*openai.ChatCompletionNewParams)) openai.ChatCompletionNewParams {
	p := openai.ChatCompletionNewParams{
		Model: model, MaxTokens: param.NewOpt[int64](24), Seed: param.NewOpt[int64](7),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage("Hello")},
	}
	if change != nil {
		change(&p)
	}
	return p
}

func create(change func(*openai.ChatCompletionNewParams)) *openai.ChatCompletion {
	c, err := client.Chat.Completions.New(ctx, ask(change))
	must(err == nil, "%v", err)
	return c
}

// stream collects an answer with the library's accumulator.
func stream(change func(*openai.ChatCompletionNewParams)) openai.ChatCompletionAccumulator {
	return accumulate(client.Chat.Completions.NewStreaming(ctx, ask(change)))
}

func accumulate(s *ssestream.Stream[openai.ChatCompletionChunk]) (acc openai.ChatCompletionAccumulator) {
	for s.Next() {
		must(acc.AddChunk(s.Current()), "a chunk does not fit: %s", s.Current().RawJSON())
	}
	must(s.Err() == nil, "%v", s.Err())
	return acc
}

func tools(p *openai.ChatCompletionNewParams) {
	p.MaxTokens = param.NewOpt[int64](400)
	p.Tools = []openai.ChatCompletionToolUnionParam{
		openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
			Name: "weather", Description: param.NewOpt("The weather of a city"), Strict: param.NewOpt(true),
			Parameters: openai.FunctionParameters{
				"type": "object", "required": []string{"city", "days"}, "additionalProperties": false,
				"properties": map[string]any{
					"city": map[string]any{"type": "string", "maxLength": 12}, "days": map[string]any{"type": "integer", "minimum": 1, "maximum": 7},
				},
			},
		}),
		openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "now"}),
	}
}

// callsOf returns the answer and checks that a stream comes to the same calls.
func callsOf(change func(*openai.ChatCompletionNewParams)) openai.ChatCompletionChoice {
	both := func(p *openai.ChatCompletionNewParams) { tools(p); change(p) }
	one, acc := create(both).Choices[0], stream(both)
	two := acc.Choices[0]
	must(one.FinishReason == two.FinishReason && len(one.Message.ToolCalls) == len(two.Message.ToolCalls), "%+v, %+v", one, two)
	for i, c := range one.Message.ToolCalls {
		d := two.Message.ToolCalls[i]
		must(c.Function.Name == d.Function.Name && c.Function.Arguments == d.Function.Arguments && c.ID != "" && d.ID != "", "%+v, %+v", c, d)
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

func choice(mode string) openai.ChatCompletionToolChoiceOptionUnionParam {
	return openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: param.NewOpt(mode)}
}

type namedCheck struct {
	name string
	run  func()
}

// checks are in the order of the table.
var checks = []namedCheck{
	{"chat", func() {
		c := create(nil)
		m := c.Choices[0]
		must(m.Message.Content != "" && m.Message.Role == "assistant" && (m.FinishReason == "stop" || m.FinishReason == "length") && c.ID != "" && c.Model == model, "%s", c.RawJSON())
		one, err := client.Models.Get(ctx, model)
		must(err == nil && one.ID == model, "%v", err)
	}},
	{"stream", func() {
		one, acc := create(nil), stream(nil)
		must(acc.Choices[0].Message.Content == one.Choices[0].Message.Content && acc.Choices[0].FinishReason == one.Choices[0].FinishReason && acc.ID != "", "%+v", acc)
	}},
	{"usage", func() {
		u := create(nil).Usage
		must(u.TotalTokens == u.PromptTokens+u.CompletionTokens && u.PromptTokens > 0, "%+v", u)
		acc := stream(func(p *openai.ChatCompletionNewParams) { p.StreamOptions.IncludeUsage = param.NewOpt(true) })
		must(acc.Usage.CompletionTokens == u.CompletionTokens, "%+v", acc.Usage)
	}},
	{"n", func() {
		three := func(p *openai.ChatCompletionNewParams) { p.N = param.NewOpt[int64](3) }
		one, acc := create(three), stream(three)
		must(len(one.Choices) == 3 && len(acc.Choices) == 3 && one.Choices[0].Message.Content != one.Choices[1].Message.Content, "%s", one.RawJSON())
		for i := range 3 {
			must(one.Choices[i].Message.Content == acc.Choices[i].Message.Content, "choice %d", i)
		}
	}},
	{"logprobs", func() {
		entries := create(func(p *openai.ChatCompletionNewParams) {
			p.Logprobs, p.TopLogprobs = param.NewOpt(true), param.NewOpt[int64](3)
		}).Choices[0].Logprobs.Content
		must(len(entries) > 0 && len(entries[0].TopLogprobs) == 3, "%+v", entries)
	}},
	{"tools: auto", func() {
		one := callsOf(func(p *openai.ChatCompletionNewParams) { p.ToolChoice = choice("auto") })
		must(one.FinishReason == "length" || (one.FinishReason == "tool_calls") == (len(one.Message.ToolCalls) > 0), "%+v", one)
	}},
	{"tools: required", func() {
		one := callsOf(func(p *openai.ChatCompletionNewParams) {
			p.ToolChoice, p.ParallelToolCalls = choice("required"), param.NewOpt(false)
		})
		must(one.FinishReason == "tool_calls" && len(one.Message.ToolCalls) == 1, "%+v", one)
		answer := create(func(p *openai.ChatCompletionNewParams) {
			tools(p)
			p.ToolChoice = choice("none")
			p.Messages = append(p.Messages, one.Message.ToParam(), openai.ToolMessage("21", one.Message.ToolCalls[0].ID))
		})
		must(answer.Choices[0].Message.Content != "", "%s", answer.RawJSON())
	}},
	{"tools: named", func() {
		one := callsOf(func(p *openai.ChatCompletionNewParams) {
			p.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "now"})
		})
		must(len(one.Message.ToolCalls) == 1 && one.Message.ToolCalls[0].Function.Name == "now", "%+v", one)
	}},
	{"tools: none", func() {
		one := callsOf(func(p *openai.ChatCompletionNewParams) { p.ToolChoice = choice("none") })
		must(len(one.Message.ToolCalls) == 0 && one.Message.Content != "", "%+v", one)
	}},
	{"JSON schema", func() {
		schema := map[string]any{
			"type": "object", "required": []string{"kind", "n"}, "additionalProperties": false,
			"properties": map[string]any{"kind": map[string]any{"enum": []string{"a", "b"}}, "n": map[string]any{"type": "integer"}},
		}
		c := create(func(p *openai.ChatCompletionNewParams) {
			p.MaxTokens = param.NewOpt[int64](200)
			p.ResponseFormat.OfJSONSchema = &openai.ResponseFormatJSONSchemaParam{
				JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{Name: "x", Strict: param.NewOpt(true), Schema: schema},
			}
		})
		var v struct {
			Kind string
			N    *int64
		}
		err := json.Unmarshal([]byte(c.Choices[0].Message.Content), &v)
		must(err == nil && (v.Kind == "a" || v.Kind == "b") && v.N != nil, "%s: %v", c.RawJSON(), err)
	}},
	{"stop", func() {
		runes := []rune(create(nil).Choices[0].Message.Content)
		text, stop := string(runes), string(runes[5:8])
		got := create(func(p *openai.ChatCompletionNewParams) {
			p.Stop = openai.ChatCompletionNewParamsStopUnion{OfStringArray: []string{stop}}
		}).Choices[0]
		must(got.Message.Content == text[:strings.Index(text, stop)] && got.FinishReason == "stop", "%q, %+v", text, got)
	}},
	{"errors", checkErrors},
	{"waiting", func() {
		acc := stream(func(p *openai.ChatCompletionNewParams) { p.Model = "slow" })
		must(acc.Choices[0].Message.Content == create(nil).Choices[0].Message.Content, "%+v", acc)
		s := client.Chat.Completions.NewStreaming(ctx, ask(func(p *openai.ChatCompletionNewParams) { p.Model = "broken" }))
		must(!s.Next() && s.Err() != nil && strings.Contains(s.Err().Error(), "model_load_failed"), "%v", s.Err())
	}},
	{"cancel", func() {
		p := ask(func(p *openai.ChatCompletionNewParams) { p.MaxTokens = param.NewOpt[int64](3000) })
		s := client.Chat.Completions.NewStreaming(ctx, p, option.WithJSONSet("ignore_eos", true))
		must(s.Next(), "%v", s.Err())
		must(s.Close() == nil, "close")
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
		change func(*openai.ChatCompletionNewParams)
		status int
		param  string
	}{
		{func(p *openai.ChatCompletionNewParams) { p.Temperature = param.NewOpt(9.0) }, 400, "temperature"},
		{func(p *openai.ChatCompletionNewParams) { p.Model = "gpt-5" }, 404, "model"},
		{func(p *openai.ChatCompletionNewParams) {
			p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
				Name: "f", Parameters: openai.FunctionParameters{"type": "object", "not": map[string]any{}},
			})}
		}, 400, "tools[0].function.parameters"},
	} {
		var e *openai.Error
		_, err := client.Chat.Completions.New(ctx, ask(tt.change))
		must(errors.As(err, &e) && e.StatusCode == tt.status && e.Param == tt.param && e.Code != "", "%v", err)
		s := client.Chat.Completions.NewStreaming(ctx, ask(tt.change))
		must(!s.Next() && errors.As(s.Err(), &e) && e.StatusCode == tt.status, "%v", s.Err())
	}
	wrong := openai.NewClient(option.WithBaseURL(base), option.WithAPIKey("wrong"), option.WithMaxRetries(0))
	var e *openai.Error
	_, err := wrong.Models.List(ctx)
	must(errors.As(err, &e) && e.StatusCode == 401 && e.Code == "invalid_api_key", "%v", err)
}

type result struct {
	Client  string `json:"client,omitempty"`
	Version string `json:"version,omitempty"`
	Check   string `json:"check,omitempty"`
	OK      bool   `json:"ok"`
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
	if os.Args[1] == "fields" {
		params := reflect.TypeFor[openai.ChatCompletionNewParams]()
		for i := range params.NumField() {
			if name, _, _ := strings.Cut(params.Field(i).Tag.Get("json"), ","); name != "" {
				fmt.Println(name)
			}
		}
		return
	}
	base, openRequests = os.Args[1], os.Args[3]
	client = openai.NewClient(option.WithBaseURL(base), option.WithAPIKey(os.Args[2]), option.WithMaxRetries(0))
	list := checks
	if openRequests == "scripted" {
		list = scripted
	}
	report(result{Client: "openai-go", Version: version(), OK: true})
	for _, c := range list {
		r := result{Check: c.name, OK: true}
		func() {
			defer func() {
				if v := recover(); v != nil {
					r.OK, r.Error = false, fmt.Sprint(v)
				}
			}()
			c.run()
		}()
		report(r)
	}
}
