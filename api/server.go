// Package api is the HTTP server: it listens, limits, authenticates and routes. What an endpoint says is the business
// of its dialect's package (openai, llamacpp). It imports runtime/engine and runtime/kv/prefixfile for their types, and
// nothing of ours below that.
package api

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"aquifer/api/llamacpp"
	"aquifer/api/metrics"
	"aquifer/api/openai"
	"aquifer/runtime/kv/prefixfile"
)

// Config of a Server. A zero field means the default.
type Config struct {
	Key     string        // what clients must send as bearer token or X-Api-Key; "" lets everybody in, on loopback only
	Hosts   []string      // names clients may use for this machine, besides localhost and its addresses
	Origins []string      // of web pages that may use the server, exactly; none by default
	TLS     *tls.Config   // nil: connections are not encrypted
	Models  openai.Source // what is served
	Limits  Limits
	// IgnoreUnknown leaves out request fields that do not exist instead of refusing the request.
	IgnoreUnknown bool
	Prefixes      func() prefixfile.Totals // counts the work of the prefix cache; nil if there is none
	Build         string                   // version of the program, for clients that ask
	Log           *slog.Logger             // one line a request, and internal errors; never prompts, answers or keys. Default slog.Default()
}

// Limits bounds what clients can take up.
type Limits struct {
	Connections  int           // open at a time; further ones wait to be accepted. Default 12,000
	HeaderBytes  int           // default 64 KiB
	HeaderTime   time.Duration // for receiving the headers; default 10 s
	IdleTime     time.Duration // between requests of a connection; default 120 s
	BodyBytes    int64         // default 32 MiB
	BodyTime     time.Duration // for receiving a body; default 60 s
	WriteTime    time.Duration // for each write; default 30 s
	Heartbeat    time.Duration // between comments in a silent stream; default 15 s
	ShutdownTime time.Duration // for running answers when the server stops; default 30 s
	KeyAnswers   int           // answers that one API key may have running or waiting at a time; default 0, no limit
}

func (l Limits) withDefaults() Limits {
	def(&l.Connections, 12_000)
	def(&l.HeaderBytes, 64<<10)
	def(&l.HeaderTime, 10*time.Second)
	def(&l.IdleTime, 2*time.Minute)
	def(&l.BodyBytes, 32<<20)
	def(&l.BodyTime, time.Minute)
	def(&l.WriteTime, 30*time.Second)
	def(&l.Heartbeat, 15*time.Second)
	def(&l.ShutdownTime, 30*time.Second)
	return l
}

// def sets what is zero to its default.
func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server answers HTTP requests.
type Server struct {
	cfg      Config
	limits   Limits
	keyHash  [sha256.Size]byte
	hosts    map[string]bool
	origins  map[string]bool
	openai   *openai.Handler
	llamacpp *llamacpp.Handler
	metrics  *metrics.Metrics
	router   *gin.Engine
	panics   atomic.Int64
}

// New makes a server. It does not listen yet.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	limits := cfg.Limits.withDefaults()
	s := &Server{
		cfg: cfg, limits: limits, keyHash: sha256.Sum256([]byte(cfg.Key)), hosts: map[string]bool{"localhost": true},
		openai: openai.New(openai.Config{
			Source:  cfg.Models,
			MaxBody: limits.BodyBytes, BodyTimeout: limits.BodyTime, WriteTimeout: limits.WriteTime,
			Heartbeat: limits.Heartbeat, Log: cfg.Log, IgnoreUnknown: cfg.IgnoreUnknown, KeyAnswers: limits.KeyAnswers,
		}),
	}
	s.llamacpp = llamacpp.New(llamacpp.Config{Find: s.openai.Find, Build: cfg.Build, WriteTimeout: limits.WriteTime})
	s.metrics = metrics.New(metrics.Server{Models: s.sources, Clients: s.clients, Panics: s.Panics})
	if err := checkOrigins(cfg.Origins); err != nil {
		return nil, err
	}
	if cfg.Prefixes != nil {
		s.metrics.Prefixes(cfg.Prefixes)
	}
	s.origins = map[string]bool{}
	for _, o := range cfg.Origins {
		s.origins[o] = true
	}
	for _, h := range cfg.Hosts {
		if h == "" || strings.ContainsAny(h, "/*: ") {
			return nil, fmt.Errorf("api: host name %q: must be a plain name without port or wildcard", h)
		}
		s.hosts[strings.ToLower(h)] = true
	}
	s.router = s.newRouter()
	return s, nil
}

// Panics counts the panics that requests caused and survived.
func (s *Server) Panics() int64 { return s.panics.Load() + s.openai.Panics() }

// ServeHTTP answers one request with all checks that do not concern the connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.router.ServeHTTP(w, r) }

// errShutdown is why requests are cut off when their time is up.
var errShutdown = errors.New("api: shutting down")

// Serve accepts connections until ctx ends; then it accepts no more, gives running answers Limits.ShutdownTime and cuts
// off what is left. It closes the listener. It refuses to serve an address that other machines can reach without a key.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	if err := CheckExposure(ln.Addr(), s.cfg.Key); err != nil {
		return err
	}
	handler, err := compressed(s)
	if err != nil {
		return err
	}
	// Requests outlive ctx by the grace time, so their contexts must not be derived from it.
	requests, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: s.limits.HeaderTime,
		IdleTimeout:       s.limits.IdleTime,
		MaxHeaderBytes:    s.limits.HeaderBytes,

		DisableGeneralOptionsHandler: true, // "OPTIONS *" is a request like any other
		BaseContext:                  func(net.Listener) context.Context { return requests },
		ErrorLog:                     slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	accepting := limitListener(ln, s.limits.Connections)
	if s.cfg.TLS != nil {
		accepting = tls.NewListener(accepting, s.cfg.TLS)
	}
	go func() { failed <- server.Serve(accepting) }()
	select {
	case err := <-failed:
		return fmt.Errorf("api: %w", err)
	case <-ctx.Done():
	}
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), s.limits.ShutdownTime)
	defer stop()
	if err := server.Shutdown(grace); err == nil {
		return nil
	}
	cut(errShutdown)
	last, stopLast := context.WithTimeout(context.WithoutCancel(ctx), cutTime)
	defer stopLast()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close() // connections that do not take their last bytes
	}
	return nil
}

// cutTime is how long answers that were cut off may take to say so.
const cutTime = 2 * time.Second
