package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// file returns a file with the given header and n bytes of data.
func file(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

// one returns a header with one tensor, "t".
func one(dtype, shape, offsets string) string {
	return fmt.Sprintf(`{"t":{"dtype":%q,"shape":%s,"data_offsets":%s}}`, dtype, shape, offsets)
}

func read(b []byte) (*File, error) { return Read(bytes.NewReader(b), int64(len(b))) }

func TestRead(t *testing.T) {
	header := ` {"b":{"shape":[2,3],"dtype":"F16","data_offsets":[8,20]}, "__metadata__":{"format":"pt","\u00e9\n":"\"\\\/\b\f\r\t😀"},
	"a":{"data_offsets" : [ 0 , 8 ],"dtype":"I64","shape":[]},"e":{"dtype":"F32","shape":[0,7],"data_offsets":[8,8]},
	"nibbles":{"dtype":"F4","shape":[2,3],"data_offsets":[20,23]}}  `
	b := file(header[1:], 23)
	f, err := read(b)
	if err != nil {
		t.Fatal(err)
	}
	data := int64(8 + len(header) - 1)
	want := &File{
		Metadata: map[string]string{"format": "pt", "é\n": "\"\\/\b\f\r\t😀"},
		Tensors: []Tensor{
			{"a", "I64", nil, data, 8},
			{"e", "F32", []int64{0, 7}, data + 8, 0},
			{"b", "F16", []int64{2, 3}, data + 8, 12},
			{"nibbles", "F4", []int64{2, 3}, data + 20, 3},
		},
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("%+v, want %+v", f, want)
	}
	if f, err := read(file("{}", 0)); err != nil || len(f.Tensors) != 0 || f.Metadata != nil {
		t.Errorf("no tensors: %+v, %v", f, err)
	}
}

// TestMalformed reads headers with one defect each. Every refusal has to name the field.
func TestMalformed(t *testing.T) {
	const head = `{"t":{"dtype":"I8","shape":[2],`
	good := one("I8", "[2]", "[0,2]")
	two := func(a, b string) string {
		return fmt.Sprintf(`{"a":{"dtype":"I8","shape":[4],"data_offsets":%s},"b":{"dtype":"I8","shape":[4],"data_offsets":%s}}`, a, b)
	}
	length := func(n uint64) []byte { return append(binary.LittleEndian.AppendUint64(nil, n), good...) }
	for _, test := range []struct {
		name  string
		file  []byte
		field string
		msg   string
	}{
		{"empty", nil, "header length", "0 bytes"},
		{"7 bytes", make([]byte, 7), "header length", "7 bytes"},
		{"length 0", length(0), "header length", "is 0"},
		{"length one over file", length(uint64(len(good) + 1)), "header length", "more than the file"},
		{"length max", length(math.MaxUint64), "header length", "limit"},
		{"length 2^63-1", length(math.MaxInt64), "header length", "limit"},
		{"length over limit", length(MaxHeader + 1), "header length", "limit"},
		{"length at limit", length(MaxHeader), "header length", "more than the file"},
		{"array", file("[]", 0), "header", "not an object"},
		{"leading space", file(" "+good, 2), "header", "not an object"},
		{"byte order mark", file("\ufeff"+good, 2), "header", "not an object"},
		{"not UTF-8", file(strings.Replace(good, "t", "\xff", 1), 2), "header", "UTF-8"},
		{"half a surrogate in UTF-8", file(strings.Replace(good, "t", "\xed\xa0\x80", 1), 2), "header", "UTF-8"},
		{"no closing brace", file(good[:len(good)-1], 2), "header", "ends where '}'"},
		{"text behind", file(good+"x", 2), "header", "after the closing brace"},
		{"second object", file(good+"{}", 2), "header", "after the closing brace"},
		{"NUL behind", file(good+"\x00", 2), "header", "after the closing brace"},
		{"trailing comma", file(good[:len(good)-1]+",}", 2), "header", `'}' where '"'`},
		{"no comma", file(strings.Replace(good, `,"shape"`, ` "shape"`, 1), 2), `tensor "t"`, "invalid JSON"},
		{"no colon", file(`{"t" {}}`, 0), "header", "invalid JSON"},
		{"key without quotes", file(`{t:{}}`, 0), "header", "invalid JSON"},
		{"string without end", file(`{"t`, 0), "header", "without end"},
		{"escape without end", file(`{"t\`, 0), "header", "without end"},
		{"bad escape", file(`{"\x":{}}`, 0), "header", "bad escape"},
		{"bad hex", file(`{"\u12g4":{}}`, 0), "header", "bad escape"},
		{"short hex", file(`{"\u12`, 0), "header", "bad escape"},
		{"lone surrogate", file(`{"\ud800":{}}`, 0), "header", "bad escape"},
		{"swapped surrogates", file(`{"\udc00\ud800":{}}`, 0), "header", "bad escape"},
		{"surrogate and letter", file(`{"\ud800\u0041":{}}`, 0), "header", "bad escape"},
		{"newline in string", file("{\"a\nb\":{}}", 0), "header", "control character"},
		{"newline behind escape", file("{\"\\t\n\":{}}", 0), "header", "control character"},
		{"deep", file(`{"t":`+strings.Repeat("[", 100_000), 0), `tensor "t"`, "invalid JSON"},
		{"tensor is null", file(`{"t":null}`, 0), `tensor "t"`, "invalid JSON"},
		{"duplicate tensor", file(`{"t":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"t":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}`, 2), "header", `duplicate name "t"`},
		{"duplicate by escape", file(`{"t":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"\u0074":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}`, 2), "header", "duplicate"},
		{"duplicate dtype", file(head+`"dtype":"I8","data_offsets":[0,2]}}`, 2), `tensor "t"`, "duplicate"},
		{"duplicate metadata", file(`{"__metadata__":{"a":"1","a":"2"}}`, 0), "__metadata__", "duplicate"},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`, 0), "header", "duplicate"},
		{"metadata number", file(`{"__metadata__":{"a":1}}`, 0), `__metadata__: "a"`, "invalid JSON"},
		{"metadata array", file(`{"__metadata__":[]}`, 0), "__metadata__", "invalid JSON"},
		{"unknown key", file(head+`"data_offsets":[0,2],"strides":[1]}}`, 2), `tensor "t"`, `unknown key "strides"`},
		{"key in another case", file(`{"t":{"DType":"I8","shape":[2],"data_offsets":[0,2]}}`, 2), `tensor "t"`, `unknown key "DType"`},
		{"dtype missing", file(`{"t":{"shape":[2],"data_offsets":[0,2]}}`, 2), `tensor "t"`, "dtype is missing"},
		{"shape missing", file(`{"t":{"dtype":"I8","data_offsets":[0,2]}}`, 2), `tensor "t"`, "shape is missing"},
		{"offsets missing", file(`{"t":{"dtype":"I8","shape":[2]}}`, 2), `tensor "t"`, "data_offsets is missing"},
		{"dtype unknown", file(one("X16", "[2]", "[0,2]"), 2), `tensor "t": dtype`, `"X16"`},
		{"dtype in lower case", file(one("i8", "[2]", "[0,2]"), 2), `tensor "t": dtype`, `"i8"`},
		{"dtype number", file(`{"t":{"dtype":8,"shape":[2],"data_offsets":[0,2]}}`, 2), `tensor "t": dtype`, "invalid JSON"},
		{"shape number", file(one("I8", "2", "[0,2]"), 2), `tensor "t": shape`, "invalid JSON"},
		{"shape string", file(one("I8", `["2"]`, "[0,2]"), 2), `tensor "t": shape`, "not an integer"},
		{"shape negative", file(one("I8", "[-2,-1]", "[0,2]"), 2), `tensor "t": shape`, "-2 is negative"},
		{"shape fraction", file(one("I8", "[2.0]", "[0,2]"), 2), `tensor "t": shape`, "2.0 is not an integer"},
		{"shape exponent", file(one("I8", "[2e0]", "[0,2]"), 2), `tensor "t": shape`, "2e0 is not an integer"},
		{"shape octal", file(one("I8", "[02]", "[0,2]"), 2), `tensor "t": shape`, "02 is not an integer"},
		{"shape plus", file(one("I8", "[+2]", "[0,2]"), 2), `tensor "t": shape`, "+2 is not an integer"},
		{"shape NaN", file(one("I8", "[NaN]", "[0,2]"), 2), `tensor "t": shape`, "not an integer"},
		{"shape 2^63", file(one("I8", "[9223372036854775808]", "[0,2]"), 2), `tensor "t": shape`, "out of range"},
		{"shape of 100 digits", file(one("I8", "["+strings.Repeat("9", 100)+"]", "[0,2]"), 2), `tensor "t": shape`, "out of range"},
		{"shape empty element", file(one("I8", "[2,]", "[0,2]"), 2), `tensor "t": shape`, "not an integer"},
		{"shape nested", file(one("I8", "[[2]]", "[0,2]"), 2), `tensor "t": shape`, "not an integer"},
		{"rank 33", file(one("I8", "["+strings.Repeat("1,", 32)+"2]", "[0,2]"), 2), `tensor "t": shape`, "more than 32"},
		{"shape wraps to 0", file(one("I8", "[4294967296,4294967296]", "[0,0]"), 0), `tensor "t": shape`, "overflow"},
		{"shape wraps to 2", file(one("F16", "[4611686018427387904,4,2,1]", "[0,2]"), 2), `tensor "t": shape`, "overflow"},
		{"bits wrap", file(one("F64", "[2305843009213693952]", "[0,0]"), 0), `tensor "t": shape`, "overflow"},
		{"one row too many", file(one("I8", "[3]", "[0,2]"), 2), `tensor "t"`, "needs 3 bytes, data_offsets hold 2"},
		{"one row too few", file(one("I8", "[1]", "[0,2]"), 2), `tensor "t"`, "needs 1 bytes, data_offsets hold 2"},
		{"half a byte", file(one("F4", "[3]", "[0,2]"), 2), `tensor "t": shape`, "whole number of bytes"},
		{"offsets number", file(one("I8", "[2]", "2"), 2), `tensor "t": data_offsets`, "invalid JSON"},
		{"one offset", file(one("I8", "[2]", "[0]"), 2), `tensor "t": data_offsets`, "must be two numbers, has 1"},
		{"no offsets", file(one("I8", "[2]", "[]"), 2), `tensor "t": data_offsets`, "must be two numbers, has 0"},
		{"three offsets", file(one("I8", "[2]", "[0,1,2]"), 2), `tensor "t": data_offsets`, "more than 2"},
		{"negative offset", file(one("I8", "[2]", "[-2,0]"), 2), `tensor "t": data_offsets`, "-2 is negative"},
		{"offset near 2^64", file(one("I8", "[2]", "[18446744073709551614,18446744073709551615]"), 2), `tensor "t": data_offsets`, "out of range"},
		{"offset near 2^63", file(one("I8", "[2]", "[9223372036854775805,9223372036854775807]"), 2), `tensor "t": data_offsets`, "beyond the end"},
		{"begin behind end", file(one("I8", "[2]", "[2,0]"), 2), `tensor "t": data_offsets`, "begin 2 lies after end 0"},
		{"beyond the end", file(one("I8", "[3]", "[0,3]"), 2), `tensor "t": data_offsets`, "beyond the end"},
		{"trailing bytes", file(good, 3), "data", "1 unused bytes after"},
		{"data without tensors", file("{}", 3), "data", "3 unused bytes after"},
		{"overlap", file(two("[0,4]", "[3,7]"), 7), `tensor "b": data_offsets`, `overlap tensor "a"`},
		{"same bytes", file(two("[0,4]", "[0,4]"), 4), `tensor "b": data_offsets`, "overlap"},
		{"hole", file(two("[0,4]", "[5,9]"), 9), `tensor "b": data_offsets`, "1 unused bytes"},
		{"hole at the start", file(two("[1,5]", "[5,9]"), 9), `tensor "a": data_offsets`, "1 unused bytes"},
		{"empty tensor inside another", file(`{"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"I8","shape":[0],"data_offsets":[2,2]}}`, 4), `tensor "b": data_offsets`, "overlap"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := read(test.file)
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error %v, want a FormatError", err)
			}
			if format.Field != test.field || !strings.Contains(format.Msg, test.msg) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q / %q, want %q / %q", format.Field, format.Msg, test.field, test.msg)
			}
			if format.Off < 0 {
				t.Errorf("at byte %d", format.Off)
			}
		})
	}
}

