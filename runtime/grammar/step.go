package grammar

import (
	"cmp"
	"slices"
)

// An itemSet is a state of the parse between two bytes.
type itemSet struct {
	items []item // by terminal
	end   bool   // the answer may end here
}

// step sets out to the state after byte b; out.items must not be in. The set is empty if b can't follow.
func (a *arena) step(in []item, b byte, out *itemSet) {
	out.items, out.end = out.items[:0], false
	a.done = a.done[:0]
	a.spend(1 + len(in))
	for _, it := range in {
		t := &a.p.terms[it.term]
		q := t.dfa.step(it.state, b)
		if q < 0 {
			continue
		}
		if t.counted {
			if it.state == t.body && !t.counts(it.count, b) {
				continue
			}
			if q == t.body && it.state != 0 {
				it.count++
				if t.max < 0 {
					it.count = min(it.count, t.min)
				}
			}
		}
		it.state = q
		if !t.dfa.ends(q) {
			out.items = a.merge(out.items, it)
		}
		if t.dfa.accepts[q] && !slices.Contains(a.done, it.frame) {
			a.done = append(a.done, it.frame)
		}
	}
	if len(a.done) == 0 {
		return
	}
	f := a.done[0]
	for _, g := range a.done[1:] {
		f = a.union(f, g)
	}
	a.expand(f)
	fr := &a.frames[f]
	out.end = fr.end
	next := a.items[fr.firstItem:fr.lastItem]
	if len(out.items) == 0 {
		out.items = append(out.items, next...)
		return
	}
	// Both lists are ordered by terminal; next has each of them once and at its start.
	a.both = append(a.both[:0], out.items...)
	out.items = out.items[:0]
	i := 0
	for _, it := range next {
		for i < len(a.both) && a.both[i].term <= it.term {
			out.items = append(out.items, a.both[i])
			i++
		}
		out.items = a.merge(out.items, it)
	}
	out.items = append(out.items, a.both[i:]...)
}

// counts reports whether b may follow in the body of a counted string that has count characters.
func (t *terminal) counts(count int32, b byte) bool {
	if b == '"' {
		return count >= t.min
	}
	return t.max < 0 || count < t.max
}

// merge adds an item to a list that ends with those of the same terminal. Where an item is there already, with another
// frame behind it, both become one: the same text leads to both.
func (a *arena) merge(list []item, it item) []item {
	for i := len(list) - 1; i >= 0 && list[i].term == it.term; i-- {
		a.spend(1)
		if list[i].state == it.state && list[i].count == it.count {
			list[i].frame = a.union(list[i].frame, it.frame)
			return list
		}
	}
	if len(list) >= maxItems {
		a.work = -1
		return list
	}
	return append(list, it)
}

// live returns the bytes that can follow.
func (a *arena) live(items []item) (live byteSet) {
	for _, it := range items {
		t := &a.p.terms[it.term]
		if !t.counted || it.state != t.body {
			live.or(&t.dfa.live[it.state])
			continue
		}
		var own byteSet
		if t.max < 0 || it.count < t.max {
			own = t.dfa.live[it.state]
		}
		if own.remove('"'); it.count >= t.min {
			own.add('"')
		}
		live.or(&own)
	}
	return live
}

// A config is an itemSet that a matcher has been in.
type config struct {
	first, last int32 // cfgItems
	end         bool
	other       int32 // next with the same hash
}

func (a *arena) itemsOf(c int32) []item { return a.cfgItems[a.configs[c].first:a.configs[c].last] }

// config returns the number of a state; it sorts the items of s.
func (a *arena) config(s *itemSet) int32 {
	slices.SortFunc(s.items, func(x, y item) int {
		return cmp.Or(cmp.Compare(x.term, y.term), cmp.Compare(x.state, y.state), cmp.Compare(x.count, y.count))
	})
	h := a.seed
	if s.end {
		h++
	}
	for _, it := range s.items {
		h = mix(mix(h, uint64(uint32(it.term))<<32|uint64(uint32(it.state))), uint64(uint32(it.count))<<32|uint64(uint32(it.frame)))
	}
	head, ok := a.cfgIDs[h]
	if !ok {
		head = -1
	}
	for c := head; c >= 0; c = a.configs[c].other {
		if a.configs[c].end == s.end && slices.Equal(a.itemsOf(c), s.items) {
			return c
		}
	}
	c := int32(len(a.configs))
	first := int32(len(a.cfgItems))
	a.cfgItems = append(a.cfgItems, s.items...)
	a.configs = append(a.configs, config{first, int32(len(a.cfgItems)), s.end, head})
	a.cfgIDs[h] = c
	return c
}

// start returns the state before the first byte.
func (a *arena) start() int32 {
	f := a.frame([]entry{{pos: a.p.rules[0].start, parent: rootFrame}})
	a.expand(f)
	fr := &a.frames[f]
	return a.config(&itemSet{items: slices.Clone(a.items[fr.firstItem:fr.lastItem]), end: fr.end})
}

// moved copies states of another arena of the same program.
type moved struct {
	from   *arena
	frames map[int32]int32
}

func (a *arena) move(m *moved, c int32) int32 {
	s := itemSet{items: slices.Clone(m.from.itemsOf(c)), end: m.from.configs[c].end}
	for i := range s.items {
		s.items[i].frame = a.moveFrame(m, s.items[i].frame)
	}
	return a.config(&s)
}

// moveFrame recurses as deep as the stack of the answer.
func (a *arena) moveFrame(m *moved, f int32) int32 {
	if f == rootFrame {
		return rootFrame
	}
	if g, ok := m.frames[f]; ok {
		return g
	}
	set := slices.Clone(m.from.entriesOf(f))
	for i := range set {
		set[i].parent = a.moveFrame(m, set[i].parent)
	}
	g := a.frame(set)
	m.frames[f] = g
	return g
}
