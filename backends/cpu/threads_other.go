//go:build !linux

package cpu

func physicalCores() int { return 0 }

func cpuQuota() float64 { return 0 }
