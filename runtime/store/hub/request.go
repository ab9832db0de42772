package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
)

// maxRedirects is how many servers may send us on.
const maxRedirects = 5

// send sends a request and follows redirects, by rules that are stricter than those of net/http: never from https to
// http, never to an address inside a private network, and the token goes to the endpoint only, not to other hosts of its
// domain. named says that the user named the URL's server. The caller closes the body; an answer that is no success is
// an error.
func (c *Client) send(ctx context.Context, method string, u *url.URL, header http.Header, named bool) (*http.Response, error) {
	for range maxRedirects + 1 {
		resp, err := c.sendOne(ctx, method, u, header, named)
		if err != nil {
			return nil, err
		}
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		case http.StatusOK, http.StatusPartialContent:
			return resp, nil
		default:
			return nil, c.statusError(resp)
		}
		next, err := c.next(u, resp)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		// Within the server that the user named everything is as it was.
		named = named && sameServer(u, next) || sameServer(next, c.endpoint)
		if linked := resp.Header.Get("X-Linked-Etag"); linked != "" {
			ctx = context.WithValue(ctx, linkedKey{}, linked)
		}
		u = next
	}
	return nil, permanent(fmt.Errorf("%s: more than %d redirects", u.Host, maxRedirects))
}

// linkedKey finds, among the values of a request's context, the digest that a redirect promised.
type linkedKey struct{}

func (c *Client) sendOne(ctx context.Context, method string, u *url.URL, header http.Header, named bool) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, permanent(err)
	}
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	if c.cfg.Token != "" && sameServer(u, c.endpoint) {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	proxy, err := c.cfg.Proxy(req)
	if err != nil {
		return nil, permanent(fmt.Errorf("proxy: %w", err))
	}
	ctx = context.WithValue(ctx, hopKey{}, hop{named: named, proxied: proxy != nil})
	resp, err := c.transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, networkError(ctx, u, err)
	}
	return resp, nil
}

// next is where a redirect leads, if it may.
func (c *Client) next(from *url.URL, resp *http.Response) (*url.URL, error) {
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, permanent(fmt.Errorf("%s: a redirect to nowhere", from.Host))
	}
	to, err := from.Parse(location)
	if err != nil {
		return nil, permanent(fmt.Errorf("%s: a redirect that is no URL", from.Host))
	}
	if from.Scheme == "https" && to.Scheme != "https" {
		return nil, permanent(fmt.Errorf("%s redirects from https to %.10s; that is refused", from.Host, to.Scheme))
	}
	if to.Host == "" || to.User != nil || to.Scheme != "http" && to.Scheme != "https" {
		return nil, permanent(fmt.Errorf("%s: a redirect that can't be followed", from.Host))
	}
	if sameServer(from, to) || sameServer(to, c.endpoint) {
		return to, nil
	}
	if to.Scheme == "http" && !loopbackHost(to.Hostname()) {
		return nil, permanent(fmt.Errorf("%s redirects to %s over http; that is refused", from.Host, to.Host))
	}
	// Behind a proxy the address is not ours to see; one that is written out still is.
	if addr, err := netip.ParseAddr(to.Hostname()); err == nil {
		if err := c.checkAddr(addr.Unmap()); err != nil {
			return nil, permanent(err)
		}
	}
	return to, nil
}

// networkError drops what package net/url says twice, and a signed URL must not be seen in.
func networkError(ctx context.Context, u *url.URL, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var addr *AddressError
	if errors.As(err, &addr) {
		return permanent(addr)
	}
	if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	return classify(fmt.Errorf("%s: %w", u.Host, err))
}
