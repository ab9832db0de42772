package dl

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/windows"
)

const suffix = ".dll"

// Open loads a library from its bytes, by way of a file in cacheDir that is named after its hash and written once. The
// file is held open against writing and removal from before it is compared with the bytes until the library is closed,
// so it doesn't matter who else may write to the folder. What the library needs is looked for in the system's folder only.
func Open(name string, image []byte, cacheDir string) (_ *Library, err error) {
	path, err := cachedFile(name, image, cacheDir)
	if err != nil {
		return nil, fmt.Errorf("dl: cannot load %s: %w", name, err)
	}
	held, err := hold(path)
	if err != nil {
		return nil, fmt.Errorf("dl: cannot load %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			held.Close()
		}
	}()
	have, err := io.ReadAll(io.LimitReader(held, int64(len(image))+1))
	if err != nil {
		return nil, err
	}
	if string(have) != string(image) {
		return nil, fmt.Errorf("dl: %s is not the library it is named after: remove it", path)
	}
	h, err := windows.LoadLibraryEx(path, 0, windows.LOAD_LIBRARY_SEARCH_SYSTEM32)
	if err != nil {
		return nil, fmt.Errorf("dl: cannot load %s: %w", path, err)
	}
	return &Library{name: name, handle: uintptr(h), how: path, close: func() error {
		return errors.Join(windows.FreeLibrary(h), held.Close())
	}}, nil
}

// hold opens a file so that nobody can write to it, rename or remove it.
func hold(path string) (*os.File, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(p, windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// ownFolder accepts every folder: see Open.
func ownFolder(string) error { return nil }

// protect does nothing: a read-only file would be harder to remove, and no safer.
func protect(*os.File) error { return nil }

func symbol(handle uintptr, name string) (uintptr, error) {
	return windows.GetProcAddress(windows.Handle(handle), name)
}
