package gguf

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// counted knows how far somebody has read.
type counted struct {
	io.ReaderAt
	end int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.end = max(c.end, off+int64(n))
	return n, err
}

func TestArchitecture(t *testing.T) {
	tokens := make([]string, 100_000)
	for i := range tokens {
		tokens[i] = "token"
	}
	arch := KV{"general.architecture", "bert"}
	late := make([]KV, earlyKeys)
	for i := range late {
		late[i] = KV{"key." + strings.Repeat("x", i+1), uint32(1)}
	}
	for _, tt := range []struct {
		name string
		keys []KV
		want string
		fail string
	}{
		{"first", []KV{arch, {"tokenizer.ggml.tokens", tokens}}, "bert", ""},
		{"second", []KV{{"a", uint8(1)}, arch, {"tokenizer.ggml.tokens", tokens}}, "bert", ""},
		{"missing", []KV{{"a", uint8(1)}}, "", ""},
		{"late", append(late, arch), "", ""},
		{"not a text", []KV{{"general.architecture", uint32(7)}}, "", "general.architecture"},
	} {
		var b bytes.Buffer
		if err := Write(&b, tt.keys, nil); err != nil {
			t.Fatal(err)
		}
		r := &counted{ReaderAt: bytes.NewReader(b.Bytes())}
		got, err := Architecture(r, int64(b.Len()))
		if got != tt.want || (err == nil) != (tt.fail == "") || err != nil && !strings.Contains(err.Error(), tt.fail) {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
		if b.Len() > 1<<20 && r.end > 1<<17 {
			t.Errorf("%s: %d bytes were read of %d", tt.name, r.end, b.Len())
		}
	}
	for _, text := range []string{"", "GG", "{}: no model at all, but long enough", "GGUF\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if got, err := Architecture(strings.NewReader(text), int64(len(text))); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}
