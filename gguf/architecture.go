package gguf

import "io"

const (
	architectureKey = "general.architecture"
	earlyKeys       = 32 // metadata entries among which it is looked for
)

// Architecture returns what a file of size bytes says of its architecture, and reads as little of it as it can: the key
// stands first as a rule. It is empty if the key is not among the first ones. Errors are those of Read.
func Architecture(r io.ReaderAt, size int64) (string, error) {
	s := &source{r: r, size: size}
	f := &File{Alignment: defaultAlign, index: map[string]int{}}
	keys, _, err := f.readStart(s)
	if err != nil {
		return "", err
	}
	for range min(keys, earlyKeys) {
		if err := f.readMetadata(s, 1); err != nil {
			return "", err
		}
		if last := f.Metadata[len(f.Metadata)-1]; last.Key == architectureKey {
			name, _, err := f.String(architectureKey)
			return name, err
		}
	}
	return "", nil
}
