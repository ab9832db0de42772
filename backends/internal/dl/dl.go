// Package dl opens shared libraries that are part of the executable. It never panics and never leaves a file that
// somebody else could have replaced: see Open.
package dl

import (
	"errors"
	"fmt"
)

// ErrUnsupported says that there is no loader for this platform.
var ErrUnsupported = errors.New("dl: loading libraries is not supported on this platform")

// Library is an opened shared library.
type Library struct {
	name   string
	handle uintptr
	how    string
	close  func() error
}

// How tells where the library was loaded from, for reports: "memory" or the path of a file.
func (l *Library) How() string { return l.how }

// Symbol returns the address of a function.
func (l *Library) Symbol(name string) (uintptr, error) {
	p, err := symbol(l.handle, name)
	if err != nil {
		return 0, fmt.Errorf("dl: library %s lacks %s: %w", l.name, name, err)
	}
	return p, nil
}

// Close unloads the library. No function of it may be running or be called later.
func (l *Library) Close() error { return l.close() }
