package prefixfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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

// order lists what a file holds, in order.
func order(t testing.TB, f *Folder, k Kind) (list []kv.Content) {
	t.Helper()
	if _, err := f.Restore(t.Context(), k, func(c kv.Content, _ []byte) (bool, error) {
		list = append(list, c)
		return true, nil
	}); err != nil {
		t.Error(err)
	}
	return list
}

// TestCarry: a file does not come to hold less: what it held stays behind what is saved, unless that is damaged or has no room.
func TestCarry(t *testing.T) {
	size := func(blocks int) int64 { return headerBytes + int64(blocks)*(entryBytes+block) }
	mem := vfs.NewMem()
	f := New(mem, size(9)+size(2))
	k, old := kindOf("a"), newCache("old", 6)
	check := func(what string, f *Folder, want ...kv.Content) {
		t.Helper()
		if got := order(t, f, k); !slices.Equal(got, want) {
			t.Errorf("%s: %d contents, want %d, or in another order", what, len(got), len(want))
		}
	}
	save(t, f, k, old)
	few := newCache("few", 2)
	few.contents, few.data = append(few.contents, old.contents[0]), append(few.data, old.data[0])
	named := k
	named.Note = "the same under another name, which changes the header's checksum"
	if r := save(t, f, named, few); r.Blocks != 3 || r.Of != 3 {
		t.Errorf("%+v", r)
	}
	check("few", f, slices.Concat(few.contents, old.contents[1:4])...)
	both := newCache("", 0)
	both.contents, both.data = slices.Concat(few.contents, old.contents[1:]), slices.Concat(few.data, old.data[1:])
	if found, _, err := restore(t, f, k, both); len(found) != 6 || err != nil {
		t.Errorf("bytes: %v, %v", found, err)
	}
	// As much is left, and one of it is damaged.
	data := file(t, mem, k)
	data[size(4)+entryBytes] ^= 1
	put(t, mem, k, data)
	one := newCache("one", 1)
	save(t, f, k, one)
	check("one", f, slices.Concat(one.contents, few.contents, old.contents[1:2], old.contents[3:4])...)
	// What another kind has is not given up for it, but for what is new.
	save(t, f, kindOf("b"), newCache("b", 2))
	last := newCache("last", 1)
	save(t, New(mem, size(3)+size(2)), k, last)
	check("last", f, slices.Concat(last.contents, one.contents, few.contents[:1])...)
	if len(order(t, f, kindOf("b"))) != 2 {
		t.Error("the other kind had to go")
	}
}

// TestUnchanged: a file that holds everything is not written again, unless it is known to be damaged, but counts as used.
func TestUnchanged(t *testing.T) {
	mem := vfs.NewMem()
	f := New(mem, 1<<20)
	k, c := kindOf("a"), newCache("a", 5)
	save(t, f, k, c)
	time.Sleep(2 * time.Millisecond)
	save(t, f, kindOf("b"), c)
	time.Sleep(2 * time.Millisecond)
	same := c.source()
	same.Blocks = []int32{0, 2, 1}
	same.Read = func(int32, []byte) error { return errors.New("read for nothing") }
	if r, err := f.Save(t.Context(), k, same); err != nil || r.Blocks != 0 || r.Of != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if list, err := f.List(); err != nil || len(list) != 2 || list[0].Note != "model a" {
		t.Errorf("%+v, %v", list, err)
	}
	data := file(t, mem, k)
	data[headerBytes+entryBytes]++
	put(t, mem, k, data)
	repair := c.source()
	repair.Damaged = true
	if r, err := f.Save(t.Context(), k, repair); err != nil || r.Blocks != 5 {
		t.Errorf("%+v, %v", r, err)
	}
	if found, _, err := restore(t, f, k, c); len(found) != 5 || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	last := c.source()
	last.Blocks = []int32{4, 0}
	if r, err := f.Save(t.Context(), k, last); err != nil || r.Blocks != 2 {
		t.Errorf("another order of what is used: %+v, %v", r, err)
	}
	if found, _, _ := restore(t, f, k, c); !slices.Equal(found, []int{4, 0, 1, 2, 3}) {
		t.Errorf("%v", found)
	}
}

