//go:build nomodel

package embedded

import "io"

// Open reports that this build carries no model.
func Open() (r io.ReaderAt, size int64, name string, ok bool) { return nil, 0, "", false }
