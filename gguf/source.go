package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// source reads a file's header front to back through a small window and knows how much of the file is left.
type source struct {
	r     io.ReaderAt
	size  int64  // of the file
	off   int64  // of the next byte to hand out
	field string // what is being read, for errors

	elements, arrays uint64 // of all arrays so far

	window []byte // bytes [start, start+len(window)) of the file
	start  int64
	buf    []byte // backs window
}

const windowSize = 64 << 10

// failAt builds the error for the field being read.
func (s *source) failAt(off int64, format string, args ...any) error {
	return &FormatError{Off: off, Field: s.field, Msg: fmt.Sprintf(format, args...)}
}

// fits checks that n items of at least width bytes can follow; off is where n was read.
func (s *source) fits(off int64, n, width uint64) error {
	need, ok := checked(nil, n, width)
	if left := s.size - s.off; !ok || left < 0 || need > uint64(left) {
		return s.failAt(off, "%d needs more bytes than the %d that are left of the file", n, max(0, left))
	}
	return nil
}

// next hands out n bytes, n <= windowSize, valid until the next call.
func (s *source) next(n int) ([]byte, error) {
	if int64(n) > s.size-s.off {
		return nil, s.failAt(s.off, "the file ends here, after %d bytes", s.size)
	}
	if s.off+int64(n) > MaxHeader {
		return nil, s.failAt(s.off, "the header is larger than the limit of %d bytes", MaxHeader)
	}
	if from := s.off - s.start; from+int64(n) > int64(len(s.window)) {
		if err := s.fill(n); err != nil {
			return nil, err
		}
	}
	from := s.off - s.start
	s.off += int64(n)
	return s.window[from : from+int64(n)], nil
}

// fill loads the window from s.off on; at least n bytes must come.
func (s *source) fill(n int) error {
	if s.buf == nil {
		s.buf = make([]byte, min(windowSize, s.size))
	}
	want := s.buf[:min(int64(len(s.buf)), s.size-s.off)]
	got, err := s.r.ReadAt(want, s.off)
	s.start, s.window = s.off, want[:got]
	switch {
	case got >= n:
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return s.failAt(s.off+int64(got), "the file ends early")
	}
	return fmt.Errorf("gguf: %s: %w", s.field, err)
}

func (s *source) u32() (uint32, error) {
	b, err := s.next(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (s *source) u64() (uint64, error) {
	b, err := s.next(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads a number of items of at least width bytes each.
func (s *source) count(limit, width uint64) (uint64, error) {
	off := s.off
	n, err := s.u64()
	if err != nil {
		return 0, err
	}
	if n > limit {
		return 0, s.failAt(off, "is %d, the limit is %d", n, limit)
	}
	return n, s.fits(off, n, width)
}

// str reads a string of at most limit bytes.
func (s *source) str(limit uint64) (string, error) {
	off := s.off
	n, err := s.u64()
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", s.failAt(off, "string of %d bytes, the limit is %d", n, limit)
	}
	if err := s.fits(off, n, 1); err != nil {
		return "", err
	}
	if n <= windowSize {
		b, err := s.next(int(n))
		return string(b), err
	}
	text := make([]byte, 0, windowSize)
	for left := int(n); left > 0; {
		b, err := s.next(min(left, windowSize))
		if err != nil {
			return "", err
		}
		text = append(text, b...)
		left -= len(b)
	}
	return string(text), nil
}
