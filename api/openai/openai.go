// Package openai serves OpenAI's HTTP dialect: chat completions and models. It owns the decoding of requests, the
// shapes of answers and errors, and nothing of the connection: listening, authentication and host checks are package
// api's. It talks to the engine through the small interface below and imports runtime/engine for its types only.
package openai

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
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
	Created time.Time // as /v1/models tells it, for example when the file was made
	// Defaults are the sampling parameters of requests that do not state them. The zero value is greedy; Defaults()
	// gives OpenAI's. A checkpoint's generation_config.json belongs here.
	Defaults engine.Sampling
}

// Defaults returns the sampling parameters that OpenAI documents as defaults: temperature 1, nothing cut off.
func Defaults() engine.Sampling { return engine.Sampling{Temperature: 1, TopP: 1} }

// Config of a Handler. A zero field means the default.
type Config struct {
	Source       Source        // of the models; default none
	MaxBody      int64         // bytes of a request; default DefaultMaxBody
	BodyTimeout  time.Duration // for receiving a request's body; default DefaultBodyTimeout
	WriteTimeout time.Duration // for each write of an answer; default sse.DefaultWriteTimeout
	Heartbeat    time.Duration // between comments in a silent stream; default sse.DefaultHeartbeat
	Log          *slog.Logger  // for internal errors; never for prompts or answers. Default slog.Default()

	IgnoreUnknown bool // leave out request fields that do not exist instead of refusing the request
	KeyAnswers    int  // answers that one client may have running or waiting at a time; 0 means no limit
}

// Defaults of Config.
const (
	DefaultMaxBody     = 32 << 20
	DefaultBodyTimeout = time.Minute
)

// Handler serves the dialect.
type Handler struct {
	cfg    Config
	quota  *quota
	large  turns // of large bodies
	heavy  turns // of requests that take time before they run
	panics atomic.Int64
}

// served is a model that a request holds.
type served struct {
	Model
	fingerprint string
}

// New returns a handler.
func New(cfg Config) *Handler {
	if cfg.Source == nil {
		cfg.Source = fixed{}
	}
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
	return &Handler{cfg: cfg, quota: newQuota(cfg.KeyAnswers), large: newTurns(largeAtOnce, cfg.BodyTimeout), heavy: newTurns(heavyAtOnce(), cfg.BodyTimeout)}
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return "chatcmpl-" + hex.EncodeToString(b[:])
}

// Panics counts the panics of goroutines that requests started.
func (h *Handler) Panics() int64 { return h.panics.Load() }

// acquire returns the model of a name, held until release is called.
func (h *Handler) acquire(ctx context.Context, name string, keep *time.Duration) (m served, release func(), err error) {
	model, release, err := h.cfg.Source.Acquire(ctx, name, keep)
	if errors.Is(err, ErrNoModel) {
		err = h.noModel()
	}
	if err != nil {
		return served{}, nil, err
	}
	return served{Model: model, fingerprint: fingerprint(model)}, release, nil
}

// maxNamed bounds the models that an error lists.
const maxNamed = 20

// noModel is the error for a name that stands for no model. It does not repeat the name: that is the client's text.
func (h *Handler) noModel() *Error {
	e := Invalid(http.StatusNotFound, "model_not_found", "model", "this model is not served here")
	models, err := h.cfg.Source.Models()
	if err != nil || len(models) == 0 {
		return e
	}
	var names []string
	for _, m := range models[:min(len(models), maxNamed)] {
		names = append(names, m.ID)
	}
	if len(models) > maxNamed {
		names = append(names, "...")
	}
	e.Message += "; available: " + strings.Join(names, ", ")
	return e
}

// fingerprint names what, besides the request, decides an answer: the same seed gives the same text under the same
// fingerprint.
func fingerprint(m Model) string {
	info := m.Engine.Info()
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %v %v %v", info.Name, info.Arch, info.Scheme, info.Params,
		info.Backend, info.Precision, info.KV))
	return "fp_" + hex.EncodeToString(sum[:6])
}
