//go:build linux || darwin || windows

package cpu

import "aquifer/backends/abi"

// platformLevels are the levels of this processor family, lowest first.
var platformLevels = []platformLevel{
	{abi.LevelBaseline, "an x86-64 processor"},
	{abi.LevelAVX2, "AVX2, FMA and F16C"},
	{abi.LevelAVX512, "AVX-512 F, BW, DQ, VL, VBMI and VNNI"},
}
