package kernelbench

import (
	"bytes"
	"sync"
	"time"
)

// Memory is a stretch of memory to read, larger than any cache.
type Memory struct{ data []byte }

// ringBytes is how much memory a ring of matrices takes, and how much is read: several times the L3 cache of the
// machines this is run on.
const ringBytes = 170 << 20

// NewMemory allocates it. All pages are written to: those that never were share one page of zeros.
func NewMemory() *Memory {
	m := &Memory{make([]byte, ringBytes)}
	for i := range m.data {
		m.data[i] = 2
	}
	return m
}

// Bytes returns its size.
func (m *Memory) Bytes() int64 { return int64(len(m.data)) }

// read returns how long it takes to read all of it in equal parts by so many threads.
func (m *Memory) read(threads int) time.Duration {
	if threads == 1 {
		elapsed := watch(true)
		readStreams(m.data)
		return elapsed()
	}
	var wg sync.WaitGroup
	elapsed := watch(false)
	for t := range threads {
		part := m.data[len(m.data)*t/threads : len(m.data)*(t+1)/threads]
		wg.Go(func() { readStreams(part) })
	}
	wg.Wait()
	return elapsed()
}

// readStreams searches for a byte that is not there, the plainest loop over vectors in Go's library, in four streams by
// turns: one alone leaves a quarter of the memory's speed (Zen 4: 23 GB/s, two streams 28, four 30).
func readStreams(data []byte) {
	const streams, page = 4, 4096
	size := len(data) / streams
	for at := 0; at < size; at += page {
		for s := range streams {
			bytes.IndexByte(data[s*size+at:s*size+min(at+page, size)], 1)
		}
	}
}
