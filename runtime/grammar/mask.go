package grammar

// maskKey names a mask in the cache: of a configuration of an arena (lexKey zero), or of a state of an automaton.
type maskKey struct {
	arena  uint64
	config int32
	lexKey
}

// A masker computes masks over one vocabulary. It has scratch space, so it is for one call at a time.
type masker struct {
	trie   *trie
	cache  *cache[maskKey, *lexMask]
	states []int32   // (longest token + 1)
	levels []itemSet // (longest token + 1) states of the parse along a path of the trie
	live   []byteSet // (longest token + 1)
	thin   []item
}

func newMasker(t *trie, cacheBytes int) *masker {
	return &masker{
		trie:   t,
		cache:  newCache[maskKey, *lexMask](cacheBytes),
		states: make([]int32, t.deep+1),
		levels: make([]itemSet, t.deep+1),
		live:   make([]byteSet, t.deep+1),
	}
}

// fill sets dst to the tokens that can follow in a configuration, the ends of the answer aside.
func (m *masker) fill(a *arena, c int32, dst []uint32) {
	key := maskKey{arena: a.id, config: c}
	if l, ok := m.cache.get(key); ok {
		copy(dst, l.mask)
		return
	}
	clear(dst)
	keep := true
	m.thin = m.thin[:0]
	for _, it := range a.itemsOf(c) {
		t := &a.p.terms[it.term]
		switch {
		case t.counted && it.state == t.body:
			m.counted(a, t, it, dst)
			keep = false // each count is a configuration of its own; its parts are cached
		case !t.counted && t.dfa.live[it.state].count() >= fatBytes:
			l := m.lex(t.dfa, it.state)
			or(dst, l.mask)
			switch a.expand(it.frame); {
			case a.frames[it.frame].firstItem == a.frames[it.frame].lastItem: // nothing can follow the terminal
			case l.nested:
				m.start(a, it)
				m.walk(a, m.others(t.dfa, it.state).others, 0, dst)
			default:
				m.leave(a, it.frame, l.exits, dst, nil)
			}
		default:
			m.thin = append(m.thin, it)
		}
	}
	if len(m.thin) > 0 {
		m.start(a, m.thin...)
		m.walk(a, m.trie.nodes[:m.trie.whole], 0, dst)
	}
	if keep && a.work >= 0 {
		l := &lexMask{mask: append([]uint32(nil), dst...)}
		m.cache.put(key, l, l.size())
	}
}

func or(dst, src []uint32) {
	for i, w := range src {
		dst[i] |= w
	}
}

// lex returns the lexMask of a state, from the cache if it is there.
func (m *masker) lex(d *dfa, q int32) *lexMask {
	key := maskKey{lexKey: lexKey{d.id, q, lexPlain}}
	l, ok := m.cache.get(key)
	if !ok {
		l = m.trie.lexMask(d, q, m.states)
		m.cache.put(key, l, l.size())
	}
	return l
}

// others returns the othersMask of a state.
func (m *masker) others(d *dfa, q int32) *lexMask {
	key := maskKey{lexKey: lexKey{d.id, q, lexOthers}}
	l, ok := m.cache.get(key)
	if !ok {
		l = m.trie.othersMask(d, q)
		m.cache.put(key, l, l.size())
	}
	return l
}

// counted adds the tokens that can follow in the body of a counted string.
func (m *masker) counted(a *arena, t *terminal, it item, dst []uint32) {
	base := m.body(t.dfa, t.body)
	left := int32(255)
	if t.max >= 0 {
		left = min(t.max-it.count, 255)
	}
	if left == 255 {
		or(dst, base.mask)
	} else if left > 0 {
		key := maskKey{lexKey: lexKey{t.dfa.id, t.body, left}}
		l, ok := m.cache.get(key)
		if !ok {
			l = &lexMask{mask: base.atMost(left)}
			m.cache.put(key, l, l.size())
		}
		or(dst, l.mask)
	}
	m.leave(a, it.frame, base.exits, dst, func(chars int32) bool {
		return it.count+chars >= t.min && (t.max < 0 || it.count+chars <= t.max)
	})
}

// body returns the countedMask of a string's body.
func (m *masker) body(d *dfa, body int32) *lexMask {
	key := maskKey{lexKey: lexKey{d.id, body, 255}}
	l, ok := m.cache.get(key)
	if !ok {
		l = m.trie.countedMask(d, body, m.states)
		m.cache.put(key, l, l.size())
	}
	return l
}

// leave adds the tokens that complete a terminal and go on with what its frame allows. may, if there is one, says
// whether the terminal may end after a number of characters.
func (m *masker) leave(a *arena, f int32, exits []exit, dst []uint32, may func(chars int32) bool) {
	a.expand(f)
	fr := &a.frames[f]
	m.start(a, a.items[fr.firstItem:fr.lastItem]...)
	for _, e := range exits {
		if may != nil {
			if !may(e.chars) {
				continue
			}
			m.trie.allow(dst, e.token)
		}
		m.walk(a, m.trie.nodes[e.first:e.last], e.first, dst)
	}
}

// start sets the state at the root of the next walks.
func (m *masker) start(a *arena, items ...item) {
	m.levels[0].items = append(m.levels[0].items[:0], items...)
	m.live[0] = a.live(items)
}

// walk adds the tokens of a subtree that can be read from the state of start. The nodes are those of a trie from
// index base on.
func (m *masker) walk(a *arena, nodes []trieNode, base int32, dst []uint32) {
	if len(nodes) == 0 {
		return
	}
	top := nodes[0].depth
	for i := 0; i < len(nodes); {
		n := &nodes[i]
		level := n.depth - top
		if !m.live[level].has(n.b) {
			i = int(n.skip - base)
			continue
		}
		next := &m.levels[level+1]
		a.step(m.levels[level].items, n.b, next)
		if a.work < 0 {
			return
		}
		if n.token >= 0 {
			m.trie.allow(dst, n.token)
		}
		if i++; i < int(n.skip-base) {
			m.live[level+1] = a.live(next.items)
		}
	}
}
