package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

// Crash returns the file system as a power loss now would leave it; the old one stays as it is. Without r only what was
// synced survives. With r some of the rest does as well, at random, as on a disk that was about to write it: pages of
// files in any order, and of each folder the first few of its changes.
func (m *Mem) Crash(r *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Mem{new(sync.Mutex), (&crash{r: r, done: map[*node]*node{}}).node(m.root)}
}

type crash struct {
	r    *rand.Rand
	done map[*node]*node // so that a file with two names stays one
}

func (c *crash) node(n *node) *node {
	if known := c.done[n]; known != nil {
		return known
	}
	left := &node{mode: n.mode, mtime: n.mtime, target: n.target}
	c.done[n] = left
	if !n.mode.IsDir() {
		left.data = c.content(n)
		left.synced = slices.Clone(left.data)
		return left
	}
	entries := maps.Clone(n.settled)
	if c.r != nil {
		for _, change := range n.log[:c.r.IntN(len(n.log)+1)] {
			change.apply(entries)
		}
	}
	left.entries = map[string]*node{}
	for _, name := range slices.Sorted(maps.Keys(entries)) { // in one order, so that r gives the same result
		left.entries[name] = c.node(entries[name])
	}
	left.settle()
	return left
}

// page is the unit in which a disk loses what was not synced.
const page = 512

func (c *crash) content(n *node) []byte {
	left := slices.Clone(n.synced)
	if c.r == nil {
		return left
	}
	if extra := len(n.data) - len(left); extra > 0 {
		left = append(left, make([]byte, c.r.IntN(extra+1))...)
	}
	for from := 0; from < min(len(left), len(n.data)); from += page {
		if c.r.IntN(2) == 0 {
			copy(left[from:min(from+page, len(left))], n.data[from:])
		}
	}
	return left
}
