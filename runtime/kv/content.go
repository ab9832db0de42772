package kv

// Content says what a block holds: its own name, and that of the block before it in its text, zero for the first.
type Content struct{ Hash, Before Hash }

// Content returns what a block is known to hold; false if that is not known.
func (p *Pool) Content(block int32) (Content, bool) {
	return Content{p.names[block], p.before[block]}, p.named[block]
}

// Recent lists the free blocks whose contents are known, those that were released last first, but the beginning of a text
// always ahead of what follows it, also where the beginning is in use. Those whose text has lost its beginning are left out:
// nobody would find them.
func (p *Pool) Recent() []int32 {
	const (
		unseen = iota
		listed
		lost
	)
	state := make([]uint8, len(p.shares))
	list := make([]int32, 0, p.idle.n)
	var text []int32 // from a block back to the beginning, or to what is listed
	for at := p.idle.prev[p.idle.end()]; at != p.idle.end(); at = p.idle.prev[at] {
		text = text[:0]
		whole := false
		for block, ok := at, true; ok; {
			if state[block] != unseen {
				whole = state[block] == listed
				break
			}
			state[block] = lost // until its beginning is found; a circle, which only a forged file could make, ends here
			text = append(text, block)
			if whole = p.before[block] == (Hash{}); whole {
				break
			}
			block, ok = p.known[p.before[block]]
		}
		for i := len(text) - 1; whole && i >= 0; i-- {
			state[text[i]] = listed
			list = append(list, text[i])
		}
	}
	return list
}

// Restore makes a free block of unknown contents hold something: fill writes it. It is free as before, and the first of the
// known ones to be handed out, so that what is restored first stays longest. It does nothing and reports false if there is no such
// block, if the content is known already, or if the one before it is not, in which case nobody could find it.
func (p *Pool) Restore(c Content, fill func(block int32) error) (bool, error) {
	_, have := p.known[c.Hash]
	_, follows := p.known[c.Before]
	n := len(p.free)
	if have || n == 0 || !follows && c.Before != (Hash{}) {
		return false, nil
	}
	block := p.free[n-1]
	if err := fill(block); err != nil {
		return false, err
	}
	p.free = p.free[:n-1]
	p.name(block, c)
	p.idle.insert(block, p.idle.first())
	return true, nil
}

// Unknown returns the number of free blocks whose contents are not known: as many can be restored.
func (p *Pool) Unknown() int { return len(p.free) }
