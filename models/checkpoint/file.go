package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Limits of the files that are read whole, in bytes.
const (
	maxConfig          = 1 << 20
	maxTemplate        = 1 << 20
	maxLicense         = 1 << 20
	maxTokenizerConfig = 16 << 20
	maxIndex           = 64 << 20
	maxTokenizer       = 64 << 20
)

// file is an opened regular file with what was known of it when it was opened.
type file struct {
	*os.File
	path string
	info fs.FileInfo
}

// openFile opens a regular file; a link is followed, because the caches of Hugging Face tools are made of links.
// Whatever else the name stands for is refused before anything is read: a FIFO or a device would block or never end.
func openFile(path string) (*file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, in(path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, in(path, fmt.Errorf("not a regular file but %s", kindOfFile(info.Mode())))
	}
	// The name may change its meaning after Stat: do not block if it became a FIFO, and look again at what was opened.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, in(path, cause(err))
	}
	opened, err := f.Stat()
	if err == nil && (!opened.Mode().IsRegular() || !os.SameFile(info, opened)) {
		err = errors.New("replaced while it was being opened")
	}
	if err != nil {
		f.Close()
		return nil, in(path, cause(err))
	}
	return &file{File: f, path: path, info: opened}, nil
}

// cause strips the operation and the path that package os adds; the path stands in the error already.
func cause(err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

func kindOfFile(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}

// readFile returns the content of a file of at most limit bytes; ok is false if there is none of that name.
func readFile(path string, limit int64) (text []byte, ok bool, err error) {
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	if f.info.Size() <= limit {
		text, err = io.ReadAll(io.LimitReader(f, limit+1))
		if err != nil {
			return nil, false, in(path, cause(err))
		}
	}
	if f.info.Size() > limit || int64(len(text)) > limit {
		return nil, false, in(path, fmt.Errorf("larger than the limit of %d bytes", limit))
	}
	return text, true, nil
}

// listing names what a folder holds, for errors about what it does not hold.
func listing(dir string) string {
	const most = 8
	d, err := os.Open(dir)
	if err != nil {
		return "an unreadable folder"
	}
	defer d.Close()
	entries, err := d.ReadDir(most + 1)
	if len(entries) == 0 {
		if err != nil && !errors.Is(err, io.EOF) {
			return "an unreadable folder"
		}
		return "nothing"
	}
	var names []string
	for i, e := range entries {
		if i == most {
			names = append(names, "...")
			break
		}
		names = append(names, shown(e.Name()))
	}
	return strings.Join(names, ", ")
}

// NameOf is the name people know a folder or file by. The snapshot folders of the Hugging Face cache are named
// after commits; their model's name stands two levels up.
func NameOf(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	base := filepath.Base(abs)
	if parent := filepath.Dir(abs); filepath.Base(parent) == "snapshots" {
		parts := strings.Split(filepath.Base(filepath.Dir(parent)), "--")
		if len(parts) > 1 && parts[0] == "models" {
			base = parts[len(parts)-1]
		}
	}
	return strings.TrimSuffix(base, ".gguf")
}
