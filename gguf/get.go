package gguf

import (
	"fmt"
	"math"
	"strings"
)

// Get returns the value of a metadata key as it was read.
func (f *File) Get(key string) (any, bool) {
	i, ok := f.index[key]
	if !ok {
		return nil, false
	}
	return f.Metadata[i].Value, true
}

// typeName names a value's type in the words of the specification.
func typeName(v any) string {
	name := fmt.Sprintf("%T", v)
	switch name {
	case "[]interface {}":
		return "an array of arrays"
	case "uint8", "[]uint8":
		name = strings.Replace(name, "byte", "uint8", 1)
	}
	if elem, ok := strings.CutPrefix(name, "[]"); ok {
		return "an array of " + elem
	}
	return name
}

func wrongType(key string, v any, want string) error {
	return fmt.Errorf("gguf: key %q: is %s, must be %s", key, typeName(v), want)
}

func get[T any](f *File, key, want string) (v T, ok bool, err error) {
	raw, ok := f.Get(key)
	if !ok {
		return v, false, nil
	}
	if v, ok = raw.(T); !ok {
		return v, false, wrongType(key, raw, want)
	}
	return v, true, nil
}

// String returns a string; ok is false if there is no such key, and another type is an error, as for all getters.
func (f *File) String(key string) (v string, ok bool, err error) {
	return get[string](f, key, "a string")
}

// Bool returns a boolean.
func (f *File) Bool(key string) (v, ok bool, err error) { return get[bool](f, key, "a bool") }

// Strings returns an array of strings. The slice belongs to the file.
func (f *File) Strings(key string) (v []string, ok bool, err error) {
	return get[[]string](f, key, "an array of strings")
}

// Floats returns an array of float32. The slice belongs to the file.
func (f *File) Floats(key string) (v []float32, ok bool, err error) {
	return get[[]float32](f, key, "an array of float32")
}

// Float returns a float32 or float64.
func (f *File) Float(key string) (v float64, ok bool, err error) {
	raw, ok := f.Get(key)
	switch raw := raw.(type) {
	case nil:
		return 0, ok, nil
	case float32:
		return float64(raw), true, nil
	case float64:
		return raw, true, nil
	}
	return 0, false, wrongType(key, raw, "a float")
}

// Int returns an integer of any width that fits int64.
func (f *File) Int(key string) (v int64, ok bool, err error) {
	raw, ok := f.Get(key)
	if !ok {
		return 0, false, nil
	}
	if v, ok = toInt(raw); !ok {
		if _, big := raw.(uint64); big {
			return 0, false, fmt.Errorf("gguf: key %q: %d is out of range", key, raw)
		}
		return 0, false, wrongType(key, raw, "an integer")
	}
	return v, true, nil
}

// Uint returns an integer of any width that is not negative.
func (f *File) Uint(key string) (v uint64, ok bool, err error) {
	if raw, isU64 := f.index[key]; isU64 {
		if u, isU64 := f.Metadata[raw].Value.(uint64); isU64 {
			return u, true, nil
		}
	}
	i, ok, err := f.Int(key)
	if ok && i < 0 {
		return 0, false, fmt.Errorf("gguf: key %q: is %d, must not be negative", key, i)
	}
	return uint64(i), ok, err
}

func toInt(v any) (int64, bool) {
	switch v := v.(type) {
	case uint8:
		return int64(v), true
	case int8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case int16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint64:
		return int64(v), v <= math.MaxInt64
	}
	return 0, false
}

// Ints returns an array of integers of any width.
func (f *File) Ints(key string) (v []int64, ok bool, err error) {
	raw, ok := f.Get(key)
	switch raw := raw.(type) {
	case nil:
		return nil, ok, nil
	case []uint8:
		return widen(raw), true, nil
	case []int8:
		return widen(raw), true, nil
	case []uint16:
		return widen(raw), true, nil
	case []int16:
		return widen(raw), true, nil
	case []uint32:
		return widen(raw), true, nil
	case []int32:
		return widen(raw), true, nil
	case []int64:
		return widen(raw), true, nil
	case []uint64:
		for _, u := range raw {
			if u > math.MaxInt64 {
				return nil, false, fmt.Errorf("gguf: key %q: %d is out of range", key, u)
			}
		}
		return widen(raw), true, nil
	}
	return nil, false, wrongType(key, raw, "an array of integers")
}

func widen[T uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64 | int64](list []T) []int64 {
	wide := make([]int64, len(list))
	for i, v := range list {
		wide[i] = int64(v)
	}
	return wide
}
