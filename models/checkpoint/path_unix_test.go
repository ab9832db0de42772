//go:build unix

package checkpoint

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"aquifer/models/modeltest"
)

// TestPathKinds covers names that are no plain files.
func TestPathKinds(t *testing.T) {
	dir := modeltest.TinyLlama(t, nil)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Skipf("cannot make a FIFO: %v", err)
	}
	_, err := Open(fifo)
	wantError(t, err, "a pipe")
	_, err = Open("/dev/zero")
	wantError(t, err, "a device")
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"} {
		broken := modeltest.TinyLlama(t, nil)
		path := filepath.Join(broken, name)
		os.Remove(path) // some of them do not exist
		if err := os.Symlink(fifo, path); err != nil {
			t.Fatal(err)
		}
		_, err := Open(broken)
		wantError(t, err, path, "a pipe")
	}
	// The cache of Hugging Face tools: snapshots are links to blobs elsewhere.
	root := filepath.Join(t.TempDir(), "models--org--Name-1B")
	snapshot, blobs := filepath.Join(root, "snapshots", "0123abcd"), filepath.Join(root, "blobs")
	if err := os.MkdirAll(snapshot, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, blobs); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json"} {
		if err := os.Symlink(filepath.Join("..", "..", "blobs", name), filepath.Join(snapshot, name)); err != nil {
			t.Fatal(err)
		}
	}
	if c := mustOpen(t, snapshot); c.Name != "Name-1B" {
		t.Errorf("name %q", c.Name)
	}
	loop := filepath.Join(t.TempDir(), "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	_, err = Open(loop)
	wantError(t, err, "loop")
	odd := filepath.Join(t.TempDir(), "a\nb")
	_, err = Open(odd)
	wantError(t, err, `a\nb`)
}
