package cpu

import "embed"

//go:embed all:lib/darwin_arm64
var libraries embed.FS

const (
	libraryName = "libaquifer_darwin_arm64"
	libraryFile = "lib/darwin_arm64/libaquifer.dylib"
)
