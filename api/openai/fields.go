package openai

import (
	"math"
	"strconv"
	"strings"

	"aquifer/runtime/engine"
)

// field is one key of a chat completion request. Every key of OpenAI's specification stands in the table below: what we
// honour, what has no effect here whatever its value, and what is fine only while it asks for nothing. All else is
// refused by name. null is the same as leaving a field out.
type field struct {
	name string
	// set takes the value over, or refuses it.
	set func(r *chatRequest, v node, name string) *Error
	// note says, for fields that are not honoured, why the accepted values make no difference.
	note string
}

// chatFields is the table of all keys of a chat completion request.
func chatFields() []field {
	return []field{
		// Honoured.
		{"model", setModel, ""},
		{"messages", setMessages, ""},
		{"stream", truth(func(r *chatRequest, b bool) { r.stream = b }), ""},
		{"stream_options", setStreamOptions, ""},
		{"max_tokens", integer(1, math.MaxInt32, func(r *chatRequest, n int64) { r.maxTokens = int(n) }), ""},
		{"max_completion_tokens", integer(1, math.MaxInt32, func(r *chatRequest, n int64) { r.maxCompletion = int(n) }), ""},
		{"stop", setStop, ""},
		{"seed", integer(math.MinInt64, math.MaxInt64, func(r *chatRequest, n int64) { r.seed, r.seeded = uint64(n), true }), ""},
		{"temperature", number(0, 2, func(s *engine.Sampling, f float32) { s.Temperature = f }), ""},
		{"top_p", number(0, 1, setTopP), ""},
		{"presence_penalty", number(-2, 2, func(s *engine.Sampling, f float32) { s.PresencePenalty = f }), ""},
		{"frequency_penalty", number(-2, 2, func(s *engine.Sampling, f float32) { s.FrequencyPenalty = f }), ""},
		{"logprobs", truth(func(r *chatRequest, b bool) { r.logprobs = b }), ""},
		{"top_logprobs", integer(0, engine.MaxTopLogprobs, func(r *chatRequest, n int64) { r.topLogprobs = int(n) }), ""},
		{"n", integer(1, engine.MaxChoices, func(r *chatRequest, n int64) { r.n = int(n) }), ""},
		{"logit_bias", setLogitBias, ""},
		// Honoured, not in OpenAI's specification; the names are llama.cpp's.
		{"top_k", integer(0, math.MaxInt32, sampling(func(s *engine.Sampling, n int64) { s.TopK = int(n) })), ""},
		{"min_p", number(0, 1, func(s *engine.Sampling, f float32) { s.MinP = f }), ""},
		{"typical_p", number(0, 1, func(s *engine.Sampling, f float32) { s.TypicalP = explicit(f) }), ""},
		{"top_n_sigma", number(-1, 100, func(s *engine.Sampling, f float32) { s.TopNSigma = max(f, 0) }), ""},
		{"xtc_probability", number(0, 1, func(s *engine.Sampling, f float32) { s.XTCProbability = f }), ""},
		{"xtc_threshold", number(0, 1, func(s *engine.Sampling, f float32) { s.XTCThreshold = explicit(f) }), ""},
		{"dynatemp_range", number(0, 2, func(s *engine.Sampling, f float32) { s.DynatempRange = f }), ""},
		{"dynatemp_exponent", number(0, 100, func(s *engine.Sampling, f float32) { s.DynatempExponent = explicit(f) }), ""},
		{"mirostat", setMirostat, ""},
		{"mirostat_tau", number(0, 100, func(s *engine.Sampling, f float32) { s.MirostatTau = explicit(f) }), ""},
		{"mirostat_eta", number(0, 1, func(s *engine.Sampling, f float32) { s.MirostatEta = explicit(f) }), ""},
		{"repeat_penalty", number(0, 10, func(s *engine.Sampling, f float32) { s.RepeatPenalty = f }), ""},
		{"repeat_last_n", integer(-1, math.MaxInt32, func(r *chatRequest, n int64) {
			r.penaltiesOff = n == 0
			sampling(func(s *engine.Sampling, n int64) { s.RepeatLastN = int(n) })(r, n)
		}), ""},
		{"dry_multiplier", number(0, 100, func(s *engine.Sampling, f float32) { s.DRYMultiplier = f }), ""},
		{"dry_base", number(1, 100, func(s *engine.Sampling, f float32) { s.DRYBase = f }), ""},
		{"dry_allowed_length", integer(1, math.MaxInt32, sampling(func(s *engine.Sampling, n int64) { s.DRYAllowedLength = int(n) })), ""},
		{"dry_penalty_last_n", integer(-1, math.MaxInt32, func(r *chatRequest, n int64) {
			r.dryOff = n == 0
			sampling(func(s *engine.Sampling, n int64) { s.DRYLastN = int(n) })(r, n)
		}), ""},
		{"dry_sequence_breakers", setBreakers, ""},
		{"ignore_eos", truth(func(r *chatRequest, b bool) { r.noEOS = b }), ""},
		{"n_predict", setPredict, ""},

		// Without effect.
		{"user", anyString, "names an end user, for the operator of a service"},
		{"safety_identifier", anyString, "names an end user, for the operator of a service"},
		{"prompt_cache_key", anyString, "a hint for caches; answers do not depend on it"},
		{"prompt_cache_retention", anyString, "a hint for caches; answers do not depend on it"},
		{"metadata", anyStrings, "labels for stored answers; none are stored"},
		{"parallel_tool_calls", anyBool, "about tool calls, which need tools"},

		// Accepted while they ask for what is done anyway.
		{"store", only("false", func(v node) bool { return v.kind == kindBool && !v.truth }), "answers are not stored"},
		{"service_tier", only(`"auto" or "default"`, oneOf("auto", "default")), "there is one tier"},
		{"response_format", only(`{"type":"text"}`, isTextFormat), "free text"},
		{"modalities", only(`["text"]`, isTextModality), "text only"},
		{"tools", only("[]", isEmptyArray), "no tools"},
		{"tool_choice", only(`"none" or "auto"`, oneOf("none", "auto")), "without tools no choice"},
		{"functions", only("[]", isEmptyArray), "no functions"},
		{"function_call", only(`"none" or "auto"`, oneOf("none", "auto")), "without functions no choice"},
		{"reasoning_effort", only(`"none"`, oneOf("none")), "no separate reasoning"},
		{"verbosity", only(`"medium"`, oneOf("medium")), "the default"},
		{"audio", only("null", never), "no audio"},
		{"prediction", only("null", never), "no predicted output"},
		{"web_search_options", only("null", never), "no web search"},
	}
}

