package main

import (
	"errors"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
)

// answer is what the script says to everything but its key words.
const answer = "Grüße 😀\n\"done\""

// say asks with a word of the script.
func say(word string) func(*openai.ChatCompletionNewParams) {
	return func(p *openai.ChatCompletionNewParams) {
		p.Model = "org/tiny"
		p.Messages = []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage(word)}
	}
}

// scripted are the checks that need a server with a script.
var scripted = []namedCheck{
	{"whole", func() {
		c := create(func(p *openai.ChatCompletionNewParams) {
			say("hello")(p)
			p.Temperature, p.TopP, p.Seed, p.MaxTokens = param.NewOpt(0.5), param.NewOpt(0.9), param.NewOpt[int64](7), param.Opt[int64]{}
			p.MaxCompletionTokens, p.User = param.NewOpt[int64](33), param.NewOpt("me")
			p.Stop = openai.ChatCompletionNewParamsStopUnion{OfStringArray: []string{"a", "b"}}
		})
		m := c.Choices[0]
		must(m.Message.Content == answer && m.Message.Role == "assistant" && m.FinishReason == "stop" && c.Usage.TotalTokens == 12, "%s", c.RawJSON())
		must(m.Message.JSON.Refusal.Raw() == "null", "refusal is %q", m.Message.JSON.Refusal.Raw())
	}},
	{"stream", func() {
		p := ask(say("hello"))
		p.StreamOptions.IncludeUsage = param.NewOpt(true)
		s := client.Chat.Completions.NewStreaming(ctx, p)
		acc := openai.ChatCompletionAccumulator{}
		events, finished := 0, false
		for s.Next() {
			events++
			must(acc.AddChunk(s.Current()), "a chunk does not fit: %s", s.Current().RawJSON())
			if text, ok := acc.JustFinishedContent(); ok {
				finished = text == answer
			}
		}
		must(s.Err() == nil && finished && acc.Choices[0].FinishReason == "stop" && acc.Usage.TotalTokens == 12 && events == 6, "%d events, %+v, %v", events, acc, s.Err())
	}},
	{"heartbeats", func() {
		acc := stream(say("slow"))
		must(acc.Choices[0].Message.Content == "slow answer", "%+v", acc)
	}},
	{"length", func() {
		c := create(say("length"))
		must(c.Choices[0].FinishReason == "length", "%s", c.RawJSON())
	}},
	{"calls", func() {
		c, acc := create(say("calls")), stream(say("calls"))
		for _, m := range []openai.ChatCompletionChoice{c.Choices[0], acc.Choices[0]} {
			must(m.FinishReason == "tool_calls" && m.Message.Content == "Let me see." && len(m.Message.ToolCalls) == 2, "%+v", m)
			must(m.Message.ToolCalls[0].Function.Name == "f" && m.Message.ToolCalls[0].Function.Arguments == `{"a": 1}` && m.Message.ToolCalls[1].Function.Arguments == "{}", "%+v", m)
		}
	}},
	{"stream fails", func() {
		s := client.Chat.Completions.NewStreaming(ctx, ask(say("fails")))
		text := ""
		for s.Next() {
			text += s.Current().Choices[0].Delta.Content
		}
		must(s.Err() != nil && strings.Contains(s.Err().Error(), "internal") && text == "part", "%q, %v", text, s.Err())
	}},
	{"leaves", func() {
		s := client.Chat.Completions.NewStreaming(ctx, ask(say("for ever")))
		must(s.Next(), "%v", s.Err())
		must(s.Close() == nil, "close")
	}},
	{"models", func() {
		list, err := client.Models.List(ctx)
		must(err == nil && len(list.Data) == 1 && list.Data[0].ID == "org/tiny" && list.Data[0].Created == 1700000000 && list.Data[0].OwnedBy != "", "%+v, %v", list, err)
	}},
	{"errors", func() {
		for _, tt := range []struct {
			word        string
			status      int
			code, param string
		}{
			{"too long", 400, "context_length_exceeded", "messages"},
			{"template", 400, "invalid_messages", "messages"},
			{"busy", 429, "rate_limit_exceeded", ""},
		} {
			var e *openai.Error
			_, err := client.Chat.Completions.New(ctx, ask(say(tt.word)), option.WithMaxRetries(1))
			must(errors.As(err, &e) && e.StatusCode == tt.status && e.Code == tt.code && e.Param == tt.param && e.Message != "" && e.Type != "", "%s: %v", tt.word, err)
		}
	}},
}
