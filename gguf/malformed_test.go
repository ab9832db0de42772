package gguf

import (
	"errors"
	"strings"
	"testing"
)

// TestMalformed reads files with one defect each. Every refusal has to name the field and the byte of the defect.
func TestMalformed(t *testing.T) {
	const off0 = 24 // the first byte behind the counts
	oneTensor := func(dims ...uint64) *builder { return head(1, 0).tensor("t", F32, 0, dims...).data(32, 64) }
	typed := func(typ Type, n uint64) *builder { return head(1, 0).tensor("t", typ, 0, n).data(32, 4096) }
	two := func(second uint64) *builder {
		return head(2, 0).tensor("a", I8, 0, 5).tensor("b", I8, second, 5).data(32, 128)
	}
	align := func(v uint32) *builder { return head(0, 1).kv("general.alignment", vUint32).u32("value", v) }
	nested := func(depth int) *builder {
		b := head(0, 1).kv("k", vArray)
		for range depth - 1 {
			b.array(vArray, 1)
		}
		return b.array(vUint8, 1).raw("x")
	}
	const dimsAt, offsetAt = off0 + 8 + 1 + 4, off0 + 8 + 1 + 4 + 8 + 4
	for _, test := range []struct {
		name  string
		file  *builder
		field string
		msg   string
		off   int64 // -1: not checked
	}{
		// Header.
		{"empty", &builder{}, "magic", "ends here", 0},
		{"1 byte", (&builder{}).raw("G"), "magic", "ends here", 0},
		{"3 bytes", (&builder{}).raw("GGU"), "magic", "ends here", 0},
		{"bad magic", (&builder{}).raw("GGML").u32("", 3), "magic", `"GGML"`, 0},
		{"swapped magic", (&builder{}).raw("FUGG").u32("", 3), "magic", "big endian", 0},
		{"magic only", (&builder{}).raw("GGUF"), "version", "ends here", 4},
		{"version 0", (&builder{}).raw("GGUF").u32("", 0), "version", "is 0", 4},
		{"version 1", (&builder{}).raw("GGUF").u32("", 1), "version", "is 1", 4},
		{"version 4", (&builder{}).raw("GGUF").u32("", 4), "version", "is 4", 4},
		{"version 2^31", (&builder{}).raw("GGUF").u32("", 1<<31), "version", "big endian", 4},
		{"big endian 3", (&builder{}).raw("GGUF").u32("", 3<<24), "version", "big endian", 4},
		{"tensors max", head(1<<64-1, 0), "tensor count", "limit", 8},
		{"keys max", head(0, 1<<64-1), "metadata count", "limit", 16},
		{"both max", head(1<<64-1, 1<<64-1), "tensor count", "limit", 8},
		{"tensors over limit", head(MaxTensors+1, 0), "tensor count", "limit", 8},
		{"keys over limit", head(0, MaxKeys+1), "metadata count", "limit", 16},
		{"no keys follow", head(0, 1), "metadata count", "left of the file", 16},
		{"no tensors follow", head(1, 0), "tensor count", "left of the file", 8},
		{"one key too few", head(0, 2).kv("k", vUint64).u64("", 0), "metadata count", "left of the file", 16},
		{"file ends before the second key", head(0, 2).kv("k", vString).str("", longString(40)), "key 1", "ends here", -1},

		// Metadata.
		{"empty key", head(0, 1).str("", "").u32("", 0).raw("\x00\x00"), "key 0", "empty", off0},
		{"key length max", head(0, 1).u64("", 1<<64-1).raw(longString(20)), "key 0", "limit", off0},
		{"key over limit", head(0, 1).str("", longString(1<<16)).u32("", 0).raw("\x00"), "key 0", "limit", off0},
		{"key over file", head(0, 1).u64("", 1000).raw(longString(20)), "key 0", "left of the file", off0},
		{"key not UTF-8", head(0, 1).kv("\xff\xfe", vUint8).raw("\x00"), "key 0", "UTF-8", off0},
		{"NUL in key", head(0, 1).kv("a\x00b", vUint8).raw("\x00"), "key 0", "control", off0},
		{"newline in key", head(0, 1).kv("a\nb", vUint8).raw("\x00"), "key 0", "control", off0},
		{"duplicate key", head(0, 2).kv("k", vUint8).raw("\x01").kv("k", vUint8).raw("\x01"), `key "k"`, "twice", off0 + 14},
		{"type 13", head(0, 1).kv("k", 13).raw("\x00\x00\x00\x00"), `key "k"`, "value type 13", off0 + 9},
		{"type 255", head(0, 1).kv("k", 255).raw("\x00\x00\x00\x00"), `key "k"`, "value type 255", off0 + 9},
		{"type 2^31", head(0, 1).kv("k", 1<<31).raw("\x00\x00\x00\x00"), `key "k"`, "value type 2147483648", off0 + 9},
		{"bool 2", head(0, 1).kv("k", vBool).raw("\x02"), `key "k"`, "bool is 2", off0 + 13},
		{"bool 2 in array", head(0, 1).kv("k", vArray).array(vBool, 2).raw("\x00\x02"), `key "k"`, "bool is 2", off0 + 26},
		{"string 2^63", head(0, 1).kv("k", vString).u64("", 1<<63), `key "k"`, "limit", off0 + 13},
		{"string over limit", head(0, 1).kv("k", vString).u64("", MaxString+1).raw("x"), `key "k"`, "limit", off0 + 13},
		{"string over file", head(0, 1).kv("k", vString).u64("", 100).raw("x"), `key "k"`, "left of the file", off0 + 13},
		{"token over limit", head(0, 1).kv("k", vArray).array(vString, 1).str("", longString(MaxArrayString+1)), `key "k"`, "limit", off0 + 25},
		{"nested 5", nested(5), `key "k"`, "nested deeper", -1},
		{"nested 64", nested(64), `key "k"`, "nested deeper", -1},
		{"array of unknown type", head(0, 1).kv("k", vArray).array(13, 0), `key "k"`, "value type 13", off0 + 13},
		{"array of type 2^32-1", head(0, 1).kv("k", vArray).array(1<<32-1, 0), `key "k"`, "value type", off0 + 13},
		{"array length wraps to 0", head(0, 1).kv("k", vArray).array(vUint64, 1<<61), `key "k"`, "limit", off0 + 17},
		{"array length wraps to 8", head(0, 1).kv("k", vArray).array(vUint64, 1<<61+1).u64("", 0), `key "k"`, "limit", off0 + 17},
		{"array length max", head(0, 1).kv("k", vArray).array(vUint8, 1<<64-1), `key "k"`, "limit", off0 + 17},
		{"array over limit", head(0, 1).kv("k", vArray).array(vUint8, MaxArray+1).raw("x"), `key "k"`, "limit", off0 + 17},
		{"array over file", head(0, 1).kv("k", vArray).array(vUint32, MaxArray).u32("", 1), `key "k"`, "left of the file", off0 + 17},
		{"strings over file", head(0, 1).kv("k", vArray).array(vString, 3).str("", "a"), `key "k"`, "left of the file", off0 + 17},
		{"value missing", head(0, 1).kv("key12", vUint64).raw("\x00"), `key "key12"`, "ends here", off0 + 17},

		// Alignment.
		{"alignment 0", align(0), `key "general.alignment"`, "is 0", -1},
		{"alignment 1", align(1), `key "general.alignment"`, "is 1", -1},
		{"alignment 3", align(3), `key "general.alignment"`, "is 3", -1},
		{"alignment 4", align(4), `key "general.alignment"`, "is 4", -1},
		{"alignment 48", align(48), `key "general.alignment"`, "is 48", -1},
		{"alignment 2^21", align(1 << 21), `key "general.alignment"`, "is 2097152", -1},
		{"alignment 2^31", align(1 << 31), `key "general.alignment"`, "is 2147483648", -1},
		{"alignment string", head(0, 1).kv("general.alignment", vString).str("", "32"), `key "general.alignment"`, "is string, must be uint32", -1},
		{"alignment u64", head(0, 1).kv("general.alignment", vUint64).u64("", 32), `key "general.alignment"`, "is uint64, must be uint32", -1},
		{"alignment array", head(0, 1).kv("general.alignment", vArray).array(vUint32, 1).u32("", 32), `key "general.alignment"`, "array", -1},
		{"alignment twice", align(32).again(align(32)), `key "general.alignment"`, "twice", -1},

		// Tensors.
		{"name empty", head(1, 0).tensor("", F32, 0, 4).data(32, 16), "tensor 0", "empty", off0},
		{"name 256", head(1, 0).tensor(longString(256), F32, 0, 4).data(32, 16), "tensor 0", "limit", off0},
		{"name over file", head(1, 0).u64("", 255).raw(longString(40)), "tensor 0", "left of the file", off0},
		{"name max", head(1, 0).u64("", 1<<64-1).raw(longString(40)), "tensor 0", "limit", off0},
		{"name not UTF-8", head(1, 0).tensor("\xff", F32, 0, 4).data(32, 16), "tensor 0", "UTF-8", off0},
		{"name with newline", head(1, 0).tensor("a\nb", F32, 0, 4).data(32, 16), "tensor 0", "control", off0},
		{"duplicate tensor", head(2, 0).tensor("t", I8, 0, 4).tensor("t", I8, 32, 4).data(32, 64), `tensor "t"`, "twice", -1},
		{"no dimensions", head(1, 0).tensor("t", F32, 0).data(32, 64), `tensor "t"`, "has 0 dimensions", off0 + 9},
		{"5 dimensions", oneTensor(1, 1, 1, 1, 1), `tensor "t"`, "has 5 dimensions", off0 + 9},
		{"2^32-1 dimensions", head(1, 0).str("", "t").u32("", 1<<32-1).raw(longString(64)), `tensor "t"`, "dimensions", off0 + 9},
		{"dim 0", oneTensor(0), `tensor "t"`, "0 is out of range", dimsAt},
		{"inner dim 0", oneTensor(4, 0), `tensor "t"`, "0 is out of range", dimsAt},
		{"dim 2^63", oneTensor(1 << 63), `tensor "t"`, "out of range", dimsAt},
		{"dim max", oneTensor(1<<64 - 1), `tensor "t"`, "out of range", dimsAt},
		{"product wraps to 0", oneTensor(1<<32, 1<<32), `tensor "t"`, "too many elements", dimsAt},
		{"product wraps to 16", oneTensor(1<<62+4, 4), `tensor "t"`, "too many elements", dimsAt},
		{"product wraps to negative", oneTensor(1<<62, 2), `tensor "t"`, "too many elements", dimsAt},
		{"four dims wrap", oneTensor(1<<16, 1<<16, 1<<16, 1<<16), `tensor "t"`, "too many elements", dimsAt},
		{"bytes wrap", oneTensor(1<<61, 2), `tensor "t"`, "too many bytes", dimsAt},
		{"no whole blocks", typed(Q8_0, 33), `tensor "t"`, "multiples of 32", dimsAt},
		{"no whole superblocks", typed(14, 128), `tensor "t"`, "multiples of 256", dimsAt},
		{"type 4, withdrawn", typed(4, 32), `tensor "t"`, "type 4", dimsAt},
		{"type 31, withdrawn", typed(31, 32), `tensor "t"`, "type 31", dimsAt},
		{"type 36, withdrawn", typed(36, 32), `tensor "t"`, "type 36", dimsAt},
		{"type 255", typed(255, 32), `tensor "t"`, "type 255", dimsAt},
		{"type 2^31", typed(1<<31, 32), `tensor "t"`, "type 2147483648", dimsAt},
		{"offset not 0", head(1, 0).tensor("t", I8, 32, 4).data(32, 64), `tensor "t": offset`, "hole", offsetAt},
		{"offset unaligned", two(8), `tensor "b": offset`, "no multiple", -1},
		{"overlap", two(0), `tensor "b": offset`, "overlaps", -1},
		{"hole", two(64), `tensor "b": offset`, "hole", -1},
		{"descending", head(2, 0).tensor("a", I8, 32, 5).tensor("b", I8, 0, 5).data(32, 64), `tensor "a": offset`, "hole", offsetAt},
		{"offset 2^63", two(1 << 63), `tensor "b": offset`, "63 bits", -1},
		{"offset wraps", two(1<<64 - 32), `tensor "b": offset`, "63 bits", -1},
		{"beyond the file", head(1, 0).tensor("t", I8, 0, 65).data(32, 64), `tensor "t": offset`, "beyond the end", offsetAt},
		{"end beyond int64", head(1, 0).tensor("t", I8, 0, 1<<63-1).data(32, 64), `tensor "t": offset`, "beyond the end", offsetAt},
		{"second one starts beyond int64", head(2, 0).tensor("t", I8, 0, 1<<63-1).tensor("u", I8, 0, 1).data(32, 64), `tensor "t": offset`, "beyond the end", offsetAt},
		{"last byte missing", head(2, 0).tensor("a", I8, 0, 5).tensor("b", I8, 32, 5).data(32, 36), `tensor "b": offset`, "beyond the end", -1},
		{"data past the end", head(1, 0).tensor("t", I8, 0, 1), `tensor "t": offset`, "beyond the end", offsetAt},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.file.read()
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error %v, want a FormatError", err)
			}
			if !strings.HasPrefix(format.Field, test.field) || !strings.Contains(format.Msg, test.msg) {
				t.Errorf("%q / %q, want %q / %q", format.Field, format.Msg, test.field, test.msg)
			}
			if test.off >= 0 && format.Off != test.off {
				t.Errorf("at byte %d, want %d", format.Off, test.off)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			if oracle(test.file.b) == nil {
				t.Error("the oracle accepts it")
			}
		})
	}
}

