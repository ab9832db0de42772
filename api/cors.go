package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
)

// checkOrigins refuses what is not the exact origin of a page. There is no value for all of them: a page that anybody may
// have written could use the server then, with the keys and the network of whoever looks at it.
func checkOrigins(list []string) error {
	for _, o := range list {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || o != u.Scheme+"://"+u.Host ||
			strings.Contains(u.Host, "*") {
			return fmt.Errorf("api: origin %q: must be that of one page's server, as in https://chat.example.com", o)
		}
	}
	return nil
}

// cors tells browsers that pages of the origins in the list may use the server. There are no such headers for others, so
// that browsers keep answers from them, and none that lets public pages into private networks.
func (s *Server) cors(c *gin.Context) {
	if len(s.origins) == 0 {
		return
	}
	h := c.Writer.Header()
	h.Add("Vary", "Origin")
	origin := c.GetHeader("Origin")
	if !s.origins[origin] {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, X-Should-Retry")
	if c.Request.Method == http.MethodOptions && c.GetHeader("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Allow-Headers", allowedHeaders(c.GetHeader("Access-Control-Request-Headers")))
		h.Set("Access-Control-Max-Age", "600")
		c.AbortWithStatus(http.StatusNoContent)
	}
}

// allowedHeaders are those of the wanted headers that clients of the API send: the official one for browsers tells about
// itself in a dozen that begin with X-Stainless.
func allowedHeaders(wanted string) string {
	var list []string
	for name := range strings.SplitSeq(strings.ToLower(wanted), ",") {
		switch name = strings.TrimSpace(name); {
		case name == "authorization", name == "content-type", name == "x-api-key", name == "x-request-id",
			name == "openai-organization", name == "openai-project", name == "openai-beta":
			list = append(list, name)
		case strings.HasPrefix(name, "x-stainless-") && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") == "":
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
}
