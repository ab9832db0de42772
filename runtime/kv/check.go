package kv

import "fmt"

// Check verifies the account against the tables that should hold every block in use: each block is either free or
// listed as often as its share count says, and what is known of contents agrees. It takes time and memory for all
// blocks; it is for tests.
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
	mark := func(block int32, named bool) error {
		if seen[block] || p.shares[block] != 0 || p.named[block] != named {
			return fmt.Errorf("kv: free block %d is listed twice, in use or in the wrong list", block)
		}
		seen[block] = true
		return nil
	}
	for _, block := range p.free {
		if err := mark(block, false); err != nil {
			return err
		}
	}
	block := p.idle.first()
	for range p.idle.n {
		if err := mark(block, true); err != nil {
			return err
		}
		block = p.idle.next[block]
	}
	if int(block) != len(p.shares) {
		return fmt.Errorf("kv: the queue of known blocks does not end after %d", p.idle.n)
	}
	named := 0
	for block, n := range p.shares {
		if n == 0 && !seen[block] {
			return fmt.Errorf("kv: block %d is neither free nor in use", block)
		}
		if p.named[block] {
			named++
			if p.known[p.names[block]] != int32(block) {
				return fmt.Errorf("kv: block %d is not found by what it holds", block)
			}
		}
	}
	if named != len(p.known) {
		return fmt.Errorf("kv: %d blocks have known contents, %d are listed", named, len(p.known))
	}
	return nil
}
