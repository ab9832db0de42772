package vfs

import (
	"errors"
	"io/fs"
	"math"

	"golang.org/x/sys/windows"
)

const (
	noBlock      = 0
	syncsFolders = false
)

func (f dirFile) TryLock(exclusive bool) error {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

// trusted accepts every folder: who may write to it is in lists that it inherits, and a user's own folders are the user's.
func trusted(string, fs.FileInfo) error { return nil }

// Free returns the bytes that can still be written below a folder.
func Free(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, err
	}
	return int64(min(free, math.MaxInt64)), nil
}
