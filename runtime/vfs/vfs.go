// Package vfs is the little of a file system that the store of models and the files of prefixes need, behind an interface:
// the real one, one in memory that shows what is left of it after a power loss, and a wrapper that makes operations fail. It
// imports nothing of ours and knows nothing of models.
package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// Errors that callers branch on. That something does not exist, or does already, is fs.ErrNotExist and fs.ErrExist.
var (
	ErrLocked  = errors.New("locked by another process")
	ErrOutside = errors.New("leads outside the folder")
)

// FS is a folder and what is below it. Names are relative and separated by slashes; "." is the folder itself. Whatever
// leads outside, by dots or by a link, is refused. An implementation may be used from several goroutines.
type FS interface {
	// Open opens a regular file or, with Read, a folder. A link is followed. The caller closes the file.
	Open(name string, mode Mode) (File, error)
	// Mkdir makes a folder in one that exists.
	Mkdir(name string) error
	// Rename replaces the file or link to, if there is one. Both names must be in one folder: then a power loss leaves
	// either state and nothing between.
	Rename(from, to string) error
	// Remove removes a file, a link or an empty folder.
	Remove(name string) error
	// Lstat describes what a name stands for; a link is not followed.
	Lstat(name string) (fs.FileInfo, error)
	// Symlink makes a link whose target is relative to its folder.
	Symlink(target, name string) error
	Readlink(name string) (string, error)
}

// Mode says what a file is opened for.
type Mode int

// Modes of Open.
const (
	Read Mode = iota // what exists, for reading
	Edit             // a file, for reading and writing; made if there is none
	New              // a file that must not exist, for reading and writing
)

// File is an opened file or folder. What was written survives a power loss once Sync has returned; that a file is in
// its folder at all, or under a new name, survives once Sync of the folder has.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Sync() error
	// ReadDir lists a folder, sorted by name.
	ReadDir() ([]fs.DirEntry, error)
	// TryLock takes a lock on the file that Close or the end of the process gives back: one exclusive holder or any
	// number of others. It is ErrLocked if somebody holds it the other way, in this process too, and works between
	// processes that ask for it (flock, LockFileEx).
	TryLock(exclusive bool) error
}
