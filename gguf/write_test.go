package gguf

import (
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
)

func bytesSource(name string, t Type, data []byte, dims ...int64) Source {
	return Source{name, t, dims, func() (io.Reader, error) { return bytes.NewReader(data), nil }}
}

// everything is metadata with every type of value.
func everything() []KV {
	return []KV{
		{"general.architecture", "llama"},
		{"empty", ""},
		{"u8", uint8(255)},
		{"i8", int8(-128)},
		{"u16", uint16(65535)},
		{"i16", int16(-32768)},
		{"u32", uint32(math.MaxUint32)},
		{"i32", int32(math.MinInt32)},
		{"u64", uint64(math.MaxUint64)},
		{"i64", int64(math.MinInt64)},
		{"f32", float32(1e-5)},
		{"f64", math.Pi},
		{"true", true},
		{"false", false},
		{"u8s", []uint8{0, 255}},
		{"i8s", []int8{-1}},
		{"u16s", []uint16{1, 2}},
		{"i16s", []int16{-2}},
		{"u32s", []uint32{7}},
		{"i32s", []int32{}},
		{"u64s", []uint64{1 << 63}},
		{"i64s", []int64{-1 << 63}},
		{"f32s", []float32{0.5, -2}},
		{"f64s", []float64{1, 2, 3}},
		{"bools", []bool{true, false}},
		{"strings", []string{"a", "", "\xff", "z"}},
		{"nested", []any{[]int16{1, 2}, []string{"x"}, []any{[]bool{}, []any{[]uint8{9}}}}},
	}
}

func TestRoundTrip(t *testing.T) {
	a, b, c := []byte("12345"), bytes.Repeat([]byte{1, 2}, 34), []byte("0123456789ab")
	tensors := []Source{bytesSource("a", I8, a, 5), bytesSource("b", Q8_0, b, 32, 2), bytesSource("c", F32, c, 3, 1, 1, 1)}
	for _, align := range []uint32{0, 8, 32, 4096} {
		meta := everything()
		if align != 0 {
			meta = append(meta, KV{"general.alignment", align})
		}
		var first, second bytes.Buffer
		if err := Write(&first, meta, tensors); err != nil {
			t.Fatal(err)
		}
		if err := Write(&second, meta, tensors); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("writing twice: %v, %d and %d bytes", err, first.Len(), second.Len())
		}
		if err := oracle(first.Bytes()); err != nil {
			t.Errorf("oracle: %v", err)
		}
		f, err := Read(bytes.NewReader(first.Bytes()), int64(first.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(f.Metadata, meta) || f.Version != 3 {
			t.Errorf("version %d, metadata\n%v, want\n%v", f.Version, f.Metadata, meta)
		}
		for i, want := range [][]byte{a, b, c} {
			got := f.Tensors[i]
			if got.Name != tensors[i].Name || got.Type != tensors[i].Type || !reflect.DeepEqual(got.Dims, tensors[i].Dims) ||
				got.Offset%int64(f.Alignment) != 0 || !bytes.Equal(first.Bytes()[got.Offset:got.Offset+got.Size], want) {
				t.Errorf("tensor %d: %+v", i, got)
			}
		}
		if first.Len()%int(f.Alignment) != 0 {
			t.Errorf("%d bytes, no multiple of %d", first.Len(), f.Alignment)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	good := bytesSource("t", I8, []byte("ab"), 2)
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		meta    []KV
		tensors []Source
		want    string
	}{
		"value type":      {[]KV{{"k", 1}}, nil, "type int cannot be written"},
		"nil":             {[]KV{{"k", nil}}, nil, "cannot be written"},
		"mixed array":     {[]KV{{"k", []any{[]int8{1}, int8(2)}}}, nil, "holds arrays and int8"},
		"deep":            {[]KV{{"k", []any{[]any{[]any{[]any{[]int8{}}}}}}}, nil, "nested deeper"},
		"empty key":       {[]KV{{"", true}}, nil, "empty"},
		"duplicate key":   {[]KV{{"k", true}, {"k", true}}, nil, "twice"},
		"long string":     {[]KV{{"k", longString(MaxString + 1)}}, nil, "limit"},
		"alignment":       {[]KV{{"general.alignment", uint32(12)}}, []Source{good}, "power of two"},
		"alignment type":  {[]KV{{"general.alignment", uint64(32)}}, nil, "must be uint32"},
		"duplicate":       {nil, []Source{good, good}, "twice"},
		"name":            {nil, []Source{bytesSource(longString(256), I8, nil, 1)}, "limit"},
		"type":            {nil, []Source{bytesSource("t", 4, nil, 1)}, "type 4"},
		"no dims":         {nil, []Source{bytesSource("t", I8, nil)}, "0 dimensions"},
		"five dims":       {nil, []Source{bytesSource("t", I8, nil, 1, 1, 1, 1, 1)}, "5 dimensions"},
		"dim 0":           {nil, []Source{bytesSource("t", I8, nil, 0)}, "out of range"},
		"negative dim":    {nil, []Source{bytesSource("t", I8, nil, -1)}, "out of range"},
		"blocks":          {nil, []Source{bytesSource("t", Q8_0, nil, 16)}, "multiples of 32"},
		"total too large": {nil, []Source{bytesSource("t", I8, nil, math.MaxInt64), bytesSource("u", I8, nil, math.MaxInt64)}, "too large"},
		"short source":    {nil, []Source{bytesSource("t", I8, []byte("a"), 2)}, "ended after 1 of 2 bytes"},
		"long source":     {nil, []Source{bytesSource("t", I8, []byte("abc"), 2)}, "more than 2 bytes"},
		"open":            {nil, []Source{{"t", I8, []int64{1}, func() (io.Reader, error) { return nil, broken }}}, "broken"},
	} {
		err := Write(io.Discard, test.meta, test.tensors)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "gguf: ") {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

// closing counts what Write opens and closes.
type closing struct {
	io.Reader
	open *int
}

func (c closing) Close() error { *c.open--; return nil }

func TestWriteCloses(t *testing.T) {
	open := 0
	source := func(name, data string) Source {
		return Source{name, I8, []int64{2}, func() (io.Reader, error) {
			open++
			return closing{strings.NewReader(data), &open}, nil
		}}
	}
	if err := Write(io.Discard, nil, []Source{source("a", "ab"), source("b", "cd")}); err != nil || open != 0 {
		t.Errorf("error %v, %d sources left open", err, open)
	}
	if err := Write(io.Discard, nil, []Source{source("a", "abc")}); err == nil || open != 0 {
		t.Errorf("error %v, %d sources left open", err, open)
	}
}

// full is a disk with room for n bytes.
type full struct{ n int }

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.n {
		n := f.n
		f.n = 0
		return n, errFull
	}
	f.n -= len(p)
	return len(p), nil
}

// TestWriteFull lets the disk fill up after every number of bytes.
func TestWriteFull(t *testing.T) {
	meta, tensors := everything(), []Source{bytesSource("a", I8, []byte("abc"), 3), bytesSource("b", I8, []byte("abc"), 3)}
	var whole bytes.Buffer
	if err := Write(&whole, meta, tensors); err != nil {
		t.Fatal(err)
	}
	for n := range whole.Len() {
		if err := Write(&full{n}, meta, tensors); !errors.Is(err, errFull) {
			t.Fatalf("room for %d of %d bytes: %v", n, whole.Len(), err)
		}
	}
}
