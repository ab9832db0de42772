package convert

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"aquifer/models/checkpoint"
)

// File writes c to the file dst, which it replaces if it exists. dst holds either what it held before or the complete
// new file, whatever happens in between: the bytes go to a temporary file in the same folder, reach the disk, and only
// then get the name. The temporary file is removed on failure.
func File(dst string, c *checkpoint.Checkpoint, o Options) (err error) {
	if info, err := os.Stat(dst); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("convert: %s: exists and is not a regular file", dst)
	}
	dir, base := filepath.Split(dst)
	tmp := filepath.Join(dir, "."+base+"."+rand.Text()[:8]+".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(tmp)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := Write(w, c, o); err != nil {
		return err
	}
	if err := errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	if err := os.Rename(tmp, dst); err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	return syncDir(filepath.Clean(dir + "."))
}

// syncDir makes a rename durable. Windows cannot sync folders and needs no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("convert: sync %s: %w", dir, err)
	}
	return nil
}
