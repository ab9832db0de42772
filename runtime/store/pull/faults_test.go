package pull

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aquifer/runtime/store"
	"aquifer/runtime/store/hub"
	"aquifer/runtime/store/hubtest"
)

// faultCase is something that goes wrong, and what must come of it: a whole model, or an error with these words.
type faultCase struct {
	name  string
	fault func(b *bench) hubtest.Fault
	err   string // empty if the pull must succeed in spite of it
}

func always(f hubtest.Fault) func(*bench) hubtest.Fault {
	return func(*bench) hubtest.Fault { return f }
}

// on makes a fault happen at the first n calls of one server.
func on(server hubtest.Server, n int, f hubtest.Fault) func(*bench) hubtest.Fault {
	return always(hubtest.On(server, n, f))
}

func shift(p []byte, at int64) []byte {
	for i := range p {
		if (at+int64(i))%1000 == 500 {
			p[i] ^= 1
		}
	}
	return p
}

const (
	api, resolve, cdn = hubtest.API, hubtest.Resolve, hubtest.CDN
	every             = -1
)

func faultCases() []faultCase {
	later := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tags := func(c *hubtest.Call) bool { // another version for each call
		return hubtest.Header("ETag", fmt.Sprintf(`"v%d"`, c.N))(c)
	}
	return []faultCase{
		// What passes.
		{"nothing", always(nil), ""},
		{"every part cut at byte 1", on(cdn, 12, hubtest.Cut(1)), ""},
		{"every part cut half way", on(cdn, 12, hubtest.Cut(30_000)), ""},
		{"every part of any attempt cut, with progress", on(cdn, every, hubtest.Cut(20_000)), ""},
		{"small file cut", on(resolve, 3, hubtest.Cut(3)), ""},
		{"file list cut", on(api, 2, hubtest.Cut(40)), ""},
		{"connections reset", on(cdn, 3, hubtest.Reset), ""},
		{"hub resets", on(api, 2, hubtest.Reset), ""},
		{"500", on(cdn, 3, hubtest.Status(500)), ""},
		{"502 of the hub", on(api, 3, hubtest.Status(502)), ""},
		{"503 with a wait", on(resolve, 1, hubtest.Status(503, "Retry-After", "0")), ""},
		{"429 with a wait", on(cdn, 2, hubtest.Status(429, "Retry-After", "1")), ""},
		{"429 until a date", on(api, 1, hubtest.Status(429, "Retry-After", later(time.Second))), ""},
		{"429 with nonsense", on(cdn, 2, hubtest.Status(429, "Retry-After", "soon")), ""},
		{"408", on(cdn, 2, hubtest.Status(408)), ""},
		{"522 of a CDN", on(cdn, 2, hubtest.Status(522)), ""},
		{"a part that stalls", on(cdn, 2, hubtest.Stall(10_000, 10*time.Second)), ""},
		{"slow", on(cdn, every, hubtest.Slow(16<<10, 2*time.Millisecond)), ""},
		{"wrong bytes once", on(cdn, 5, hubtest.Body(shift)), ""},
		{"signed URLs that end after two calls", func(*bench) hubtest.Fault {
			var mu sync.Mutex
			used := map[string]int{}
			return func(c *hubtest.Call) bool {
				if c.Server != cdn {
					return false
				}
				mu.Lock()
				used[c.R.URL.RawQuery]++
				over := used[c.R.URL.RawQuery] > 2
				mu.Unlock()
				return over && hubtest.Status(403)(c)
			}
		}, ""},
		{"another ETag at each call", on(cdn, 4, tags), ""},
		{"weak ETag", on(cdn, every, hubtest.Header("ETag", `W/"x"`)), ""},
		{"no ETag", on(cdn, every, hubtest.Head(func(h http.Header, code int) int { h.Del("ETag"); return code })), ""},
		{"no ranges at all", on(cdn, every, hubtest.WithoutRanges), ""},
		{"no ranges, and cut", always(hubtest.Each(
			hubtest.On(cdn, 6, hubtest.Each(func(c *hubtest.Call) bool { return c.N%2 == 0 && hubtest.Cut(100_000)(c) }, hubtest.WithoutRanges)),
			hubtest.On(cdn, every, hubtest.WithoutRanges))), ""},
		{"ranges no more", on(cdn, 2, hubtest.WithoutRanges), ""},
		{"wrong part", on(cdn, 2, hubtest.Header("Content-Range", "bytes 0-1/300000")), ""},
		{"part of a file of another size", on(cdn, 2, hubtest.Header("Content-Range", "bytes 0-65535/400000")), ""},
		{"part without its place", on(cdn, 2, hubtest.Head(func(h http.Header, code int) int { h.Del("Content-Range"); return code })), ""},
		{"longer body", on(cdn, 2, hubtest.OtherLength(10)), ""},
		{"416", on(cdn, 1, hubtest.Status(416)), ""},
		{"hub redirects within itself", func(b *bench) hubtest.Fault {
			return func(c *hubtest.Call) bool {
				return c.Server == api && !strings.Contains(c.R.URL.RawQuery, "again") &&
					hubtest.Redirect(307, c.R.URL.Path+"?again=1&"+c.R.URL.RawQuery)(c)
			}
		}, ""},
		{"no length", on(resolve, every, hubtest.Unannounced(0)), ""},

		// What must not.
		{"500 for ever", on(cdn, every, hubtest.Status(500)), "500 Internal Server Error"},
		{"503 of the hub for ever", on(api, every, hubtest.Status(503)), "503 Service Unavailable"},
		{"reset for ever", on(cdn, every, hubtest.Reset), "EOF"},
		{"stalls for ever", on(cdn, every, hubtest.Stall(0, 10*time.Second)), "no data for"},
		{"403", on(cdn, every, hubtest.Status(403)), "403 Forbidden"},
		{"404 of a file", on(resolve, every, hubtest.Status(404, "X-Error-Code", "EntryNotFound", "X-Error-Message", "Entry\nnot  found")), "Entry not found"},
		{"401", on(api, every, hubtest.Status(401)), "401 Unauthorized"},
		{"wrong bytes for ever", on(cdn, every, hubtest.Body(shift)), "the content is not the one it should be"},
		{"wrong bytes of a small file", on(resolve, every, hubtest.Body(func(p []byte, _ int64) []byte { p[len(p)-1] ^= 1; return p })), "content is not the one"},
		{"shorter small file", on(resolve, every, hubtest.OtherLength(-1)), "when there should be"},
		{"longer small file", on(resolve, every, hubtest.OtherLength(1)), "when there should be"},
		{"longer than announced to nobody", on(resolve, every, hubtest.Unannounced(5)), "more bytes than the file has"},
		{"endless file", on(resolve, every, hubtest.Endless), "more bytes than the file has"},
		{"endless file list", on(api, every, hubtest.Endless), "more than 4 MiB"},
		{"gzip bomb as file", on(resolve, every, hubtest.Bomb()), "compressed"},
		{"gzip bomb as file list", on(api, every, hubtest.Bomb()), "compressed"},
		{"gzip bomb as weights", on(cdn, every, hubtest.Bomb()), "compressed"},
		{"redirect loop", func(b *bench) hubtest.Fault {
			return hubtest.On(cdn, every, hubtest.Redirect(302, b.hub.CDN+"/again"))
		}, "more than 5 redirects"},
		{"redirect loop of the hub", func(b *bench) hubtest.Fault {
			return hubtest.On(api, every, hubtest.Redirect(302, "/api/models/again"))
		}, "more than 5 redirects"},
		{"redirect to nowhere", on(cdn, every, hubtest.Status(302)), "redirect to nowhere"},
		{"redirect to a file", on(cdn, every, hubtest.Redirect(302, "file:///etc/passwd")), "can't be followed"},
		{"redirect to the metadata service", on(cdn, every, hubtest.Redirect(302, "http://169.254.169.254/latest/meta-data")), "over http; that is refused"},
		{"redirect to the metadata service over https", on(cdn, every, hubtest.Redirect(302, "https://169.254.169.254/latest")), "private network"},
		{"redirect with a password", on(cdn, every, hubtest.Redirect(302, "https://a:b@example.com/")), "can't be followed"},
		{"hub means another content", on(resolve, every, hubtest.Header("X-Linked-Etag", `"`+strings.Repeat("a", 64)+`"`)), "means content aaaaaaaaaaaa"},
		{"file list is no JSON", on(api, every, hubtest.Body(func(p []byte, _ int64) []byte { return []byte("<html>") })), "not what a hub says"},
		{"commit is none", on(api, every, jsonReply(`{"sha": "../../etc"}`)), "is not a commit"},
		{"huge sizes", always(treeReply(`[{"type":"file","path":"config.json","oid":"` + oid + `","size":9223372036854775807}]`)), "9223372036854775807 bytes, must be"},
		{"negative size", always(treeReply(`[{"type":"file","path":"config.json","oid":"` + oid + `","size":-1}]`)), "-1 bytes, must be"},
		{"wrong digest", always(treeReply(`[{"type":"file","path":"config.json","oid":"../../x","size":1}]`)), "is not a digest"},
		{"LFS file with a short digest", always(treeReply(`[{"type":"file","path":"m.gguf","oid":"` + oid + `","size":1,"lfs":{"oid":"` + oid + `","size":1}}]`)), "is no SHA-256"},
		{"names that lead out", always(treeReply(`[{"type":"file","path":"../../config.json","oid":"` + oid + `","size":1},` +
			`{"type":"file","path":"/model.safetensors","oid":"` + oid + `","size":1}]`)), "holds no model"},
		{"a page of a login", always(func(c *hubtest.Call) bool {
			return strings.HasSuffix(c.R.URL.Path, ".json") && hubtest.Body(func(p []byte, _ int64) []byte { return []byte(strings.Repeat("<", len(p))) })(c)
		}), "refused: it is no JSON"},
	}
}

