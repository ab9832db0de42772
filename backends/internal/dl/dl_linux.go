package dl

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"
)

// Open loads a library from its bytes: from memory (a sealed memfd) if the kernel allows it, else from a file in
// cacheDir that is named after its hash, written once, and compared with the bytes before every use. The folder must
// belong to us alone.
func Open(name string, image []byte, cacheDir string) (*Library, error) {
	l, errMemory := openMemory(name, image)
	if errMemory == nil {
		return l, nil
	}
	l, errFile := openFile(name, image, cacheDir)
	if errFile == nil {
		return l, nil
	}
	return nil, fmt.Errorf("dl: cannot load %s: from memory: %w; from a file: %w", name, errMemory, errFile)
}

// openMemory keeps the memfd open as long as the library is loaded: the dynamic linker knows libraries by path, and
// /proc/self/fd/N must not come to mean another one.
func openMemory(name string, image []byte) (*Library, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 there is no MFD_EXEC and every memfd is executable
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(image); err != nil {
		f.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("sealing: %w", err)
	}
	h, err := purego.Dlopen(fmt.Sprintf("/proc/self/fd/%d", fd), purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Library{name: name, handle: h, how: "memory", close: func() error {
		return errors.Join(purego.Dlclose(h), f.Close())
	}}, nil
}

func openFile(name string, image []byte, dir string) (*Library, error) {
	path, err := cachedFile(name, image, dir)
	if err != nil {
		return nil, err
	}
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	return &Library{name: name, handle: h, how: path, close: func() error { return purego.Dlclose(h) }}, nil
}

// cachedFile returns the path of a file with the image's bytes.
func cachedFile(name string, image []byte, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := ownFolder(dir); err != nil {
		return "", err
	}
	sum := sha256.Sum256(image)
	path := filepath.Join(dir, name+"-"+hex.EncodeToString(sum[:16])+".so")
	if have, err := os.ReadFile(path); err == nil {
		if bytes.Equal(have, image) {
			return path, nil
		}
		return "", fmt.Errorf("%s is not the library it is named after: remove it", path)
	}
	f, err := os.CreateTemp(dir, name+"-*.tmp")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name()) // fails behind a successful rename
	_, err = f.Write(image)
	err = errors.Join(err, f.Chmod(0o500), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return path, err
}

// ownFolder refuses a folder in which somebody else could exchange files.
func ownFolder(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Getuid() || st.Mode&0o077 != 0 {
		return fmt.Errorf("%s is not a folder of ours alone (mode 0700)", dir)
	}
	return nil
}

func symbol(handle uintptr, name string) (uintptr, error) { return purego.Dlsym(handle, name) }
