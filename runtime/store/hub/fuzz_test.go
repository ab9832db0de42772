package hub

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"aquifer/runtime/store"
)

// FuzzTree: what a file list brings has a name, a digest and a size that can be used.
func FuzzTree(f *testing.F) {
	f.Add([]byte(`[{"type":"file","path":"a.gguf","oid":"0123456789012345678901234567890123456789","size":1,"lfs":{"oid":"","size":-1}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var page []treeEntry
		if json.Unmarshal(text, &page) != nil {
			return
		}
		for _, e := range page {
			file, ok, err := e.file()
			if err != nil || !ok {
				continue
			}
			if store.CheckPath(file.Path) != nil || file.Digest == (store.Digest{}) || file.Size < 0 || file.Size > maxFileSize {
				t.Errorf("%+v", file)
			}
		}
	})
}

// FuzzRedirect: wherever a server sends us, from https it is never anything else, and the token goes to the endpoint only.
func FuzzRedirect(f *testing.F) {
	for _, s := range []string{"/x", "//evil.example/x", "http://h/", "https://h@evil.example/", "https://h:443@evil", "file:///x", "\x00", "https://[::1]/"} {
		f.Add(s)
	}
	c, err := New(Config{Endpoint: "https://h"})
	if err != nil {
		f.Fatal(err)
	}
	from := &url.URL{Scheme: "https", Host: "h", Path: "/a/b"}
	f.Fuzz(func(t *testing.T, location string) {
		to, err := c.next(from, &http.Response{Header: http.Header{"Location": {location}}})
		if err != nil {
			return
		}
		if to.Scheme != "https" || to.Host == "" || to.User != nil {
			t.Errorf("%q leads to %s", location, to)
		}
		if sameServer(to, c.endpoint) && to.Hostname() != "h" && to.Hostname() != "H" {
			t.Errorf("%q: %s counts as the endpoint", location, to)
		}
	})
}

// FuzzRetryAfter: no server makes us wait for ever, or backwards.
func FuzzRetryAfter(f *testing.F) {
	f.Add("10")
	f.Add("Fri, 02 Jan 2026 03:04:15 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		if d := retryAfter(value, time.Now()); d < 0 || d > maxRetryAfter {
			t.Errorf("%q: %v", value, d)
		}
	})
}
