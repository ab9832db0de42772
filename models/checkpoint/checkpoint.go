// Package checkpoint opens a model as it is published: a Hugging Face folder with safetensors weights, or a GGUF file.
// Both look the same behind it: Hugging Face tensor names and config.json keys, to which a GGUF's names and metadata
// are mapped. It checks what can be checked of files alone (syntax, limits, extents, that nothing named is missing);
// what a number means for an architecture is for package models to check. It reads files, never maps them, and
// imports gguf, gguf/ggml, gguf/safetensors, tokenizer, runtime/half and runtime/plan only.
package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"aquifer/gguf"
	"aquifer/runtime/plan"
	"aquifer/tokenizer"
)

// Format is the kind of files a checkpoint was opened from.
type Format uint8

// Formats.
const (
	Folder Format = iota // config.json and safetensors
	GGUF
	Generated // no files, see Virtual
)

func (f Format) String() string {
	switch f {
	case GGUF:
		return "gguf"
	case Generated:
		return "generated"
	}
	return "safetensors"
}

// Checkpoint is an opened model. It holds its files open until Close; tensors are read on demand and may be read
// concurrently.
type Checkpoint struct {
	Name   string // for people: the folder's name, or general.name
	Path   string // as given to Open
	Format Format
	Config Config
	Size   int64 // bytes of all tensors in the files

	tensors map[string]Tensor
	names   []string
	files   []*file
	pairing plan.RopePairing
	shifted bool
	side    side
	gguf    *gguf.File // of a GGUF: its metadata, until the tokenizer is built

	hasTokenizer bool // of a GGUF

	tokenizerOnce sync.Once
	tokenizer     *tokenizer.Tokenizer
	tokenizerErr  error
	specialOnce   sync.Once
	special       Special
}

// Unsupported is the DType of a tensor whose elements no backend computes with (F64, IQ4_XS, ...). Opening a checkpoint
// that holds such a tensor is fine, needing it is not.
const Unsupported plan.DType = 0xff

// Tensor is one tensor of a checkpoint, by its Hugging Face name. Where the file has it in a block format that no
// backend computes with, it is converted as it is read: DType and Bytes are those of the converted form.
type Tensor struct {
	Name     string
	DType    plan.DType // Unsupported for types outside plan's set; not Valid then
	TypeName string     // the file's own word: "F16", "I8", "Q4_K"
	Shape    []int      // outermost first, as in PyTorch
	Bytes    int64      // what ReadAt reads
	Stored   int64      // bytes in the file
	File     string     // path of the file that holds it, or the name of a generated checkpoint

	r   io.ReaderAt
	off int64
}

// ReadAt reads the tensor's bytes, little endian, row-major; off counts from the tensor's first byte. It follows
// io.ReaderAt, and reports a file that has shrunk since it was opened as io.ErrUnexpectedEOF.
func (t Tensor) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > t.Bytes {
		return 0, in(t.File, fmt.Errorf("tensor %.100q: read at %d of %d bytes", t.Name, off, t.Bytes))
	}
	var end error
	if int64(len(p)) > t.Bytes-off {
		p, end = p[:t.Bytes-off], io.EOF
	}
	n, err := t.r.ReadAt(p, t.off+off)
	switch {
	case n == len(p):
		return n, end
	case err == nil || errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, in(t.File, fmt.Errorf("tensor %.100q: %w", t.Name, cause(err)))
}

// Tensor returns the tensor of that name.
func (c *Checkpoint) Tensor(name string) (Tensor, bool) {
	t, ok := c.tensors[name]
	return t, ok
}

// Names returns the names of all tensors in ascending order.
func (c *Checkpoint) Names() []string { return slices.Clone(c.names) }

// RopePairing says which columns of a head the checkpoint's query and key rows pair up for rotation, before an
// architecture's own convention: GGUF files of llama.cpp hold these rows permuted.
func (c *Checkpoint) RopePairing() plan.RopePairing { return c.pairing }

// GainsShifted reports whether the gains of norms already include what the architecture adds to them: llama.cpp's
// files of Gemma models hold 1 + gain.
func (c *Checkpoint) GainsShifted() bool { return c.shifted }

// Close closes the checkpoint's files; tensors cannot be read afterwards.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	c.files = nil
	return errors.Join(errs...)
}

// Unchanged reports an error if a file of the checkpoint was overwritten, grown or cut since Open. Call it after the
// weights were read: files are open by descriptor, so a replaced name does no harm, but changed bytes do.
func (c *Checkpoint) Unchanged() error {
	for _, f := range c.files {
		now, err := f.Stat()
		if err != nil {
			return in(f.path, cause(err))
		}
		if now.Size() != f.info.Size() || !now.ModTime().Equal(f.info.ModTime()) {
			return in(f.path, errors.New("the file changed while it was being read"))
		}
	}
	return nil
}

// add enters a tensor; names are unique by the time it is called.
func (c *Checkpoint) add(t Tensor) {
	c.tensors[t.Name] = t
	c.names = append(c.names, t.Name)
	c.Size += t.Stored
}

// Open opens a folder with config.json and safetensors files, or a GGUF file. Errors are one line and name the file
// and, where there is one, the field.
func Open(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, in(path, cause(err))
	}
	if info.IsDir() {
		return openFolder(path)
	}
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	c, err := OpenGGUF(path, f, f.info.Size())
	if err != nil {
		f.Close()
		return nil, err
	}
	c.files = []*file{f}
	return c, nil
}

// fileError is an error about a file: one line that starts with the file's name.
type fileError struct {
	file string
	err  error
}

func (e *fileError) Error() string { return "checkpoint: " + shown(e.file) + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// in says which file an error is about, unless it says so already; a nil error stays nil.
func in(path string, err error) error {
	if named := (*fileError)(nil); err == nil || errors.As(err, &named) {
		return err
	}
	return &fileError{path, err}
}

// shown returns a path as it may stand in a one-line message.
func shown(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}
