package openai

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// Bodies that are larger than most take turns: until its prompt is made, such a request takes a few times its size.
const (
	largeBody   = 1 << 20
	largeAtOnce = 4
)

// unreadTime is how long a client may take to send the rest of a body that is refused. Who is cut off while sending does not
// see why.
const unreadTime = 2 * time.Second

// readBody receives a request's body. The checks of its headers come first, so that a bad request is refused before its
// body is sent. done is to be called when the body, and what was made of it, is no longer needed; it may be called twice.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request) (body []byte, done func(), e *Error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, nil, Invalid(http.StatusUnsupportedMediaType, "unsupported_media_type", "", "the Content-Type must be application/json")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, nil, Invalid(http.StatusUnsupportedMediaType, "unsupported_content_encoding", "", "a compressed body is not supported")
	}
	if r.ContentLength > h.cfg.MaxBody {
		return nil, nil, h.tooLarge(w, r)
	}
	control := http.NewResponseController(w)
	// Writers without deadlines are those of tests.
	_ = control.SetReadDeadline(time.Now().Add(h.cfg.BodyTimeout))
	limited := http.MaxBytesReader(w, r.Body, h.cfg.MaxBody)
	body, err = io.ReadAll(io.LimitReader(limited, largeBody+1))
	done = func() {}
	if err == nil && len(body) > largeBody {
		if done, e = h.large.take(r.Context()); e != nil {
			return nil, nil, e
		}
		_ = control.SetReadDeadline(time.Now().Add(h.cfg.BodyTimeout))
		rest := bytes.NewBuffer(body)
		_, err = rest.ReadFrom(limited)
		body = rest.Bytes()
	}
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		done()
		return nil, nil, h.tooLarge(w, r)
	case err != nil:
		done()
		return nil, nil, Invalid(http.StatusBadRequest, "body_unreadable", "", "the body did not arrive completely")
	}
	// The connection is watched for the client's leaving from now on; a deadline would look like that.
	_ = control.SetReadDeadline(time.Time{})
	return body, done, nil
}

// tooLarge is the error of a body over the limit. Unless it is much larger the rest is received and thrown away, so that the
// client gets to see the error.
func (h *Handler) tooLarge(w http.ResponseWriter, r *http.Request) *Error {
	w.Header().Set("Connection", "close")
	if r.ContentLength <= 2*h.cfg.MaxBody {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTime))
		_, _ = io.CopyN(io.Discard, r.Body, 2*h.cfg.MaxBody) // the request is refused in any case
	}
	return Invalid(http.StatusRequestEntityTooLarge, "request_too_large", "", "the body is over the limit of %d bytes", h.cfg.MaxBody)
}
