//go:build !(((linux || darwin) && (amd64 || arm64)) || (windows && amd64))

package cpu

import "aquifer/backends"

// Open returns ErrUnsupportedPlatform.
func Open(Config) (backends.Backend, error) { return nil, ErrUnsupportedPlatform }

// Levels returns nil: there are no kernels.
func Levels() []LevelStatus { return nil }
