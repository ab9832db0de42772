package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// both runs a test on the real file system and on the one in memory: the store is tested on one and runs on the other.
func both(t *testing.T, test func(t *testing.T, fsys FS)) {
	t.Run("dir", func(t *testing.T) {
		d, err := OpenDir(filepath.Join(t.TempDir(), "a", "b"), true)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		test(t, d)
	})
	t.Run("mem", func(t *testing.T) { test(t, NewMem()) })
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func names(t *testing.T, fsys FS, dir string) string {
	t.Helper()
	entries, err := ReadDir(fsys, dir)
	try(t, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func write(t *testing.T, fsys FS, name, text string) {
	t.Helper()
	f, err := fsys.Open(name, Edit)
	try(t, err)
	_, err = f.WriteAt([]byte(text), 0)
	try(t, err)
	try(t, f.Close())
}

func read(t *testing.T, fsys FS, name string) string {
	t.Helper()
	data, err := ReadFile(fsys, name, 1<<20)
	try(t, err)
	return string(data)
}

func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, fsys FS) {
		try(t, MkdirAll(fsys, "a/b"))
		try(t, MkdirAll(fsys, "a/b"))
		wantErr(t, "mkdir again", fsys.Mkdir("a"), fs.ErrExist)
		wantErr(t, "mkdir without parent", fsys.Mkdir("x/y"), fs.ErrNotExist)

		f, err := fsys.Open("a/b/f", New)
		try(t, err)
		_, err = f.WriteAt([]byte("world"), 6)
		try(t, err)
		_, err = f.WriteAt([]byte("hello "), 0)
		try(t, err)
		buf := make([]byte, 4)
		if n, err := f.ReadAt(buf, 9); n != 2 || err != io.EOF {
			t.Errorf("read over the end: %d, %v", n, err)
		}
		if n, err := f.ReadAt(buf, 20); n != 0 || err != io.EOF {
			t.Errorf("read behind the end: %d, %v", n, err)
		}
		try(t, f.Sync())
		info, err := f.Stat()
		if err != nil || info.Size() != 11 || !info.Mode().IsRegular() || info.ModTime().IsZero() {
			t.Errorf("%+v, %v", info, err)
		}
		other, err := fsys.Lstat("a/b/f")
		try(t, err)
		if folder, err := fsys.Lstat("a"); err != nil || !Same(info, other) || Same(info, folder) {
			t.Error("Same is wrong")
		}
		try(t, f.Close())
		wantErr(t, "close again", f.Close(), fs.ErrClosed)

		if _, err = fsys.Open("a/b/f", New); !errors.Is(err, fs.ErrExist) {
			t.Errorf("new file that exists: %v", err)
		}
		if got := read(t, fsys, "a/b/f"); got != "hello world" {
			t.Errorf("%q", got)
		}
		f, err = fsys.Open("a/b/f", Read)
		try(t, err)
		if _, err := f.WriteAt([]byte("x"), 0); err == nil {
			t.Error("a file opened for reading was written")
		}
		try(t, f.Close())
		if _, err = fsys.Open("a/b", Edit); err == nil {
			t.Error("a folder was opened for writing")
		}
		if _, err := ReadFile(fsys, "a/b/f", 10); err == nil || !strings.Contains(err.Error(), "limit of 10 bytes") {
			t.Errorf("a file over the limit: %v", err)
		}
		if data, err := ReadFile(fsys, "a/b/f", 11); err != nil || len(data) != 11 {
			t.Errorf("a file at the limit: %v", err)
		}
	})
}

func TestNames(t *testing.T) {
	both(t, func(t *testing.T, fsys FS) {
		try(t, fsys.Mkdir("d"))
		write(t, fsys, "d/b", "b")
		write(t, fsys, "d/a", "a")
		try(t, fsys.Rename("d/b", "d/c"))
		try(t, fsys.Rename("d/a", "d/c"))
		if got := names(t, fsys, "d"); got != "c" || read(t, fsys, "d/c") != "a" {
			t.Errorf("after renaming: %s", got)
		}
		if err := fsys.Rename("d/c", "c"); err == nil {
			t.Error("renamed into another folder")
		}
		wantErr(t, "rename nothing", fsys.Rename("d/x", "d/y"), fs.ErrNotExist)
		wantErr(t, "remove nothing", fsys.Remove("d/x"), fs.ErrNotExist)
		try(t, RemoveIfThere(fsys, "d/x"))
		if err := fsys.Remove("d"); err == nil {
			t.Error("a full folder was removed")
		}
		if got := names(t, fsys, "none"); got != "" {
			t.Errorf("a missing folder has %s", got)
		}
		try(t, fsys.Symlink("d", "l"))
		try(t, RemoveAll(fsys, "l"))
		if names(t, fsys, "d") != "c" {
			t.Error("RemoveAll followed a link")
		}
		try(t, RemoveAll(fsys, "d"))
		try(t, RemoveAll(fsys, "d"))
		if got := names(t, fsys, "."); got != "" {
			t.Errorf("left: %s", got)
		}
		write(t, fsys, "f", "x")
		if err := MkdirAll(fsys, "f/d"); err == nil {
			t.Error("a folder was made below a file")
		}
	})
}

