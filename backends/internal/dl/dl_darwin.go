package dl

const suffix = ".dylib"

// Open loads a library from its bytes, by way of a file in cacheDir, see openFile.
func Open(name string, image []byte, cacheDir string) (*Library, error) {
	return openFile(name, image, cacheDir)
}
