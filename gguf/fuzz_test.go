package gguf

import (
	"bytes"
	"io"
	"reflect"
	"testing"
)

// FuzzGGUF wants the parser and the oracle to agree on every file, every refusal to be typed, and every accepted file to
// survive being written and read again.
func FuzzGGUF(f *testing.F) {
	for _, seed := range seeds() {
		if len(seed.b) < 1<<16 {
			f.Add(seed.b)
		}
	}
	f.Add(head(1<<64-1, 1<<64-1).b)
	f.Add(head(1, 0).tensor("t", F32, 0, 1<<32, 1<<32).data(32, 16).b)
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := Read(bytes.NewReader(file), int64(len(file)))
		if want := oracle(file); (err == nil) != (want == nil) {
			t.Fatalf("parser %v, oracle %v", err, want)
		}
		if err != nil {
			checkError(t, err, int64(len(file)))
			return
		}
		var tensors []Source
		for _, x := range got.Tensors {
			tensors = append(tensors, Source{x.Name, x.Type, x.Dims, func() (io.Reader, error) {
				return io.NewSectionReader(bytes.NewReader(file), x.Offset, x.Size), nil
			}})
		}
		var out bytes.Buffer
		if err := Write(&out, got.Metadata, tensors); err != nil {
			t.Fatalf("write: %v", err)
		}
		again, err := Read(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatalf("read again: %v", err)
		}
		var twice bytes.Buffer
		if err := Write(&twice, again.Metadata, tensors); err != nil || !bytes.Equal(out.Bytes(), twice.Bytes()) {
			t.Fatalf("written again: %v", err)
		}
		// Offsets differ where the metadata had another length; NaN differs from itself, so bytes were compared above.
		for i := range got.Tensors {
			a, b := got.Tensors[i], again.Tensors[i]
			a.Offset, b.Offset = a.Offset-got.DataOffset, b.Offset-again.DataOffset
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("tensor %+v became %+v", a, b)
			}
		}
	})
}
