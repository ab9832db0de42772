package dl

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// image returns the bytes of a library that every Windows has.
func image(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(os.Getenv("SystemRoot"), "System32", "version.dll"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// folder is like t.TempDir, whose cleaning up wants what wine lacks before version 9.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		for _, f := range append(files, dir) {
			err = errors.Join(err, os.Remove(f))
		}
		if err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestHeld opens a library, looks a function up, and finds that nobody can change the file meanwhile.
func TestHeld(t *testing.T) {
	dir := folder(t)
	for range 2 { // the second time the file exists
		l, err := Open("version", image(t), dir)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := l.Symbol("VerQueryValueW"); err != nil || p == 0 {
			t.Errorf("VerQueryValueW is at %#x, %v", p, err)
		}
		if _, err := l.Symbol("no_such_function"); err == nil || !strings.Contains(err.Error(), "no_such_function") {
			t.Errorf("got %v, want an error that names the function", err)
		}
		if err := os.WriteFile(l.How(), nil, 0o600); err == nil {
			t.Error("the file of an open library can be written")
		}
		if err := os.Remove(l.How()); err == nil {
			t.Error("the file of an open library can be removed")
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRefused(t *testing.T) {
	dir := folder(t)
	for _, data := range [][]byte{nil, []byte("not a library"), append([]byte("MZ"), make([]byte, 100)...)} {
		if _, err := Open("garbage", data, dir); err == nil || !strings.Contains(err.Error(), "garbage") {
			t.Errorf("%d bytes: got %v, want an error that names the library", len(data), err)
		}
	}
	l, err := Open("version", image(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	path := l.How()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("MZ something else"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("version", image(t), dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("got %v, want the refusal of a file that was changed", err)
	}
}
