//go:build !(linux || darwin || windows)

package cpu

func physicalCores() int { return 0 }

func cpuQuota() float64 { return 0 }
