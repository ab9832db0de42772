package openai

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"time"

	"aquifer/runtime/engine"
)

// chatRequest is a decoded request for a chat completion.
type chatRequest struct {
	lenient       bool // fields that do not exist are left out instead of refused
	model         string
	messages      []engine.Message
	stream        bool
	streamOptions bool // was given
	includeUsage  bool
	maxTokens     int // 0: not given
	maxCompletion int // 0: not given; wins over maxTokens
	predict       int // 0: not given or without limit; both win over it
	n             int // 0: not given
	noEOS         bool
	penaltiesOff  bool // the window is empty
	dryOff        bool // likewise
	stop          []string
	seed          uint64
	seeded        bool
	logprobs      bool
	topLogprobs   int
	prediction    string
	predicted     bool // a prediction was sent

	tools      []engine.Tool
	toolChoice engine.ToolChoice
	noTools    bool // must be called
	oneCall    bool // at most
	effort     string
	variables  []engine.Variable
	continues  *bool // the last message; nil: if it is the assistant's
	generates  *bool // a message of its own; nil: not given

	constraint      *engine.Constraint
	constraintParam string // that set it

	keepAlive *time.Duration // how long the model stays loaded afterwards; nil: not given

	sampling []func(*engine.Sampling) // changes to the model's defaults
}

// decodeChat reads a request's JSON. If it is lenient it leaves out fields that do not exist; those that exist and are not
// supported are refused in any case.
func decodeChat(body []byte, lenient bool) (*chatRequest, *Error) {
	tree, err := parseJSON(body)
	if err != nil {
		return nil, Invalid(http.StatusBadRequest, "invalid_json", "", "the body is not valid JSON: %v", err)
	}
	if tree.kind != kindObject {
		return nil, Invalid(http.StatusBadRequest, "invalid_json", "", "the body must be a JSON object, not %s", tree.kind)
	}
	known := make(map[string]field)
	for _, f := range chatFields() {
		known[f.name] = f
	}
	r := &chatRequest{lenient: lenient}
	for i, key := range tree.keys {
		f, ok := known[key]
		if !ok && !lenient {
			return nil, unknown(key)
		}
		if !ok || tree.items[i].kind == kindNull {
			continue
		}
		if e := f.set(r, tree.items[i], key); e != nil {
			return nil, e
		}
	}
	switch {
	case r.model == "":
		return nil, Invalid(http.StatusBadRequest, "missing_required_parameter", "model", "'model' is required")
	case r.messages == nil:
		return nil, Invalid(http.StatusBadRequest, "missing_required_parameter", "messages", "'messages' is required")
	case r.streamOptions && !r.stream:
		return nil, badParam("stream_options", "is only allowed when 'stream' is true")
	case r.topLogprobs > 0 && !r.logprobs:
		return nil, badParam("top_logprobs", "is only allowed when 'logprobs' is true")
	}
	if e := r.checkTools(); e != nil {
		return nil, e
	}
	return r, r.checkContinue()
}

// checkContinue decides whether the answer goes on with the last message. It does if that is the assistant's and the
// request does not say otherwise.
func (r *chatRequest) checkContinue() *Error {
	last := r.messages[len(r.messages)-1]
	possible := last.Role == "assistant" && len(last.Calls) == 0
	if r.continues == nil {
		r.continues = &possible
	}
	switch {
	case *r.continues && !possible:
		return badParam("continue_final_message", "needs a last message of the role assistant, without tool_calls")
	case r.generates != nil && *r.generates == *r.continues:
		return badParam("add_generation_prompt", "must be the opposite of continue_final_message")
	}
	return nil
}

// engineRequest fills in the model's defaults. Without a seed every request gets one of its own.
func (r *chatRequest) engineRequest(defaults engine.Sampling) engine.ChatRequest {
	s := defaults
	for _, change := range r.sampling {
		change(&s)
	}
	s.Seed = r.seed
	if !r.seeded {
		s.Seed = rand.Uint64()
	}
	if r.penaltiesOff {
		s.RepeatPenalty, s.PresencePenalty, s.FrequencyPenalty = 0, 0, 0
	}
	if r.dryOff {
		s.DRYMultiplier = 0
	}
	limit := cmp.Or(r.maxCompletion, r.maxTokens, r.predict)
	tools := r.tools
	if r.noTools { // what must not be called is not shown
		tools = nil
	}
	return engine.ChatRequest{
		Tools: tools, ToolChoice: r.toolChoice, Variables: r.variables, Effort: r.effort, Continue: *r.continues,
		Messages: r.messages, MaxTokens: limit, Sampling: s, Stop: r.stop,
		Logprobs: r.logprobs, TopLogprobs: r.topLogprobs, N: r.n, NoEOS: r.noEOS, Constraint: r.constraint,
		Prediction: r.prediction,
	}
}
