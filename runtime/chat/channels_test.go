package chat

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"aquifer/runtime/grammar"
)

// TestChannels takes answers apart that are made of messages.
func TestChannels(t *testing.T) {
	const next = "<|end|><|start|>assistant"
	call := []CallPart{{Name: "now", Arguments: `{"list": []}`}}
	for _, tt := range []struct {
		name    string
		tools   bool
		answer  string
		want    Parts
		written bool // in the form that answers are held to
	}{
		{"final", true, "<|channel|>final<|message|>Hi <b>", Parts{Content: "Hi <b>"}, true},
		{"reasoning", true, "<|channel|>analysis<|message|>Hm <|" + next + "<|channel|>final<|message|>Hi<|e", Parts{Reasoning: "Hm <|", Content: "Hi<|e"}, true},
		{"call", true, "<|channel|>analysis<|message|>Hm" + next + "<|channel|>commentary to=functions.now <|constrain|>json<|message|>{\"list\": []}", Parts{Reasoning: "Hm", Calls: call}, true},
		{"call, recipient first", true, " to=functions.now<|channel|>commentary json<|message|>{\"list\": []}", Parts{Calls: call}, true},
		{
			"preamble, thoughts, call", true,
			"<|channel|>commentary<|message|>I look." + next + "<|channel|>analysis<|message|>a" + next + "<|channel|>analysis<|message|>b" + next + " to=functions.now<|channel|>commentary <|constrain|>json<|message|>{\"list\": []}",
			Parts{Reasoning: "a\n\nb", Content: "I look.", Calls: call},
			true,
		},
		{
			"a mark in a string", true, "<|channel|>commentary to=functions.get_weather json<|message|>{\"city\": \"<|end|>\\\"\"}",
			Parts{Calls: []CallPart{{Name: "get_weather", Arguments: `{"city": "<|end|>\""}`}}},
			true,
		},
		{"text behind a call", true, "<|channel|>commentary to=functions.now json<|message|>{} and more" + next + "<|channel|>final<|message|>x", Parts{Content: "x", Calls: []CallPart{{Name: "now", Arguments: "{}"}}}, false},
		{"no tools", false, "<|channel|>commentary to=functions.now json<|message|>{}", Parts{Content: "{}"}, false},
		{"another recipient", true, "<|channel|>analysis to=python code<|message|>1+1" + next + "<|channel|>final<|message|>2", Parts{Content: "2"}, false},
		{"without channels", true, "Hello", Parts{Content: "Hello"}, false},
		{"cut in a header", true, "<|channel|>fin", Parts{}, false},
		{"cut in arguments", true, "<|channel|>commentary to=functions.now json<|message|>{\"li", Parts{Calls: []CallPart{{Name: "now", Arguments: `{"li`}}}, false},
	} {
		c := Conversation{Messages: []Message{{Role: "user", Content: "Hi"}}}
		if tt.tools {
			c.Tools = twoTools
		}
		turn, err := newFormat(t, "Harmony", false).Render(c)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			if p := readAll(turn.Reader(), rng, tt.answer); !reflect.DeepEqual(p, tt.want) {
				t.Fatalf("%s:\ngot  %+v\nwant %+v", tt.name, p, tt.want)
			}
		}
		if src, err := turn.Form(nil); err != nil || tt.written && src == nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if tt.written {
			accepts(t, *src, tt.answer)
		}
	}
}

// TestChannelsOwnForm: the form of an answer is that of its final message, whatever stands in front of it.
func TestChannelsOwnForm(t *testing.T) {
	own := grammar.Source{Kind: grammar.JSONSchema, Text: `{"type":"integer"}`}
	for _, tools := range [][]Tool{nil, twoTools} {
		turn, err := newFormat(t, "Harmony", false).Render(Conversation{Messages: []Message{{Role: "user", Content: "Hi"}}, Tools: tools})
		if err != nil {
			t.Fatal(err)
		}
		src, err := turn.Form(&own)
		if err != nil {
			t.Fatal(err)
		}
		accepts(t, *src, "<|channel|>final<|message|>12")
		accepts(t, *src, "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>12")
		if tools != nil {
			accepts(t, *src, "<|channel|>commentary to=functions.now json<|message|>{}")
		}
	}
	turn, err := newFormat(t, "Harmony", false).Render(Conversation{
		Messages: []Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: "So 1"}}, Continue: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if prompt := text(turn.Prompt); !strings.HasSuffix(prompt, "<|channel|>final<|message|>So 1") {
		t.Errorf("prompt %q", prompt)
	}
	if p := readAll(turn.Reader(), rand.New(rand.NewPCG(1, 2)), "2"); p.Content != "2" {
		t.Errorf("%+v", p)
	}
	src, err := turn.Form(&own)
	if err != nil {
		t.Fatal(err)
	}
	accepts(t, *src, "2")
}

// TestChannelsHistory: calls of one message are shown one by one, each with its result, and with what was thought.
func TestChannelsHistory(t *testing.T) {
	turn, err := newFormat(t, "Harmony", false).Render(Conversation{Tools: twoTools, Messages: []Message{
		{Role: "user", Content: "Hi"},
		{Role: "assistant", Reasoning: "Hm", Calls: []ToolCall{{ID: "1", Name: "now", Arguments: "{}"}, {ID: "2", Name: "get_weather", Arguments: `{"city":"Bern"}`}}},
		{Role: "tool", CallID: "2", Content: "rain"},
		{Role: "tool", CallID: "1", Content: "noon"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := "<|start|>assistant<|channel|>analysis<|message|>Hm<|end|><|start|>assistant to=functions.now<|channel|>commentary json<|message|>{}<|call|><|start|>tool<|message|>noon<|end|>" +
		"<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>{\"city\": \"Bern\"}<|call|><|start|>tool<|message|>rain<|end|><|start|>assistant"
	if prompt := text(turn.Prompt); !strings.HasSuffix(prompt, want) {
		t.Errorf("got  %q\nwant %q", prompt, want)
	}
	_, err = newFormat(t, "Harmony", false).Render(Conversation{
		Tools: twoTools, Choice: Choice{Must: true}, Continue: true, Messages: []Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: "So"}},
	})
	if e, ok := err.(*Error); !ok || e.Param != "tool_choice" {
		t.Errorf("a call inside a message: %v", err)
	}
}
