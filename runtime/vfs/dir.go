package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Dir is a folder of the machine. os.Root keeps every operation inside it.
type Dir struct {
	root   *os.Root
	secret fs.FileMode // bits that files and folders are made without
}

// OpenDir opens a folder; make says that it and those above it are made if they do not exist. The caller closes it.
func OpenDir(name string, make bool) (*Dir, error) {
	if make {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Dir{root: root}, nil
}

// OpenPrivateDir opens a folder, made if it does not exist, for what nobody but its owner may read: files and folders are made
// for us alone. A folder in which somebody else could put files of theirs is refused.
func OpenPrivateDir(name string) (*Dir, error) {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil {
		err = trusted(name, info)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Dir{root: root, secret: 0o077}, nil
}

// Close gives the folder back; opened files stay open.
func (d *Dir) Close() error { return d.root.Close() }

var openFlags = map[Mode]int{Read: os.O_RDONLY, Edit: os.O_RDWR | os.O_CREATE, New: os.O_RDWR | os.O_CREATE | os.O_EXCL}

// Open implements FS. A name that stands for a pipe or a device is refused before it is opened, which could block, and
// what was opened is looked at again.
func (d *Dir) Open(name string, mode Mode) (File, error) {
	if mode != New {
		info, err := d.root.Stat(name)
		if err == nil {
			err = openable(name, info, mode)
		}
		if err != nil && (mode == Read || !errors.Is(err, fs.ErrNotExist)) {
			return nil, outside(err)
		}
	}
	f, err := d.root.OpenFile(name, openFlags[mode]|noBlock, 0o644&^d.secret)
	if err != nil {
		return nil, outside(err)
	}
	info, err := f.Stat()
	if err == nil {
		err = openable(name, info, mode)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return dirFile{f, info.IsDir()}, nil
}

func openable(name string, info fs.FileInfo, mode Mode) error {
	if info.Mode().IsRegular() || info.IsDir() && mode == Read {
		return nil
	}
	return fmt.Errorf("%s: not a regular file", name)
}

// Mkdir implements FS.
func (d *Dir) Mkdir(name string) error { return outside(d.root.Mkdir(name, 0o755&^d.secret)) }

// Rename implements FS.
func (d *Dir) Rename(from, to string) error {
	if err := sameFolder(from, to); err != nil {
		return err
	}
	return outside(d.root.Rename(from, to))
}

// Remove implements FS.
func (d *Dir) Remove(name string) error { return outside(d.root.Remove(name)) }

// Lstat implements FS.
func (d *Dir) Lstat(name string) (fs.FileInfo, error) {
	info, err := d.root.Lstat(name)
	return info, outside(err)
}

// Symlink implements FS.
func (d *Dir) Symlink(target, name string) error { return outside(d.root.Symlink(target, name)) }

// Readlink implements FS.
func (d *Dir) Readlink(name string) (string, error) {
	target, err := d.root.Readlink(name)
	return strings.ReplaceAll(target, `\`, "/"), outside(err)
}

// outside marks the error that os.Root has no value for.
func outside(err error) error {
	if err != nil && strings.HasSuffix(err.Error(), "path escapes from parent") {
		return fmt.Errorf("%w: %w", err, ErrOutside)
	}
	return err
}

func sameFolder(from, to string) error {
	if path.Dir(from) != path.Dir(to) {
		return fmt.Errorf("rename %s: %s is in another folder", from, to)
	}
	return nil
}

type dirFile struct {
	*os.File
	folder bool
}

// Sync flushes the file. Windows has nothing to flush for a folder and refuses to try.
func (f dirFile) Sync() error {
	if f.folder && !syncsFolders {
		return nil
	}
	return f.File.Sync()
}

func (f dirFile) ReadDir() ([]fs.DirEntry, error) {
	entries, err := f.File.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// Same reports whether two descriptions are of one file.
func Same(a, b fs.FileInfo) bool {
	x, ok := a.(memInfo)
	y, ok2 := b.(memInfo)
	if ok && ok2 {
		return x.node == y.node
	}
	return os.SameFile(a, b)
}
