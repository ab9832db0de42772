// Package safetensors reads the header of a safetensors file: names, types, shapes and extents of its tensors. It
// enforces the format's rules (github.com/huggingface/safetensors, README "Format") to the letter, trusts no length
// in the file, never maps it and imports nothing of ours. Reading the tensors' bytes is the caller's job.
package safetensors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// MaxHeader is the longest header the format allows, in bytes.
const MaxHeader = 100_000_000

// File is the parsed header of one file.
type File struct {
	Tensors  []Tensor          // in the order of their bytes
	Metadata map[string]string // "__metadata__"; nil if the file has none
}

// Tensor describes one tensor. Its extent was checked: it lies inside the file and fits shape and type.
type Tensor struct {
	Name   string
	DType  string  // as in the file: "F16", "I8", ...
	Shape  []int64 // outermost first; empty for a scalar
	Offset int64   // absolute, of the first byte
	Size   int64   // bytes
}

// FormatError says where a file breaks the format. It carries no file name; the caller knows it.
type FormatError struct {
	Off   int64  // byte offset in the file
	Field string // what was being read: "header length", `tensor "x": shape`
	Msg   string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: %s (at byte %d)", e.Field, e.Msg, e.Off)
}

// Read parses the header of a file of size bytes. It fails with *FormatError if the file breaks a rule of the format,
// with the reader's error if that fails. Memory use is bounded by a small multiple of the header's length, which is
// checked against size before anything is allocated.
func Read(r io.ReaderAt, size int64) (*File, error) {
	if size < 8 {
		return nil, &FormatError{0, "header length", fmt.Sprintf("file has %d bytes, too short for a header", size)}
	}
	var head [8]byte
	if err := readFull(r, head[:], 0); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(head[:])
	switch {
	case length == 0:
		return nil, &FormatError{0, "header length", "is 0"}
	case length > MaxHeader:
		return nil, &FormatError{0, "header length", fmt.Sprintf("is %d, the format's limit is %d", length, MaxHeader)}
	case length > uint64(size-8):
		return nil, &FormatError{0, "header length", fmt.Sprintf("is %d, more than the file has, which is %d bytes in all", length, size)}
	}
	text := make([]byte, length)
	if err := readFull(r, text, 8); err != nil {
		return nil, err
	}
	if text[0] != '{' {
		return nil, &FormatError{8, "header", fmt.Sprintf("is not an object: it starts with %q", text[0])}
	}
	if i := invalidUTF8(text); i >= 0 {
		return nil, &FormatError{8 + int64(i), "header", "invalid UTF-8"}
	}
	s := scanner{text: text}
	f, err := s.header()
	if err != nil {
		return nil, err
	}
	return f, f.place(8+int64(length), size)
}

// readFull fills p from offset off and turns a premature end into a FormatError: size promised more.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return &FormatError{off + int64(n), "header", "file ends early"}
	}
	return fmt.Errorf("safetensors: read header: %w", err)
}

func invalidUTF8(p []byte) int {
	for i := 0; i < len(p); {
		if p[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(p[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// place sorts the tensors by their bytes, requires that these cover the data section exactly once, and makes offsets
// absolute. Offset and Size hold begin and length relative to data until then.
func (f *File) place(data, size int64) error {
	slices.SortFunc(f.Tensors, func(a, b Tensor) int {
		if a.Offset != b.Offset {
			return cmp.Compare(a.Offset, b.Offset)
		}
		// Tensors without elements occupy no bytes; they come before the one that starts at the same place.
		if a.Size != b.Size {
			return cmp.Compare(a.Size, b.Size)
		}
		return cmp.Compare(a.Name, b.Name)
	})
	end := int64(0) // of the bytes accounted for
	for i := range f.Tensors {
		t := &f.Tensors[i]
		field := fmt.Sprintf("tensor %.100q: data_offsets", t.Name)
		switch {
		case t.Offset > size-data || t.Size > size-data-t.Offset:
			return &FormatError{size, field, fmt.Sprintf("%d..%d lie beyond the end of the file, which has %d bytes of data", t.Offset, t.Offset+t.Size, size-data)}
		case t.Offset < end:
			return &FormatError{data + t.Offset, field, fmt.Sprintf("begin at %d and overlap tensor %.100q, which ends at %d", t.Offset, f.Tensors[i-1].Name, end)}
		case t.Offset > end:
			return &FormatError{data + end, field, fmt.Sprintf("%d unused bytes lie before it", t.Offset-end)}
		}
		end += t.Size
		t.Offset += data
	}
	if end != size-data {
		return &FormatError{data + end, "data", fmt.Sprintf("%d unused bytes after the last tensor", size-data-end)}
	}
	return nil
}
