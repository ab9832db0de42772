package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// valueType numbers the types of metadata values in the file.
type valueType uint32

const (
	vUint8 valueType = iota
	vInt8
	vUint16
	vInt16
	vUint32
	vInt32
	vFloat32
	vBool
	vString
	vArray
	vUint64
	vInt64
	vFloat64
	valueTypes
)

// width is the fewest bytes a value of the type takes; it is exact for all but strings and arrays.
func (t valueType) width() int {
	return [valueTypes]int{1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8}[t]
}

func (f *File) readMetadata(s *source, n uint64) error {
	for i := range n {
		s.field = fmt.Sprintf("key %d", i)
		off := s.off
		key, err := s.str(MaxKeyLength)
		if err != nil {
			return err
		}
		switch {
		case key == "":
			return s.failAt(off, "is empty")
		case !utf8.ValidString(key):
			return s.failAt(off, "%.100q is no valid UTF-8", key)
		case strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r == 0x7f }):
			return s.failAt(off, "%.100q holds control characters", key)
		}
		s.field = fmt.Sprintf("key %.100q", key)
		if _, ok := f.index[key]; ok {
			return s.failAt(off, "occurs twice")
		}
		valueOff := s.off
		value, err := s.value()
		if err != nil {
			return err
		}
		f.index[key] = len(f.Metadata)
		f.Metadata = append(f.Metadata, KV{key, value})
		if key == alignmentKey {
			if err := f.setAlignment(s, valueOff, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *File) setAlignment(s *source, off int64, value any) error {
	a, ok := value.(uint32)
	if !ok {
		return s.failAt(off, "is %s, must be uint32", typeName(value))
	}
	if a < MinAlignment || a > MaxAlignment || a&(a-1) != 0 {
		return s.failAt(off+4, "is %d, must be a power of two in %d..%d", a, MinAlignment, MaxAlignment)
	}
	f.Alignment = a
	return nil
}

// valueType reads the number of a type.
func (s *source) valueType() (valueType, error) {
	off := s.off
	n, err := s.u32()
	if err != nil {
		return 0, err
	}
	if n >= uint32(valueTypes) {
		return 0, s.failAt(off, "unknown value type %d", n)
	}
	return valueType(n), nil
}

// value reads the type of a value and the value.
func (s *source) value() (any, error) {
	t, err := s.valueType()
	if err != nil {
		return nil, err
	}
	switch t {
	case vString:
		return s.str(MaxString)
	case vArray:
		return s.array(1)
	}
	off := s.off
	b, err := s.next(t.width())
	if err != nil {
		return nil, err
	}
	switch t {
	case vUint8:
		return b[0], nil
	case vInt8:
		return int8(b[0]), nil
	case vUint16:
		return binary.LittleEndian.Uint16(b), nil
	case vInt16:
		return int16(binary.LittleEndian.Uint16(b)), nil
	case vUint32:
		return binary.LittleEndian.Uint32(b), nil
	case vInt32:
		return int32(binary.LittleEndian.Uint32(b)), nil
	case vFloat32:
		return math.Float32frombits(binary.LittleEndian.Uint32(b)), nil
	case vUint64:
		return binary.LittleEndian.Uint64(b), nil
	case vInt64:
		return int64(binary.LittleEndian.Uint64(b)), nil
	case vFloat64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	}
	if b[0] > 1 {
		return nil, s.failAt(off, "bool is %d, must be 0 or 1", b[0])
	}
	return b[0] == 1, nil
}

// array reads an array; depth is 1 for one that is a value itself.
func (s *source) array(depth int) (any, error) {
	if depth > MaxArrayDepth {
		return nil, s.failAt(s.off, "arrays nested deeper than %d", MaxArrayDepth)
	}
	t, err := s.valueType()
	if err != nil {
		return nil, err
	}
	off := s.off
	n, err := s.count(MaxArray, uint64(t.width()))
	if err != nil {
		return nil, err
	}
	// The limits of one array do not bound many of them, and an empty array costs far more memory than its bytes.
	if s.elements += n; s.elements > MaxElements {
		return nil, s.failAt(off, "more than %d array elements in the file", MaxElements)
	}
	if depth > 1 {
		if s.arrays++; s.arrays > MaxArrays {
			return nil, s.failAt(off, "more than %d arrays in arrays in the file", MaxArrays)
		}
	}
	switch t {
	case vUint8:
		return numbers(s, n, 1, func(b []byte) uint8 { return b[0] })
	case vInt8:
		return numbers(s, n, 1, func(b []byte) int8 { return int8(b[0]) })
	case vUint16:
		return numbers(s, n, 2, binary.LittleEndian.Uint16)
	case vInt16:
		return numbers(s, n, 2, func(b []byte) int16 { return int16(binary.LittleEndian.Uint16(b)) })
	case vUint32:
		return numbers(s, n, 4, binary.LittleEndian.Uint32)
	case vInt32:
		return numbers(s, n, 4, func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) })
	case vFloat32:
		return numbers(s, n, 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })
	case vUint64:
		return numbers(s, n, 8, binary.LittleEndian.Uint64)
	case vInt64:
		return numbers(s, n, 8, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) })
	case vFloat64:
		return numbers(s, n, 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) })
	case vString:
		return items(n, func() (string, error) { return s.str(MaxArrayString) })
	case vArray:
		return items(n, func() (any, error) { return s.array(depth + 1) })
	}
	return items(n, func() (bool, error) {
		off := s.off
		b, err := s.next(1)
		if err == nil && b[0] > 1 {
			err = s.failAt(off, "bool is %d, must be 0 or 1", b[0])
		}
		return err == nil && b[0] == 1, err
	})
}

// firstAlloc bounds what is allocated for an array on the word of its length alone; the rest grows with what is read.
const firstAlloc = 4096

// numbers reads n numbers of width bytes.
func numbers[T any](s *source, n uint64, width int, decode func([]byte) T) (any, error) {
	list := make([]T, 0, min(n, firstAlloc))
	for left := int(n) * width; left > 0; {
		b, err := s.next(min(left, windowSize))
		if err != nil {
			return nil, err
		}
		left -= len(b)
		for ; len(b) > 0; b = b[width:] {
			list = append(list, decode(b))
		}
	}
	return list, nil
}

func items[T any](n uint64, read func() (T, error)) (any, error) {
	list := make([]T, 0, min(n, firstAlloc))
	for range n {
		v, err := read()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}
