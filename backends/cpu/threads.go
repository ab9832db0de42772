package cpu

import "runtime"

// DefaultThreads returns the number of physical cores this process may use, within its CPU quota. Two threads of one
// core share the units that kernels are bound by, so a thread for each of them gains nothing.
func DefaultThreads() int {
	n := physicalCores()
	if n < 1 {
		n = runtime.NumCPU()
	}
	if quota := cpuQuota(); quota > 0 {
		n = min(n, max(1, int(quota)))
	}
	return max(1, min(n, 1024))
}
