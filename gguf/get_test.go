package gguf

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestGetters(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, everything(), nil); err != nil {
		t.Fatal(err)
	}
	f, err := Read(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	show := func(v any, ok bool, err error) string {
		if err != nil {
			return err.Error()
		}
		if !ok {
			return "absent"
		}
		return fmt.Sprint(v)
	}
	str := func(key string) string { v, ok, err := f.String(key); return show(v, ok, err) }
	boolean := func(key string) string { v, ok, err := f.Bool(key); return show(v, ok, err) }
	integer := func(key string) string { v, ok, err := f.Int(key); return show(v, ok, err) }
	uinteger := func(key string) string { v, ok, err := f.Uint(key); return show(v, ok, err) }
	float := func(key string) string { v, ok, err := f.Float(key); return show(v, ok, err) }
	ints := func(key string) string { v, ok, err := f.Ints(key); return show(v, ok, err) }
	floats := func(key string) string { v, ok, err := f.Floats(key); return show(v, ok, err) }
	strs := func(key string) string { v, ok, err := f.Strings(key); return show(len(v), ok, err) }
	for _, test := range []struct {
		getter string
		get    func(string) string
		key    string
		want   string
	}{
		{"String", str, "general.architecture", "llama"},
		{"String", str, "empty", ""},
		{"String", str, "none", "absent"},
		{"String", str, "u8", `gguf: key "u8": is uint8, must be a string`},
		{"Bool", boolean, "true", "true"},
		{"Bool", boolean, "false", "false"},
		{"Bool", boolean, "none", "absent"},
		{"Bool", boolean, "u8", `is uint8, must be a bool`},
		{"Int", integer, "u8", "255"},
		{"Int", integer, "i8", "-128"},
		{"Int", integer, "u16", "65535"},
		{"Int", integer, "i16", "-32768"},
		{"Int", integer, "u32", "4294967295"},
		{"Int", integer, "i32", "-2147483648"},
		{"Int", integer, "i64", "-9223372036854775808"},
		{"Int", integer, "u64", "18446744073709551615 is out of range"},
		{"Int", integer, "f32", "is float32, must be an integer"},
		{"Int", integer, "true", "is bool, must be an integer"},
		{"Int", integer, "u8s", "is an array of uint8, must be an integer"},
		{"Int", integer, "none", "absent"},
		{"Uint", uinteger, "u64", "18446744073709551615"},
		{"Uint", uinteger, "u8", "255"},
		{"Uint", uinteger, "i8", "is -128, must not be negative"},
		{"Uint", uinteger, "f32", "must be an integer"},
		{"Uint", uinteger, "none", "absent"},
		{"Float", float, "f64", "3.141592653589793"},
		{"Float", float, "f32", "9.999999747378752e-06"},
		{"Float", float, "u8", "must be a float"},
		{"Float", float, "none", "absent"},
		{"Ints", ints, "u8s", "[0 255]"},
		{"Ints", ints, "i8s", "[-1]"},
		{"Ints", ints, "u16s", "[1 2]"},
		{"Ints", ints, "i16s", "[-2]"},
		{"Ints", ints, "u32s", "[7]"},
		{"Ints", ints, "i32s", "[]"},
		{"Ints", ints, "i64s", "[-9223372036854775808]"},
		{"Ints", ints, "u64s", "9223372036854775808 is out of range"},
		{"Ints", ints, "f32s", "is an array of float32, must be an array of integers"},
		{"Ints", ints, "nested", "is an array of arrays"},
		{"Ints", ints, "none", "absent"},
		{"Floats", floats, "f32s", "[0.5 -2]"},
		{"Floats", floats, "f64s", "must be an array of float32"},
		{"Floats", floats, "none", "absent"},
		{"Strings", strs, "strings", "4"},
		{"Strings", strs, "u8s", "must be an array of strings"},
		{"Strings", strs, "none", "absent"},
	} {
		if got := test.get(test.key); !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s(%q): %s, want %s", test.getter, test.key, got, test.want)
		}
	}
	if v, ok := f.Get("nested"); !ok || v == nil {
		t.Error("Get: nested is absent")
	}
}

func TestTypes(t *testing.T) {
	known := 0
	for n := range 64 {
		typ := Type(n)
		elements, size := typ.Block()
		if elements == 0 {
			if typ.String() != fmt.Sprintf("type %d", n) {
				t.Errorf("unknown type %d is called %s", n, typ)
			}
			continue
		}
		known++
		if got, err := typ.Bytes([]int64{elements * 3, 5}); err != nil || got != 15*size {
			t.Errorf("%v: %d bytes, %v; want %d", typ, got, err, 15*size)
		}
	}
	if known != 34 {
		t.Errorf("%d types known", known)
	}
}
