package cli

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"

	"aquifer/runtime/engine"
)

// leastHeap is a limit that Go's own memory fits into with any model: below what it needs the collector would run all the time.
const leastHeap = 512 << 20

// unlimited reports whether nobody has set GOMEMLIMIT, which is for the user to decide. It asks once, before we set a limit.
var unlimited = sync.OnceValue(func() bool { return debug.SetMemoryLimit(-1) == math.MaxInt64 })

// limitHeap makes the collector keep Go's own memory, the kernels' not counted, within what the system has left when the models
// that are loaded have touched all they were promised. It is a soft limit: Go collects more often as it comes near.
func limitHeap(promised int64) {
	if spare := engine.Spare(promised); spare > 0 && unlimited() {
		debug.SetMemoryLimit(heapLimit(goMemory(), spare))
	}
}

// heapLimit is the limit for a heap that holds so many bytes and may take spare more.
func heapLimit(held, spare int64) int64 {
	if spare > math.MaxInt64-held {
		return math.MaxInt64
	}
	return max(held+spare, leastHeap)
}

// goMemory returns the bytes that count for the limit.
func goMemory() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}
