package cpu

import (
	"embed"

	"aquifer/backends/abi"
)

//go:embed all:lib/linux_arm64
var libraries embed.FS

const (
	libraryName = "libaquifer_linux_arm64"
	libraryFile = "lib/linux_arm64/libaquifer.so"
)

// platformLevels are the levels of this platform, lowest first.
var platformLevels = []platformLevel{
	{abi.LevelBaseline, "a 64-bit Arm processor"},
	{abi.LevelDotprod, "the dot products of Armv8.2 (asimddp)"},
}
