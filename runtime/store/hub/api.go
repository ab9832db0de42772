package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"aquifer/runtime/store"
)

// Limits of the hub's answers. A page of a listing has 1000 files at most.
const (
	maxReply = 4 << 20
	maxPages = 20
	maxFiles = 10_000
)

// Commit returns the commit that a revision of a model points at.
func (c *Client) Commit(ctx context.Context, r store.Repo, revision string) (store.Commit, error) {
	var reply struct {
		SHA string `json:"sha"`
	}
	u := c.endpoint.JoinPath("api", "models", r.String(), "revision", url.PathEscape(revision))
	if _, err := c.getJSON(ctx, u, &reply); err != nil {
		return store.Commit{}, err
	}
	commit, err := store.ParseCommit(reply.SHA)
	if err != nil {
		return commit, permanent(fmt.Errorf("%s: %w", u.Host, err))
	}
	return commit, nil
}

// Reach asks the endpoint for nothing but an answer. One that says no is there as well.
func (c *Client) Reach(ctx context.Context) error {
	resp, err := c.send(ctx, http.MethodHead, c.endpoint, nil, true)
	var status *StatusError
	if errors.As(err, &status) && status.Code < http.StatusInternalServerError {
		return nil
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Tree lists the files of a model as of a commit. Names that can't be files here are left out.
func (c *Client) Tree(ctx context.Context, r store.Repo, commit store.Commit) ([]store.File, error) {
	u := c.endpoint.JoinPath("api", "models", r.String(), "tree", commit.String())
	u.RawQuery = "recursive=true&limit=1000"
	var files []store.File
	for range maxPages {
		var page []treeEntry
		header, err := c.getJSON(ctx, u, &page)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			f, ok, err := e.file()
			if err != nil {
				return nil, permanent(fmt.Errorf("%s: file list: %w", u.Host, err))
			}
			if ok {
				files = append(files, f)
			}
		}
		if len(files) > maxFiles {
			return nil, permanent(fmt.Errorf("%s has more than %d files", r, maxFiles))
		}
		next := nextPage(header.Values("Link"))
		if next == "" {
			return files, nil
		}
		to, err := u.Parse(next)
		if err != nil || !sameServer(to, c.endpoint) || to.User != nil {
			return nil, permanent(fmt.Errorf("%s: its file list goes on at another server", u.Host))
		}
		u = to
	}
	return nil, permanent(fmt.Errorf("%s: its file list has more than %d pages", r, maxPages))
}

type treeEntry struct {
	Type string `json:"type"`
	Path string `json:"path"`
	OID  string `json:"oid"`
	Size int64  `json:"size"`
	LFS  *struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	} `json:"lfs"`
}

// maxFileSize bounds a file; the largest published shards have 50 GB.
const maxFileSize = 2 << 40

func (e treeEntry) file() (f store.File, ok bool, err error) {
	if e.Type != "file" || store.CheckPath(e.Path) != nil {
		return f, false, nil
	}
	oid, size := e.OID, e.Size
	if e.LFS != nil {
		oid, size = strings.TrimPrefix(e.LFS.OID, "sha256:"), e.LFS.Size
		if len(oid) != 64 {
			return f, false, fmt.Errorf("%s: %.80q is no SHA-256", e.Path, oid)
		}
	}
	if size < 0 || size > maxFileSize {
		return f, false, fmt.Errorf("%s: %d bytes, must be 0 to %d", e.Path, size, int64(maxFileSize))
	}
	d, err := store.ParseDigest(oid)
	if err != nil {
		return f, false, fmt.Errorf("%s: %w", e.Path, err)
	}
	return store.File{Path: e.Path, Digest: d, Size: size}, true, nil
}

var linkNext = regexp.MustCompile(`<([^<>]+)>\s*;\s*rel="?next"?`)

func nextPage(links []string) string {
	if m := linkNext.FindStringSubmatch(strings.Join(links, ", ")); m != nil {
		return m[1]
	}
	return ""
}

// getJSON asks the endpoint and decodes its answer.
func (c *Client) getJSON(ctx context.Context, u *url.URL, reply any) (http.Header, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*c.cfg.Timeout, temporary(fmt.Errorf("%s does not answer", u.Host)))
	defer cancel()
	resp, err := c.send(ctx, http.MethodGet, u, http.Header{"Accept": {"application/json"}}, true)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := plain(resp); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return nil, networkError(ctx, u, err)
	}
	if len(data) > maxReply {
		return nil, permanent(fmt.Errorf("%s: an answer of more than %d MiB", u.Host, maxReply>>20))
	}
	if err := json.Unmarshal(data, reply); err != nil {
		return nil, permanent(fmt.Errorf("%s: its answer is not what a hub says: %w", u.Host, err))
	}
	return resp.Header, nil
}

// plain refuses a compressed answer: none was asked for, and one that grows when it is unpacked is an old trick.
func plain(resp *http.Response) error {
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		resp.Body.Close()
		return permanent(fmt.Errorf("%s: the answer is compressed (%.20s), which was not asked for", resp.Request.URL.Host, enc))
	}
	return nil
}

// Explain adds to an error of a model what its user can do about it; "" for nothing in particular.
func (c *Client) Explain(err error, r store.Repo) string {
	var status *StatusError
	if !errors.As(err, &status) {
		return ""
	}
	page := c.endpoint.JoinPath(r.String()).String()
	switch {
	case status.Kind == "GatedRepo":
		return fmt.Sprintf("its makers want you to accept terms first: do that at %s, then set HF_TOKEN to a token of yours", page)
	case status.Kind == "RevisionNotFound":
		return fmt.Sprintf("it has no such revision; %s lists them", page+"/tree/main")
	case status.Code == http.StatusUnauthorized && c.cfg.Token != "":
		return "the token in HF_TOKEN or in its file is not accepted: make a new one, or unset it"
	case status.Code == http.StatusUnauthorized, status.Code == http.StatusForbidden, status.Code == http.StatusNotFound:
		return fmt.Sprintf("there is no such model at %s, or it is private: check the name, or set HF_TOKEN", c.endpoint.Host)
	case status.Code == http.StatusTooManyRequests:
		return "wait a while; with a token in HF_TOKEN more requests are allowed"
	}
	return ""
}
