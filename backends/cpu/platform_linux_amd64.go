package cpu

import (
	"embed"

	"aquifer/backends/abi"
)

//go:embed all:lib/linux_amd64
var libraries embed.FS

const (
	libraryName = "libaquifer_linux_amd64"
	libraryFile = "lib/linux_amd64/libaquifer.so"
)

// platformLevels are the levels of this platform, lowest first.
var platformLevels = []platformLevel{
	{abi.LevelBaseline, "an x86-64 processor"},
	{abi.LevelAVX2, "AVX2, FMA and F16C"},
	{abi.LevelAVX512, "AVX-512 F, BW, DQ, VL, VBMI and VNNI"},
}