const oid = "0123456789012345678901234567890123456789"

func jsonReply(text string) hubtest.Fault {
	return func(c *hubtest.Call) bool {
		_, err := c.W.Write([]byte(text))
		return err == nil
	}
}

// treeReply makes the file list another one.
func treeReply(text string) hubtest.Fault {
	return func(c *hubtest.Call) bool {
		return c.Server == api && strings.Contains(c.R.URL.Path, "/tree/") && jsonReply(text)(c)
	}
}

// TestFaults: whatever goes wrong, a pull ends with the right bytes or with an error that says what it was; nothing is
// half visible, the token goes to the hub only, and the next pull succeeds, in the same process.
func TestFaults(t *testing.T) {
	cases := faultCases()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			s := b.open(t)
			p := b.puller(t, s)
			b.hub.Fail(test.fault(b))
			start := time.Now()
			m, err := p.Pull(context.Background(), Request{Repo: b.repo})
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			switch {
			case test.err == "":
				if err != nil {
					t.Fatal(err)
				}
				b.check(t, m, modelFiles(), wanted)
			case err == nil:
				t.Fatalf("it succeeds: %+v", m)
			default:
				if text := err.Error(); !strings.Contains(text, test.err) || strings.ContainsAny(text, "\n") || strings.Contains(text, "secret") {
					t.Errorf("error %q, want one with %q, of one line and without secrets", text, test.err)
				}
				b.checkNothing(t, s)
			}
			for _, call := range b.hub.Log() {
				if call.Server == cdn && call.Auth != "" {
					t.Errorf("the token went to another server: %+v", call)
				}
			}
			b.hub.Reset()
			m, err = p.Pull(context.Background(), Request{Repo: b.repo})
			if err != nil {
				t.Fatalf("the next pull: %v", err)
			}
			b.check(t, m, modelFiles(), wanted)
		})
	}
	t.Logf("%d faults", len(cases)-1)
}

