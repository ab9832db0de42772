package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"aquifer/runtime/store"
)

// bufferSize is the unit of reading and of the bandwidth limit.
const bufferSize = 128 << 10

// Source is a file on a server. It remembers where redirects led, so that the hub is asked once for many parts, and the
// version of the file, so that all parts are of one. It may be used from several goroutines.
type Source struct {
	Size int64

	c      *Client
	url    *url.URL
	digest store.Digest // zero if it is not known

	mu        sync.Mutex
	final     *url.URL // where redirects led; nil before
	validator string   // for If-Range
}

// File is where a file of a model is.
func (c *Client) File(r store.Repo, commit store.Commit, f store.File) *Source {
	u := c.endpoint.JoinPath(r.String(), "resolve", commit.String())
	for part := range strings.SplitSeq(f.Path, "/") {
		u = u.JoinPath(url.PathEscape(part))
	}
	return &Source{Size: f.Size, c: c, url: u, digest: f.Digest}
}

// ErrWhole says that a server sent the whole file instead of a part: it knows no parts, or the file is another one than
// before.
var ErrWhole = errors.New("the server sends the whole file, not the part that was asked for")

// Open asks for the bytes from off up to end. The body has that many, or reading it fails: with an error that is
// Temporary if the rest can be asked for again.
func (s *Source) Open(ctx context.Context, off, end int64) (io.ReadCloser, error) {
	header := http.Header{}
	part := off > 0 || end < s.Size
	s.mu.Lock()
	target, named, validator := s.url, true, s.validator
	if s.final != nil {
		target, named = s.final, false
	}
	s.mu.Unlock()
	if part {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, end-1))
		if validator != "" {
			header.Set("If-Range", validator)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := s.c.send(ctx, http.MethodGet, target, header, named)
	if err == nil {
		err = s.check(resp, part, off, end)
	}
	if err != nil {
		s.forget(named, err)
		cancel(err)
		return nil, err
	}
	b := &body{ctx: ctx, cancel: cancel, resp: resp, left: end - off, limit: s.c.limit, stall: s.c.cfg.Stall}
	b.timer = time.AfterFunc(b.stall, func() {
		cancel(temporary(fmt.Errorf("%s: no data for %v", resp.Request.URL.Host, b.stall)))
	})
	return b, nil
}

// forget drops where redirects led if that does not answer any more: signed URLs end after some time.
func (s *Source) forget(named bool, err error) {
	var status *StatusError
	if named || !errors.As(err, &status) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.final = nil
	if e := (*attemptError)(nil); errors.As(err, &e) && status.Code >= 400 && status.Code < 500 {
		e.temporary = true
	}
}

// Restart forgets the version of the file: the next part may be of another one.
func (s *Source) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.final, s.validator = nil, ""
}

// check verifies that an answer holds what was asked for, and remembers where it came from.
func (s *Source) check(resp *http.Response, part bool, off, end int64) error {
	fail := func(err error) error {
		resp.Body.Close()
		return err
	}
	host := resp.Request.URL.Host
	if err := plain(resp); err != nil {
		return err
	}
	// The hub says before it redirects which content it means.
	linked, _ := resp.Request.Context().Value(linkedKey{}).(string)
	if linked = cleanTag(linked); linked != "" && s.digest != (store.Digest{}) && linked != s.digest.String() {
		return fail(permanent(fmt.Errorf("%s means content %.12s, the file list says %.12s", s.url.Host, linked, s.digest)))
	}
	want := end - off
	switch {
	case part && resp.StatusCode == http.StatusOK:
		return fail(temporary(fmt.Errorf("%s: %w", host, ErrWhole)))
	case part:
		if got := resp.Header.Get("Content-Range"); got != fmt.Sprintf("bytes %d-%d/%d", off, end-1, s.Size) {
			return fail(temporary(fmt.Errorf("%s: asked for bytes %d to %d of %d, got %.60q", host, off, end-1, s.Size, got)))
		}
	case resp.StatusCode != http.StatusOK:
		return fail(temporary(fmt.Errorf("%s: a part, when all was asked for", host)))
	}
	if n := resp.ContentLength; n >= 0 && n != want {
		return fail(temporary(fmt.Errorf("%s: %d bytes, when there should be %d", host, n, want)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if resp.Request.URL.String() != s.url.String() {
		s.final = resp.Request.URL
	}
	if s.validator == "" {
		s.validator = validatorOf(resp.Header)
	}
	return nil
}

// validatorOf is what If-Range can name a version of a file by: a strong ETag, or else a date.
func validatorOf(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

// cleanTag is an ETag without quotes and weakness.
func cleanTag(tag string) string { return strings.Trim(strings.TrimPrefix(tag, "W/"), `"`) }

// body reads as many bytes as there must be, within the bandwidth limit, and not for longer than the server sends some.
type body struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	resp   *http.Response
	left   int64
	limit  *rate.Limiter // nil for none
	stall  time.Duration
	timer  *time.Timer
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.end()
	}
	n, err := b.resp.Body.Read(p[:min(int64(len(p)), b.left, bufferSize)])
	b.left -= int64(n)
	if n > 0 {
		b.timer.Reset(b.stall)
	}
	if b.limit != nil && n > 0 {
		b.timer.Stop() // it is us who wait
		if err := b.limit.WaitN(b.ctx, n); err != nil {
			return n, networkError(b.ctx, b.resp.Request.URL, err)
		}
		b.timer.Reset(b.stall)
	}
	switch {
	case err == nil || b.left == 0:
		return n, nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, networkError(b.ctx, b.resp.Request.URL, err)
}

// end checks that nothing follows where the length was not announced.
func (b *body) end() error {
	if b.resp.ContentLength >= 0 {
		return io.EOF
	}
	if n, err := b.resp.Body.Read(make([]byte, 1)); n > 0 || err == nil {
		return permanent(fmt.Errorf("%s: more bytes than the file has", b.resp.Request.URL.Host))
	}
	return io.EOF
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.resp.Body.Close()
	b.cancel(context.Canceled)
	return err
}

// URL is a single file at an address that the user named. Its size and version are asked for at once.
func (c *Client) URL(ctx context.Context, address *url.URL) (*Source, error) {
	if err := checkURL(address); err != nil {
		return nil, permanent(fmt.Errorf("%s %w", address.Redacted(), err))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*c.cfg.Timeout, temporary(fmt.Errorf("%s does not answer", address.Host)))
	defer cancel()
	resp, err := c.send(ctx, http.MethodHead, address, nil, true)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	if err := plain(resp); err != nil {
		return nil, err
	}
	size, err := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64)
	if err != nil || size <= 0 || size > maxFileSize {
		return nil, permanent(fmt.Errorf("%s does not say how large the file is", address.Host))
	}
	return &Source{Size: size, c: c, url: address, validator: validatorOf(resp.Header)}, nil
}

// Version names the file at a URL as it is now; empty if the server has no name for it. Then what was fetched before
// can't be trusted.
func (s *Source) Version() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.validator
}
