package cpu

import "golang.org/x/sys/unix"

// physicalCores counts the performance cores, or all where there is one kind: a unit of work on a slow core would hold
// up the end of each phase. 0 if unknown.
func physicalCores() int {
	for _, name := range []string{"hw.perflevel0.physicalcpu", "hw.physicalcpu"} {
		if n, err := unix.SysctlUint32(name); err == nil && n > 0 {
			return int(n)
		}
	}
	return 0
}

// cpuQuota returns 0: macOS limits no group of processes.
func cpuQuota() float64 { return 0 }
