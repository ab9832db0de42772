package openai

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"aquifer/runtime/engine"
)

// field is one key of a chat completion request. Every key of OpenAI's specification stands in the tables below: what we
// honour, what has no effect here whatever its value, and what is fine only while it asks for nothing. All else is
// refused by name. null is the same as leaving a field out. docs/fields.md is made from the tables.
type field struct {
	name string
	rule
	// note says what the field does, or why the accepted values make no difference.
	note string
}

// rule says which values a field may have and takes them over.
type rule struct {
	values string
	set    func(r *chatRequest, v node, name string) *Error // or refuses them
}

// treatment is what becomes of a field.
type treatment struct {
	title  string
	fields []field
}

// Titles of treatments.
const (
	honoured   = "Honoured"
	extensions = "Honoured, not in OpenAI's specification: llama.cpp's names, and Ollama's keep_alive"
	noEffect   = "Accepted without effect"
	nothing    = "Refused, except for values that ask for nothing"
)

// treatments has all fields of a chat completion request.
func treatments() []treatment {
	return []treatment{{honoured, honouredFields()}, {extensions, extensionFields()}, {noEffect, effectlessFields()}, {nothing, refusedFields()}}
}

// chatFields lists them in one.
func chatFields() (all []field) {
	for _, t := range treatments() {
		all = append(all, t.fields...)
	}
	return all
}

func honouredFields() []field {
	return []field{
		{"model", rule{"a name from /v1/models", setModel}, "which model answers"},
		{"messages", rule{fmt.Sprintf("1 to %d messages", maxMessages), setMessages}, "the conversation, see below"},
		{"stream", truth(func(r *chatRequest, b bool) { r.stream = b }), "send the answer as it is made"},
		{"stream_options", rule{"include_usage; include_obfuscation: false", setStreamOptions}, "a last event with the usage; only with stream"},
		{"max_completion_tokens", integer(1, math.MaxInt32, func(r *chatRequest, n int64) { r.maxCompletion = int(n) }), "length of each choice; else the end of the context"},
		{"max_tokens", integer(1, math.MaxInt32, func(r *chatRequest, n int64) { r.maxTokens = int(n) }), "the older name; max_completion_tokens wins"},
		{"n", integer(1, engine.MaxChoices, func(r *chatRequest, n int64) { r.n = int(n) }), "choices; the prompt is run and counted once"},
		{"stop", rule{fmt.Sprintf("a string or up to %d, of 1 to %d bytes", maxStops, maxStopLen), setStop}, "the answer ends before the first of them"},
		{"seed", integer(math.MinInt64, math.MaxInt64, func(r *chatRequest, n int64) { r.seed, r.seeded = uint64(n), true }), "repeats an answer under the same system_fingerprint, and with --precision exact whatever else is running"},
		{"temperature", number(0, 2, func(s *engine.Sampling, f float32) { s.Temperature = f }), "0 takes the most likely token"},
		{"top_p", number(0, 1, setTopP), "keep the most likely tokens up to this probability; 0 keeps one"},
		{"presence_penalty", number(-2, 2, func(s *engine.Sampling, f float32) { s.PresencePenalty = f }), "subtracted from logits of tokens that were generated lately"},
		{"frequency_penalty", number(-2, 2, func(s *engine.Sampling, f float32) { s.FrequencyPenalty = f }), "the same for each time"},
		{"logit_bias", rule{fmt.Sprintf("up to %d token ids, each with -100 to 100", engine.MaxLogitBias), setLogitBias}, "added to the logits"},
		{"tools", rule{fmt.Sprintf("up to %d functions", maxTools), setTools}, "functions that the model may call; arguments are always what their schemas accept, strict or not; [how](tools.md)"},
		{"tool_choice", rule{"none, auto, required, a function, allowed_tools", setToolChoice}, "none does not show the tools to the model; required and a function leave it no other answer"},
		{"parallel_tool_calls", truth(func(r *chatRequest, b bool) { r.oneCall = !b }), "false: one call at most"},
		{"reasoning_effort", rule{strings.Join(efforts, ", "), setEffort}, "where the model's template knows it; none also where reasoning can be switched off; else what the model does anyway"},
		{"response_format", rule{"of type text, json_object or json_schema", setResponseFormat}, "the answer is JSON, or JSON that the schema accepts; [what is supported](structured-output.md)"},
		{"logprobs", truth(func(r *chatRequest, b bool) { r.logprobs = b }), "how likely the tokens were, under the model's own distribution"},
		{"prediction", rule{"of type content, with a text or text parts", setPrediction}, "a guess of the answer, which comes sooner where that is right; usage counts its tokens that were tried"},
		{"top_logprobs", integer(0, engine.MaxTopLogprobs, func(r *chatRequest, n int64) { r.topLogprobs = int(n) }), "and the most likely ones; only with logprobs"},
	}
}

