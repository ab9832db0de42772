// Package sse writes server-sent events to one client. It owns framing, flushing and the rule that a client which does
// not read is dropped: nothing else in the server may write to a stream. It imports the standard library only.
package sse

import (
	"fmt"
	"net/http"
	"time"
)

// Defaults of a Writer.
const (
	DefaultWriteTimeout = 30 * time.Second
	DefaultHeartbeat    = 15 * time.Second
)

// Writer sends events. Its methods must be called by one goroutine at a time. After the first error the stream is
// dead: every later call returns that error.
type Writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	flush   func() error
	timeout time.Duration
	started bool
	err     error
	buf     []byte
}

// NewWriter prepares a stream; nothing is sent before the first event. timeout bounds each write, that is, how long a
// client may leave its socket buffers full; 0 means DefaultWriteTimeout.
func NewWriter(w http.ResponseWriter, timeout time.Duration) *Writer {
	if timeout == 0 {
		timeout = DefaultWriteTimeout
	}
	return &Writer{w: w, control: http.NewResponseController(w), flush: flusher(w), timeout: timeout}
}

// flusher looks through wrappers for the Flush that returns its error. Wrappers that only have the one without hide
// that the client does not read, until the next event; but they may hold bytes back themselves, as one that compresses does,
// so the outermost is flushed first.
func flusher(w http.ResponseWriter) func() error {
	for inner := w; ; {
		if f, ok := inner.(interface{ FlushError() error }); ok {
			outer, wrapped := w.(http.Flusher)
			if inner == w || !wrapped {
				return f.FlushError
			}
			return func() error {
				outer.Flush()
				return f.FlushError()
			}
		}
		u, ok := inner.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return http.NewResponseController(w).Flush
		}
		inner = u.Unwrap()
	}
}

// Started reports whether the status line is out, so that an error can no longer be a status.
func (w *Writer) Started() bool { return w.started }

// Event sends one data event. data must not contain line breaks; JSON does not.
func (w *Writer) Event(data []byte) error {
	w.buf = append(append(append(w.buf[:0], "data: "...), data...), "\n\n"...)
	return w.send()
}

// Ping sends a comment that keeps proxies and clients from giving up. It is one line without the blank line that would
// end an event: some clients take an empty event for a broken one.
func (w *Writer) Ping() error {
	w.buf = append(w.buf[:0], ": ping\n"...)
	return w.send()
}

func (w *Writer) send() error {
	if w.err != nil {
		return w.err
	}
	// The deadline stays after the last event, for the end of the response that net/http writes; a server has to clear
	// it before it serves the next request of the connection.
	if err := w.control.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return w.fail(err)
	}
	if !w.started {
		w.started = true
		h := w.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache, no-store")
		h.Set("X-Accel-Buffering", "no") // nginx would hold events back
		w.w.WriteHeader(http.StatusOK)
	}
	if _, err := w.w.Write(w.buf); err != nil {
		return w.fail(err)
	}
	if err := w.flush(); err != nil {
		return w.fail(err)
	}
	return nil
}

func (w *Writer) fail(err error) error {
	w.err = fmt.Errorf("sse: %w", err)
	return w.err
}
