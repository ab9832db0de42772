package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// ReadFile returns the content of a file of at most limit bytes.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name, Read)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: larger than the limit of %d bytes", name, limit)
	}
	return data, err
}

// WriteFile gives a file its content as a whole: after a power loss it has the old or the new one. temporary is a name
// in the same folder that nobody else uses at the time.
func WriteFile(fsys FS, name, temporary string, data []byte) error {
	if err := RemoveIfThere(fsys, temporary); err != nil {
		return err
	}
	f, err := fsys.Open(temporary, New)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, RemoveIfThere(fsys, temporary))
	}
	return SyncDir(fsys, path.Dir(name))
}

// SyncDir makes what happened to the names in a folder survive a power loss.
func SyncDir(fsys FS, name string) error {
	d, err := fsys.Open(name, Read)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MkdirAll makes a folder and those above it, to last: every one it makes is synced into its parent.
func MkdirAll(fsys FS, name string) error {
	info, err := fsys.Lstat(name)
	if err == nil && (info.IsDir() || info.Mode()&fs.ModeSymlink != 0) {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%s: is a file, must be a folder", name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := MkdirAll(fsys, path.Dir(name)); err != nil {
		return err
	}
	if err := fsys.Mkdir(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncDir(fsys, path.Dir(name))
}

// ReadDir lists a folder, sorted by name; one that does not exist is empty.
func ReadDir(fsys FS, name string) ([]fs.DirEntry, error) {
	d, err := fsys.Open(name, Read)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.ReadDir()
}

// RemoveIfThere removes a name that need not exist.
func RemoveIfThere(fsys FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// RemoveAll removes a name and everything below it; a link is removed and not followed.
func RemoveAll(fsys FS, name string) error {
	info, err := fsys.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		entries, err := ReadDir(fsys, name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := RemoveAll(fsys, path.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	return RemoveIfThere(fsys, name)
}