// TestTokenThief: a hub, or something between, that sends the caller with its token elsewhere does not get it.
func TestTokenThief(t *testing.T) {
	thief := hubtest.New(t)
	for _, server := range []hubtest.Server{api, resolve, cdn} {
		b := newBench(t)
		p := b.puller(t, b.open(t))
		b.hub.Fail(hubtest.On(server, every, func(c *hubtest.Call) bool {
			return hubtest.Redirect(302, thief.URL+"/"+string(server)+c.R.URL.Path)(c)
		}))
		if _, err := p.Pull(context.Background(), Request{Repo: b.repo}); err == nil {
			t.Errorf("%s: it succeeds", server)
		}
	}
	log := thief.Log()
	if len(log) == 0 {
		t.Fatal("the thief was never asked: the test shows nothing")
	}
	for _, call := range log {
		if call.Auth != "" {
			t.Errorf("the thief has the token: %+v", call)
		}
	}
}

// TestFaultsPersist: what came before a failure that lasts is not fetched again.
func TestFaultsPersist(t *testing.T) {
	b := newBench(t)
	p := b.puller(t, b.open(t))
	p.Connections = 1
	b.hub.Fail(func(c *hubtest.Call) bool { return c.Server == cdn && c.N > 2 && hubtest.Status(500)(c) })
	if _, err := p.Pull(context.Background(), Request{Repo: b.repo}); !hub.Temporary(err) {
		t.Fatalf("%v", err)
	}
	b.hub.Reset()
	m, err := p.Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	b.check(t, m, modelFiles(), wanted)
	if asked := b.asked(t); asked != weightBytes-2*p.Chunk {
		t.Errorf("%d bytes were asked for, %d were missing", asked, weightBytes-2*p.Chunk)
	}
}

