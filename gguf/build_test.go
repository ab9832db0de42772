package gguf

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// builder makes files byte by byte, right or wrong, and remembers where its integer fields stand.
type builder struct {
	b      []byte
	fields []field
}

type field struct {
	off, width int
	name       string
}

func (b *builder) raw(s string) *builder { b.b = append(b.b, s...); return b }

func (b *builder) u32(name string, v uint32) *builder {
	b.fields = append(b.fields, field{len(b.b), 4, name})
	b.b = binary.LittleEndian.AppendUint32(b.b, v)
	return b
}

func (b *builder) u64(name string, v uint64) *builder {
	b.fields = append(b.fields, field{len(b.b), 8, name})
	b.b = binary.LittleEndian.AppendUint64(b.b, v)
	return b
}

// head starts a file of version 3.
func head(tensors, keys uint64) *builder {
	b := &builder{}
	return b.raw("GGUF").u32("version", 3).u64("tensors", tensors).u64("keys", keys)
}

func (b *builder) str(name, s string) *builder {
	return b.u64(name+" length", uint64(len(s))).raw(s)
}

// kv starts an entry: its value's bytes follow.
func (b *builder) kv(key string, t valueType) *builder {
	return b.str("key", key).u32("value type", uint32(t))
}

// array starts an array value.
func (b *builder) array(t valueType, n uint64) *builder {
	return b.u32("element type", uint32(t)).u64("array length", n)
}

func (b *builder) tensor(name string, t Type, off uint64, dims ...uint64) *builder {
	b.str("name", name).u32("rank", uint32(len(dims)))
	for _, d := range dims {
		b.u64("dim", d)
	}
	return b.u32("type", uint32(t)).u64("offset", off)
}

// data aligns to align and adds n bytes.
func (b *builder) data(align, n int) *builder {
	for len(b.b)%align != 0 {
		b.b = append(b.b, 0)
	}
	b.b = append(b.b, bytes.Repeat([]byte{0xaa}, n)...)
	return b
}

func (b *builder) read() (*File, error) {
	return Read(bytes.NewReader(b.b), int64(len(b.b)))
}

// seeds are valid files that cover every form of a header.
func seeds() map[string]*builder {
	return map[string]*builder{
		"empty":     head(0, 0),
		"version 2": (&builder{}).raw("GGUF").u32("version", 2).u64("tensors", 0).u64("keys", 1).kv("k", vUint8).raw("\x07"),
		"scalars": head(0, 13).kv("u8", vUint8).raw("\xff").kv("i8", vInt8).raw("\xff").kv("u16", vUint16).raw("\xff\xff").
			kv("i16", vInt16).raw("\xff\xff").kv("u32", vUint32).u32("value", 1<<31).kv("i32", vInt32).u32("value", 1<<31).
			kv("f32", vFloat32).u32("value", 0x3f800000).kv("true", vBool).raw("\x01").kv("false", vBool).raw("\x00").
			kv("string", vString).str("string", "text").kv("u64", vUint64).u64("value", 1<<63).kv("i64", vInt64).u64("value", 1<<63).
			kv("f64", vFloat64).u64("value", 0x3ff0000000000000),
		"arrays": head(0, 4).kv("u8", vArray).array(vUint8, 3).raw("abc").kv("f32", vArray).array(vFloat32, 2).raw("\x00\x00\x80\x3f\x00\x00\x00\x40").
			kv("bools", vArray).array(vBool, 2).raw("\x00\x01").kv("empty", vArray).array(vUint64, 0),
		"strings": head(0, 1).kv("tokens", vArray).array(vString, 3).str("token", "a").str("token", "").str("token", "ccc"),
		"nested": head(0, 1).kv("n", vArray).array(vArray, 2).array(vInt16, 1).raw("\x01\x00").array(vArray, 1).array(vArray, 1).
			array(vUint8, 1).raw("x"),
		"one tensor":   head(1, 0).tensor("t", F32, 0, 4).data(32, 16),
		"two tensors":  head(2, 0).tensor("a", F16, 0, 3, 5).tensor("b", I8, 32, 7, 1, 2, 2).data(32, 32+28),
		"blocks":       head(3, 0).tensor("q", Q8_0, 0, 64, 3).tensor("k", 12, 224, 256).tensor("i", I16, 384, 1).data(32, 384+2),
		"alignment 8":  head(2, 1).kv("general.alignment", vUint32).u32("value", 8).tensor("a", I8, 0, 1).tensor("b", I8, 8, 3).data(8, 11),
		"alignment 1M": head(1, 1).kv("general.alignment", vUint32).u32("value", 1<<20).tensor("a", I8, 0, 1).data(1<<20, 1),
		"mixed": head(2, 2).kv("general.architecture", vString).str("string", "llama").kv("x", vArray).array(vInt32, 1).u32("value", 5).
			tensor("token_embd.weight", BF16, 0, 8, 2).tensor("b", F32, 32, 1).data(32, 36),
	}
}

func longString(n int) string { return strings.Repeat("x", n) }