// TestLimit: the files together stay within the limit; the last one counts first, and of it the first blocks.
func TestLimit(t *testing.T) {
	size := func(blocks int) int64 { return headerBytes + int64(blocks)*(entryBytes+block) }
	mem := vfs.NewMem()
	f := New(mem, size(4)+size(3))
	for i, n := range []int{2, 3, 4} {
		c := newCache(fmt.Sprint(i), n)
		save(t, f, kindOf(fmt.Sprint(i)), c)
		time.Sleep(2 * time.Millisecond) // the order is that of the times of files
	}
	for i, want := range []int{0, 3, 4} { // the first had to go
		c := newCache(fmt.Sprint(i), i+2)
		if found, _, err := restore(t, f, kindOf(fmt.Sprint(i)), c); len(found) != want || err != nil {
			t.Errorf("kind %d: %v, %v", i, found, err)
		}
	}
	big := newCache("big", 50)
	if r := save(t, f, kindOf("big"), big); r.Blocks >= 50 || r.Of != 50 || r.Bytes > size(4)+size(3) || r.Bytes+entryBytes+block <= size(4)+size(3) {
		t.Errorf("%+v", r)
	}
	if list, err := f.List(); len(list) != 1 || err != nil {
		t.Errorf("%+v, %v", list, err)
	}
	small := New(mem, 2*block)
	if _, err := small.Save(t.Context(), kindOf("a"), newCache("a", 1).source()); err == nil {
		t.Error("a file larger than the limit was written")
	}
	if err := small.Trim(t.Context()); err != nil {
		t.Error(err)
	}
	if list, err := f.List(); len(list) != 0 || err != nil || small.Totals().Bytes == 0 {
		t.Errorf("after Trim: %+v, %v", list, err)
	}
}

// TestOwnFiles: what others put into the folder is left alone, and what was left unfinished goes.
func TestOwnFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"notes.txt", temporaryName} {
		try(t, os.WriteFile(filepath.Join(dir, name), make([]byte, 5000), 0o600))
	}
	f, err := Open(dir, 3000)
	try(t, err)
	defer f.Close()
	save(t, f, kindOf("a"), newCache("a", 3))
	try(t, os.WriteFile(filepath.Join(dir, temporaryName), make([]byte, 5000), 0o600)) // of another one who was stopped
	try(t, f.Trim(t.Context()))
	var names []string
	entries, err := os.ReadDir(dir)
	try(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || e.Name() != "notes.txt" && os.PathSeparator == '/' && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	slices.Sort(names)
	want := []string{kindOf("a").name(), "lock", "notes.txt"}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

// TestLock: two do not write at once, and who waits stops waiting when the time is over. Who reads does not wait.
func TestLock(t *testing.T) {
	mem := vfs.NewMem()
	f, g := New(mem, 1<<20), New(mem, 1<<20)
	k, c := kindOf("a"), newCache("a", 2)
	save(t, f, k, c)
	s := newCache("b", 2).source()
	read := s.Read
	s.Read = func(b int32, data []byte) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		if _, err := g.Save(ctx, k, c.source()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second one writes: %v", err)
		}
		if found, _, err := restore(t, g, k, c); len(found) != 2 || err != nil {
			t.Errorf("the old file can't be read: %v, %v", found, err)
		}
		return read(b, data)
	}
	if _, err := f.Save(t.Context(), k, s); err != nil {
		t.Error(err)
	}
	save(t, g, k, c)
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

// TestReadOnly: a folder that can't be written to can be read.
func TestReadOnly(t *testing.T) {
	mem := vfs.NewMem()
	k, c := kindOf("a"), newCache("a", 3)
	save(t, New(mem, 1<<20), k, c)
	f := New(vfs.WithFaults(mem, func(op vfs.Op) error {
		if op.Kind.Changes() {
			return fs.ErrPermission
		}
		return nil
	}), 1<<20)
	if found, _, err := restore(t, f, k, c); len(found) != 3 || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := f.Save(t.Context(), k, c.source()); !errors.Is(err, fs.ErrPermission) || f.Totals().Failed != 1 {
		t.Errorf("%v", err)
	}
}
