// Package hubtest is a hub for tests: real HTTP servers on loopback with the endpoints of Hugging Face, its headers and
// redirects to signed URLs of a second server, and faults on demand. It keeps a log of who was asked for what with which
// token. It imports nothing of ours.
package hubtest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server says which part of the hub a call goes to.
type Server string

// The parts of a hub.
const (
	API     Server = "api"     // what a model is made of
	Resolve Server = "resolve" // a file: the small ones themselves, for the large ones a redirect
	CDN     Server = "cdn"     // the large files, at another address
)

// Hub is a hub with a server for large files beside it.
type Hub struct {
	URL, CDN string

	mu     sync.Mutex
	models map[string]*model // by ORG/NAME
	blobs  map[string][]byte // large files by SHA-256
	calls  map[Server]int
	seen   []Seen
	fault  Fault
	token  string // what gated models want; empty for nothing
	sent   int64
	round  int // part of the signature of URLs
}

type model struct {
	revisions map[string]string // commit by branch
	commits   map[string]map[string]file
	gated     bool
}

// file is a file of a model with its digest: the SHA-256 of a large one, git's id of a small one.
type file struct {
	data []byte
	oid  string
}

// Seen is a call as it came in.
type Seen struct {
	Server                             Server
	Method, Path, Auth, Range, IfRange string
}

// New starts a hub that ends with the test.
func New(t testing.TB) *Hub {
	h := &Hub{models: map[string]*model{}, blobs: map[string][]byte{}, calls: map[Server]int{}}
	h.URL, h.CDN = start(t, h.front), start(t, h.cdn)
	return h
}

func start(t testing.TB, handler http.HandlerFunc) (address string) {
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // faults are not news
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// Add puts a model on the hub, or a new commit of it, and returns the commit.
func (h *Hub) Add(repo, revision string, files map[string][]byte) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := sha1.New()
	held := map[string]file{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := file{files[name], ""}
		if large(name) {
			f.oid = SHA256(f.data)
			h.blobs[f.oid] = f.data
		} else {
			f.oid = GitOID(f.data)
		}
		held[name] = f
		fmt.Fprintln(sum, name, f.oid)
	}
	commit := hex.EncodeToString(sum.Sum(nil))
	m := h.models[repo]
	if m == nil {
		m = &model{revisions: map[string]string{}, commits: map[string]map[string]file{}}
		h.models[repo] = m
	}
	m.revisions[revision], m.commits[commit] = commit, held
	return commit
}

// Gate makes a model one that only the holder of a token gets.
func (h *Hub) Gate(repo, token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.models[repo].gated, h.token = true, token
}

// large reports whether the hub keeps a file apart from git, in LFS.
func large(name string) bool {
	return strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".gguf") || strings.HasSuffix(name, ".bin")
}

// SHA256 and GitOID are the digests of a content, as the hub has them.
func SHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// GitOID is the id that git gives a content.
func GitOID(data []byte) string {
	sum := sha1.New()
	fmt.Fprintf(sum, "blob %d\x00", len(data))
	sum.Write(data)
	return hex.EncodeToString(sum.Sum(nil))
}

// Log returns the calls so far.
func (h *Hub) Log() []Seen {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.seen)
}

// Sent is how many bytes of files were sent.
func (h *Hub) Sent() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent
}

// Reset forgets calls and faults.
func (h *Hub) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls, h.seen, h.fault, h.sent = map[Server]int{}, nil, nil, 0
}

// begin notes a call and lets the fault have it.
func (h *Hub) begin(w http.ResponseWriter, r *http.Request, server Server, serve func(w http.ResponseWriter, r *http.Request)) {
	h.mu.Lock()
	h.calls[server]++
	h.seen = append(h.seen, Seen{
		server, r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Range"), r.Header.Get("If-Range"),
	})
	c := &Call{Server: server, N: h.calls[server], W: w, R: r, Hub: h, serve: serve}
	fault := h.fault
	h.mu.Unlock()
	if fault == nil || !fault(c) {
		serve(w, r)
	}
}

func (h *Hub) front(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	if rest, ok := strings.CutPrefix(path, "api/models/"); ok {
		h.begin(w, r, API, func(w http.ResponseWriter, r *http.Request) { h.api(w, r, rest) })
		return
	}
	h.begin(w, r, Resolve, func(w http.ResponseWriter, r *http.Request) { h.resolve(w, r, path) })
}

