package grammar

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// An arena holds what the runs of one program have come across: frames, which are shared stacks, and configurations.
// Equal ones are one, so that a state of the parse is a number. An arena only grows; when it is full the grammar
// starts a new one and matchers move what they still need.
type arena struct {
	p    *program
	id   uint64 // unique in the compiler: names the arena's masks in the cache
	seed uint64

	frames   []frame
	entries  []entry
	items    []item
	frameIDs map[uint64]int32 // first frame of a hash
	configs  []config
	cfgItems []item
	cfgIDs   map[uint64]int32

	work int // units of work left for the current call
	x    expansion
	done []int32 // frames of terminals that one byte completed
	both []item
	join []entry
}

// An entry says where to go on: at a position of a rule, which was called from the frame parent. count is the number
// of runs a loop has behind it, 0 elsewhere.
type entry struct{ pos, count, parent int32 }

// A frame is a set of entries: what may follow the terminal or rule it was made for. It is the node of a graph of
// stacks: alternatives that read the same share it.
type frame struct {
	first, last int32 // entries
	depth       int32 // nested rules
	other       int32 // next frame with the same hash, -1 for none

	expanded            bool
	firstItem, lastItem int32
	end                 bool // the answer may end here
}

// An item is a terminal that is being read: its state, the characters counted so far, and the frame behind it.
type item struct{ term, state, count, frame int32 }

const (
	rootFrame = 0 // behind the root rule

	maxItems   = 1 << 13 // of one configuration
	maxEntries = 1 << 13 // of one frame
	arenaSize  = 8 << 20 // bytes at which a new arena is started

	// stepWork bounds one call of a matcher; some 20 ms at worst.
	stepWork = 20_000_000
)

func newArena(p *program, id uint64) *arena {
	a := &arena{p: p, id: id, seed: rand.Uint64(), frameIDs: map[uint64]int32{}, cfgIDs: map[uint64]int32{}}
	a.frames = append(a.frames, frame{other: -1, expanded: true, end: true})
	a.x.seen = map[thread]bool{}
	return a
}

// size returns the bytes the arena takes, about.
func (a *arena) size() int {
	return 64*len(a.frames) + 12*len(a.entries) + 16*(len(a.items)+len(a.cfgItems)) + 96*len(a.configs)
}

// spend takes n units of the current call's work and reports whether that was possible. Calls check at their end.
func (a *arena) spend(n int) bool {
	a.work -= n
	return a.work >= 0 && a.size() < 4*arenaSize
}

func (a *arena) entriesOf(f int32) []entry { return a.entries[a.frames[f].first:a.frames[f].last] }

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.pos, b.pos), cmp.Compare(a.count, b.count), cmp.Compare(a.parent, b.parent))
}