func extensionFields() []field {
	return []field{
		{"top_k", integer(0, math.MaxInt32, sampling(func(s *engine.Sampling, n int64) { s.TopK = int(n) })), "keep the most likely tokens; 0 keeps all"},
		{"min_p", number(0, 1, func(s *engine.Sampling, f float32) { s.MinP = f }), "drop tokens less likely than this part of the best"},
		{"typical_p", number(0, 1, func(s *engine.Sampling, f float32) { s.TypicalP = explicit(f) }), "keep tokens of typical surprise up to this probability; 1 keeps all"},
		{"top_n_sigma", number(-1, 100, func(s *engine.Sampling, f float32) { s.TopNSigma = max(f, 0) }), "keep logits this many standard deviations below the best; 0 and less keep all"},
		{"xtc_probability", number(0, 1, func(s *engine.Sampling, f float32) { s.XTCProbability = f }), "how often to leave out the top choices"},
		{"xtc_threshold", number(0, 1, func(s *engine.Sampling, f float32) { s.XTCThreshold = explicit(f) }), "which ones: at least this likely, but the last of them"},
		{"dry_multiplier", number(0, 100, func(s *engine.Sampling, f float32) { s.DRYMultiplier = f }), "penalty for going on with a repetition; 0 is off"},
		{"dry_base", number(1, 100, func(s *engine.Sampling, f float32) { s.DRYBase = f }), "its growth with each token"},
		{"dry_allowed_length", integer(1, math.MaxInt32, sampling(func(s *engine.Sampling, n int64) { s.DRYAllowedLength = int(n) })), "repetitions from this length on count"},
		{"dry_penalty_last_n", integer(-1, math.MaxInt32, window(func(r *chatRequest) *bool { return &r.dryOff }, func(s *engine.Sampling, n int) { s.DRYLastN = n })), "tokens that are searched; -1 all, 0 turns it off"},
		{"dry_sequence_breakers", rule{fmt.Sprintf("1 to %d strings of 1 to %d bytes", engine.MaxDRYBreakers, engine.MaxDRYBreaker), setBreakers}, "no repetition reaches across them"},
		{"mirostat", rule{"0 or 2", setMirostat}, "2 is Mirostat 2.0, in place of all that cuts"},
		{"mirostat_tau", number(0, 100, func(s *engine.Sampling, f float32) { s.MirostatTau = explicit(f) }), "mean surprise, in bits"},
		{"mirostat_eta", number(0, 1, func(s *engine.Sampling, f float32) { s.MirostatEta = explicit(f) }), "how fast it is reached"},
		{"dynatemp_range", number(0, 2, func(s *engine.Sampling, f float32) { s.DynatempRange = f }), "the temperature varies by this much with the entropy"},
		{"dynatemp_exponent", number(0, 100, func(s *engine.Sampling, f float32) { s.DynatempExponent = explicit(f) }), "bends the way between"},
		{"repeat_penalty", number(0, 10, func(s *engine.Sampling, f float32) { s.RepeatPenalty = f }), "divides the logits of tokens that occurred lately; 0 and 1 are off, less than 0.01 is refused"},
		{"repeat_last_n", integer(-1, math.MaxInt32, window(func(r *chatRequest) *bool { return &r.penaltiesOff }, func(s *engine.Sampling, n int) { s.RepeatLastN = n })), "lately, for all three penalties; -1 all, 0 turns them off"},
		{"grammar", rule{"a GBNF grammar", setGrammar}, "the answer is a text that it generates"},
		{"json_schema", rule{"a JSON Schema", setSchema}, "the same as response_format with this schema"},
		{"chat_template_kwargs", rule{"an object", setVariables}, "variables of the model's chat template, such as enable_thinking; others are refused"},
		{"continue_final_message", truth(func(r *chatRequest, b bool) { r.continues = &b }), "go on with the last message, which is the assistant's; the default where it is"},
		{"add_generation_prompt", truth(func(r *chatRequest, b bool) { r.generates = &b }), "the opposite of continue_final_message"},
		{"ignore_eos", truth(func(r *chatRequest, b bool) { r.noEOS = b }), "never choose a token that ends the text"},
		{"n_predict", rule{"-1 or an integer from 1", setPredict}, "length of each choice, if neither max_tokens nor max_completion_tokens is given; -1 is no limit"},
		{"keep_alive", rule{"seconds, or a duration such as 10m or 1h30m", setKeepAlive}, "how long the model stays loaded after this request, and later ones that don't say: 0 unloads it at once, less than 0 keeps it until its memory is needed"},
	}
}

