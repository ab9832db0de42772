//go:build linux || darwin

package dl

import (
	"fmt"
	"os"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"
)

// openFile loads a library from a file in dir that is named after its hash, written once, and compared with the bytes
// before every use. The folder must belong to us alone.
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

// protect makes a file what it will stay: readable and executable for us.
func protect(f *os.File) error { return f.Chmod(0o500) }

func symbol(handle uintptr, name string) (uintptr, error) { return purego.Dlsym(handle, name) }
