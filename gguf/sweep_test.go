package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
)

// boundaries are the values that size arithmetic gets wrong.
var boundaries = []uint64{
	0, 1, 2, 3, 4, 7, 8, 31, 255, 65535, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 1,
}

// TestFieldSweep puts every boundary value into every integer field of every seed and wants the oracle's verdict.
func TestFieldSweep(t *testing.T) {
	cases, refused := 0, 0
	for name, seed := range seeds() {
		if err := oracle(seed.b); err != nil {
			t.Fatalf("%s: the oracle refuses a valid file: %v", name, err)
		}
		if _, err := seed.read(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, f := range seed.fields {
			file := bytes.Clone(seed.b)
			for _, v := range boundaries {
				if f.width == 4 {
					binary.LittleEndian.PutUint32(file[f.off:], uint32(v))
				} else {
					binary.LittleEndian.PutUint64(file[f.off:], v)
				}
				_, err := Read(bytes.NewReader(file), int64(len(file)))
				want := oracle(file)
				if (err == nil) != (want == nil) {
					t.Errorf("%s: %s at %d = %d: parser %v, oracle %v", name, f.name, f.off, v, err, want)
				}
				checkError(t, err, int64(len(file)))
				cases++
				if err != nil {
					refused++
				}
			}
		}
	}
	if refused == 0 || refused == cases {
		t.Errorf("%d of %d refused: the sweep tests nothing", refused, cases)
	}
	t.Logf("%d cases, %d refused", cases, refused)
}

// TestPairSweep does the same for all pairs of dimensions of one tensor, where products wrap.
func TestPairSweep(t *testing.T) {
	values := append([]uint64{5, 1 << 33, 1<<33 + 1, 1<<61 + 1, 0x5555555555555556}, boundaries...)
	for _, x := range values {
		for _, y := range values {
			for _, typ := range []Type{F32, I8, Q8_0} {
				b := head(1, 0).tensor("t", typ, 0, x, y).data(32, 64)
				_, err := b.read()
				if want := oracle(b.b); (err == nil) != (want == nil) {
					t.Errorf("dims %d, %d of %v: parser %v, oracle %v", x, y, typ, err, want)
				}
			}
		}
	}
}

// TestTruncation cuts every seed at every byte. The rest is never valid, unless what is missing is padding.
func TestTruncation(t *testing.T) {
	for name, seed := range seeds() {
		step := 1 + len(seed.b)>>12 // the data of large files in larger steps
		for n := 0; n < len(seed.b); n += step {
			file := seed.b[:n]
			_, err := Read(bytes.NewReader(file), int64(n))
			if want := oracle(file); (err == nil) != (want == nil) {
				t.Errorf("%s cut at %d: parser %v, oracle %v", name, n, err, want)
			}
			checkError(t, err, int64(n))
			// The same file with the size it ought to have: the reader comes up short instead.
			if _, err := Read(bytes.NewReader(file), int64(len(seed.b))); err == nil && oracle(file) != nil && n < headerEnd(seed) {
				t.Errorf("%s cut at %d with the old size: accepted", name, n)
			}
		}
	}
}

func headerEnd(b *builder) int {
	last := b.fields[len(b.fields)-1]
	return last.off + last.width
}

// checkError wants every refusal to be a FormatError that points into the file.
func checkError(t *testing.T, err error, size int64) {
	t.Helper()
	if err == nil {
		return
	}
	var format *FormatError
	if !errors.As(err, &format) || format.Off < 0 || format.Off > size || format.Field == "" || format.Msg == "" {
		t.Errorf("error %#v of a file of %d bytes", err, size)
	}
}

// sparse is a file that claims a size and holds zeros behind its head.
type sparse struct{ head []byte }

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(s.head)) {
		copy(p, s.head[off:])
	}
	return len(p), nil
}

// TestAllocation wants hostile lengths to cost little memory even in a file that is as large as they claim.
func TestAllocation(t *testing.T) {
	const size, most = 1 << 40, 32 << 20
	for name, b := range map[string]*builder{
		"tensors": head(1<<16, 0),
		"keys":    head(0, 1<<16),
		"string":  head(0, 1).kv("k", vString).u64("length", MaxString+1),
		"array":   head(0, 1).kv("k", vArray).array(vUint64, MaxArray+1),
		"nested":  head(0, 1).kv("k", vArray).array(vArray, MaxArray),
		"deeper":  head(0, 1).kv("k", vArray).array(vArray, 1).array(vArray, 1).array(vArray, MaxArray),
		"strings": head(0, 3).kv("k", vArray).array(vString, 1<<16),
		"key":     head(0, 1).u64("key length", MaxKeyLength+1),
		"bools":   head(0, 2).kv("k", vArray).array(vBool, MaxArray),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := Read(sparse{b.b}, size)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: accepted with %d keys", name, len(f.Metadata))
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("%s: allocated %d bytes", name, got)
		}
	}
}
