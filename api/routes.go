package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"aquifer/api/metrics"
	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

// access says who may use a route.
type access uint8

const (
	withKey access = iota // the key, if one is set
	public                // everybody
)

type route struct {
	method, path string
	access       access
	serve        func(c *gin.Context)
}

// routes is the table of all routes. A test compares it with what the router really serves.
func (s *Server) routes() []route {
	list := []route{
		{http.MethodGet, "/health", public, s.health},
		{http.MethodGet, "/ps", withKey, plain(s.openai.Running)},
		{http.MethodGet, "/v1/models", withKey, plain(s.openai.Models)},
		{http.MethodGet, "/v1/models/*id", withKey, s.model},
		{http.MethodPost, "/v1/chat/completions", withKey, plain(s.openai.Chat)},
		{http.MethodGet, "/metrics", withKey, s.scrape},
		{http.MethodGet, "/props", withKey, plain(s.llamacpp.Props)},
		{http.MethodGet, "/slots", withKey, plain(s.llamacpp.Slots)},
	}
	for _, r := range list {
		if r.method == http.MethodGet { // monitors ask for the head alone; net/http leaves the body out
			r.method = http.MethodHead
			list = append(list, r)
		}
	}
	return list
}

func plain(f http.HandlerFunc) func(*gin.Context) {
	return func(c *gin.Context) { f(c.Writer, c.Request) }
}

func (s *Server) newRouter() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	e.ForwardedByClientIP = false
	origin := http.NewCrossOriginProtection()
	for o := range s.origins {
		if err := origin.AddTrustedOrigin(o); err != nil {
			panic(err) // checkOrigins has let it pass
		}
	}
	e.Use(s.begin, s.recover, s.checkHost, s.cors, checkOrigin(origin))
	for _, r := range s.routes() {
		handlers := []gin.HandlerFunc{r.serve}
		if r.access == withKey {
			handlers = []gin.HandlerFunc{s.checkKey, r.serve}
		}
		e.Handle(r.method, r.path, handlers...)
	}
	e.NoRoute(func(c *gin.Context) {
		openai.WriteError(c.Writer, openai.Invalid(http.StatusNotFound, "unknown_url", "",
			"there is no such endpoint; see GET /v1/models and POST /v1/chat/completions"))
	})
	e.NoMethod(func(c *gin.Context) {
		openai.WriteError(c.Writer, openai.Invalid(http.StatusMethodNotAllowed, "method_not_allowed", "",
			"this endpoint does not have that method; allowed: %s", c.Writer.Header().Get("Allow")))
	})
	return e
}

// health answers monitors: 200 when requests are served, 503 before.
func (s *Server) health(c *gin.Context) {
	health := s.openai.Health()
	h := c.Writer.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(s.limits.WriteTime))
	if health.Status != "ok" {
		h.Set("Retry-After", "1")
		c.Writer.WriteHeader(http.StatusServiceUnavailable)
	}
	body, err := json.Marshal(health)
	if err != nil {
		panic(err) // only a value that cannot be encoded, which this is not
	}
	_, _ = c.Writer.Write(body) // the client may be gone
}

func (s *Server) model(c *gin.Context) {
	s.openai.Model(c.Writer, c.Request, strings.TrimPrefix(c.Param("id"), "/"))
}

func (s *Server) scrape(c *gin.Context) {
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(s.limits.WriteTime))
	s.metrics.ServeHTTP(c.Writer, c.Request)
}

// clients are those with answers in the making, under names that are not their keys.
func (s *Server) clients() (busy []metrics.Client, refused int64) {
	list, refused := s.openai.Clients()
	for _, c := range list {
		busy = append(busy, metrics.Client(c))
	}
	return busy, refused
}

// sources are the models whose engines keep figures.
func (s *Server) sources() []metrics.Source {
	var list []metrics.Source
	for _, m := range s.openai.Loaded() {
		if e, ok := m.Engine.(interface{ Stats() engine.Stats }); ok {
			list = append(list, metrics.Source{Model: m.ID, Info: m.Engine.Info(), Stats: e.Stats})
		}
	}
	return list
}
