package cpu

import "embed"

//go:embed all:lib/darwin_amd64
var libraries embed.FS

const (
	libraryName = "libaquifer_darwin_amd64"
	libraryFile = "lib/darwin_amd64/libaquifer.dylib"
)
