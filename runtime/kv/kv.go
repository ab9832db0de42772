// Package kv keeps account of a program's KV blocks: which are free, and how many sequences hold each of the others.
// It knows numbers only; the keys and values themselves are the backend's. A pool belongs to one goroutine at a time.
// The package imports runtime/plan, nothing else of ours.
package kv

import (
	"fmt"

	"aquifer/runtime/plan"
)

// BlockSize is the number of positions in a block.
const BlockSize = plan.KVBlock

// Blocks returns the number of blocks that hold n positions.
func Blocks(n int) int { return (n + plan.KVBlock - 1) / plan.KVBlock }

// Pool hands out blocks. A block in use has a share count: the tables that list it. Alloc, Retain and Release take
// constant time and no memory.
type Pool struct {
	free   []int32 // stack; the block released last is the warmest in the caches and is handed out first
	shares []int32 // by block; 0 means free
}

// NewPool returns a pool of n free blocks, numbered 0..n-1.
func NewPool(n int) *Pool {
	p := &Pool{free: make([]int32, n), shares: make([]int32, n)}
	for i := range p.free {
		p.free[i] = int32(n - 1 - i)
	}
	return p
}

// Total returns the number of blocks.
func (p *Pool) Total() int { return len(p.shares) }

// Free returns the number of blocks that nobody holds.
func (p *Pool) Free() int { return len(p.free) }

// Shares returns how many tables hold a block.
func (p *Pool) Shares(block int32) int { return int(p.shares[block]) }

// Alloc takes a free block with a share count of one; false if there is none. Its contents are what its last owner
// left there: a reader must not look past the positions it has written.
func (p *Pool) Alloc() (int32, bool) {
	if len(p.free) == 0 {
		return 0, false
	}
	block := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
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
	if p.shares[block]--; p.shares[block] == 0 {
		p.free = append(p.free, block)
	}
}

// Table lists the blocks of one sequence: position q lies in Blocks[q/plan.KVBlock]. Backends read Blocks as it is.
type Table struct{ Blocks []int32 }

// Grow extends the table to hold n positions. It takes all the blocks it needs or none; false means none.
func (p *Pool) Grow(t *Table, n int) bool {
	need := Blocks(n) - len(t.Blocks)
	if need > len(p.free) {
		return false
	}
	for range need {
		block, _ := p.Alloc()
		t.Blocks = append(t.Blocks, block)
	}
	return true
}

// Drop releases all blocks of the table and empties it. The slice that Blocks was stays intact for a step that is
// still reading it.
func (p *Pool) Drop(t *Table) {
	for _, block := range t.Blocks {
		p.Release(block)
	}
	t.Blocks = nil
}

// Check verifies the account against the tables that should hold every block in use: each block is either free or
// listed as often as its share count says. It takes time and memory for all blocks; it is for tests.
func (p *Pool) Check(tables ...*Table) error {
	count := make([]int32, len(p.shares))
	for _, t := range tables {
		for _, block := range t.Blocks {
			count[block]++
		}
	}
	for block, n := range count {
		if n != p.shares[block] {
			return fmt.Errorf("kv: block %d is in %d tables, its share count is %d", block, n, p.shares[block])
		}
	}
	seen := make([]bool, len(p.shares))
	for _, block := range p.free {
		if seen[block] || p.shares[block] != 0 {
			return fmt.Errorf("kv: free block %d is listed twice or in use", block)
		}
		seen[block] = true
	}
	for block, n := range p.shares {
		if n == 0 && !seen[block] {
			return fmt.Errorf("kv: block %d is neither free nor in use", block)
		}
	}
	return nil
}
