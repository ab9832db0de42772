package prefixfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"aquifer/runtime/kv"
	"aquifer/runtime/vfs"
)

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
