package openai

import "aquifer/runtime/engine"

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
	Content string  `json:"content"`
	Refusal *string `json:"refusal"` // always null
}

type usage struct {
	PromptTokens     int           `json:"prompt_tokens"`
	CompletionTokens int           `json:"completion_tokens"`
	TotalTokens      int           `json:"total_tokens"`
	PromptDetails    promptDetails `json:"prompt_tokens_details"`
	// CompletionDetails is there if a prediction was sent.
	CompletionDetails *completionDetails `json:"completion_tokens_details,omitempty"`
}

// completionDetails counts the tokens of a prediction that were tried. OpenAI counts rejected ones as generated; here they
// are not.
type completionDetails struct {
	Accepted int `json:"accepted_prediction_tokens"`
	Rejected int `json:"rejected_prediction_tokens"`
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
	Delta        any       `json:"delta"` // opening, more or struct{}
	Logprobs     *logprobs `json:"logprobs"`
	FinishReason *string   `json:"finish_reason"`
}

// opening is the first delta: who speaks. more are those with text; the last one is empty.
type (
	opening = reply
	more    struct {
		Content string `json:"content"`
	}
)

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
