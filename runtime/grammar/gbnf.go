package grammar

import (
	"errors"
	"strconv"
)

// Parts of a GBNF grammar that are regular become one terminal as long as their automaton is small: the larger
// terminals are, the less depends on what is behind them.
const (
	regularSize   = 4000 // characters of an expression, written out, that is tried
	regularStates = 2000
	regularTries  = 8 // that may fail; then only small expressions are tried
	smallSize     = 100
)

// lowering turns a grammar into rules.
type lowering struct {
	*gbnfGrammar
	b         *builder
	enc       encoding
	recursive []bool // by rule: leads back to itself
	sizes     []int  // by rule: written out, 0 if not known yet
	rules     []int32
	terms     map[*expr]int32
	failures  int
}

// gbnf builds the rules of a grammar and returns the start of the root.
func (b *builder) gbnf(src string) (int32, error) {
	g, err := parseGBNF(src, b.budget)
	if err != nil {
		return 0, err
	}
	l := newLowering(g, b, plain)
	if err := l.findRecursive(); err != nil {
		return 0, err
	}
	for _, name := range g.names {
		r, err := b.rule(name)
		if err != nil {
			return 0, err
		}
		l.rules = append(l.rules, r)
	}
	for i, body := range g.bodies {
		if b.rules[l.rules[i]].start, err = l.lower(body, endOfRule); err != nil {
			return 0, err
		}
	}
	return b.call(l.rules[g.ids["root"]], endOfRule)
}

func newLowering(g *gbnfGrammar, b *builder, enc encoding) *lowering {
	return &lowering{gbnfGrammar: g, b: b, enc: enc, sizes: make([]int, len(g.names)), terms: map[*expr]int32{}}
}

// references calls yield with the rules an expression refers to.
func references(e *expr, yield func(int)) {
	if e.op == exprRule {
		yield(e.min)
	}
	for _, s := range e.subs {
		references(s, yield)
	}
}

