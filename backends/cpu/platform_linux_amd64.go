package cpu

import "embed"

//go:embed all:lib/linux_amd64
var libraries embed.FS

const (
	libraryName = "libaquifer_linux_amd64"
	libraryFile = "lib/linux_amd64/libaquifer.so"
)
