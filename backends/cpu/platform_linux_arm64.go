package cpu

import "embed"

//go:embed all:lib/linux_arm64
var libraries embed.FS

const (
	libraryName = "libaquifer_linux_arm64"
	libraryFile = "lib/linux_arm64/libaquifer.so"
)