func effectlessFields() []field {
	return []field{
		{"user", rule{"a string", anyString}, "names an end user, for the operator of a service"},
		{"safety_identifier", rule{"a string", anyString}, "names an end user, for the operator of a service"},
		{"metadata", rule{"an object of strings", anyStrings}, "labels for stored answers; none are stored"},
		{"store", rule{"true or false", anyBool}, "answers are not stored, whoever asks"},
		{"service_tier", rule{strings.Join(tiers, ", "), words(tiers...)}, "there is one tier"},
		{"prompt_cache_key", rule{"a string", anyString}, "a hint for caches; every prompt is looked for among the client's own"},
		{"prompt_cache_retention", rule{"a string", anyString}, "a hint for caches"},
		{"prompt_cache_options", rule{"an object of strings", anyStrings}, "a hint for caches"},
	}
}

// tiers are those that OpenAI sells.
var tiers = []string{"auto", "default", "flex", "scale", "priority", "fast"}

func refusedFields() []field {
	return []field{
		{"modalities", only(`["text"]`, isTextModality), "text only"},
		{"functions", only("[]", isEmptyArray), "the old form of tools: use those"},
		{"function_call", only(`"none" or "auto"`, oneOf("none", "auto")), "the old form of tool_choice: use that"},
		{"verbosity", only(`"medium"`, oneOf("medium")), "the default"},
		{"audio", only("null", never), "no audio"},
		{"moderation", only("null", never), "no moderation"},
		{"web_search_options", only("null", never), "no web search"},
		{"cache_prompt", only("true", isBool(true)), "llama.cpp's; prompts are looked for in the cache"},
		{"id_slot", only("-1", isNumber(-1)), "llama.cpp's; no slots to choose from"},
		{"n_probs", only("0", isNumber(0)), "llama.cpp's; use top_logprobs"},
		{"min_keep", only("0", isNumber(0)), "llama.cpp's; its default"},
		{"n_keep", only("0", isNumber(0)), "llama.cpp's; nothing is dropped from a context"},
		{"samplers", only("[]", isEmptyArray), "llama.cpp's; the order is its default"},
		{"post_sampling_probs", only("false", isBool(false)), "llama.cpp's; log-probabilities are the model's own"},
		{"return_tokens", only("false", isBool(false)), "llama.cpp's"},
		{"return_progress", only("false", isBool(false)), "llama.cpp's"},
		{"timings_per_token", only("false", isBool(false)), "llama.cpp's"},
		{"reasoning_format", only(`"auto" or "deepseek"`, oneOf("auto", "deepseek")), "llama.cpp's; reasoning comes apart from the content"},
		{"parse_tool_calls", only("true", isBool(true)), "llama.cpp's; calls come apart from the content"},
	}
}

// wrongType is the error of a value of the wrong JSON type.
func wrongType(name, want string, v node) *Error {
	return Invalid(400, "invalid_type", name, "'%s' must be %s, not %s", name, want, v.kind)
}

func truth(set func(*chatRequest, bool)) rule {
	return rule{"true or false", func(r *chatRequest, v node, name string) *Error {
		if v.kind != kindBool {
			return wrongType(name, "a boolean", v)
		}
		set(r, v.truth)
		return nil
	}}
}

// integer accepts whole numbers written without fraction, exponent or minus zero.
func integer(lo, hi int64, set func(*chatRequest, int64)) rule {
	values := fmt.Sprintf("an integer from %d to %d", lo, hi)
	if hi == math.MaxInt32 {
		values = fmt.Sprintf("an integer from %d", lo)
	}
	return rule{values, func(r *chatRequest, v node, name string) *Error {
		if v.kind != kindNumber {
			return wrongType(name, "an integer", v)
		}
		n, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil || v.text == "-0" || n < lo || n > hi {
			return badParam(name, "must be an integer from %d to %d", lo, hi)
		}
		set(r, n)
		return nil
	}}
}

