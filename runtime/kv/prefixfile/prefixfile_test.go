package prefixfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"aquifer/runtime/kv"
	"aquifer/runtime/vfs"
)

const block = 100 // bytes of a block in these tests

// cache is a text in blocks, as an engine would have it.
type cache struct {
	contents []kv.Content
	data     [][]byte
}

func newCache(salt string, blocks int) *cache {
	c := &cache{}
	var before kv.Hash
	for i := range blocks {
		h := kv.Root(fmt.Sprint(salt, i))
		c.contents = append(c.contents, kv.Content{Hash: h, Before: before})
		c.data = append(c.data, bytes.Repeat([]byte{byte(i + 1)}, block))
		before = h
	}
	return c
}

func (c *cache) source() Source {
	s := Source{
		Content: func(b int32) (kv.Content, bool) { return c.contents[b], true },
		Read:    func(b int32, data []byte) error { copy(data, c.data[b]); return nil },
	}
	for i := range c.contents {
		s.Blocks = append(s.Blocks, int32(i))
	}
	return s
}

func kindOf(name string) Kind {
	return Kind{Identity: kv.Root(name), Block: block, Note: "model " + name}
}

func try(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func save(t testing.TB, f *Folder, k Kind, c *cache) Result {
	t.Helper()
	r, err := f.Save(t.Context(), k, c.source())
	try(t, err)
	return r
}

// restore returns the numbers of the blocks of c that are restored, in order. Anything else that comes is an error.
func restore(t testing.TB, f *Folder, k Kind, c *cache) (found []int, r Result, err error) {
	t.Helper()
	r, err = f.Restore(t.Context(), k, func(got kv.Content, data []byte) (bool, error) {
		i := slices.Index(c.contents, got)
		if i < 0 || !bytes.Equal(data, c.data[i]) {
			t.Errorf("restored %x with %x", got.Hash[:4], data)
			return false, nil
		}
		found = append(found, i)
		return true, nil
	})
	if r.Blocks != len(found) || r.Time < 0 {
		t.Errorf("%+v for %d blocks", r, len(found))
	}
	return found, r, err
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

func TestSaveAndRestore(t *testing.T) {
	f := New(vfs.NewMem(), 1<<20)
	k, c := kindOf("a"), newCache("a", 7)
	if found, r, err := restore(t, f, k, c); len(found) != 0 || err != nil || r.Of != 0 {
		t.Errorf("of nothing: %v, %+v, %v", found, r, err)
	}
	if r := save(t, f, k, c); r.Blocks != 7 || r.Of != 7 || r.Bytes != headerBytes+7*(entryBytes+block) {
		t.Errorf("%+v", r)
	}
	if found, r, err := restore(t, f, k, c); !slices.Equal(found, upTo(7)) || err != nil || r.Of != 7 || r.Damaged != 0 {
		t.Errorf("%v, %+v, %v", found, r, err)
	}
	other := newCache("b", 9)
	save(t, f, k, other)
	if found, _, err := restore(t, f, k, other); !slices.Equal(found, upTo(9)) || err != nil {
		t.Errorf("the second time: %v, %v", found, err)
	}
	// Nothing to save leaves what is there.
	if r, err := f.Save(t.Context(), k, Source{}); err != nil || r != (Result{Time: r.Time}) {
		t.Errorf("of nothing: %+v, %v", r, err)
	}
	if found, _, _ := restore(t, f, kindOf("b"), other); len(found) != 0 {
		t.Error("another kind finds the file")
	}
	list, err := f.List()
	if err != nil || len(list) != 1 || list[0].Note != "model a" || list[0].Err != nil || list[0].Bytes != headerBytes+9*(entryBytes+block) {
		t.Errorf("%+v, %v", list, err)
	}
	if got := f.Totals(); got.Saved != 16 || got.Restored != 16 || got.Failed != 0 || got.Bytes != list[0].Bytes {
		t.Errorf("%+v", got)
	}
}

// TestStop: who restores can have enough, and errors of either side end it.
func TestStop(t *testing.T) {
	f := New(vfs.NewMem(), 1<<20)
	k, c, broken := kindOf("a"), newCache("a", 7), errors.New("broken")
	save(t, f, k, c)
	for _, want := range []error{nil, broken} {
		calls := 0
		r, err := f.Restore(t.Context(), k, func(kv.Content, []byte) (bool, error) {
			if calls++; calls == 4 {
				if want == nil {
					return false, ErrFull
				}
				return false, want
			}
			return calls != 2, nil
		})
		if !errors.Is(err, want) || r.Blocks != 2 || calls != 4 {
			t.Errorf("%+v, %v, %d calls, want error %v", r, err, calls, want)
		}
	}
	s := newCache("other", 7).source()
	s.Read = func(b int32, _ []byte) error {
		if b == 5 {
			return broken
		}
		return nil
	}
	if _, err := f.Save(t.Context(), k, s); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if found, _, err := restore(t, f, k, c); len(found) != 7 || err != nil {
		t.Errorf("after an error the old file is gone: %v, %v", found, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	calls := 0
	r, err := f.Restore(ctx, k, func(kv.Content, []byte) (bool, error) {
		if calls++; calls == 3 {
			cancel(broken)
		}
		return true, nil
	})
	if !errors.Is(err, broken) || r.Blocks != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestTime: what could be written in time is kept, and is a whole file.
func TestTime(t *testing.T) {
	f := New(vfs.NewMem(), 1<<20)
	k, c := kindOf("a"), newCache("a", 7)
	ctx, cancel := context.WithCancel(t.Context())
	s := c.source()
	read := s.Read
	s.Read = func(b int32, data []byte) error {
		if b == 3 {
			cancel()
		}
		return read(b, data)
	}
	if r, err := f.Save(ctx, k, s); err != nil || r.Blocks != 4 || r.Of != 7 {
		t.Errorf("%+v, %v", r, err)
	}
	if found, _, err := restore(t, f, k, c); !slices.Equal(found, upTo(4)) || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	// No time at all leaves the old file.
	if r, err := f.Save(ctx, k, newCache("b", 9).source()); err != nil || r.Blocks != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if found, _, _ := restore(t, f, k, c); len(found) != 4 {
		t.Errorf("%v", found)
	}
}

// file is what stands under a kind's name.
func file(t testing.TB, fsys vfs.FS, k Kind) []byte {
	t.Helper()
	data, err := vfs.ReadFile(fsys, k.name(), 1<<20)
	try(t, err)
	return data
}

func put(t testing.TB, fsys vfs.FS, k Kind, data []byte) {
	t.Helper()
	try(t, vfs.WriteFile(fsys, k.name(), "x", data))
}

// TestDamage: whichever byte is wrong and wherever the file ends, what is restored is what was saved.
func TestDamage(t *testing.T) {
	mem := vfs.NewMem()
	f := New(mem, 1<<20)
	k, c := kindOf("a"), newCache("a", 3)
	save(t, f, k, c)
	whole := file(t, mem, k)
	for at := range whole {
		data := bytes.Clone(whole)
		data[at] ^= 1 << (at % 8)
		put(t, mem, k, data)
		found, r, err := restore(t, f, k, c)
		switch {
		case at < headerBytes && (len(found) != 0 || err == nil):
			t.Errorf("byte %d of the header: %v, %v", at, found, err)
		case at >= headerBytes && (len(found) != 2 || r.Damaged != 1 || err != nil || slices.Contains(found, (at-headerBytes)/(entryBytes+block))):
			t.Errorf("byte %d: %v, %+v, %v", at, found, r, err)
		}
	}
	for n := range whole {
		put(t, mem, k, whole[:n])
		found, _, err := restore(t, f, k, c)
		want := max(n-headerBytes, 0) / (entryBytes + block)
		if !slices.Equal(found, upTo(want)) || (err == nil) != (n >= headerBytes && (n-headerBytes)%(entryBytes+block) == 0) {
			t.Fatalf("%d bytes: %v, %v", n, found, err)
		}
	}
	put(t, mem, k, append(bytes.Clone(whole), make([]byte, 9000)...))
	if found, r, err := restore(t, f, k, c); len(found) != 3 || r.Damaged == 0 || err == nil {
		t.Errorf("zeros behind the end: %v, %+v, %v", found, r, err)
	}
}

// TestForeign: a file of another program, kind, version or file's entries is refused with a reason.
func TestForeign(t *testing.T) {
	mem := vfs.NewMem()
	f := New(mem, 1<<20)
	a, c := kindOf("a"), newCache("a", 3)
	save(t, f, a, c)
	whole := file(t, mem, a)
	changed := func(change func(b []byte)) []byte {
		b := bytes.Clone(whole)
		change(b)
		binary.LittleEndian.PutUint64(b[504:], xxhash.Sum64(b[:504]))
		return b
	}
	wide := a
	wide.Block++
	for _, tt := range []struct {
		name string
		kind Kind
		data []byte
		err  string
	}{
		{"empty", a, nil, errForeign.Error()},
		{"text", a, []byte(strings.Repeat("hello ", 1000)), errForeign.Error()},
		{"another model", kindOf("b"), whole, errKind.Error()},
		{"another layout", wide, whole, errKind.Error()},
		{"newer", a, changed(func(b []byte) { b[8] = 2 }), "it has format 2, this program reads 1"},
		{"other positions", a, changed(func(b []byte) { b[12]++ }), errDamaged.Error()},
		{"no bytes", a, changed(func(b []byte) { clear(b[16:24]) }), errDamaged.Error()},
		{"too many bytes", a, changed(func(b []byte) { b[22] = 1 }), errDamaged.Error()},
		{"long note", a, changed(func(b []byte) { b[57] = 2 }), errDamaged.Error()},
	} {
		put(t, mem, tt.kind, tt.data)
		found, _, err := restore(t, f, tt.kind, c)
		if len(found) != 0 || err == nil || !strings.HasSuffix(err.Error(), tt.err) {
			t.Errorf("%s: %v, %v, want %s", tt.name, found, err, tt.err)
		}
	}
	// Entries that were put behind another header do not count.
	other := kindOf("c")
	put(t, mem, other, append(other.header(), whole[headerBytes:]...))
	if found, r, err := restore(t, f, other, c); len(found) != 0 || r.Damaged != 3 || err != nil {
		t.Errorf("entries of another file: %v, %+v, %v", found, r, err)
	}
}

func TestNote(t *testing.T) {
	for _, note := range []string{"", "Llama", strings.Repeat("ä", 400), "a\xffb", strings.Repeat("x", MaxNote)} {
		k := kindOf("a")
		k.Note = note
		got, err := parseHeader(k.header())
		if err != nil || got.Identity != k.Identity || got.Block != k.Block || !strings.HasPrefix(strings.ToValidUTF8(note, ""), got.Note) ||
			len(got.Note) < min(len(note)-1, MaxNote-1) {
			t.Errorf("%q: %+v, %v", note, got, err)
		}
	}
}
