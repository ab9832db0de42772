package openai

import (
	"crypto/rand"

	"aquifer/runtime/engine"
)

// The shapes of answers. Keys that clients require are never left out: null where there is nothing to say.

type completion struct {
	ID          string   `json:"id"`
	Object      string   `json:"object"`
	Created     int64    `json:"created"`
	Model       string   `json:"model"`
	Fingerprint string   `json:"system_fingerprint"`
	Choices     []choice `json:"choices"`
	Usage       *usage   `json:"usage"`
}

type choice struct {
	Index        int       `json:"index"`
	Message      reply     `json:"message"`
	Logprobs     *logprobs `json:"logprobs"` // null if not asked for
	FinishReason string    `json:"finish_reason"`
}

type reply struct {
	Role    string  `json:"role"`
	Content *string `json:"content"` // null if there are calls instead
	Refusal *string `json:"refusal"` // always null
	thought
	Calls []toolCall `json:"tool_calls,omitempty"`
}

// thought is reasoning, under both names that clients know.
type thought struct {
	ReasoningContent string `json:"reasoning_content,omitempty"`
	Reasoning        string `json:"reasoning,omitempty"`
}

type toolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function functionCall `json:"function"`
}

type functionCall struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type usage struct {
	PromptTokens     int           `json:"prompt_tokens"`
	CompletionTokens int           `json:"completion_tokens"`
	TotalTokens      int           `json:"total_tokens"`
	PromptDetails    promptDetails `json:"prompt_tokens_details"`
	Details          details       `json:"completion_tokens_details"`
}

// details takes apart the tokens of answers. OpenAI counts those of a prediction that were rejected as generated; here they
// are not.
type details struct {
	Reasoning int `json:"reasoning_tokens"`
	Accepted  int `json:"accepted_prediction_tokens"`
	Rejected  int `json:"rejected_prediction_tokens"`
}

type promptDetails struct {
	CachedTokens int `json:"cached_tokens"`
}

func usageOf(u *engine.Usage) *usage {
	if u == nil {
		return &usage{}
	}
	return &usage{
		PromptTokens: u.Prompt, CompletionTokens: u.Completion, TotalTokens: u.Prompt + u.Completion,
		PromptDetails: promptDetails{u.Cached},
		Details:       details{Reasoning: u.Reasoning, Accepted: u.Accepted, Rejected: u.Rejected},
	}
}

// chunk is an event of a stream. Usage is null in all but the last if usage was asked for, absent otherwise.
type chunk struct {
	ID          string        `json:"id"`
	Object      string        `json:"object"`
	Created     int64         `json:"created"`
	Model       string        `json:"model"`
	Fingerprint string        `json:"system_fingerprint"`
	Choices     []chunkChoice `json:"choices"`
}

type chunkWithUsage struct {
	chunk
	Usage *usage `json:"usage"`
}

type chunkChoice struct {
	Index        int       `json:"index"`
	Delta        any       `json:"delta"` // opening, thought, more, moreCalls or struct{}
	Logprobs     *logprobs `json:"logprobs"`
	FinishReason *string   `json:"finish_reason"`
}

// opening is the first delta: who speaks. more are those with text, moreCalls those with calls; the last one is empty.
type (
	opening = reply
	more    struct {
		Content string `json:"content"`
	}
	moreCalls struct {
		Calls []any `json:"tool_calls"` // openingCall or moreCall
	}
	// openingCall is the first of a call.
	openingCall struct {
		Index int `json:"index"`
		toolCall
	}
	moreCall struct {
		Index    int           `json:"index"`
		Function moreArguments `json:"function"`
	}
	moreArguments struct {
		Arguments string `json:"arguments"`
	}
)

// newCallID names a call for the message with its result.
func newCallID() string {
	return "call_" + rand.Text()[:24]
}

// answerOf is a whole answer.
func answerOf(content, reasoning string, calls []engine.CallPart) reply {
	m := reply{Role: "assistant", thought: thought{reasoning, reasoning}}
	if content != "" || len(calls) == 0 {
		m.Content = &content
	}
	for _, c := range calls {
		if c.Name != "" {
			m.Calls = append(m.Calls, toolCall{newCallID(), "function", functionCall{c.Name, ""}})
		}
		m.Calls[len(m.Calls)-1].Function.Arguments += c.Arguments
	}
	return m
}

// deltas are the parts of calls in a stream.
func deltas(calls []engine.CallPart) (out []any) {
	for _, c := range calls {
		if c.Name != "" {
			out = append(out, moreCalls{[]any{openingCall{c.Index, toolCall{newCallID(), "function", functionCall{c.Name, ""}}}}})
		}
		if c.Arguments != "" {
			out = append(out, moreCalls{[]any{moreCall{c.Index, moreArguments{c.Arguments}}}})
		}
	}
	return out
}

type modelObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`

	// Not OpenAI's: other names, and llama.cpp's way to say whether a model is in memory.
	Aliases []string `json:"aliases,omitempty"`
	Status  struct {
		Value string `json:"value"` // loaded, loading, unloading or unloaded
	} `json:"status"`
}

type modelList struct {
	Object string        `json:"object"`
	Data   []modelObject `json:"data"`
}
