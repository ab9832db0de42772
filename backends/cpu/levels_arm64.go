//go:build linux || darwin

package cpu

import "aquifer/backends/abi"

// platformLevels are the levels of this processor family, lowest first.
var platformLevels = []platformLevel{
	{abi.LevelBaseline, "a 64-bit Arm processor"},
	{abi.LevelDotprod, "the dot products of Armv8.2 (asimddp)"},
}
