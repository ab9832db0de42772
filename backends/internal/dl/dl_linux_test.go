package dl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// image returns the bytes of a shared library that every Linux system with a dynamic linker has.
func image(t *testing.T) []byte {
	t.Helper()
	for _, pattern := range []string{"/lib/*/libm.so.6", "/lib64/libm.so.6", "/usr/lib/libm.so.6", "/usr/lib/*/libm.so.6"} {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			if data, err := os.ReadFile(p); err == nil {
				return data
			}
		}
	}
	t.Skip("no libm.so.6 to load")
	return nil
}

func private(t *testing.T) string { return filepath.Join(t.TempDir(), "lib") }

func TestOpen(t *testing.T) {
	l, err := Open("libm", image(t), private(t))
	if err != nil {
		t.Fatal(err)
	}
	if l.How() != "memory" {
		t.Errorf("loaded from %s, want memory", l.How())
	}
	if p, err := l.Symbol("cos"); err != nil || p == 0 {
		t.Errorf("cos is at %#x, %v", p, err)
	}
	if _, err := l.Symbol("no_such_function"); err == nil || !strings.Contains(err.Error(), "no_such_function") {
		t.Errorf("got %v, want an error that names the function", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesGarbage(t *testing.T) {
	for _, data := range [][]byte{nil, []byte("not a library"), append([]byte("\x7fELF"), make([]byte, 100)...)} {
		_, err := Open("garbage", data, private(t))
		if err == nil || !strings.Contains(err.Error(), "garbage") {
			t.Errorf("%d bytes: got %v, want an error that names the library", len(data), err)
		}
	}
}

// TestFile covers the way without memfd: the file is written once, private, and checked before every use.
func TestFile(t *testing.T) {
	dir, data := private(t), image(t)
	for range 2 { // the second time it exists
		l, err := openFile("libm", data, dir)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(l.How())
		if err != nil || st.Mode().Perm() != 0o500 {
			t.Errorf("%s: %v, %v", l.How(), st.Mode(), err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files in the cache, %v, want 1", len(files), err)
	}
	path := filepath.Join(dir, files[0].Name())
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(data[:len(data)-1:len(data)-1], data[len(data)-1]^1), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := openFile("libm", data, dir); err == nil {
		t.Error("opened a file whose contents were changed")
	}
}

func TestFileRefusesOpenFolder(t *testing.T) {
	dir := private(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := openFile("libm", image(t), dir); err == nil || !strings.Contains(err.Error(), "0700") {
		t.Errorf("got %v, want a refusal of the folder", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := openFile("libm", image(t), link); err == nil {
		t.Error("used a folder behind a link")
	}
}
