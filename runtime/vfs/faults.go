package vfs

import (
	"io/fs"
	"sync"
)

// Kind is what an operation does.
type Kind string

// Kinds of operations.
const (
	OpOpen     Kind = "open"
	OpCreate   Kind = "create" // Open with Edit or New
	OpMkdir    Kind = "mkdir"
	OpRename   Kind = "rename"
	OpRemove   Kind = "remove"
	OpLstat    Kind = "lstat"
	OpSymlink  Kind = "symlink"
	OpReadlink Kind = "readlink"
	OpRead     Kind = "read"
	OpWrite    Kind = "write"
	OpSync     Kind = "sync"
	OpReadDir  Kind = "readdir"
	OpLock     Kind = "lock"
)

// Changes reports whether operations of this kind change what is on the disk, or what of it would survive.
func (k Kind) Changes() bool {
	switch k {
	case OpCreate, OpMkdir, OpRename, OpRemove, OpSymlink, OpWrite, OpSync:
		return true
	}
	return false
}

// Op is an operation about to be done.
type Op struct {
	Kind Kind
	Name string
}

// WithFaults returns a file system that asks before each operation; an error makes it fail without being done, except
// that a write is half done then, as on a full disk. ask is called by one goroutine at a time, with the operation's own
// place in the order: it may look at the file system below.
func WithFaults(below FS, ask func(Op) error) FS { return &faulty{below: below, ask: ask} }

type faulty struct {
	mu    sync.Mutex
	below FS
	ask   func(Op) error
}

// do runs an operation if it may, else what is done instead.
func (f *faulty) do(kind Kind, name string, op func() error, instead ...func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ask(Op{kind, name}); err != nil {
		for _, other := range instead {
			other()
		}
		return &fs.PathError{Op: string(kind), Path: name, Err: err}
	}
	return op()
}

func (f *faulty) Open(name string, mode Mode) (file File, err error) {
	kind := OpCreate
	if mode == Read {
		kind = OpOpen
	}
	err = f.do(kind, name, func() error {
		file, err = f.below.Open(name, mode)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, f, name}, nil
}

func (f *faulty) Mkdir(name string) error {
	return f.do(OpMkdir, name, func() error { return f.below.Mkdir(name) })
}

func (f *faulty) Rename(from, to string) error {
	return f.do(OpRename, to, func() error { return f.below.Rename(from, to) })
}

func (f *faulty) Remove(name string) error {
	return f.do(OpRemove, name, func() error { return f.below.Remove(name) })
}

func (f *faulty) Lstat(name string) (info fs.FileInfo, err error) {
	err = f.do(OpLstat, name, func() error { info, err = f.below.Lstat(name); return err })
	return info, err
}

func (f *faulty) Symlink(target, name string) error {
	return f.do(OpSymlink, name, func() error { return f.below.Symlink(target, name) })
}

func (f *faulty) Readlink(name string) (target string, err error) {
	err = f.do(OpReadlink, name, func() error { target, err = f.below.Readlink(name); return err })
	return target, err
}

type faultyFile struct {
	File
	fs   *faulty
	name string
}

func (f *faultyFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.fs.do(OpRead, f.name, func() error { n, err = f.File.ReadAt(p, off); return err })
	return n, err
}

func (f *faultyFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.fs.do(OpWrite, f.name, func() error { n, err = f.File.WriteAt(p, off); return err },
		func() { n, _ = f.File.WriteAt(p[:len(p)/2], off) })
	return n, err
}

func (f *faultyFile) Sync() error { return f.fs.do(OpSync, f.name, f.File.Sync) }

func (f *faultyFile) ReadDir() (entries []fs.DirEntry, err error) {
	err = f.fs.do(OpReadDir, f.name, func() error { entries, err = f.File.ReadDir(); return err })
	return entries, err
}

func (f *faultyFile) TryLock(exclusive bool) error {
	return f.fs.do(OpLock, f.name, func() error { return f.File.TryLock(exclusive) })
}
