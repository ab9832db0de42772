package kv

// list is a queue of blocks from which any can be taken out in constant time. It is linked through arrays, by block; the
// entry behind the last block stands for both ends.
type list struct {
	next, prev []int32
	n          int
}

func newList(blocks int) list {
	l := list{next: make([]int32, blocks+1), prev: make([]int32, blocks+1)}
	l.next[blocks], l.prev[blocks] = int32(blocks), int32(blocks)
	return l
}

// first returns the front of the queue; of an empty one the end.
func (l *list) first() int32 { return l.next[l.end()] }

// end is the entry that stands for both ends.
func (l *list) end() int32 { return int32(len(l.next) - 1) }

// add appends a block that is not in the queue.
func (l *list) add(block int32) { l.insert(block, l.end()) }

// insert puts a block that is not in the queue before one that is, or at the end.
func (l *list) insert(block, behind int32) {
	before := l.prev[behind]
	l.next[before], l.prev[block], l.next[block], l.prev[behind] = block, before, behind, block
	l.n++
}

// remove takes out a block that is in the queue.
func (l *list) remove(block int32) {
	before, behind := l.prev[block], l.next[block]
	l.next[before], l.prev[behind] = behind, before
	l.n--
}
