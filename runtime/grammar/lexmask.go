package grammar

// A lexMask is what a vocabulary looks like from a state of an automaton, whatever is behind the terminal: the tokens
// that stay inside it, and where tokens leave it.
type lexMask struct {
	mask  []uint32 // tokens read to their end
	exits []exit
	// nested: the terminal may end where it may also go on. Exits would nest, and each be walked for itself; instead there
	// is othersMask, which has a trie of the tokens that may leave the terminal.
	nested bool
	others []trieNode
	need   []uint8 // counted strings only: characters each token begins, 255 for tokens that don't stay inside
}

// An exit is a set of tokens that begin with the rest of the terminal: the subtree nodes[first:last].
type exit struct {
	first, last int32
	chars       int32 // counted strings only: characters completed before
	token       int32 // counted strings only: token that ends with the terminal, -1 for none
}

func (l *lexMask) size() int {
	return 128 + 4*len(l.mask) + 16*len(l.exits) + 12*len(l.others) + len(l.need)
}

// fatBytes is how many bytes can follow in a state from which many tokens are expected to stay inside the terminal.
// For other states a walk with the whole parse costs less than a lexMask.
const fatBytes = 20

// lexKey names a lexMask in the cache.
type lexKey struct {
	dfa     uint64 // id of the automaton
	state   int32
	counted int32 // characters left, 255 for any number; lexPlain and lexOthers if they aren't counted
}

const (
	lexPlain  = -1 // lexMask
	lexOthers = -2 // othersMask
)

// walkDFA adds the tokens of nodes[first:last] that d can read from a state to l.
func (t *trie) walkDFA(d *dfa, states []int32, first, last int32, l *lexMask) {
	nodes := t.nodes
	for i := first; i < last; {
		n := &nodes[i]
		q := d.next[int(states[n.depth])*d.width+int(d.classes[n.b])]
		if q < 0 {
			i = n.skip
			continue
		}
		if n.token >= 0 {
			t.allow(l.mask, n.token)
		}
		i++
		if i == n.skip {
			continue
		}
		states[n.depth+1] = q
		switch {
		case !d.accepts[q]:
		case d.ends(q):
			l.exits = append(l.exits, exit{first: i, last: n.skip, token: -1})
		default:
			l.nested = true
		}
	}
}

// lexMask computes the mask of a state. states is scratch space, one more than the longest token has bytes.
func (t *trie) lexMask(d *dfa, q int32, states []int32) *lexMask {
	l := &lexMask{mask: make([]uint32, maskWords(len(t.same)))}
	states[0] = q
	free, reach := d.plainChars(q)
	if free < t.plain[0].most && reach > maxPlain {
		t.walkDFA(d, states, 0, t.whole, l)
		return l
	}
	for _, s := range t.plain {
		switch {
		case s.most <= free:
			for i, w := range s.mask {
				l.mask[i] |= w
			}
		case s.least <= reach:
			t.walkDFA(d, states, s.first, s.last, l)
		}
	}
	t.walkDFA(d, states, t.others.first, t.others.last, l)
	return l
}

// othersMask returns the trie of the tokens that can leave a terminal and don't stay inside, from a state of its
// automaton.
func (t *trie) othersMask(d *dfa, q int32) *lexMask {
	states := make([]int32, t.deep+1) // -1: not inside any more, but it was left on the way
	left := make([]bool, t.deep+1)
	states[0] = q
	var ids []int32
	for i := int32(0); i < t.whole; {
		n := &t.nodes[i]
		q := states[n.depth]
		if q >= 0 {
			q = d.step(q, n.b)
		}
		if q < 0 {
			if !left[n.depth] {
				i = n.skip
				continue
			}
			if n.token >= 0 {
				ids = append(ids, n.token)
			}
		}
		states[n.depth+1], left[n.depth+1] = q, left[n.depth] || q >= 0 && d.accepts[q]
		i++
	}
	sub := &trie{tokens: t.tokens}
	sub.add(ids) // in the order of their bytes
	return &lexMask{others: sub.nodes}
}