// again appends the entries of another file and adds its count of keys.
func (b *builder) again(other *builder) *builder {
	b.b = append(b.b, other.b[24:]...)
	b.b[16] += other.b[16]
	return b
}

// TestLimits wants values at a limit accepted.
func TestLimits(t *testing.T) {
	for name, b := range map[string]*builder{
		"key":          head(0, 1).kv(longString(MaxKeyLength), vUint8).raw("\x00"),
		"string":       head(0, 1).kv("k", vString).str("", longString(MaxString)),
		"token":        head(0, 1).kv("k", vArray).array(vString, 2).str("", longString(MaxArrayString)).str("", longString(MaxArrayString)),
		"array":        head(0, 1).kv("k", vArray).array(vUint8, MaxArray).raw(longString(MaxArray)),
		"depth":        head(0, 1).kv("k", vArray).array(vArray, 1).array(vArray, 1).array(vArray, 1).array(vUint8, 1).raw("x"),
		"name":         head(1, 0).tensor(longString(MaxNameLength), I8, 0, 1).data(32, 1),
		"name 63":      head(1, 0).tensor(longString(63), I8, 0, 1).data(32, 1),
		"name 64":      head(1, 0).tensor(longString(64), I8, 0, 1).data(32, 1),
		"trailing":     head(1, 0).tensor("t", I8, 0, 1).data(32, 100),
		"no data":      head(0, 0).raw("x"),
		"four dims":    head(1, 0).tensor("t", F16, 0, 1, 1, 1, 3).data(32, 6),
		"invalid text": head(0, 1).kv("k", vString).str("", "\xff\x00"),
	} {
		if _, err := b.read(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := oracle(b.b); err != nil {
			t.Errorf("%s: oracle: %v", name, err)
		}
	}
}

// failing is a file on a broken disk.
type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestReadError(t *testing.T) {
	broken := errors.New("input/output error")
	if _, err := Read(failing{broken}, 1000); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "gguf: ") {
		t.Errorf("error %v", err)
	}
}
