package grammar

import (
	"cmp"
	"slices"
)

// An nfa is an automaton over bytes as Thompson's construction makes it: states with byte edges, and empty moves.
type nfa struct {
	states []nfaState
	start  int32
	accept int32
}

type nfaState struct {
	edges  []nfaEdge
	empty  []int32
	assert exprOp // exprBegin, exprEnd: the empty moves are for that place of the text only
}

type nfaEdge struct {
	lo, hi byte
	to     int32
}

// nfaBuilder compiles an expression from its end to its begin: every part is built with the state that follows it.
type nfaBuilder struct {
	nfa
	enc       encoding
	budget    *budget
	rules     []*expr // what exprRule refers to
	classes   map[*expr]*classPlan
	asserting bool
}

// buildNFA compiles an expression; rules are what its references mean, which must not lead back to themselves.
func buildNFA(e *expr, enc encoding, rules []*expr, b *budget) (*nfa, error) {
	c := &nfaBuilder{enc: enc, budget: b, rules: rules, classes: map[*expr]*classPlan{}}
	var err error
	if c.accept, err = c.state(nfaState{}); err != nil {
		return nil, err
	}
	if c.start, err = c.compile(e, c.accept); err != nil {
		return nil, err
	}
	if c.asserting {
		return c.withoutAssertions()
	}
	return &c.nfa, nil
}

func (c *nfaBuilder) state(s nfaState) (int32, error) {
	if len(c.states) >= 40*c.budget.States {
		return 0, overLimit("regular expression is too large: more than %d positions", 40*c.budget.States)
	}
	c.states = append(c.states, s)
	return int32(len(c.states) - 1), c.budget.work(4 + len(s.edges) + len(s.empty))
}

func (c *nfaBuilder) compile(e *expr, next int32) (int32, error) {
	var err error
	switch e.op {
	case exprNone:
		return c.state(nfaState{})
	case exprText:
		b := c.enc.appendText(nil, e.text)
		for i := len(b) - 1; i >= 0 && err == nil; i-- {
			next, err = c.state(nfaState{edges: []nfaEdge{{b[i], b[i], next}}})
		}
		return next, err
	case exprClass:
		return c.class(e, next)
	case exprCat:
		for i := len(e.subs) - 1; i >= 0 && err == nil; i-- {
			next, err = c.compile(e.subs[i], next)
		}
		return next, err
	case exprAlt:
		starts := make([]int32, len(e.subs))
		for i, s := range e.subs {
			if starts[i], err = c.compile(s, next); err != nil {
				return 0, err
			}
		}
		return c.state(nfaState{empty: starts})
	case exprRepeat:
		return c.repeat(e, next)
	case exprRule:
		return c.compile(c.rules[e.min], next)
	case exprBegin, exprEnd:
		c.asserting = true
		return c.state(nfaState{empty: []int32{next}, assert: e.op})
	}
	return next, nil // exprEmpty
}

func (c *nfaBuilder) repeat(e *expr, next int32) (int32, error) {
	p := next
	if e.max < 0 {
		loop, err := c.state(nfaState{})
		if err != nil {
			return 0, err
		}
		body, err := c.compile(e.subs[0], loop)
		if err != nil {
			return 0, err
		}
		c.states[loop].empty = []int32{body, next}
		p = loop
	}
	for range e.max - e.min {
		body, err := c.compile(e.subs[0], p)
		if err == nil {
			p, err = c.state(nfaState{empty: []int32{body, next}})
		}
		if err != nil {
			return 0, err
		}
	}
	for range e.min {
		var err error
		if p, err = c.compile(e.subs[0], p); err != nil {
			return 0, err
		}
	}
	return p, nil
}

// A classPlan holds the states of one character of a class, targets before what leads to them. Equal rests of byte
// sequences are one state: a class such as \p{L} has thousands of sequences but few different rests.
type classPlan struct {
	nodes [][]nfaEdge // to is an index into nodes, or -1 for what follows the character
	known map[string]int32
}

