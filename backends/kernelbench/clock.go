package kernelbench

import "time"

// watch starts a clock and returns what reads it. own asks for the processor time of the calling thread, which stands
// still while other processes have the processor; the goroutine must be locked to its thread. Where the system does not
// tell it, time passes as usual.
func watch(own bool) (elapsed func() time.Duration) {
	if first, ok := threadTime(); own && ok {
		return func() time.Duration {
			last, _ := threadTime()
			return last - first
		}
	}
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
