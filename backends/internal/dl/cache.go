//go:build linux || darwin || windows

package dl

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// cachedFile returns the path of a file with the image's bytes.
func cachedFile(name string, image []byte, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := ownFolder(dir); err != nil {
		return "", err
	}
	sum := sha256.Sum256(image)
	path := filepath.Join(dir, name+"-"+hex.EncodeToString(sum[:16])+suffix)
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
	err = errors.Join(err, protect(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return path, err
}
