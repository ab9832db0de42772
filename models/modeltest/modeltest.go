// Package modeltest finds and unpacks the checkpoints that tests of several packages share. They live beside the
// repository, not in it: where they are absent a test that asks for them is skipped, with the reason. The package is
// for tests only and imports nothing of ours.
package modeltest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ulikunitz/xz"
)

// Shared returns the folder of shared test data beside the repository and skips the test where there is none.
func Shared(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("modeltest: no go.mod above the test's directory")
		}
		dir = parent
	}
	shared := filepath.Join(filepath.Dir(dir), "shared")
	if _, err := os.Stat(shared); err != nil {
		t.Skipf("shared test data is absent: %v", err)
	}
	return shared
}

// SharedFile returns the bytes of a file in the folder of shared test data, unpacked if its name ends in .xz. It skips the
// test where the file is not there.
func SharedFile(t testing.TB, name ...string) []byte {
	t.Helper()
	path := filepath.Join(append([]string{Shared(t)}, name...)...)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs %s, which is not on this machine", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if filepath.Ext(path) == ".xz" {
		if r, err = xz.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Golden returns the folder with the tiny golden checkpoints (golden/NAME, golden/bad/NAME), unpacked once per
// machine. Tests must not write into it.
func Golden(t testing.TB) string {
	t.Helper()
	return filepath.Join(unpacked(t, "golden.tar.xz"), "golden")
}

// SmolLM2 returns the folder that holds the two real checkpoints smollm2-135m-instruct-aqlm-2x8g8 and -4x8g8, unpacked
// once per machine. Tests must not write into it.
func SmolLM2(t testing.TB) string {
	t.Helper()
	return unpacked(t, "smollm2-135m-instruct-aqlm.tar.xz")
}

func unpacked(t testing.TB, name string) string {
	t.Helper()
	archive := filepath.Join(Shared(t), "checkpoints", name)
	if _, err := os.Stat(archive); err != nil {
		t.Skipf("shared test data is absent: %v", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir, err := unpackOnce(archive, filepath.Join(cache, "aquifer-test"))
	if err != nil {
		t.Fatalf("modeltest: unpack %s: %v", archive, err)
	}
	return dir
}

// unpackOnce unpacks archive into a folder below cache that is named after the archive's size and time, unless it is
// already there. The folder appears by rename, so it is complete whenever it exists.
func unpackOnce(archive, cache string) (string, error) {
	info, err := os.Stat(archive)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("%s-%d-%d", filepath.Base(archive), info.Size(), info.ModTime().UnixNano()))
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	release, err := lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp, err := os.MkdirTemp(cache, "unpack-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := unpack(archive, tmp); err != nil {
		return "", err
	}
	return dir, os.Rename(tmp, dir)
}

// lock makes the packages of one `go test ./...` unpack one after the other. A lock older than any unpacking was left
// by a killed test and is taken over.
func lock(path string) (release func(), err error) {
	const stale = 3 * time.Minute
	for {
		err := os.Mkdir(path, 0o700)
		if err == nil {
			return func() { os.Remove(path) }, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > stale {
			os.Remove(path)
			continue
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	x, err := xz.NewReader(f)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(x); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(filepath.Clean(h.Name), 0o755)
		case tar.TypeReg:
			err = unpackFile(root, filepath.Clean(h.Name), r)
		default:
			err = fmt.Errorf("%s: entry of type %q", h.Name, h.Typeflag)
		}
		if err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, name string, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