// find returns a model's files at a revision.
func (h *Hub) find(w http.ResponseWriter, r *http.Request, repo, revision string) (commit string, files map[string]file) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fail := func(code int, kind string) (string, map[string]file) {
		w.Header().Set("X-Error-Code", kind)
		w.Header().Set("X-Error-Message", kind+" of "+repo)
		w.WriteHeader(code)
		return "", nil
	}
	m := h.models[repo]
	if m == nil {
		return fail(http.StatusUnauthorized, "RepoNotFound") // the hub does not say whether it is private
	}
	if m.gated && r.Header.Get("Authorization") != "Bearer "+h.token {
		return fail(http.StatusUnauthorized, "GatedRepo")
	}
	revision, _ = url.PathUnescape(revision)
	commit = revision
	if c, ok := m.revisions[revision]; ok {
		commit = c
	}
	if files = m.commits[commit]; files == nil {
		return fail(http.StatusNotFound, "RevisionNotFound")
	}
	return commit, files
}

func (h *Hub) api(w http.ResponseWriter, r *http.Request, rest string) {
	parts := strings.SplitN(rest, "/", 4)
	if len(parts) < 4 {
		http.NotFound(w, r)
		return
	}
	repo := parts[0] + "/" + parts[1]
	commit, files := h.find(w, r, repo, parts[3])
	if files == nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if parts[2] == "revision" {
		json.NewEncoder(w).Encode(map[string]any{"id": repo, "sha": commit, "private": false, "gated": false})
		return
	}
	list := []map[string]any{{"type": "directory", "oid": GitOID(nil), "size": 0, "path": "sub"}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		e := map[string]any{"type": "file", "oid": f.oid, "size": len(f.data), "path": name}
		if large(name) {
			e["oid"] = GitOID([]byte(f.oid)) // of the file that stands for it in git
			e["lfs"] = map[string]any{"oid": f.oid, "size": len(f.data), "pointerSize": 134}
		}
		list = append(list, e)
	}
	// A small page, so that listings go on as those of large models do.
	const page = 7
	from := 0
	fmt.Sscan(r.URL.Query().Get("cursor"), &from)
	to := min(from+page, len(list))
	if to < len(list) {
		w.Header().Set("Link", fmt.Sprintf("<%s%s?recursive=true&cursor=%d>; rel=\"next\"", h.URL, r.URL.EscapedPath(), to))
	}
	json.NewEncoder(w).Encode(list[from:to])
}

func (h *Hub) resolve(w http.ResponseWriter, r *http.Request, path string) {
	parts := strings.SplitN(path, "/", 5)
	if len(parts) < 5 || parts[2] != "resolve" {
		http.NotFound(w, r)
		return
	}
	commit, files := h.find(w, r, parts[0]+"/"+parts[1], parts[3])
	if files == nil {
		return
	}
	name, _ := url.PathUnescape(parts[4])
	f, ok := files[name]
	w.Header().Set("X-Repo-Commit", commit)
	if !ok {
		w.Header().Set("X-Error-Code", "EntryNotFound")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if large(name) {
		h.mu.Lock()
		h.round++
		round := h.round
		h.mu.Unlock()
		w.Header().Set("X-Linked-Etag", `"`+f.oid+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(f.data)))
		w.Header().Set("Location", fmt.Sprintf("%s/blobs/%s?X-Signature=secret-%d", h.CDN, f.oid, round))
		w.WriteHeader(http.StatusFound)
		return
	}
	h.Content(w, r, f.data, `"`+f.oid+`"`)
}

func (h *Hub) cdn(w http.ResponseWriter, r *http.Request) {
	h.begin(w, r, CDN, func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		data, ok := h.blobs[strings.TrimPrefix(r.URL.Path, "/blobs/")]
		h.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		// As an object store would have it: a digest of another kind.
		tag := md5.Sum(data[:min(len(data), 1024)])
		h.Content(w, r, data, `"`+hex.EncodeToString(tag[:])+`"`)
	})
}

// Content answers with a content, or the part of it that was asked for.
func (h *Hub) Content(w http.ResponseWriter, r *http.Request, data []byte, tag string) {
	w.Header().Set("ETag", tag)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(&counting{w, h}, r, "", time.Time{}, bytes.NewReader(data))
}

type counting struct {
	http.ResponseWriter
	h *Hub
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.h.mu.Lock()
	c.h.sent += int64(n)
	c.h.mu.Unlock()
	return n, err
}
