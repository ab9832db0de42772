// Package gguf reads and writes the header of GGUF files, versions 2 and 3, little endian: metadata and the extents of
// tensors (ggml, docs/gguf.md). It trusts no number in a file: every length is checked against the file's real size
// before anything is allocated, all arithmetic on them is checked, and the file is never mapped. Element types are
// known by name and size only; computing with them is for others. It imports nothing of ours.
package gguf

import (
	"fmt"
	"io"
)

// Limits of what Read accepts, far above every published file.
const (
	MaxHeader      = 256 << 20 // bytes before the tensors' data
	MaxKeys        = 1 << 16   // metadata entries
	MaxTensors     = 1 << 16
	MaxKeyLength   = 1<<16 - 1 // bytes; the specification's own limit
	MaxNameLength  = 255       // bytes of a tensor's name
	MaxString      = 4 << 20   // bytes of a string that is a value
	MaxArrayString = 64 << 10  // bytes of a string in an array (a token)
	MaxArray       = 4 << 20   // elements of an array
	MaxElements    = 8 << 20   // elements of all arrays of a file
	MaxArrays      = 1 << 16   // arrays inside arrays of a file
	MaxArrayDepth  = 4         // an array of numbers has depth 1
	MaxDims        = 4
	MinAlignment   = 8
	MaxAlignment   = 1 << 20
)

const (
	magic        = "GGUF"
	version      = 3 // written; 2 differs in nothing that is read here
	alignmentKey = "general.alignment"
	defaultAlign = 32

	minKV     = 8 + 1 + 4 + 1           // key of one byte, value of one byte
	minTensor = 8 + 1 + 4 + 1*8 + 4 + 8 // name of one byte, one dimension
)

// File is the header of a GGUF file.
type File struct {
	Version    uint32
	Alignment  uint32
	Metadata   []KV     // in file order; keys are unique
	Tensors    []Tensor // in file order, which is the order of their bytes; names are unique
	DataOffset int64    // absolute, of the first tensor's data

	index map[string]int // key -> position in Metadata
}

// KV is one metadata entry. Value is one of uint8, int8, uint16, int16, uint32, int32, uint64, int64, float32, float64,
// bool, string, a slice of one of these, or []any whose elements are such slices or []any again (arrays of arrays).
type KV struct {
	Key   string
	Value any
}

// Tensor describes one tensor. Its extent was checked: it lies inside the file and fits type and dimensions.
type Tensor struct {
	Name   string
	Type   Type
	Dims   []int64 // ggml order: innermost first, each at least 1
	Offset int64   // absolute, of the first byte
	Size   int64   // bytes
}

// FormatError says where a file breaks the format or a limit. It carries no file name; the caller knows it.
type FormatError struct {
	Off   int64  // byte offset in the file
	Field string // what was being read: "tensor count", `key "general.name"`
	Msg   string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: %s (at byte %d)", e.Field, e.Msg, e.Off)
}

// Read parses the header of a file of size bytes. It fails with *FormatError if the file breaks the format or a limit,
// with the reader's error if that fails. Memory use is bounded by a small multiple of the bytes read.
func Read(r io.ReaderAt, size int64) (*File, error) {
	s := &source{r: r, size: size}
	f := &File{Alignment: defaultAlign, index: map[string]int{}}
	keys, tensors, err := f.readStart(s)
	if err != nil {
		return nil, err
	}
	if err := f.readMetadata(s, keys); err != nil {
		return nil, err
	}
	if err := f.readTensors(s, tensors); err != nil {
		return nil, err
	}
	return f, nil
}

// readStart reads the fixed part: magic, version and the two counts.
func (f *File) readStart(s *source) (keys, tensors uint64, err error) {
	s.field = "magic"
	b, err := s.next(4)
	if err != nil {
		return 0, 0, err
	}
	switch string(b) {
	case magic:
	case "FUGG":
		return 0, 0, s.failAt(0, "byte-swapped: the file is big endian, which is not supported")
	default:
		return 0, 0, s.failAt(0, "is %q, not GGUF", b)
	}
	s.field = "version"
	if f.Version, err = s.u32(); err != nil {
		return 0, 0, err
	}
	switch v := f.Version; {
	case v == 2, v == 3:
	case v&0xffff == 0 && v != 0:
		return 0, 0, s.failAt(4, "is %d: the file is big endian, which is not supported", v)
	default:
		return 0, 0, s.failAt(4, "is %d, only 2 and 3 are supported", v)
	}
	s.field = "tensor count"
	if tensors, err = s.count(MaxTensors, 0); err != nil {
		return 0, 0, err
	}
	s.field = "metadata count"
	if keys, err = s.count(MaxKeys, minKV); err != nil {
		return 0, 0, err
	}
	s.field = "tensor count"
	return keys, tensors, s.fits(8, tensors, minTensor)
}
