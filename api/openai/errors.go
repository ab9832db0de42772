package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"aquifer/api/sse"
	"aquifer/runtime/engine"
	"aquifer/runtime/host"
)

// Types of Error that clients know.
const (
	invalidRequest = "invalid_request_error"
	rateLimit      = "rate_limit_error"
	serverError    = "server_error"
)

// Error is an answer that says what went wrong. Official clients retry 408, 409, 429 and 5xx by themselves, so what the
// client got wrong must have another status.
type Error struct {
	Status     int
	Type       string
	Code       string // "" is sent as null
	Param      string // the field at fault; "" is sent as null
	Message    string
	RetryAfter time.Duration // 0: no such header
	Final      bool          // to be told to clients that would repeat a request with this status

	// PromptTokens and Context are set for a prompt that does not fit and sent as n_prompt_tokens and n_ctx.
	PromptTokens, Context int
}

func (e *Error) Error() string { return fmt.Sprintf("openai: %d %s", e.Status, e.Message) }

// MarshalJSON gives the four keys that clients require, in {"error": ...}.
func (e *Error) MarshalJSON() ([]byte, error) {
	optional := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	type body struct {
		Message      string  `json:"message"`
		Type         string  `json:"type"`
		Param        *string `json:"param"`
		Code         *string `json:"code"`
		PromptTokens int     `json:"n_prompt_tokens,omitempty"`
		Context      int     `json:"n_ctx,omitempty"`
	}
	return json.Marshal(struct {
		Error body `json:"error"`
	}{body{e.Message, e.Type, optional(e.Param), optional(e.Code), e.PromptTokens, e.Context}})
}

// Invalid is the error of a client that asked for something wrong; param may be empty.
func Invalid(status int, code, param, format string, a ...any) *Error {
	return &Error{Status: status, Type: invalidRequest, Code: code, Param: param, Message: fmt.Sprintf(format, a...)}
}

// Internal is the error of a fault of the server's. What happened stands in the log, not in the answer.
func Internal() *Error {
	return &Error{
		Status: http.StatusInternalServerError, Type: serverError, Code: "internal_error",
		Message: "internal error; the server's log has it under the X-Request-Id of this answer",
	}
}

// Unavailable is the error of a request that may succeed later.
func Unavailable(code, message string, retry time.Duration) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Type: serverError, Code: code, Message: message, RetryAfter: retry}
}

// closing is the error of answers that a shutdown cuts off.
func closing() *Error {
	return Unavailable("shutting_down", "the server is shutting down", 5*time.Second)
}

// badParam is the error of a parameter with a wrong value.
func badParam(param, format string, a ...any) *Error {
	return Invalid(http.StatusBadRequest, "invalid_value", param, "'%s' "+format, append([]any{param}, a...)...)
}

// unsupported is the error of a parameter that is fine elsewhere.
func unsupported(param, format string, a ...any) *Error {
	return Invalid(http.StatusBadRequest, "unsupported_parameter", param, "'%s' "+format, append([]any{param}, a...)...)
}

// fromEngine maps the errors of an engine. ok is false for those that clients must not see.
func fromEngine(err error) (e *Error, ok bool) {
	var own *Error
	var param *engine.ParamError
	var tooLong *engine.ContextError
	var chat *engine.ChatError
	var load *host.LoadError
	switch {
	case errors.As(err, &own):
		return own, true
	case errors.As(err, &param):
		return badParam(param.Param, "%s", param.Msg), true
	case errors.As(err, &tooLong):
		return &Error{
			Status: http.StatusBadRequest, Type: invalidRequest, Code: "context_length_exceeded", Param: "messages",
			Message: fmt.Sprintf("the prompt has %d tokens, the context of this model has %d and the answer needs at least one of them; "+
				"shorten the messages", tooLong.Prompt, tooLong.Context),
			PromptTokens: tooLong.Prompt, Context: tooLong.Context,
		}, true
	case errors.As(err, &chat) && chat.Param != "":
		return badParam(chat.Param, "%s", chat.Msg), true
	case errors.As(err, &chat):
		return Invalid(http.StatusBadRequest, "invalid_messages", "messages", "%s", chat.Msg), true
	case errors.As(err, &load):
		return loadFailed(load)
	case errors.Is(err, engine.ErrBusy), errors.Is(err, host.ErrBusy):
		return &Error{
			Status: http.StatusTooManyRequests, Type: rateLimit, Code: "rate_limit_exceeded",
			Message: "too many requests are waiting; try again later", RetryAfter: 2 * time.Second,
		}, true
	case errors.Is(err, host.ErrTimeout):
		return Unavailable("model_loading", "the model is still loading, or waits for memory that others use; try again later", 5*time.Second), true
	case errors.Is(err, engine.ErrQueueTimeout):
		return Unavailable("queue_timeout", "the request waited too long for its turn; try again later", 5*time.Second), true
	case errors.Is(err, engine.ErrClosed), errors.Is(err, host.ErrClosed), errors.Is(err, context.Canceled):
		// A request's context ends when the client is gone, who will not read this, or when the server stops.
		return closing(), true
	}
	return Internal(), false
}

// loadFailed is the error of a model that can't be loaded. ok is false where only the log says why.
func loadFailed(err *host.LoadError) (e *Error, ok bool) {
	var memory *engine.MemoryError
	var public *PublicError
	why := ""
	switch {
	case errors.Is(err, host.ErrClosed), errors.Is(err, context.Canceled):
		return closing(), true
	case errors.As(err, &memory):
		why = strings.TrimPrefix(memory.Error(), "engine: ")
	case errors.As(err, &public):
		why = public.Msg
	default:
		return Internal(), false
	}
	return &Error{
		Status: http.StatusInternalServerError, Type: serverError, Code: "model_load_failed", Param: "model",
		Message: "the model can't be loaded: " + why, Final: true,
	}, true
}

// PublicError is an error of a Source's that clients may read: Msg has no paths and nothing else of the machine's.
type PublicError struct {
	Msg string
	Err error // what it is made of; may be nil
}

func (e *PublicError) Error() string { return e.Msg }

// Unwrap returns what the error is made of.
func (e *PublicError) Unwrap() error { return e.Err }

// WriteError sends an error as the whole answer.
func WriteError(w http.ResponseWriter, e *Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Round(time.Second)/time.Second)))
	}
	if e.Final {
		w.Header().Set("X-Should-Retry", "false") // the official clients look for it
	}
	writeJSON(w, e.Status, e, sse.DefaultWriteTimeout)
}

// writeJSON sends a whole answer. A client that does not take it within the timeout is dropped.
func writeJSON(w http.ResponseWriter, status int, v any, timeout time.Duration) {
	body, err := marshal(v)
	if err != nil { // only a value that cannot be encoded, which none of ours is
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	// Writers without deadlines are those of tests.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout))
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}
