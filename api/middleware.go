package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"aquifer/api/openai"
)

// begin names the request, counts it, and writes one line to the log when it is over. The line has the route, not the
// path, and nothing of the body: both may hold what nobody should read.
func (s *Server) begin(c *gin.Context) {
	start := time.Now()
	id := requestID(c.GetHeader("X-Request-Id"))
	h := c.Writer.Header()
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	// The request before on this connection may have left its deadline. Writers without deadlines are those of tests.
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Time{})
	var note openai.Note
	c.Request = c.Request.WithContext(openai.WithNote(c.Request.Context(), &note))
	defer func() {
		route, method, took := c.FullPath(), methodName(c.Request.Method), time.Since(start)
		if route == "" {
			route = "none"
		}
		s.metrics.Observe(route, method, c.Writer.Status(), took)
		attrs := []slog.Attr{
			slog.String("id", id), slog.String("method", method), slog.String("route", route),
			slog.Int("status", c.Writer.Status()), slog.Int("bytes", max(c.Writer.Size(), 0)),
			slog.Duration("took", took.Round(time.Microsecond)),
		}
		s.cfg.Log.LogAttrs(c.Request.Context(), slog.LevelInfo, "request", append(attrs, noted(note)...)...)
	}()
	c.Next()
}

// noted are the fields of a log line that only answers have.
func noted(n openai.Note) (attrs []slog.Attr) {
	if n.Failed != "" {
		attrs = append(attrs, slog.String("failed", n.Failed))
	}
	if n.Model == "" {
		return attrs
	}
	return append(
		attrs,
		slog.String("model", n.Model), slog.Int("choices", n.Choices), slog.Int("prompt", n.Prompt), slog.Int("cached", n.Cached),
		slog.Int("completion", n.Completion), slog.Duration("wait", n.Wait.Round(time.Microsecond)),
		slog.Duration("first", n.FirstToken.Round(time.Microsecond)),
	)
}

// maxRequestID bounds the names that others may give requests.
const maxRequestID = 64

// requestID is the name of a request: the one that a proxy has given it, so that the logs of both can be put side by side,
// or a new one where that is missing or is not made of letters, digits and a few signs.
func requestID(given string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '-' || r == '_' || r == '.'
	}
	if given != "" && len(given) <= maxRequestID && !strings.ContainsFunc(given, func(r rune) bool { return !plain(r) }) {
		return given
	}
	var b [8]byte
	rand.Read(b[:]) // never fails
	return "req_" + hex.EncodeToString(b[:])
}

// methodName keeps a client from writing its own words to the log.
func methodName(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return m
	}
	return "other"
}

// recover turns a panic into a 500 for its request alone. An answer that has begun is torn off, so that the client does
// not take it for complete.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		s.panics.Add(1)
		s.cfg.Log.Error("panic in a request", "id", c.Writer.Header().Get("X-Request-Id"), "panic", v, "stack", string(debug.Stack()))
		if c.Writer.Written() {
			panic(http.ErrAbortHandler)
		}
		openai.WriteError(c.Writer, openai.Internal())
		c.Abort()
	}()
	c.Next()
}

func refuse(c *gin.Context, e *openai.Error) {
	openai.WriteError(c.Writer, e)
	c.Abort()
}

func (s *Server) checkHost(c *gin.Context) {
	if !s.hostAllowed(c.Request) {
		refuse(c, openai.Invalid(http.StatusForbidden, "host_not_allowed", "",
			"the Host header does not name this server; use localhost or its address, or add the name to the allowed hosts"))
	}
}

// checkOrigin refuses what another site's page sends, unless its origin is in the list.
func checkOrigin(p *http.CrossOriginProtection) gin.HandlerFunc {
	return func(c *gin.Context) {
		if p.Check(c.Request) != nil {
			refuse(c, openai.Invalid(http.StatusForbidden, "cross_origin_request", "", "requests from other web sites are not allowed"))
		}
	}
}

// checkKey compares hashes, in a time that does not depend on where they differ. The hash is the client's name from then
// on, also where any key will do.
func (s *Server) checkKey(c *gin.Context) {
	given := c.GetHeader("X-Api-Key")
	if scheme, token, ok := strings.Cut(c.GetHeader("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		given = strings.TrimSpace(token)
	}
	sum := sha256.Sum256([]byte(given))
	if s.cfg.Key == "" || subtle.ConstantTimeCompare(sum[:], s.keyHash[:]) == 1 {
		c.Request = c.Request.WithContext(openai.WithClient(c.Request.Context(), hex.EncodeToString(sum[:])))
		return
	}
	c.Header("WWW-Authenticate", "Bearer")
	message := "this API key is wrong"
	if given == "" {
		message = "an API key is needed: send 'Authorization: Bearer KEY'"
	}
	refuse(c, openai.Invalid(http.StatusUnauthorized, "invalid_api_key", "", "%s", message))
}
