//go:build !(linux || darwin || windows)

package dl

// Open returns ErrUnsupported.
func Open(string, []byte, string) (*Library, error) { return nil, ErrUnsupported }

func symbol(uintptr, string) (uintptr, error) { return 0, ErrUnsupported }