func (c *nfaBuilder) class(e *expr, next int32) (int32, error) {
	plan := c.classes[e]
	if plan == nil {
		var seqs [][]byteRange
		c.enc.sequences(e.set, func(s []byteRange) { seqs = append(seqs, s) })
		if err := c.budget.work(16 * len(seqs)); err != nil {
			return 0, err
		}
		slices.SortStableFunc(seqs, func(a, b []byteRange) int { return cmp.Compare(a[0].lo, b[0].lo) })
		plan = &classPlan{known: map[string]int32{}}
		plan.add(seqs, 0)
		c.classes[e] = plan
	}
	base := int32(len(c.states))
	at := base
	for _, edges := range plan.nodes {
		shifted := make([]nfaEdge, len(edges))
		for i, d := range edges {
			shifted[i] = nfaEdge{d.lo, d.hi, base + d.to}
			if d.to < 0 {
				shifted[i].to = next
			}
		}
		var err error
		if at, err = c.state(nfaState{edges: shifted}); err != nil {
			return 0, err
		}
	}
	return at, nil
}

// add returns the node for the rests, from byte i on, of sequences that agree before it. Two of them have the same
// byte range there or ranges that don't touch, see utf8Sequences.
func (p *classPlan) add(seqs [][]byteRange, i int) int32 {
	var edges []nfaEdge
	for len(seqs) > 0 {
		r, n := seqs[0][i], 1
		for n < len(seqs) && seqs[n][i] == r {
			n++
		}
		to := int32(-1)
		if len(seqs[0]) > i+1 {
			to = p.add(seqs[:n], i+1)
		}
		if k := len(edges) - 1; k >= 0 && edges[k].to == to && edges[k].hi+1 == r.lo {
			edges[k].hi = r.hi
		} else {
			edges = append(edges, nfaEdge{r.lo, r.hi, to})
		}
		seqs = seqs[n:]
	}
	key := make([]byte, 0, 6*len(edges))
	for _, e := range edges {
		key = append(key, e.lo, e.hi, byte(e.to), byte(e.to>>8), byte(e.to>>16), byte(e.to>>24))
	}
	// The root must come last, so an equal inner node doesn't stand for it.
	if n, ok := p.known[string(key)]; ok && i > 0 {
		return n
	}
	p.nodes = append(p.nodes, edges)
	n := int32(len(p.nodes) - 1)
	p.known[string(key)] = n
	return n
}

// withoutAssertions returns an equivalent automaton without ^ and $: its states remember whether anything was read
// (only before that is ^ true) and whether $ was passed (after that nothing may be read).
func (c *nfaBuilder) withoutAssertions() (*nfa, error) {
	const read, ended = 1, 2
	out := &nfaBuilder{budget: c.budget}
	ids := map[[2]int32]int32{}
	var queue [][2]int32
	var err error
	id := func(s, flags int32) int32 {
		key := [2]int32{s, flags}
		n, ok := ids[key]
		if !ok && err == nil {
			n, err = out.state(nfaState{})
			ids[key] = n
			queue = append(queue, key)
		}
		return n
	}
	if out.accept, err = out.state(nfaState{}); err != nil {
		return nil, err
	}
	out.start = id(c.start, 0)
	for len(queue) > 0 && err == nil {
		key := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		s, flags := c.states[key[0]], key[1]
		var to nfaState
		if key[0] == c.accept {
			to.empty = append(to.empty, out.accept)
		}
		moved := flags
		if s.assert == exprEnd {
			moved |= ended
		}
		if s.assert != exprBegin || flags&read == 0 {
			for _, e := range s.empty {
				to.empty = append(to.empty, id(e, moved))
			}
		}
		if flags&ended == 0 {
			for _, e := range s.edges {
				to.edges = append(to.edges, nfaEdge{e.lo, e.hi, id(e.to, read)})
			}
		}
		out.states[ids[key]] = to
	}
	return &out.nfa, err
}
