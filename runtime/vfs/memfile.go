package vfs

import (
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"
)

type memFile struct {
	m                 *Mem
	name              string
	node              *node
	write             bool
	shared, exclusive bool // the lock it holds
	closed            bool
}

// enter locks the file system and checks that the file may be used so.
func (f *memFile) enter(op string, ok bool) error {
	f.m.mu.Lock()
	var err error
	switch {
	case f.closed:
		err = fs.ErrClosed
	case !ok:
		err = syscall.EBADF
	default:
		return nil
	}
	f.m.mu.Unlock()
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.enter("read", !f.node.mode.IsDir() && off >= 0); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.enter("write", f.write && off >= 0); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	if end := int(off) + len(p); end > len(f.node.data) {
		f.node.data = append(f.node.data, make([]byte, end-len(f.node.data))...)
	}
	copy(f.node.data[off:], p)
	f.node.mtime = time.Now()
	return len(p), nil
}

func (f *memFile) Sync() error {
	if err := f.enter("sync", true); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	if f.node.mode.IsDir() {
		f.node.settle()
	} else {
		f.node.synced = slices.Clone(f.node.data)
	}
	return nil
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	if err := f.enter("stat", true); err != nil {
		return nil, err
	}
	defer f.m.mu.Unlock()
	return f.node.info(f.name), nil
}

func (f *memFile) ReadDir() ([]fs.DirEntry, error) {
	if err := f.enter("readdir", f.node.mode.IsDir()); err != nil {
		return nil, err
	}
	defer f.m.mu.Unlock()
	var entries []fs.DirEntry
	for name, n := range f.node.entries {
		entries = append(entries, fs.FileInfoToDirEntry(n.info(name)))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (f *memFile) TryLock(exclusive bool) error {
	if err := f.enter("lock", true); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	n := f.node
	others := n.readers
	if f.shared {
		others--
	}
	if n.writer && !f.exclusive || exclusive && others > 0 {
		return ErrLocked
	}
	f.unlock()
	f.exclusive, f.shared = exclusive, !exclusive
	if exclusive {
		n.writer = true
	} else {
		n.readers++
	}
	return nil
}

func (f *memFile) unlock() {
	if f.exclusive {
		f.node.writer = false
	}
	if f.shared {
		f.node.readers--
	}
	f.exclusive, f.shared = false, false
}

func (f *memFile) Close() error {
	if err := f.enter("close", true); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	f.unlock()
	f.closed = true
	return nil
}

// memInfo describes a node as it was.
type memInfo struct {
	name  string
	size  int64
	mode  fs.FileMode
	mtime time.Time
	node  *node
}

func (n *node) info(name string) memInfo {
	return memInfo{name, int64(len(n.data)), n.mode, n.mtime, n}
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.mtime }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
