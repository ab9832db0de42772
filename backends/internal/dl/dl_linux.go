package dl

import (
	"errors"
	"fmt"
	"os"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"
)

const suffix = ".so"

// Open loads a library from its bytes: from memory (a sealed memfd) if the kernel allows it, else from a file, see
// openFile.
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
