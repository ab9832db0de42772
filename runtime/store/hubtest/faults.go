package hubtest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"time"
)

// Fault may answer a call in its own way; it returns whether it did.
type Fault func(c *Call) bool

// Call is one call, to be answered.
type Call struct {
	Server Server
	N      int // how many calls this server has had, with this one
	W      http.ResponseWriter
	R      *http.Request
	Hub    *Hub

	serve func(w http.ResponseWriter, r *http.Request)
}

// Serve gives the right answer through another writer.
func (c *Call) Serve(w http.ResponseWriter) { c.serve(w, c.R) }

// Fail sets what goes wrong from now on; nil for nothing.
func (h *Hub) Fail(f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = f
}

// On makes a fault happen at the first n calls of a server; n < 0 for all.
func On(server Server, n int, f Fault) Fault {
	return func(c *Call) bool { return c.Server == server && (n < 0 || c.N <= n) && f(c) }
}

// Each runs several faults; the first one that answers wins.
func Each(faults ...Fault) Fault {
	return func(c *Call) bool {
		for _, f := range faults {
			if f(c) {
				return true
			}
		}
		return false
	}
}

// Status answers with a code, and with pairs of header names and values.
func Status(code int, header ...string) Fault {
	return func(c *Call) bool {
		for i := 0; i+1 < len(header); i += 2 {
			c.W.Header().Set(header[i], header[i+1])
		}
		c.W.WriteHeader(code)
		return true
	}
}

// Redirect sends the caller elsewhere.
func Redirect(code int, to string) Fault { return Status(code, "Location", to) }

// shaped is a writer that changes the right answer on its way.
type shaped struct {
	http.ResponseWriter
	head func(header http.Header, code int) int
	body func(p []byte, at int64) ([]byte, error)
	at   int64
	sent bool
}

func (s *shaped) WriteHeader(code int) {
	if s.sent {
		return
	}
	s.sent = true
	if s.head != nil {
		code = s.head(s.Header(), code)
	}
	s.ResponseWriter.WriteHeader(code)
}

func (s *shaped) Write(p []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	out := p
	if s.body != nil {
		var err error
		if out, err = s.body(append([]byte(nil), p...), s.at); err != nil {
			return 0, err
		}
	}
	s.at += int64(len(p))
	if _, err := s.ResponseWriter.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Head changes the head of the right answer.
func Head(change func(header http.Header, code int) int) Fault {
	return func(c *Call) bool {
		c.Serve(&shaped{ResponseWriter: c.W, head: change})
		return true
	}
}

// Header sets a header of the right answer.
func Header(name, value string) Fault {
	return Head(func(h http.Header, code int) int {
		h.Set(name, value)
		return code
	})
}

// Body changes the bytes of the right answer.
func Body(change func(p []byte, at int64) []byte) Fault {
	return func(c *Call) bool {
		c.Serve(&shaped{ResponseWriter: c.W, body: func(p []byte, at int64) ([]byte, error) { return change(p, at), nil }})
		return true
	}
}

// Cut ends the connection after n bytes of the body.
func Cut(n int64) Fault {
	return func(c *Call) bool {
		c.Serve(&shaped{ResponseWriter: c.W, body: func(p []byte, at int64) ([]byte, error) {
			if at+int64(len(p)) <= n {
				return p, nil
			}
			c.W.Write(p[:n-at])
			http.NewResponseController(c.W).Flush()
			panic(http.ErrAbortHandler)
		}})
		return true
	}
}

// Reset ends the connection before anything is answered.
func Reset(*Call) bool { panic(http.ErrAbortHandler) }

// Stall sends n bytes and then nothing, until the caller goes away or d is over.
func Stall(n int64, d time.Duration) Fault {
	return func(c *Call) bool {
		c.Serve(&shaped{ResponseWriter: c.W, body: func(p []byte, at int64) ([]byte, error) {
			if at+int64(len(p)) <= n {
				return p, nil
			}
			c.W.Write(p[:n-at])
			http.NewResponseController(c.W).Flush()
			select {
			case <-c.R.Context().Done():
			case <-time.After(d):
			}
			panic(http.ErrAbortHandler)
		}})
		return true
	}
}

// Slow sends the right answer in pieces with a pause behind each.
func Slow(piece int, d time.Duration) Fault {
	return func(c *Call) bool {
		c.Serve(&shaped{ResponseWriter: c.W, body: func(p []byte, _ int64) ([]byte, error) {
			for len(p) > piece {
				c.W.Write(p[:piece])
				http.NewResponseController(c.W).Flush()
				time.Sleep(d)
				p = p[piece:]
			}
			return p, nil
		}})
		return true
	}
}

// WithoutRanges answers as a server does that knows no parts: with all of the file.
func WithoutRanges(c *Call) bool {
	r := c.R.Clone(c.R.Context())
	r.Header.Del("Range")
	c.serve(c.W, r)
	return true
}

// Endless sends bytes for ever, or until the caller goes away.
func Endless(c *Call) bool {
	junk := make([]byte, 64<<10)
	for c.R.Context().Err() == nil {
		if _, err := c.W.Write(junk); err != nil {
			break
		}
	}
	return true
}

// Bomb sends a few bytes that unpack to many.
func Bomb() Fault {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(make([]byte, 8<<20))
	z.Close()
	return func(c *Call) bool {
		c.W.Header().Set("Content-Encoding", "gzip")
		c.W.Write(packed.Bytes())
		return true
	}
}

// OtherLength announces and sends more bytes than there are, or fewer.
func OtherLength(extra int) Fault {
	return func(c *Call) bool {
		rec := c.record()
		body := append(rec.body, make([]byte, max(extra, 0))...)
		body = body[:max(len(rec.body)+extra, 0)]
		c.W.Header().Set("Content-Length", fmt.Sprint(len(body)))
		c.W.WriteHeader(rec.code)
		c.W.Write(body)
		return true
	}
}

// Unannounced sends the right bytes and more, without saying how many there are.
func Unannounced(extra int) Fault {
	return func(c *Call) bool {
		rec := c.record()
		c.W.Header().Del("Content-Length")
		c.W.WriteHeader(rec.code)
		c.W.Write(rec.body)
		http.NewResponseController(c.W).Flush()
		c.W.Write(make([]byte, extra))
		return true
	}
}

// record makes the right answer, sends its headers on, and holds the rest.
func (c *Call) record() *recorder {
	rec := &recorder{header: http.Header{}}
	c.Serve(rec)
	for k, v := range rec.header {
		c.W.Header()[k] = v
	}
	return rec
}

// recorder holds an answer.
type recorder struct {
	header http.Header
	code   int
	body   []byte
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.body = append(r.body, p...)
	return len(p), nil
}