// plainChars looks at the plain text that can follow in state q: free characters whatever they are, and no more than
// reach. maxToken stands for no limit, as far as the first maxPlain characters tell.
func (d *dfa) plainChars(q int32) (free, reach int) {
	free = -1 // not known yet
	seen := map[int32]bool{q: true}
	level := []int32{q} // states after n characters
	for n := range maxPlain + 1 {
		fresh := false
		next := map[int32]bool{}
		for _, s := range level {
			all := d.plainSteps(s, func(to int32) {
				next[to] = true
				fresh = fresh || !seen[to]
				seen[to] = true
			})
			if !all && free < 0 {
				free = n
			}
		}
		switch {
		case len(next) == 0:
			return free, n
		case free < 0 && !fresh:
			return maxToken, maxToken // all states seen go on with any character
		case len(next) > 64:
			return max(free, 0), maxToken
		}
		level = level[:0]
		for s := range next {
			level = append(level, s)
		}
	}
	if free < 0 {
		free = maxPlain
	}
	return free, maxToken
}

// plainSteps calls yield with the states one character of plain text leads to, and reports whether all characters can
// follow.
func (d *dfa) plainSteps(q int32, yield func(int32)) bool {
	all, last := true, int32(-1)
	for b := byte(' '); b < 0x80; b++ {
		if b == '"' || b == '\\' {
			continue
		}
		to := d.step(q, b)
		if to < 0 {
			all = false
		} else if to != last {
			yield(to)
			last = to
		}
	}
	// The forms of UTF-8 with more bytes, see Unicode table 3-7.
	for _, form := range [][]byteRange{
		{{0xC2, 0xDF}, {0x80, 0xBF}},
		{{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}},
		{{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}},
		{{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}},
	} {
		all = d.formSteps(q, form, yield) && all
	}
	return all
}

func (d *dfa) formSteps(q int32, form []byteRange, yield func(int32)) bool {
	all, last := true, int32(-1)
	for c := int(form[0].lo); c <= int(form[0].hi); c++ {
		to := d.step(q, byte(c))
		if to < 0 {
			all = false
		} else if to != last {
			last = to
			if len(form) == 1 {
				yield(to)
			} else {
				all = d.formSteps(to, form[1:], yield) && all
			}
		}
	}
	return all
}

// countedMask computes the mask of the body of a JSON string together with what counting needs.
func (t *trie) countedMask(d *dfa, body int32, states []int32) *lexMask {
	l := &lexMask{mask: make([]uint32, maskWords(len(t.same))), need: make([]uint8, len(t.same))}
	for i := range l.need {
		l.need[i] = 255
	}
	counts := make([]int32, t.deep+1)
	states[0] = body
	for i := int32(0); i < t.whole; {
		n := &t.nodes[i]
		q := d.step(states[n.depth], n.b)
		if q < 0 {
			i = n.skip
			continue
		}
		chars := counts[n.depth]
		if d.accepts[q] {
			l.exits = append(l.exits, exit{i + 1, n.skip, chars, n.token})
			i = n.skip
			continue
		}
		begun := chars + 1
		if q == body {
			chars++
		}
		for tok := n.token; tok >= 0; tok = t.same[tok] {
			l.need[tok] = uint8(min(begun, 255))
			l.mask[tok>>5] |= 1 << (tok & 31)
		}
		states[n.depth+1], counts[n.depth+1] = q, chars
		i++
	}
	return l
}

// atMost returns the mask of the tokens that begin at most left characters.
func (l *lexMask) atMost(left int32) []uint32 {
	mask := make([]uint32, len(l.mask))
	for i, n := range l.need {
		if n != 255 && int32(n) <= left {
			mask[i>>5] |= 1 << (i & 31)
		}
	}
	return mask
}