// number accepts lo to hi, both included.
func number(lo, hi float64, set func(*engine.Sampling, float32)) rule {
	return rule{fmt.Sprintf("%g to %g", lo, hi), func(r *chatRequest, v node, name string) *Error {
		if v.kind != kindNumber {
			return wrongType(name, "a number", v)
		}
		f, err := strconv.ParseFloat(v.text, 64)
		if err != nil || f < lo || f > hi || f == 0 && math.Signbit(f) {
			return badParam(name, "must be a number from %g to %g", lo, hi)
		}
		r.sampling = append(r.sampling, func(s *engine.Sampling) { set(s, float32(f)) })
		return nil
	}}
}

// setTopP: the smallest set of tokens is the most likely one alone, which the sampler spells TopK 1.
func setTopP(s *engine.Sampling, f float32) {
	s.TopP = f
	if f == 0 {
		s.TopK = 1
	}
}

func setModel(r *chatRequest, v node, name string) *Error {
	if v.kind != kindString {
		return wrongType(name, "a string", v)
	}
	r.model = v.text
	return nil
}

func setStreamOptions(r *chatRequest, v node, name string) *Error {
	if v.kind != kindObject {
		return wrongType(name, "an object", v)
	}
	r.streamOptions = true
	for i, key := range v.keys {
		name, v := name+"."+key, v.items[i]
		switch {
		case key != "include_usage" && key != "include_obfuscation":
			if !r.lenient {
				return unknown(name)
			}
		case v.kind == kindNull:
		case v.kind != kindBool:
			return wrongType(name, "a boolean", v)
		case key == "include_usage":
			r.includeUsage = v.truth
		case v.truth:
			return unsupported(name, "is supported as false only")
		}
	}
	return nil
}

// Limits of stop strings.
const (
	maxStops   = 16
	maxStopLen = 1024
)

func setStop(r *chatRequest, v node, name string) *Error {
	list := v.items
	switch v.kind {
	case kindString:
		list = []node{v}
	case kindArray:
	default:
		return wrongType(name, "a string or an array of strings", v)
	}
	if len(list) > maxStops {
		return badParam(name, "must not have more than %d strings, it has %d", maxStops, len(list))
	}
	for i, s := range list {
		item := name
		if v.kind == kindArray {
			item = name + "[" + strconv.Itoa(i) + "]"
		}
		if s.kind != kindString {
			return wrongType(item, "a string", s)
		}
		if s.text == "" || len(s.text) > maxStopLen {
			return badParam(item, "must have from 1 to %d bytes", maxStopLen)
		}
		r.stop = append(r.stop, s.text)
	}
	return nil
}

func anyString(_ *chatRequest, v node, name string) *Error {
	if v.kind != kindString {
		return wrongType(name, "a string", v)
	}
	return nil
}

func anyBool(_ *chatRequest, v node, name string) *Error {
	if v.kind != kindBool {
		return wrongType(name, "a boolean", v)
	}
	return nil
}

func anyStrings(_ *chatRequest, v node, name string) *Error {
	if v.kind != kindObject {
		return wrongType(name, "an object", v)
	}
	for _, item := range v.items {
		if item.kind != kindString {
			return wrongType(name, "an object of strings", item)
		}
	}
	return nil
}

// only accepts the values that ask for nothing special.
func only(what string, ok func(node) bool) rule {
	return rule{what, func(_ *chatRequest, v node, name string) *Error {
		if !ok(v) {
			return unsupported(name, "is supported as %s only", what)
		}
		return nil
	}}
}

// words accepts some strings.
func words(list ...string) func(*chatRequest, node, string) *Error {
	return func(_ *chatRequest, v node, name string) *Error {
		if v.kind != kindString {
			return wrongType(name, "a string", v)
		}
		if !slices.Contains(list, v.text) {
			return badParam(name, "must be one of %s", strings.Join(list, ", "))
		}
		return nil
	}
}

func never(node) bool { return false }

func oneOf(words ...string) func(node) bool {
	return func(v node) bool {
		for _, w := range words {
			if v.kind == kindString && v.text == w {
				return true
			}
		}
		return false
	}
}

func isEmptyArray(v node) bool { return v.kind == kindArray && len(v.items) == 0 }

func isTextModality(v node) bool {
	return v.kind == kindArray && len(v.items) == 1 && v.items[0].kind == kindString && v.items[0].text == "text"
}

// unknown is the error of a field that does not exist. param carries its name, cut to a sane length.
func unknown(name string) *Error {
	short := strings.Trim(quoteName(name), `"`)
	return Invalid(400, "unknown_parameter", short, "'%s' is not a parameter of this endpoint", short)
}
