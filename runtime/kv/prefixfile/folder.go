package prefixfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"aquifer/runtime/vfs"
)

// Folder is where the files are. All methods may be called concurrently, also by other processes with the same folder.
type Folder struct {
	fs    vfs.FS
	limit int64
	close func() error

	mu     sync.Mutex
	totals Totals
}

// Totals count what a Folder has done since it was opened.
type Totals struct {
	Restored, Saved, Damaged int64 // blocks; the damaged ones were to be restored
	Failed                   int64 // times that a file could not be read or written
	Bytes                    int64 // of all files when they were last looked at
}

// Open opens a folder, and makes it if it does not exist. limit bounds the bytes of all files: those that were written longest ago
// are removed for others. Files are for their owner alone, and a folder that other users can write to is refused.
func Open(dir string, limit int64) (*Folder, error) {
	d, err := vfs.OpenPrivateDir(dir)
	if err != nil {
		return nil, fmt.Errorf("prefixfile: %w", err)
	}
	f := New(d, limit)
	f.close = d.Close
	return f, nil
}

// New is Open for a file system that is open already.
func New(fsys vfs.FS, limit int64) *Folder {
	return &Folder{fs: fsys, limit: limit, close: func() error { return nil }}
}

// Close gives the folder back.
func (f *Folder) Close() error { return f.close() }

// Totals returns the counters.
func (f *Folder) Totals() Totals {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.totals
}

// count changes the counters.
func (f *Folder) count(change func(*Totals)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.totals)
}

// File describes one of the files.
type File struct {
	Name  string
	Bytes int64
	Saved time.Time
	Note  string // of its Kind
	Err   error  // why it can't be used; nil if its header is in order
}

// List describes all files, those that were written last first.
func (f *Folder) List() ([]File, error) {
	files, err := f.files()
	if err != nil {
		return nil, err
	}
	for i := range files {
		file := &files[i]
		k, err := f.describe(file.Name)
		file.Note, file.Err = k.Note, err
	}
	return files, nil
}

// describe reads the header of a file.
func (f *Folder) describe(name string) (Kind, error) {
	file, err := f.fs.Open(name, vfs.Read)
	if err != nil {
		return Kind{}, err
	}
	defer file.Close()
	b, err := readHeader(file)
	if err != nil {
		return Kind{}, err
	}
	return parseHeader(b)
}

// readHeader reads the first bytes of a file, as many as there are.
func readHeader(file io.ReaderAt) ([]byte, error) {
	b := make([]byte, headerBytes)
	n, err := file.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// files lists the complete files, without their notes.
func (f *Folder) files() ([]File, error) {
	entries, err := vfs.ReadDir(f.fs, ".")
	if err != nil {
		return nil, err
	}
	var files []File
	total := int64(0)
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		info, err := f.fs.Lstat(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, File{Name: e.Name(), Bytes: info.Size(), Saved: info.ModTime()})
		total += info.Size()
	}
	slices.SortStableFunc(files, func(a, b File) int { return b.Saved.Compare(a.Saved) })
	f.count(func(t *Totals) { t.Bytes = total })
	return files, nil
}

// Trim removes files until the rest is within the limit, those that were written longest ago first, and what was left unfinished.
func (f *Folder) Trim(ctx context.Context) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	_, err = f.makeRoom("", 0)
	return errors.Join(err, vfs.RemoveIfThere(f.fs, temporaryName), unlock())
}

// makeRoom removes files so that one of so many bytes fits beside the others, and returns how many more there is room for. The one
// that it will replace stays, and does not count. The lock is held.
func (f *Folder) makeRoom(name string, bytes int64) (room int64, err error) {
	files, err := f.files()
	if err != nil {
		return 0, err
	}
	room = f.limit - bytes
	for _, file := range files {
		if file.Name == name {
			continue
		}
		if room -= file.Bytes; room < 0 {
			if err := vfs.RemoveIfThere(f.fs, file.Name); err != nil {
				return 0, err
			}
			room += file.Bytes
		}
	}
	return room, nil
}

// Names beside those of the files. Only who holds the lock has the temporary one, so whatever is there when somebody begins to
// write is left of one who was stopped.
const (
	lockName      = "lock"
	temporaryName = "unfinished"
)

// lockPoll is how often a lock that somebody else holds is asked for.
const lockPoll = 20 * time.Millisecond

// lock keeps others from writing, and waits for that until ctx ends. Who reads needs none and never waits: a file is replaced as
// a whole, and who has opened the old one goes on reading that.
func (f *Folder) lock(ctx context.Context) (unlock func() error, err error) {
	file, err := f.fs.Open(lockName, vfs.Edit)
	if err != nil {
		return nil, err
	}
	for {
		err := file.TryLock(true)
		if err == nil {
			return file.Close, nil
		}
		if errors.Is(err, vfs.ErrLocked) {
			select {
			case <-ctx.Done():
				err = fmt.Errorf("somebody else writes to the folder: %w", context.Cause(ctx))
			case <-time.After(lockPoll):
				continue
			}
		}
		return nil, errors.Join(err, file.Close())
	}
}
