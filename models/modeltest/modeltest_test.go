package modeltest

import (
	"archive/tar"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ulikunitz/xz"
)

// pack writes a tar.xz with the given entries.
func pack(t *testing.T, entries ...tar.Header) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.tar.xz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := xz.NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(x)
	for _, h := range entries {
		body := []byte("body of " + h.Name)
		if h.Typeflag != tar.TypeReg {
			body = nil
		}
		h.Size, h.Mode = int64(len(body)), 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpackOnce(t *testing.T) {
	archive := pack(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir}, tar.Header{Name: "d/e/f", Typeflag: tar.TypeReg})
	cache := t.TempDir()
	var wg sync.WaitGroup
	dirs := make([]string, 4)
	for i := range dirs {
		wg.Go(func() {
			dir, err := unpackOnce(archive, cache)
			if err != nil {
				t.Error(err)
			}
			dirs[i] = dir
		})
	}
	wg.Wait()
	for _, dir := range dirs {
		got, err := os.ReadFile(filepath.Join(dir, "d", "e", "f"))
		if err != nil || string(got) != "body of d/e/f" {
			t.Errorf("%s: %q, %v", dir, got, err)
		}
	}
	left, err := os.ReadDir(cache)
	if err != nil || len(left) != 1 {
		t.Errorf("cache holds %v, %v; want the one folder", left, err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"path outside": {Name: "../x", Typeflag: tar.TypeReg},
		"symlink":      {Name: "x", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink},
	} {
		cache := t.TempDir()
		if dir, err := unpackOnce(pack(t, h), cache); err == nil {
			t.Errorf("%s: accepted as %s", name, dir)
		}
	}
}

func TestShared(t *testing.T) {
	if dir := Golden(t); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, "bad", "ok-base", "config.json")); err != nil {
			t.Error(err)
		}
	}
}