// findRecursive finds the rules that can come back to themselves: those of a strongly connected component (Tarjan).
func (l *lowering) findRecursive() error {
	n := len(l.names)
	l.recursive = make([]bool, n)
	index, low := make([]int, n), make([]int, n)
	onStack := make([]bool, n)
	var stack []int
	count := 0
	var visit func(r int) error
	visit = func(r int) error {
		count++
		index[r], low[r] = count, count
		stack = append(stack, r)
		onStack[r] = true
		var err error
		references(l.bodies[r], func(to int) {
			if err == nil {
				err = l.b.budget.work(8)
			}
			switch {
			case err != nil:
			case to == r:
				l.recursive[r] = true
			case index[to] == 0:
				err = visit(to)
				low[r] = min(low[r], low[to])
			case onStack[to]:
				low[r] = min(low[r], index[to])
			}
		})
		if err != nil || low[r] != index[r] {
			return err
		}
		for alone := true; ; alone = false {
			top := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			onStack[top] = false
			if top == r {
				l.recursive[r] = l.recursive[r] || !alone
				return nil
			}
			l.recursive[top] = true
		}
	}
	for r := range n {
		if index[r] == 0 {
			if err := visit(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// size returns the characters of an expression written out, at most regularSize+1, which recursive ones have too.
func (l *lowering) size(e *expr) int {
	n := 0
	switch e.op {
	case exprText:
		n = len(e.text)
	case exprClass:
		n = 1 + len(e.set)/2
	case exprRule:
		if l.recursive[e.min] {
			return regularSize + 1
		}
		if l.sizes[e.min] == 0 {
			l.sizes[e.min] = 1 + l.size(l.bodies[e.min])
		}
		n = l.sizes[e.min]
	}
	for _, s := range e.subs {
		n = min(n+l.size(s), regularSize+1)
	}
	if e.op == exprRepeat {
		n *= max(1, e.min, e.max)
	}
	return min(n, regularSize+1)
}

// regular returns the terminal for an expression, ok false if it is not regular or too large for one.
func (l *lowering) regular(e *expr) (term int32, ok bool, err error) {
	if t, ok := l.terms[e]; ok {
		return t, t >= 0, nil
	}
	most := regularSize
	if l.failures >= regularTries {
		most = smallSize
	}
	if l.size(e) > most {
		return 0, false, nil
	}
	var tooLarge error
	// The key is new: equal expressions are not looked for.
	t, err := l.b.terminal("regular:"+strconv.Itoa(len(l.b.terms))+":"+strconv.Itoa(len(l.terms)), func() (terminal, error) {
		n, err := buildNFA(e, l.enc, l.bodies, l.b.budget)
		if err != nil {
			return terminal{}, err
		}
		d, err := determinise(n, l.b.alphabet, regularStates, l.b.budget)
		tooLarge = err
		return terminal{dfa: d}, err
	})
	if err != nil {
		if tooLarge == nil || !errors.Is(err, ErrLimit) || l.b.budget.work(0) != nil {
			return 0, false, err
		}
		l.failures++
		t = -1
	}
	l.terms[e] = t
	return t, t >= 0, nil
}

// lower builds an expression in front of the position next.
func (l *lowering) lower(e *expr, next int32) (int32, error) {
	if err := l.b.budget.work(16); err != nil {
		return 0, err
	}
	if t, ok, err := l.regular(e); err != nil {
		return 0, err
	} else if ok {
		return l.b.read(t, next)
	}
	switch e.op {
	case exprText:
		return l.b.readText(string(l.enc.appendText(nil, e.text)), next)
	case exprRule:
		return l.b.call(l.rules[e.min], next)
	case exprRepeat:
		body, err := l.b.rule("repetition")
		if err != nil {
			return 0, err
		}
		if l.b.rules[body].start, err = l.lower(e.subs[0], endOfRule); err != nil {
			return 0, err
		}
		return l.b.loop(body, e.min, e.max, next)
	case exprCat:
		return l.sequence(e.subs, next)
	case exprAlt:
		return l.choice(e.subs, next)
	}
	if e.op == exprEmpty {
		return next, nil
	}
	t, err := l.b.terminal("class:"+strconv.Itoa(int(l.enc))+string(e.set), func() (terminal, error) {
		d, err := l.b.dfa(e, l.enc)
		return terminal{dfa: d}, err
	})
	if err != nil {
		return 0, err
	}
	return l.b.read(t, next)
}

// sequence builds parts one after the other, neighbours that are regular as one terminal.
func (l *lowering) sequence(subs []*expr, next int32) (int32, error) {
	var err error
	for end := len(subs); end > 0 && err == nil; {
		start := end - 1
		size := l.size(subs[start])
		for start > 0 && size <= regularSize {
			if size += l.size(subs[start-1]); size > regularSize {
				break
			}
			start--
		}
		if start == 0 && end == len(subs) { // the whole was tried already
			start = end - 1
		}
		if part := subs[start:end]; len(part) == 1 {
			next, err = l.lower(part[0], next)
		} else {
			next, err = l.lower(cat(part...), next)
		}
		end = start
	}
	return next, err
}

// choice builds alternatives, those that are regular as one terminal.
func (l *lowering) choice(subs []*expr, next int32) (int32, error) {
	var starts []int32
	small, size := alt(), 0
	rest := subs
	if len(subs) > 1 {
		rest = nil
		for _, s := range subs {
			if n := l.size(s); size+n <= regularSize/4 {
				size += n
				small.subs = append(small.subs, s)
			} else {
				rest = append(rest, s)
			}
		}
		if len(rest) == 0 {
			small, rest = alt(), subs // tried already
		}
	}
	if len(small.subs) > 0 {
		p, err := l.lower(small, next)
		if err != nil {
			return 0, err
		}
		starts = append(starts, p)
	}
	for _, s := range rest {
		p, err := l.lower(s, next)
		if err != nil {
			return 0, err
		}
		starts = append(starts, p)
	}
	return l.b.alt(starts...)
}
