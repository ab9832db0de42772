// Package openai serves OpenAI's HTTP dialect: chat completions and models. It owns the decoding of requests, the
// shapes of answers and errors, and nothing of the connection: listening, authentication and host checks are package
// api's. It talks to the engine through the small interface below and imports runtime/engine for its types only.
package openai

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"aquifer/api/sse"
	"aquifer/runtime/engine"
)

// Engine is what the handlers need of an engine.
type Engine interface {
	// Chat starts an answer. All that can be wrong with the request is reported here, as *engine.ParamError,
	// *engine.ContextError, *engine.ChatError, engine.ErrBusy, engine.ErrClosed or engine.ErrBroken. When ctx ends, the
	// work stops.
	Chat(ctx context.Context, r engine.ChatRequest) (Stream, error)
	Info() engine.Info
}

// Stream is an answer in the making: Next returns its parts, then io.EOF. Close gives it up.
type Stream interface {
	Next() (engine.Delta, error)
	Close()
}

// Use adapts a real engine.
func Use(e *engine.Engine) Engine { return adapter{e} }

type adapter struct{ *engine.Engine }

func (a adapter) Chat(ctx context.Context, r engine.ChatRequest) (Stream, error) {
	s, err := a.Engine.Chat(ctx, r)
	if err != nil {
		return nil, err // not a nil *engine.Stream in a Stream
	}
	return s, nil
}

// Model is one model being served.
type Model struct {
	ID      string // what clients call it; not empty
	Engine  Engine
	Created time.Time // as /v1/models tells it, for example when the file was made; default now
	// Defaults are the sampling parameters of requests that do not state them. The zero value is greedy; Defaults()
	// gives OpenAI's. A checkpoint's generation_config.json belongs here.
	Defaults engine.Sampling
}

// Defaults returns the sampling parameters that OpenAI documents as defaults: temperature 1, nothing cut off.
func Defaults() engine.Sampling { return engine.Sampling{Temperature: 1, TopP: 1} }

// Config of a Handler. A zero field means the default.
type Config struct {
	MaxBody      int64         // bytes of a request; default DefaultMaxBody
	BodyTimeout  time.Duration // for receiving a request's body; default DefaultBodyTimeout
	WriteTimeout time.Duration // for each write of an answer; default sse.DefaultWriteTimeout
	Heartbeat    time.Duration // between comments in a silent stream; default sse.DefaultHeartbeat
	Log          *slog.Logger  // for internal errors; never for prompts or answers. Default slog.Default()

	IgnoreUnknown bool // leave out request fields that do not exist instead of refusing the request
}

// Defaults of Config.
const (
	DefaultMaxBody     = 32 << 20
	DefaultBodyTimeout = time.Minute
)

// Handler serves the dialect. Until SetModels is called it answers that the model is loading.
type Handler struct {
	cfg    Config
	models atomic.Pointer[[]served]
	panics atomic.Int64
}

type served struct {
	Model
	fingerprint string
}

// New returns a handler without models.
func New(cfg Config) *Handler {
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.BodyTimeout == 0 {
		cfg.BodyTimeout = DefaultBodyTimeout
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = sse.DefaultWriteTimeout
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = sse.DefaultHeartbeat
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Handler{cfg: cfg}
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return "chatcmpl-" + hex.EncodeToString(b[:])
}

// SetModels makes the models available, in the given order. It may be called again.
func (h *Handler) SetModels(models ...Model) error {
	list := make([]served, len(models))
	seen := map[string]bool{}
	for i, m := range models {
		if m.ID == "" || m.Engine == nil || seen[m.ID] {
			return fmt.Errorf("openai: model %d (%q) needs an engine and an id of its own", i, m.ID)
		}
		seen[m.ID] = true
		if m.Created.IsZero() {
			m.Created = time.Now()
		}
		list[i] = served{Model: m, fingerprint: fingerprint(m)}
	}
	h.models.Store(&list)
	return nil
}

// Ready reports whether SetModels was called.
func (h *Handler) Ready() bool { return h.models.Load() != nil }

// Served returns the models, none while they load.
func (h *Handler) Served() []Model {
	list := h.models.Load()
	if list == nil {
		return nil
	}
	all := make([]Model, len(*list))
	for i, m := range *list {
		all[i] = m.Model
	}
	return all
}

// Find returns the model of that id, the first one for "". The error is an answer to the client.
func (h *Handler) Find(id string) (Model, *Error) {
	if list := h.models.Load(); id == "" && list != nil && len(*list) > 0 {
		return (*list)[0].Model, nil
	}
	m, e := h.find(id)
	return m.Model, e
}

// Panics counts the panics of goroutines that requests started.
func (h *Handler) Panics() int64 { return h.panics.Load() }

// find returns the model of that id. The error does not repeat the id: it is the client's text.
func (h *Handler) find(id string) (served, *Error) {
	list := h.models.Load()
	if list == nil {
		return served{}, loading()
	}
	known := ""
	for i, m := range *list {
		if m.ID == id {
			return m, nil
		}
		if i > 0 {
			known += ", "
		}
		known += m.ID
	}
	return served{}, &Error{
		Status: http.StatusNotFound, Type: invalidRequest, Code: "model_not_found", Param: "model",
		Message: "this model is not served here; available: " + known,
	}
}

// fingerprint names what, besides the request, decides an answer: the same seed gives the same text under the same
// fingerprint.
func fingerprint(m Model) string {
	info := m.Engine.Info()
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %v %v %v", info.Name, info.Arch, info.Scheme, info.Params,
		info.Backend, info.Precision, info.KV))
	return "fp_" + hex.EncodeToString(sum[:6])
}
