package openai

import (
	"cmp"
	"errors"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"strconv"
	"strings"
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
	return r, nil
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
	return engine.ChatRequest{
		Messages: r.messages, MaxTokens: limit, Sampling: s, Stop: r.stop,
		Logprobs: r.logprobs, TopLogprobs: r.topLogprobs, N: r.n, NoEOS: r.noEOS, Constraint: r.constraint,
		Prediction: r.prediction,
	}
}

// maxMessages bounds a conversation.
const maxMessages = 4096

func setMessages(r *chatRequest, v node, name string) *Error {
	if v.kind != kindArray {
		return wrongType(name, "an array", v)
	}
	if len(v.items) == 0 || len(v.items) > maxMessages {
		return badParam(name, "must have from 1 to %d messages, it has %d", maxMessages, len(v.items))
	}
	r.messages = make([]engine.Message, 0, len(v.items))
	for i, item := range v.items {
		m, e := message(item, name+"["+strconv.Itoa(i)+"]", r.lenient)
		if e != nil {
			return e
		}
		r.messages = append(r.messages, m)
	}
	return nil
}

// message decodes one message. Fields that clients copy from an answer into the next request are accepted as long as
// they are empty.
func message(v node, name string, lenient bool) (engine.Message, *Error) {
	if v.kind != kindObject {
		return engine.Message{}, wrongType(name, "an object", v)
	}
	var m engine.Message
	content := false
	for i, key := range v.keys {
		item, v := name+"."+key, v.items[i]
		var e *Error
		switch key {
		case "role":
			m.Role, e = role(v, item)
		case "content":
			if content = v.kind != kindNull; content {
				m.Content, e = text(v, item, lenient)
			}
		case "name", "refusal", "audio", "function_call", "tool_call_id":
			if v.kind != kindNull {
				e = unsupported(item, "is not supported")
			}
		case "tool_calls", "annotations":
			if v.kind != kindNull && !isEmptyArray(v) {
				e = unsupported(item, "is not supported")
			}
		default:
			if !lenient {
				e = unknown(item)
			}
		}
		if e != nil {
			return engine.Message{}, e
		}
	}
	switch {
	case m.Role == "":
		return m, Invalid(http.StatusBadRequest, "missing_required_parameter", name+".role", "'%s.role' is required", name)
	case !content:
		return m, Invalid(http.StatusBadRequest, "missing_required_parameter", name+".content", "'%s.content' is required", name)
	}
	return m, nil
}

func role(v node, name string) (string, *Error) {
	if v.kind != kindString {
		return "", wrongType(name, "a string", v)
	}
	switch v.text {
	case "system", "developer", "user", "assistant":
		return v.text, nil
	case "tool", "function":
		return "", unsupported(name, "%q is not supported: there are no tools", v.text)
	}
	return "", badParam(name, "must be system, developer, user or assistant")
}

// text decodes content: a string, or text parts, which are joined by line breaks.
func text(v node, name string, lenient bool) (string, *Error) {
	switch v.kind {
	case kindString:
		return v.text, nil
	case kindArray:
	default:
		return "", wrongType(name, "a string or an array of parts", v)
	}
	if len(v.items) == 0 {
		return "", badParam(name, "must have at least one part")
	}
	parts := make([]string, len(v.items))
	for i, part := range v.items {
		var e *Error
		if parts[i], e = textPart(part, name+"["+strconv.Itoa(i)+"]", lenient); e != nil {
			return "", e
		}
	}
	return strings.Join(parts, "\n"), nil
}

func textPart(v node, name string, lenient bool) (string, *Error) {
	if v.kind != kindObject {
		return "", wrongType(name, "an object", v)
	}
	var kind, content node
	for i, key := range v.keys {
		switch key {
		case "type":
			kind = v.items[i]
		case "text":
			content = v.items[i]
		}
	}
	if kind.kind != kindString {
		return "", wrongType(name+".type", "a string", kind)
	}
	if kind.text != "text" {
		return "", unsupported(name+".type", "is supported as \"text\" only")
	}
	for _, key := range v.keys {
		// A hint for caches, as those in the table of fields.
		if key != "type" && key != "text" && key != "prompt_cache_breakpoint" && !lenient {
			return "", unknown(name + "." + key)
		}
	}
	if content.kind != kindString {
		return "", wrongType(name+".text", "a string", content)
	}
	return content.text, nil
}

// readBody receives a request's body. The checks of its headers come first, so that a bad request is refused before its
// body is sent.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, Invalid(http.StatusUnsupportedMediaType, "unsupported_media_type", "", "the Content-Type must be application/json")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, Invalid(http.StatusUnsupportedMediaType, "unsupported_content_encoding", "", "a compressed body is not supported")
	}
	tooLarge := Invalid(http.StatusRequestEntityTooLarge, "request_too_large", "", "the body is over the limit of %d bytes", h.cfg.MaxBody)
	if r.ContentLength > h.cfg.MaxBody {
		w.Header().Set("Connection", "close") // rather than read what was refused
		return nil, tooLarge
	}
	control := http.NewResponseController(w)
	// Writers without deadlines are those of tests.
	_ = control.SetReadDeadline(time.Now().Add(h.cfg.BodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.cfg.MaxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, Invalid(http.StatusBadRequest, "body_unreadable", "", "the body did not arrive completely")
	}
	// The connection is watched for the client's leaving from now on; a deadline would look like that.
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}
