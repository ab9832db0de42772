package vfs

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory that knows which part of it would survive a power loss: see Crash. Locks hold between
// its users.
type Mem struct {
	mu   *sync.Mutex
	root *node
}

// node is a file, a folder or a link.
type node struct {
	mode   fs.FileMode
	mtime  time.Time
	target string // of a link

	data, synced []byte // of a file: as it is, and as it was when it was last synced

	// Of a folder: as it is, as it was when it was last synced, and what happened since, in order.
	entries, settled map[string]*node
	log              []change

	readers int // holders of a shared lock
	writer  bool
}

// change is what one operation did to a folder: one name went, another came; either may be empty.
type change struct {
	gone, name string
	node       *node
}

func (c change) apply(entries map[string]*node) {
	delete(entries, c.gone)
	if c.node != nil {
		entries[c.name] = c.node
	}
}

func newFolder() *node {
	return &node{mode: fs.ModeDir | 0o755, mtime: time.Now(), entries: map[string]*node{}, settled: map[string]*node{}}
}

// NewMem returns an empty file system.
func NewMem() *Mem { return &Mem{new(sync.Mutex), newFolder()} }

func (n *node) change(c change) {
	c.apply(n.entries)
	n.log = append(n.log, c)
	n.mtime = time.Now()
}

const maxLinks = 40

// find returns the folder of a name, its last element, and what it stands for, nil if nothing. A link at the end is
// followed if follow says so.
func (m *Mem) find(op, name string, follow bool) (dir *node, base string, n *node, err error) {
	fail := func(err error) (*node, string, *node, error) {
		return nil, "", nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	at := name
	for range maxLinks {
		if !fs.ValidPath(at) {
			return fail(ErrOutside)
		}
		dir, base, n = m.root, ".", m.root
		link := ""
		parts := strings.Split(at, "/")
		for i, part := range parts {
			if part == "." {
				break
			}
			if n == nil {
				return fail(fs.ErrNotExist)
			}
			if !n.mode.IsDir() {
				return fail(syscall.ENOTDIR)
			}
			dir, base, n = n, part, n.entries[part]
			if n != nil && n.mode&fs.ModeSymlink != 0 && (follow || i < len(parts)-1) {
				if path.IsAbs(n.target) {
					return fail(ErrOutside)
				}
				link = path.Join(append([]string{path.Join(parts[:i]...), n.target}, parts[i+1:]...)...)
				break
			}
		}
		if link == "" {
			return dir, base, n, nil
		}
		at = link
	}
	return fail(syscall.ELOOP)
}

// Open implements FS.
func (m *Mem) Open(name string, mode Mode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, n, err := m.find("open", name, true)
	switch {
	case err != nil:
		return nil, err
	case n == nil && mode == Read:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case n != nil && mode == New:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case n != nil && n.mode.IsDir() && mode != Read:
		return nil, fmt.Errorf("%s: not a regular file", name)
	case n == nil:
		n = &node{mode: 0o644, mtime: time.Now()}
		dir.change(change{name: base, node: n})
	}
	return &memFile{m: m, name: base, node: n, write: mode != Read}, nil
}

// Mkdir implements FS.
func (m *Mem) Mkdir(name string) error { return m.add("mkdir", name, newFolder()) }

// Symlink implements FS.
func (m *Mem) Symlink(target, name string) error {
	return m.add("symlink", name, &node{mode: fs.ModeSymlink | 0o777, mtime: time.Now(), target: target})
}

func (m *Mem) add(op, name string, n *node) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, old, err := m.find(op, name, false)
	if err == nil && old != nil {
		err = &fs.PathError{Op: op, Path: name, Err: fs.ErrExist}
	}
	if err == nil {
		dir.change(change{name: base, node: n})
	}
	return err
}

// Rename implements FS.
func (m *Mem) Rename(from, to string) error {
	if err := sameFolder(from, to); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, n, err := m.find("rename", from, false)
	if err != nil {
		return err
	}
	if n == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if old := dir.entries[path.Base(to)]; old != nil && old.mode.IsDir() != n.mode.IsDir() {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	dir.change(change{gone: base, name: path.Base(to), node: n})
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, n, err := m.find("remove", name, false)
	if err == nil && n == nil {
		err = &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if err == nil && len(n.entries) > 0 {
		err = &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	if err == nil {
		dir.change(change{gone: base})
	}
	return err
}

// Lstat implements FS.
func (m *Mem) Lstat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, base, n, err := m.find("lstat", name, false)
	if err == nil && n == nil {
		err = &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	return n.info(base), nil
}

// Readlink implements FS.
func (m *Mem) Readlink(name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _, n, err := m.find("readlink", name, false)
	if err == nil && n == nil {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrNotExist}
	}
	if err == nil && n.mode&fs.ModeSymlink == 0 {
		err = &fs.PathError{Op: "readlink", Path: name, Err: syscall.EINVAL}
	}
	if err != nil {
		return "", err
	}
	return n.target, nil
}

// settle makes the entries of a folder last.
func (n *node) settle() {
	n.settled, n.log = maps.Clone(n.entries), nil
}
