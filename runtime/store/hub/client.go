// Package hub speaks to Hugging Face, to mirrors of it, and to servers that hold a single file. It owns what may be asked
// of whom: where the token goes, which redirects and addresses are followed, how much of an answer is read. It imports
// runtime/store for names and digests, and writes nothing to disk: runtime/store/pull does.
package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// DefaultEndpoint is Hugging Face.
const DefaultEndpoint = "https://huggingface.co"

// Config says how to reach a hub. Zero values stand for the defaults.
type Config struct {
	Endpoint  string // DefaultEndpoint
	Token     string // sent to the endpoint's own host and to no other
	UserAgent string
	Bandwidth int64         // bytes a second of all downloads together; 0 for no limit
	Stall     time.Duration // a download without a byte for so long is taken up anew; 30 s
	Timeout   time.Duration // of the head of an answer; 60 s

	Proxy func(*http.Request) (*url.URL, error) // http.ProxyFromEnvironment
}

// Client talks to one hub. It may be used from several goroutines.
type Client struct {
	cfg       Config
	endpoint  *url.URL
	transport *http.Transport
	limit     *rate.Limiter // nil for none
	public    func(netip.Addr) bool
	local     atomic.Bool // the endpoint itself has no public address
}

// New returns a client; nothing is sent yet.
func New(cfg Config) (*Client, error) {
	if cfg.Endpoint == "" {
		cfg.Endpoint = DefaultEndpoint
	}
	if cfg.Stall == 0 {
		cfg.Stall = 30 * time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Proxy == nil {
		cfg.Proxy = http.ProxyFromEnvironment
	}
	u, err := url.Parse(strings.TrimRight(cfg.Endpoint, "/"))
	if err != nil {
		return nil, fmt.Errorf("hub: endpoint: %w", err)
	}
	if err := checkURL(u); err != nil {
		return nil, fmt.Errorf("hub: endpoint %s: %w", u.Redacted(), err)
	}
	if strings.ContainsFunc(cfg.Token, func(r rune) bool { return r <= 0x20 || r > 0x7e }) {
		return nil, errors.New("hub: the token has a character that no token has")
	}
	c := &Client{cfg: cfg, endpoint: u, public: publicAddress}
	if cfg.Bandwidth > 0 {
		c.limit = rate.NewLimiter(rate.Limit(cfg.Bandwidth), bufferSize)
	}
	dialer := &net.Dialer{Timeout: 20 * time.Second, KeepAlive: 30 * time.Second, ControlContext: c.control}
	c.transport = &http.Transport{
		Proxy:                  cfg.Proxy,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    20 * time.Second,
		ResponseHeaderTimeout:  cfg.Timeout,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    16,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // sizes and digests are those of the bytes as they come
		ReadBufferSize:         bufferSize,
		// HTTP/1.1 only: parallel ranges are to be connections of their own.
		Protocols: http1(),
	}
	return c, nil
}

func http1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// Endpoint is the hub's address.
func (c *Client) Endpoint() string { return c.endpoint.String() }

// Close ends idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// checkURL refuses what no token and no model should travel over.
func checkURL(u *url.URL) error {
	switch {
	case u.Host == "" || u.Opaque != "":
		return errors.New("is no address of a server; give one, as in https://example.com")
	case u.User != nil:
		return errors.New("has a user name in it, which would end up in logs")
	case u.Scheme == "https", u.Scheme == "http" && loopbackHost(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return errors.New("is http, which anybody on the way can read and change; use https")
	}
	return fmt.Errorf("has scheme %.20q, must be https", u.Scheme)
}

func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// sameServer reports whether two URLs are of one server: then they may see one token.
func sameServer(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// pause waits, or ends early with ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