// TestTell: the user hears why nothing happens, once for all connections.
func TestTell(t *testing.T) {
	b := newBench(t)
	p := b.puller(t, b.open(t))
	var told []string
	p.Tell = func(text string) { told = append(told, text) } // one at a time, under the job's lock
	b.hub.Fail(hubtest.On(cdn, 4, hubtest.Status(503)))
	_, err := p.Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	if len(told) != 1 || !strings.Contains(told[0], "503") || !strings.Contains(told[0], "trying again in") {
		t.Errorf("%q", told)
	}
}

// TestBandwidth keeps to the limit.
func TestBandwidth(t *testing.T) {
	b := newBench(t)
	c, err := hub.New(hub.Config{Endpoint: b.hub.URL, Bandwidth: 2 * weightBytes})
	try(t, err)
	defer c.Close()
	p := &Puller{Store: b.open(t), Hub: c, Options: options()}
	start := time.Now()
	_, err = p.Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	// The first 128 KiB are free.
	if took, least := time.Since(start), 250*time.Millisecond; took < least || took > 10*time.Second {
		t.Errorf("it took %v, must take at least %v", took, least)
	}
}

func TestURL(t *testing.T) {
	data := append([]byte("GGUF"), weights(weightBytes, 7)...)
	b := newBench(t)
	version := `"1"`
	serve := func(c *hubtest.Call) bool {
		if !strings.HasSuffix(c.R.URL.Path, "/my model.gguf") {
			return false
		}
		c.Hub.Content(c.W, c.R, data, version)
		return true
	}
	b.hub.Fail(serve)
	s := b.open(t)
	p := b.puller(t, s)
	u := mustURL(t, b.hub.URL+"/files/my%20model.gguf?signature=secret")
	name, err := NameOf(u)
	try(t, err)
	if name.File != "my model.gguf" || !strings.HasSuffix(name.Repo.String(), "/my-model") {
		t.Errorf("%+v", name)
	}
	get := func() store.Snapshot {
		t.Helper()
		m, err := p.URL(context.Background(), u)
		try(t, err)
		b.check(t, m, map[string][]byte{name.File: data}, []string{name.File})
		if !slices.Equal(m.Revisions, []string{"main", name.Revision}) || strings.Contains(m.Source, "secret") {
			t.Errorf("%+v", m)
		}
		return m
	}
	first := get()
	sent := b.hub.Sent()
	if get(); b.hub.Sent() != sent {
		t.Errorf("it was fetched again: %d bytes", b.hub.Sent()-sent)
	}
	data, version = append([]byte("GGUF"), weights(weightBytes+5, 8)...), `"2"`
	if second := get(); second.Commit == first.Commit {
		t.Error("two versions are one")
	}

	// A version that changes while it is fetched: the parts of the old one are dropped.
	data, version = append([]byte("GGUF"), weights(weightBytes, 9)...), `"3"`
	other := append([]byte("GGUF"), weights(weightBytes, 10)...)
	b.hub.Reset()
	calls := 0
	b.hub.Fail(func(c *hubtest.Call) bool {
		if c.R.Method == http.MethodGet {
			if calls++; calls == 3 {
				data, version = other, `"4"`
			}
		}
		return serve(c)
	})
	p.Connections = 1
	get()

	for _, test := range []struct {
		path, err string
		fault     hubtest.Fault
	}{
		{"/x.txt", "does not end in .gguf", nil},
		{"/none.gguf", "404", hubtest.Status(404)},
		{"/page.gguf", "no GGUF file", func(c *hubtest.Call) bool { c.Hub.Content(c.W, c.R, []byte("<html>"), `"1"`); return true }},
		{"/long.gguf", "how large", func(c *hubtest.Call) bool { c.W.(http.Flusher).Flush(); return true }},
		{"/con.gguf", "has a part that not every system allows", nil},
	} {
		b.hub.Fail(test.fault)
		if _, err := p.URL(context.Background(), mustURL(t, b.hub.URL+test.path)); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v", test.path, err)
		}
	}
	for _, address := range []string{"http://example.com/x.gguf", "ftp://example.com/x.gguf", "https://user:pw@example.com/x.gguf", "https:///x.gguf"} {
		if _, err := p.URL(context.Background(), mustURL(t, address)); err == nil {
			t.Errorf("%s was accepted", address)
		}
	}
}
