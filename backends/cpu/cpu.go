// Package cpu is the CPU backend: kernels in C (csrc, one library for each platform), embedded in the executable and
// called through backends/abi with one foreign call a step. It imports runtime/plan, backends, backends/abi and
// backends/internal/dl only.
package cpu

import "errors"

// ErrUnsupportedPlatform says that there are no kernels for this operating system and processor family.
var ErrUnsupportedPlatform = errors.New("cpu: no kernels for this platform")

// ErrNotBuilt says that the executable was built without its kernel library.
var ErrNotBuilt = errors.New("cpu: kernel library not built: run ./build.sh build")

// Config says how to open the backend.
type Config struct {
	Threads int    // 0: DefaultThreads
	Level   string // instruction set, one of Levels; "" for the best this machine can run
}

// LevelStatus tells whether this machine can run a level.
type LevelStatus struct {
	Name string
	OK   bool
	Why  string // what is missing
}
