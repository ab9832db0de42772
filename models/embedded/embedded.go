//go:build !nomodel

package embedded

import (
	"embed"
	"io"
	"path"
	"strings"
)

//go:embed all:data
var files embed.FS

// Open returns the embedded GGUF file, its size and its name without the extension; ok is false in a build without
// a model. The reader works on the binary's own pages: nothing is copied.
func Open() (r io.ReaderAt, size int64, name string, ok bool) {
	entries, err := files.ReadDir("data")
	if err != nil {
		return nil, 0, "", false
	}
	for _, e := range entries {
		if path.Ext(e.Name()) != ".gguf" {
			continue
		}
		f, err := files.Open("data/" + e.Name())
		if err != nil {
			return nil, 0, "", false
		}
		info, err := f.Stat()
		if err != nil {
			return nil, 0, "", false
		}
		return f.(io.ReaderAt), info.Size(), strings.TrimSuffix(e.Name(), ".gguf"), true
	}
	return nil, 0, "", false
}
