package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Source is a tensor to be written.
type Source struct {
	Name string
	Type Type
	Dims []int64 // ggml order: innermost first
	// Open starts reading the tensor's bytes, of which there must be exactly as many as Type and Dims ask for. A
	// reader that is an io.Closer is closed.
	Open func() (io.Reader, error)
}

// Write writes a GGUF file, version 3, with the metadata and the tensors in the given order; equal input gives equal
// bytes. Tensors are streamed one after the other. The header is checked with Read's own rules before the first byte is
// written, so Read accepts every file that Write completes.
func Write(w io.Writer, meta []KV, tensors []Source) error {
	header, f, err := encodeHeader(meta, tensors)
	if err != nil {
		return fmt.Errorf("gguf: write: %w", err)
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("gguf: write: %w", err)
	}
	end := int64(len(header))
	for i, t := range f.Tensors {
		if err := pad(w, t.Offset-end); err != nil {
			return err
		}
		if err := copyTensor(w, tensors[i], t.Size); err != nil {
			return fmt.Errorf("gguf: write tensor %q: %w", t.Name, err)
		}
		end = t.Offset + t.Size
	}
	stop, _ := alignUp(end, f.Alignment) // Read refused ends beyond int64
	return pad(w, stop-end)
}

func pad(w io.Writer, n int64) error {
	if _, err := w.Write(make([]byte, n)); err != nil {
		return fmt.Errorf("gguf: write: %w", err)
	}
	return nil
}

func copyTensor(w io.Writer, s Source, size int64) error {
	r, err := s.Open()
	if err != nil {
		return err
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	n, err := io.Copy(w, io.LimitReader(r, size))
	if err != nil {
		return err
	}
	if n < size {
		return fmt.Errorf("source ended after %d of %d bytes", n, size)
	}
	var one [1]byte
	if n, err := io.ReadFull(r, one[:]); n > 0 {
		return fmt.Errorf("source has more than %d bytes", size)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// encodeHeader returns the bytes before the data, with the file that Read makes of them.
func encodeHeader(meta []KV, tensors []Source) ([]byte, *File, error) {
	align := uint32(defaultAlign)
	e := encoder{}
	e.buf.WriteString(magic)
	e.put(uint32(version))
	e.put(uint64(len(tensors)))
	e.put(uint64(len(meta)))
	for _, kv := range meta {
		e.str(kv.Key)
		if err := e.value(kv.Value, 0); err != nil {
			return nil, nil, fmt.Errorf("key %q: %w", kv.Key, err)
		}
		if a, ok := kv.Value.(uint32); ok && kv.Key == alignmentKey && a > 0 && a&(a-1) == 0 {
			align = a
		}
	}
	end := int64(0)
	for _, t := range tensors {
		size, err := t.Type.Bytes(t.Dims)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		off, ok := alignUp(end, align)
		sum, fits := checked([]uint64{uint64(size)}, uint64(off))
		if !ok || !fits {
			return nil, nil, fmt.Errorf("tensor %q: file too large", t.Name)
		}
		end = int64(sum)
		e.tensor(t, off)
	}
	header := e.buf.Bytes()
	data, _ := alignUp(int64(len(header)), align)
	total, ok := checked([]uint64{uint64(data)}, uint64(end))
	if !ok || data > MaxHeader {
		return nil, nil, fmt.Errorf("header of %d bytes: larger than the limit of %d", len(header), MaxHeader)
	}
	f, err := Read(bytes.NewReader(header), int64(total))
	return header, f, err
}

// encoder appends to a header.
type encoder struct{ buf bytes.Buffer }

func (e *encoder) put(v any) {
	// A bytes.Buffer takes everything and the callers pass fixed-size numbers, so this cannot fail.
	_ = binary.Write(&e.buf, binary.LittleEndian, v)
}

func (e *encoder) str(s string) {
	e.put(uint64(len(s)))
	e.buf.WriteString(s)
}

func (e *encoder) tensor(t Source, off int64) {
	e.str(t.Name)
	e.put(uint32(len(t.Dims)))
	e.put(t.Dims)
	e.put(uint32(t.Type))
	e.put(uint64(off))
}

// typeOf returns the file's type of a value that is no array, or of an array's elements.
func typeOf(v any) (t valueType, array, ok bool) {
	switch v.(type) {
	case uint8:
		return vUint8, false, true
	case []uint8:
		return vUint8, true, true
	case int8:
		return vInt8, false, true
	case []int8:
		return vInt8, true, true
	case uint16:
		return vUint16, false, true
	case []uint16:
		return vUint16, true, true
	case int16:
		return vInt16, false, true
	case []int16:
		return vInt16, true, true
	case uint32:
		return vUint32, false, true
	case []uint32:
		return vUint32, true, true
	case int32:
		return vInt32, false, true
	case []int32:
		return vInt32, true, true
	case float32:
		return vFloat32, false, true
	case []float32:
		return vFloat32, true, true
	case bool:
		return vBool, false, true
	case []bool:
		return vBool, true, true
	case string:
		return vString, false, true
	case []string:
		return vString, true, true
	case []any:
		return vArray, true, true
	case uint64:
		return vUint64, false, true
	case []uint64:
		return vUint64, true, true
	case int64:
		return vInt64, false, true
	case []int64:
		return vInt64, true, true
	case float64:
		return vFloat64, false, true
	case []float64:
		return vFloat64, true, true
	}
	return 0, false, false
}

// value appends a value with its type; depth counts the arrays around it.
func (e *encoder) value(v any, depth int) error {
	t, array, ok := typeOf(v)
	switch {
	case !ok:
		return fmt.Errorf("values of type %T cannot be written", v)
	case !array && depth > 0:
		return fmt.Errorf("an array holds arrays and %s", typeName(v))
	case array:
		return e.array(v, t, depth)
	}
	e.put(uint32(t))
	if s, ok := v.(string); ok {
		e.str(s)
	} else {
		e.put(v)
	}
	return nil
}

func (e *encoder) array(v any, elem valueType, depth int) error {
	if depth == MaxArrayDepth {
		return fmt.Errorf("arrays nested deeper than %d", MaxArrayDepth)
	}
	// Inside an array the elements' type stands once, before all of them.
	if depth == 0 {
		e.put(uint32(vArray))
	}
	e.put(uint32(elem))
	switch v := v.(type) {
	case []string:
		e.put(uint64(len(v)))
		for _, s := range v {
			e.str(s)
		}
	case []any:
		e.put(uint64(len(v)))
		for _, item := range v {
			if err := e.value(item, depth+1); err != nil {
				return err
			}
		}
	default:
		e.put(uint64(binary.Size(v) / elem.width()))
		e.put(v)
	}
	return nil
}