// wrongType is the error of a value of the wrong JSON type.
func wrongType(name, want string, v node) *Error {
	return Invalid(400, "invalid_type", name, "'%s' must be %s, not %s", name, want, v.kind)
}

func truth(set func(*chatRequest, bool)) func(*chatRequest, node, string) *Error {
	return func(r *chatRequest, v node, name string) *Error {
		if v.kind != kindBool {
			return wrongType(name, "a boolean", v)
		}
		set(r, v.truth)
		return nil
	}
}

// integer accepts whole numbers written without fraction, exponent or minus zero.
func integer(lo, hi int64, set func(*chatRequest, int64)) func(*chatRequest, node, string) *Error {
	return func(r *chatRequest, v node, name string) *Error {
		if v.kind != kindNumber {
			return wrongType(name, "an integer", v)
		}
		n, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil || v.text == "-0" || n < lo || n > hi {
			return badParam(name, "must be an integer from %d to %d", lo, hi)
		}
		set(r, n)
		return nil
	}
}

// number accepts lo to hi, both included.
func number(lo, hi float64, set func(*engine.Sampling, float32)) func(*chatRequest, node, string) *Error {
	return func(r *chatRequest, v node, name string) *Error {
		if v.kind != kindNumber {
			return wrongType(name, "a number", v)
		}
		f, err := strconv.ParseFloat(v.text, 64)
		if err != nil || f < lo || f > hi || f == 0 && math.Signbit(f) {
			return badParam(name, "must be a number from %g to %g", lo, hi)
		}
		r.sampling = append(r.sampling, func(s *engine.Sampling) { set(s, float32(f)) })
		return nil
	}
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
			return unknown(name)
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
func only(what string, ok func(node) bool) func(*chatRequest, node, string) *Error {
	return func(_ *chatRequest, v node, name string) *Error {
		if !ok(v) {
			return unsupported(name, "is supported as %s only", what)
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

func isTextFormat(v node) bool {
	return v.kind == kindObject && len(v.keys) == 1 && v.keys[0] == "type" && v.items[0].kind == kindString && v.items[0].text == "text"
}

func isTextModality(v node) bool {
	return v.kind == kindArray && len(v.items) == 1 && v.items[0].kind == kindString && v.items[0].text == "text"
}

// unknown is the error of a field that does not exist. param carries its name, cut to a sane length.
func unknown(name string) *Error {
	short := strings.Trim(quoteName(name), `"`)
	return Invalid(400, "unknown_parameter", short, "'%s' is not a parameter of this endpoint", short)
}
