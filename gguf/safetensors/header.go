package safetensors

import (
	"fmt"
	"math/bits"
)

// header reads the whole header. Offsets of the result are relative to the data section.
func (s *scanner) header() (*File, error) {
	f := &File{}
	err := s.object("header", func(key string, at int) error {
		if key == "__metadata__" {
			return s.metadata(f)
		}
		t, err := s.tensor(key, at)
		f.Tensors = append(f.Tensors, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.space(); s.pos < len(s.text) {
		return nil, s.fail(s.pos, "header", "invalid JSON: text after the closing brace")
	}
	return f, nil
}

func (s *scanner) metadata(f *File) error {
	f.Metadata = map[string]string{}
	return s.object("__metadata__", func(key string, _ int) error {
		value, err := s.str(fmt.Sprintf("__metadata__: %.100q", key))
		f.Metadata[key] = value
		return err
	})
}

// tensor reads one entry; at is where its name stands.
func (s *scanner) tensor(name string, at int) (Tensor, error) {
	t := Tensor{Name: name}
	field := fmt.Sprintf("tensor %.100q", name)
	var span []int64
	var hasShape, hasSpan bool
	spanAt := at
	err := s.object(field, func(key string, keyAt int) (err error) {
		switch key {
		case "dtype":
			t.DType, err = s.str(field + ": dtype")
		case "shape":
			hasShape = true
			t.Shape, err = s.uints(field+": shape", maxRank)
		case "data_offsets":
			hasSpan, spanAt = true, keyAt
			span, err = s.uints(field+": data_offsets", 2)
		default:
			err = s.fail(keyAt, field, "unknown key %.100q", key)
		}
		return err
	})
	switch {
	case err != nil:
		return t, err
	case t.DType == "":
		return t, s.fail(at, field, "dtype is missing")
	case !hasShape:
		return t, s.fail(at, field, "shape is missing")
	case !hasSpan:
		return t, s.fail(at, field, "data_offsets is missing")
	case len(span) != 2:
		return t, s.fail(spanAt, field+": data_offsets", "must be two numbers, has %d", len(span))
	case span[0] > span[1]:
		return t, s.fail(spanAt, field+": data_offsets", "begin %d lies after end %d", span[0], span[1])
	}
	t.Offset, t.Size = span[0], span[1]-span[0]
	want, err := s.bytes(t, field, at)
	if err == nil && want != uint64(t.Size) {
		err = s.fail(spanAt, field, "shape %v of %s needs %d bytes, data_offsets hold %d", t.Shape, t.DType, want, t.Size)
	}
	return t, err
}

// bytes returns the size that a tensor's shape and type ask for.
func (s *scanner) bytes(t Tensor, field string, at int) (uint64, error) {
	width, ok := dtypeBits(t.DType)
	if !ok {
		return 0, s.fail(at, field+": dtype", "unknown dtype %.40q", t.DType)
	}
	sizes := make([]uint64, len(t.Shape))
	for i, d := range t.Shape {
		sizes[i] = uint64(d)
	}
	n, ok := product(append(sizes, width)...)
	if !ok {
		return 0, s.fail(at, field+": shape", "overflow: %v elements of %d bits", t.Shape, width)
	}
	if bits.TrailingZeros64(n) < 3 && n != 0 {
		return 0, s.fail(at, field+": shape", "%d bits are no whole number of bytes", n)
	}
	return n / 8, nil
}
