// Package kv keeps account of a program's KV blocks: which are free, how many sequences hold each of the others, and
// which text each holds that is full. It knows numbers and hashes only; the keys and values themselves are the backend's.
// A pool belongs to one goroutine at a time. The package imports runtime/plan, nothing else of ours.
//
// A block whose contents are known (Publish) keeps them when it becomes free, until it is handed out again: the ones
// whose contents are unknown go first, then those that have been free for longest. Until then a sequence with the same
// text can take it as it is (Reuse).
package kv

import (
	"fmt"

	"aquifer/runtime/plan"
)

// BlockSize is the number of positions in a block.
const BlockSize = plan.KVBlock

// Blocks returns the number of blocks that hold n positions.
func Blocks(n int) int { return (n + BlockSize - 1) / BlockSize }

// Pool hands out blocks. A block in use has a share count: the tables that list it. Alloc, Retain, Release and Reuse take
// constant time and no memory.
type Pool struct {
	free   []int32        // stack of free blocks with unknown contents; the one released last is the warmest in the caches
	shares []int32        // by block; 0 means free
	names  []Hash         // by block, of those with known contents
	before []Hash         // likewise, of the block before it in its text; zero for the first
	known  map[Hash]int32 // and back
	named  []bool         // by block: its contents are known
	idle   list           // free blocks with known contents, the one released first at the front
}

// NewPool returns a pool of n free blocks, numbered 0..n-1.
func NewPool(n int) *Pool {
	p := &Pool{
		free: make([]int32, n), shares: make([]int32, n), names: make([]Hash, n), before: make([]Hash, n), named: make([]bool, n),
		known: make(map[Hash]int32), idle: newList(n),
	}
	for i := range p.free {
		p.free[i] = int32(n - 1 - i)
	}
	return p
}

// Total returns the number of blocks.
func (p *Pool) Total() int { return len(p.shares) }

// Free returns the number of blocks that nobody holds.
func (p *Pool) Free() int { return len(p.free) + p.idle.n }

// Cached returns how many of the free blocks have contents that are known.
func (p *Pool) Cached() int { return p.idle.n }

// Known returns the number of blocks whose contents are known, free or not.
func (p *Pool) Known() int { return len(p.known) }

// Shares returns how many tables hold a block.
func (p *Pool) Shares(block int32) int { return int(p.shares[block]) }

// Alloc takes a free block with a share count of one; false if there is none. Its contents are what its last owner
// left there: a reader must not look past the positions it has written.
func (p *Pool) Alloc() (int32, bool) {
	var block int32
	if n := len(p.free); n > 0 {
		block = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		if p.idle.n == 0 {
			return 0, false
		}
		block = p.idle.first()
		p.idle.remove(block)
		p.forget(block)
	}
	p.shares[block] = 1
	return block, true
}

// Retain adds a share of a block in use. Whoever holds a block with more than one share must only read it.
func (p *Pool) Retain(block int32) {
	if p.shares[block] == 0 {
		panic(fmt.Sprintf("kv: retain of free block %d", block))
	}
	p.shares[block]++
}

// Release gives one share back; the last one frees the block.
func (p *Pool) Release(block int32) {
	if p.shares[block] == 0 {
		panic(fmt.Sprintf("kv: release of free block %d", block))
	}
	if p.shares[block]--; p.shares[block] > 0 {
		return
	}
	if p.named[block] {
		p.idle.add(block)
	} else {
		p.free = append(p.free, block)
	}
}

// Publish states what a block in use holds, and what the block before it in its text does (zero for the first one): from now
// on all who hold it must only read it. If another block is known to hold the same, that one stays the known one.
func (p *Pool) Publish(block int32, h, before Hash) {
	if p.shares[block] == 0 || p.named[block] && p.names[block] != h {
		panic(fmt.Sprintf("kv: publish of block %d, which is free or holds something else", block))
	}
	if _, ok := p.known[h]; ok {
		return
	}
	p.name(block, Content{h, before})
}

// Published reports whether the contents of a block are known.
func (p *Pool) Published(block int32) bool { return p.named[block] }

// Reuse takes a share of the block that is known to hold this, free or in use; false if there is none.
func (p *Pool) Reuse(h Hash) (int32, bool) {
	block, ok := p.known[h]
	if !ok {
		return 0, false
	}
	if p.shares[block]++; p.shares[block] == 1 {
		p.idle.remove(block)
	}
	return block, true
}

// name makes the contents of a block known.
func (p *Pool) name(block int32, c Content) {
	p.known[c.Hash], p.names[block], p.before[block], p.named[block] = block, c.Hash, c.Before, true
}

// forget makes the contents of a block unknown.
func (p *Pool) forget(block int32) {
	delete(p.known, p.names[block])
	p.named[block] = false
}

// Table lists the blocks of one sequence: position q lies in Blocks[q/plan.KVBlock]. Backends read Blocks as it is.
type Table struct{ Blocks []int32 }

// Grow extends the table to hold n positions. It takes all the blocks it needs or none; false means none.
func (p *Pool) Grow(t *Table, n int) bool {
	need := Blocks(n) - len(t.Blocks)
	if need > p.Free() {
		return false
	}
	for range need {
		block, _ := p.Alloc()
		t.Blocks = append(t.Blocks, block)
	}
	return true
}

// Drop releases all blocks of the table and empties it, the last block first: the end of a text is of no use without its
// start, so it is to be handed out before that. The slice that Blocks was stays intact for a step that is still reading
// it.
func (p *Pool) Drop(t *Table) {
	for i := len(t.Blocks) - 1; i >= 0; i-- {
		p.Release(t.Blocks[i])
	}
	t.Blocks = nil
}