func mix(h, x uint64) uint64 {
	h = (h ^ x) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// frame returns the frame of a set of entries; it sorts set.
func (a *arena) frame(set []entry) int32 {
	slices.SortFunc(set, compareEntries)
	set = slices.Compact(set)
	if len(set) > maxEntries {
		a.work = -1
		set = set[:1]
	}
	h := a.seed
	for _, e := range set {
		h = mix(mix(h, uint64(uint32(e.pos))<<32|uint64(uint32(e.count))), uint64(e.parent))
	}
	head, ok := a.frameIDs[h]
	if !ok {
		head = -1
	}
	for f := head; f >= 0; f = a.frames[f].other {
		if slices.Equal(a.entriesOf(f), set) {
			return f
		}
	}
	f := int32(len(a.frames))
	fr := frame{first: int32(len(a.entries)), other: head}
	for _, e := range set {
		fr.depth = max(fr.depth, a.frames[e.parent].depth+1)
	}
	a.entries = append(a.entries, set...)
	fr.last = int32(len(a.entries))
	a.frames = append(a.frames, fr)
	a.frameIDs[h] = f
	return f
}

// union returns the frame that allows what any of two allow.
func (a *arena) union(f, g int32) int32 {
	if f == g {
		return f
	}
	a.join = append(append(a.join[:0], a.entriesOf(f)...), a.entriesOf(g)...)
	// The root has no entries; what is behind it is the end of the answer.
	if f == rootFrame || g == rootFrame {
		a.join = append(a.join, entry{pos: endOfRule, parent: rootFrame})
	}
	return a.frame(a.join)
}

// An expansion is the scratch space of expand.
type expansion struct {
	todo    []thread
	seen    map[thread]bool
	terms   []pending
	callers []pending
	set     []entry
}

// A thread is a place in the grammar reached without reading. A fresh one is inside a rule called since the last byte:
// when such a rule ends at once, that adds nothing, because a rule that may be empty is also passed over.
type thread struct {
	entry
	fresh bool
}

// pending is an entry that will go on behind a terminal or a called rule.
type pending struct {
	what int32
	entry
}

// expand finds the terminals that can be read in a frame and whether the answer may end there. It goes on at all
// entries at once, through the rules in their order, so that a rule called from several places is run once.
func (a *arena) expand(f int32) {
	if a.frames[f].expanded {
		return
	}
	x := &a.x
	x.todo, x.terms, x.callers = x.todo[:0], x.terms[:0], x.callers[:0]
	clear(x.seen)
	end := false
	for _, e := range a.entriesOf(f) {
		x.todo = append(x.todo, thread{entry: e})
	}
	for {
		for len(x.todo) > 0 {
			t := x.todo[len(x.todo)-1]
			x.todo = x.todo[:len(x.todo)-1]
			if !a.spend(8) {
				return
			}
			if !x.seen[t] {
				x.seen[t] = true
				end = a.follow(t) || end
			}
		}
		// The rules whose callers are complete: the one that comes first.
		if len(x.callers) == 0 {
			break
		}
		rule := x.callers[0].what
		for _, c := range x.callers {
			if a.p.rules[c.what].order < a.p.rules[rule].order {
				rule = c.what
			}
		}
		x.set = x.set[:0]
		rest := x.callers[:0]
		for _, c := range x.callers {
			if c.what == rule {
				x.set = append(x.set, c.entry)
			} else {
				rest = append(rest, c)
			}
		}
		a.spend(len(x.callers))
		x.callers = rest
		x.todo = append(x.todo, thread{entry{a.p.rules[rule].start, 0, a.frame(x.set)}, true})
	}
	slices.SortFunc(x.terms, func(p, q pending) int { return cmp.Compare(p.what, q.what) })
	first := int32(len(a.items))
	for i := 0; i < len(x.terms); {
		term := x.terms[i].what
		x.set = x.set[:0]
		for ; i < len(x.terms) && x.terms[i].what == term; i++ {
			x.set = append(x.set, x.terms[i].entry)
		}
		a.items = append(a.items, item{term: term, frame: a.frame(x.set)})
	}
	fr := &a.frames[f]
	fr.expanded, fr.end = true, end
	fr.firstItem, fr.lastItem = first, int32(len(a.items))
}

// follow goes on from one place and reports whether the answer may end there.
func (a *arena) follow(t thread) (end bool) {
	x, p := &a.x, &a.p.positions[t.pos]
	depth := a.frames[t.parent].depth
	// Ways that can't be completed within the depth are not offered. At least one is left: that was checked before the
	// rule was entered.
	fits := func(pos int32) bool { return depth+a.p.positions[pos].need <= a.p.stack }
	jump := func(pos int32) {
		if fits(pos) {
			x.todo = append(x.todo, thread{entry{pos, 0, t.parent}, t.fresh})
		}
	}
	switch p.op {
	case ruleEnd:
		if t.fresh {
			return false
		}
		if t.parent == rootFrame {
			return true
		}
		for _, e := range a.entriesOf(t.parent) {
			x.todo = append(x.todo, thread{entry: e})
		}
	case ruleTerm:
		d := a.p.terms[p.arg].dfa
		if d.states() > 0 && fits(p.next) {
			x.terms = a.later(x.terms, p.arg, entry{p.next, 0, t.parent})
			if d.accepts[0] {
				jump(p.next)
			}
		}
	case ruleAlt:
		for _, pos := range p.alts {
			jump(pos)
		}
	case ruleCall:
		r := &a.p.rules[p.arg]
		if depth+1+r.need <= a.p.stack && fits(p.next) {
			x.callers = a.later(x.callers, p.arg, entry{p.next, 0, t.parent})
		}
		if r.empty {
			jump(p.next)
		}
	case ruleLoop:
		r := &a.p.rules[p.arg]
		if (p.max < 0 || t.count < p.max) && depth+1+r.need <= a.p.stack && fits(p.next) {
			count := t.count + 1
			if p.max < 0 {
				count = min(count, p.min)
			}
			x.callers = append(x.callers, pending{p.arg, entry{t.pos, count, t.parent}})
		}
		if t.count >= p.min || r.empty {
			jump(p.next)
		}
	}
	return false
}

// later notes that e goes on behind what. Where e is only the end of a rule, what called that rule goes on instead:
// lists that are written as recursion don't grow the stack.
func (a *arena) later(list []pending, what int32, e entry) []pending {
	if e.pos != endOfRule || e.parent == rootFrame {
		return append(list, pending{what, e})
	}
	for _, up := range a.entriesOf(e.parent) {
		list = append(list, pending{what, up})
	}
	return list
}
