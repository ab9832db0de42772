package store

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"syscall"
	"time"

	"aquifer/runtime/vfs"
)

// Lock is a lock on a part of the store. The end of the process gives it back as well.
type Lock struct{ file vfs.File }

// Release gives the lock back. A nil lock is none.
func (l *Lock) Release() error {
	if l == nil || l.file == nil {
		return nil
	}
	return l.file.Close()
}

// useWait is how long Use waits for somebody who is about to finish.
const useWait = 5 * time.Second

// Use keeps a model from being removed for as long as the lock is held. It is ErrInUse if somebody goes on removing it.
// In a store that can't be written to nobody removes anything, and the lock is none.
func (s *Store) Use(ctx context.Context, r Repo) (*Lock, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, useWait, ErrInUse)
	defer cancel()
	l, err := lock(ctx, s.hub, useLockPath(r), false, nil)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return nil, nil
	}
	return l, err
}

// tryLock takes a lock, or is ErrInUse.
func tryLock(fsys vfs.FS, name string, exclusive bool) (*Lock, error) {
	if err := vfs.MkdirAll(fsys, path.Dir(name)); err != nil {
		return nil, err
	}
	for {
		f, err := fsys.Open(name, vfs.Edit)
		if err != nil {
			return nil, err
		}
		if err := f.TryLock(exclusive); err != nil {
			if errors.Is(err, vfs.ErrLocked) {
				err = ErrInUse
			}
			return nil, errors.Join(err, f.Close())
		}
		// Other tools may have removed the file after it was opened: then the lock is one that nobody else sees.
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		now, err := fsys.Lstat(name)
		if err == nil && vfs.Same(mine, now) {
			return &Lock{f}, nil
		}
		if closeErr := f.Close(); closeErr != nil || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, closeErr)
		}
	}
}

// lockPoll is how often a lock that another process holds is asked for.
const lockPoll = 50 * time.Millisecond

// lock takes a lock, waiting for it until ctx ends. waiting, if not nil, is called once if it has to wait.
func lock(ctx context.Context, fsys vfs.FS, name string, exclusive bool, waiting func()) (*Lock, error) {
	for {
		l, err := tryLock(fsys, name, exclusive)
		if !errors.Is(err, ErrInUse) {
			return l, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}
