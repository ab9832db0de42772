package api

import (
	"net/http"
	"strings"
	"testing"

	"aquifer/api/apitest"
)

// TestCORS: pages of the origins in the list may use the server, and browsers are told so; all others are refused as before.
func TestCORS(t *testing.T) {
	const page = "https://chat.example.com"
	_, base, _ := start(t, Config{Key: "sk", Origins: []string{page, "http://localhost:3000"}, Models: models(&apitest.Engine{})})
	c := client(t)
	for _, tt := range []struct {
		origin string
		ok     bool
	}{
		{page, true},
		{"http://localhost:3000", true},
		{"http://localhost:3001", false},
		{"http://chat.example.com", false},
		{page + ".evil.org", false},
		{"https://CHAT.example.com", false},
		{"null", false},
		{"*", false},
	} {
		resp, body := send(t, c, "POST", base+"/v1/chat/completions", ask, "Origin", tt.origin, "Sec-Fetch-Site", "cross-site", "Authorization", "Bearer sk")
		allow := resp.Header.Get("Access-Control-Allow-Origin")
		if (resp.StatusCode == 200) != tt.ok || (allow == tt.origin) != tt.ok || !tt.ok && (allow != "" || codeOf(t, body) != "cross_origin_request") {
			t.Errorf("%s: status %d, allows %q", tt.origin, resp.StatusCode, allow)
		}
		if resp.Header.Get("Vary") != "Origin" && !strings.Contains(strings.Join(resp.Header.Values("Vary"), ","), "Origin") {
			t.Errorf("%s: caches are not told that the answer depends on the origin", tt.origin)
		}
		// The browser asks first, without the key.
		resp, _ = send(t, c, "OPTIONS", base+"/v1/chat/completions", "", "Origin", tt.origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization, content-type,X-Stainless-Retry-Count, x-stainless-a\tb, cookie")
		headers := resp.Header.Get("Access-Control-Allow-Headers")
		if (resp.StatusCode == http.StatusNoContent) != tt.ok || tt.ok && headers != "authorization, content-type, x-stainless-retry-count" ||
			!tt.ok && headers != "" {
			t.Errorf("%s before: status %d, headers %q", tt.origin, resp.StatusCode, headers)
		}
		for _, never := range []string{"Access-Control-Allow-Credentials", "Access-Control-Allow-Private-Network"} {
			if resp.Header.Get(never) != "" {
				t.Errorf("%s is sent", never)
			}
		}
	}
	// The list does not stand in for the key, nor for the name of the host.
	if resp, _ := send(t, c, "POST", base+"/v1/chat/completions", ask, "Origin", page); resp.StatusCode != 401 || resp.Header.Get("Access-Control-Allow-Origin") != page ||
		!strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "X-Should-Retry") {
		t.Errorf("without the key: status %d", resp.StatusCode)
	}
	if resp, _ := send(t, c, "POST", base+"/v1/chat/completions", ask, "Origin", page, "Host", "rebound.example.com", "Authorization", "Bearer sk"); resp.StatusCode != 403 {
		t.Errorf("with another host: status %d", resp.StatusCode)
	}
}

func TestOriginsRefused(t *testing.T) {
	for _, o := range []string{"*", "null", "", "chat.example.com", "https://", "https://*.example.com", "https://a.b/", "https://a.b/path", "ftp://a.b", "https://u@a.b", "https://a.b?x"} {
		if _, err := New(Config{Origins: []string{o}, Log: quiet()}); err == nil {
			t.Errorf("%q was accepted", o)
		}
	}
}