func TestLinks(t *testing.T) {
	both(t, func(t *testing.T, fsys FS) {
		try(t, MkdirAll(fsys, "blobs"))
		try(t, MkdirAll(fsys, "snapshots/1"))
		write(t, fsys, "blobs/x", "data")
		try(t, fsys.Symlink("../../blobs/x", "snapshots/1/f"))
		try(t, fsys.Symlink("snapshots", "s"))
		wantErr(t, "link again", fsys.Symlink("x", "s"), fs.ErrExist)
		for _, name := range []string{"snapshots/1/f", "s/1/f"} {
			if got := read(t, fsys, name); got != "data" {
				t.Errorf("%s: %q", name, got)
			}
		}
		if target, err := fsys.Readlink("snapshots/1/f"); target != "../../blobs/x" || err != nil {
			t.Errorf("%q, %v", target, err)
		}
		if _, err := fsys.Readlink("blobs/x"); err == nil {
			t.Error("a file was read as a link")
		}
		if info, err := fsys.Lstat("snapshots/1/f"); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%v, %v", info, err)
		}
		try(t, fsys.Symlink("loop", "loop"))
		if _, err := fsys.Open("loop", Read); err == nil {
			t.Error("a loop was opened")
		}
		try(t, fsys.Symlink("nothing", "dangling"))
		_, err := fsys.Open("dangling", Read)
		wantErr(t, "dangling link", err, fs.ErrNotExist)
	})
}

// TestOutside: nothing leads out of the folder.
func TestOutside(t *testing.T) {
	both(t, func(t *testing.T, fsys FS) {
		for _, name := range []string{"../x", "a/../../x", "/etc/passwd", ".."} {
			_, err := fsys.Open(name, Read)
			_, err2 := fsys.Open(name, Edit)
			_, err3 := fsys.Lstat(name)
			for _, err := range []error{err, err2, err3, fsys.Mkdir(name), fsys.Remove(name), fsys.Symlink("x", name)} {
				if err == nil {
					t.Errorf("%s was reached", name)
				}
			}
		}
		for i, target := range []string{"../x", "/etc/passwd", "../../../../../etc/passwd"} {
			name := "l" + string(rune('0'+i))
			try(t, fsys.Symlink(target, name))
			_, err := fsys.Open(name, Read)
			wantErr(t, target, err, ErrOutside)
		}
	})
}

func TestLocks(t *testing.T) {
	both(t, func(t *testing.T, fsys FS) {
		open := func() File {
			f, err := fsys.Open("lock", Edit)
			try(t, err)
			return f
		}
		a, b, c := open(), open(), open()
		try(t, a.TryLock(false))
		try(t, b.TryLock(false))
		wantErr(t, "exclusive beside shared", c.TryLock(true), ErrLocked)
		try(t, a.Close())
		try(t, b.TryLock(true))
		wantErr(t, "shared beside exclusive", c.TryLock(false), ErrLocked)
		try(t, b.TryLock(false))
		try(t, c.TryLock(false))
		try(t, b.Close())
		try(t, c.TryLock(true))
		try(t, c.Close())

		// One at a time gets through, however many try.
		var wg sync.WaitGroup
		inside, entered := 0, 0
		var mu sync.Mutex
		for range 8 {
			wg.Go(func() {
				for range 50 {
					f := open()
					if f.TryLock(true) == nil {
						mu.Lock()
						inside++
						entered++
						if inside > 1 {
							t.Error("two holders of an exclusive lock")
						}
						mu.Unlock()
						mu.Lock()
						inside--
						mu.Unlock()
					}
					f.Close()
				}
			})
		}
		wg.Wait()
		if entered == 0 {
			t.Error("nobody got the lock")
		}
	})
}

func TestWriteFile(t *testing.T) {
	both(t, func(t *testing.T, fsys FS) {
		try(t, WriteFile(fsys, "f", "f.tmp", []byte("first, longer")))
		write(t, fsys, "f.tmp", "left by somebody who died")
		try(t, WriteFile(fsys, "f", "f.tmp", []byte("second")))
		if got := read(t, fsys, "f"); got != "second" || names(t, fsys, ".") != "f" {
			t.Errorf("%q, %s", got, names(t, fsys, "."))
		}
	})
}

func TestFree(t *testing.T) {
	if free, err := Free(t.TempDir()); err != nil || free <= 0 {
		t.Errorf("%d, %v", free, err)
	}
	if _, err := Free(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("space in a folder that does not exist")
	}
}

func TestFaults(t *testing.T) {
	full := errors.New("disk full")
	count := map[Kind]int{}
	var fail Kind
	fsys := WithFaults(NewMem(), func(op Op) error {
		count[op.Kind]++
		if op.Kind == fail {
			return full
		}
		return nil
	})
	use := func() error {
		return errors.Join(MkdirAll(fsys, "d"), WriteFile(fsys, "d/f", "d/tmp", bytes.Repeat([]byte("x"), 100)))
	}
	try(t, use())
	for _, kind := range []Kind{OpCreate, OpRename, OpWrite, OpSync, OpOpen} {
		if count[kind] == 0 {
			t.Errorf("%s was not asked for: %v", kind, count)
		}
		fail = kind
		err := use()
		var at *fs.PathError
		if !errors.Is(err, full) || !errors.As(err, &at) || at.Op != string(kind) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	fail = OpWrite
	f, err := fsys.Open("half", Edit)
	try(t, err)
	if n, err := f.WriteAt(make([]byte, 100), 0); n != 50 || err == nil {
		t.Errorf("a failing write wrote %d: %v", n, err)
	}
	for kind, changes := range map[Kind]bool{OpWrite: true, OpSync: true, OpRead: false, OpLstat: false, OpRename: true} {
		if kind.Changes() != changes {
			t.Errorf("%s: Changes is %v", kind, !changes)
		}
	}
}
