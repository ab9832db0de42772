package cpu

import "embed"

//go:embed all:lib/windows_amd64
var libraries embed.FS

const (
	libraryName = "libaquifer_windows_amd64"
	libraryFile = "lib/windows_amd64/libaquifer.dll"
)
