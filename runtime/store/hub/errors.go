package hub

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StatusError is an answer that is no success.
type StatusError struct {
	Host       string
	Code       int
	Kind       string        // what the hub says of it: "GatedRepo", "RepoNotFound", "RevisionNotFound"; or empty
	Message    string        // for people, from the server; one line
	RetryAfter time.Duration // as the server asks; 0 if it doesn't
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s answers %d %s", e.Host, e.Code, http.StatusText(e.Code))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// maxRetryAfter bounds how long a server can make us wait.
const maxRetryAfter = 15 * time.Minute

// maxErrorBody is how much of an error's body is read, so that the connection can be used again.
const maxErrorBody = 16 << 10

func (c *Client) statusError(resp *http.Response) error {
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, maxErrorBody) // what is wrong with the body changes nothing
	e := &StatusError{
		Host: resp.Request.URL.Host, Code: resp.StatusCode, Kind: resp.Header.Get("X-Error-Code"),
		Message: resp.Header.Get("X-Error-Message"), RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
	e.Message = strings.Join(strings.Fields(e.Message[:min(len(e.Message), 300)]), " ")
	return &attemptError{e, temporaryStatus(e.Code)}
}

// retryAfter reads seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

func temporaryStatus(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		http.StatusRequestedRangeNotSatisfiable: // of one server of several that has another file
		return true
	}
	return code >= 520 && code <= 529 // of a CDN whose own server does not answer
}

// attemptError is an error together with whether trying again can help.
type attemptError struct {
	error
	temporary bool
}

func (e *attemptError) Unwrap() error { return e.error }

// Temporary reports whether what failed may succeed when it is tried again.
func Temporary(err error) bool {
	var e *attemptError
	return errors.As(err, &e) && e.temporary
}

func permanent(err error) error { return &attemptError{err, false} }
func temporary(err error) error { return &attemptError{err, true} }

// classify says of an error of the network whether trying again can help. A wrong certificate does not get better, nor
// does a name that does not exist; a name server that does not answer may.
func classify(err error) error {
	var (
		dns       *net.DNSError
		unknown   x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		handshake tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &dns):
		return &attemptError{err, !dns.IsNotFound}
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verify), errors.As(err, &handshake):
		return permanent(err)
	}
	return temporary(err)
}