// TestTruncation cuts a file at every byte.
func TestTruncation(t *testing.T) {
	whole := file(`{"__metadata__":{"a":"b"},"t":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}`, 2)
	for n := range whole {
		if _, err := read(whole[:n]); !errors.As(err, new(*FormatError)) {
			t.Errorf("cut at %d: %v", n, err)
		}
		// The size as it ought to be, but the bytes are gone.
		_, err := Read(bytes.NewReader(whole[:n]), int64(len(whole)))
		if header := len(whole) - 2; n < header && !errors.As(err, new(*FormatError)) {
			t.Errorf("cut at %d with the old size: %v", n, err)
		}
	}
}

// TestHeaderSweep puts wrong lengths before a good header.
func TestHeaderSweep(t *testing.T) {
	good := file(one("I8", "[2]", "[0,2]"), 2)
	for _, v := range []uint64{0, 1, 2, 3, 4, 7, 8, 31, 255, 65535, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 1, 1<<64 - 8} {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint64(b, v)
		if _, err := read(b); !errors.As(err, new(*FormatError)) {
			t.Errorf("length %d: %v", v, err)
		}
	}
}

// claimed is a file that claims to be large.
type claimed struct{ head []byte }

func (c claimed) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(c.head).ReadAt(p, off)
}

func TestAllocation(t *testing.T) {
	deep := file(`{"t":{"dtype":"I8","shape":`+strings.Repeat("[", 1<<20), 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, b := range [][]byte{deep, binary.LittleEndian.AppendUint64(nil, MaxHeader+1)} {
		if _, err := Read(claimed{b}, 1<<40); err == nil {
			t.Error("accepted")
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
		t.Errorf("allocated %d bytes", got)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestReadError(t *testing.T) {
	broken := errors.New("input/output error")
	if _, err := Read(failing{broken}, 1000); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "safetensors: ") {
		t.Errorf("error %v", err)
	}
}
