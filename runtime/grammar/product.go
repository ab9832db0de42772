package grammar

// products runs two automata side by side.
type products struct {
	a, b   *dfa
	minus  bool
	dfa    *dfa
	budget *budget
	ids    map[[2]int32]int32
	pairs  [][2]int32
}

// intersect returns the automaton for the texts that both a and b accept.
func intersect(a, b *dfa, bud *budget) (*dfa, error) {
	return (&products{a: a, b: b, budget: bud}).run()
}

// subtract returns the automaton for the texts that a accepts and b does not.
func subtract(a, b *dfa, bud *budget) (*dfa, error) {
	return (&products{a: a, b: b, minus: true, budget: bud}).run()
}

func (p *products) run() (*dfa, error) {
	p.dfa, p.ids = &dfa{}, map[[2]int32]int32{}
	if p.a.states() == 0 || p.b.states() == 0 && !p.minus {
		return p.dfa, nil
	}
	if p.b.states() == 0 {
		return p.a, nil
	}
	classes := map[[2]uint8]uint8{}
	var sample []byte
	for i := range 256 {
		key := [2]uint8{p.a.classes[i], p.b.classes[i]}
		c, ok := classes[key]
		if !ok {
			c = uint8(len(sample))
			classes[key] = c
			sample = append(sample, byte(i))
		}
		p.dfa.classes[i] = c
	}
	p.dfa.width = len(sample)
	if _, err := p.state([2]int32{}); err != nil {
		return nil, err
	}
	for i := 0; i < len(p.pairs); i++ {
		at := p.pairs[i]
		for _, b := range sample {
			to := [2]int32{p.a.step(at[0], b), -1}
			if at[1] >= 0 {
				to[1] = p.b.step(at[1], b)
			}
			next := int32(-1)
			if to[0] >= 0 && (to[1] >= 0 || p.minus) {
				var err error
				if next, err = p.state(to); err != nil {
					return nil, err
				}
			}
			p.dfa.next = append(p.dfa.next, next)
		}
	}
	return p.dfa.trim(p.budget)
}

func (p *products) state(pair [2]int32) (int32, error) {
	if id, ok := p.ids[pair]; ok {
		return id, nil
	}
	if len(p.pairs) >= p.budget.States {
		return 0, overLimit("needs an automaton of more than %d states", p.budget.States)
	}
	id := int32(len(p.pairs))
	p.ids[pair] = id
	p.pairs = append(p.pairs, pair)
	inB := pair[1] >= 0 && p.b.accepts[pair[1]]
	p.dfa.accepts = append(p.dfa.accepts, p.a.accepts[pair[0]] && inB != p.minus)
	return id, p.budget.work(8 + p.dfa.width)
}

// enclose returns the automaton for a quote, what d accepts and a quote. Where d accepts it doesn't read a quote itself:
// inside a string one has a backslash in front.
func enclose(d *dfa, alphabet *byteSet, b *budget) (*dfa, error) {
	const mark = '"'
	if d.states() == 0 || !alphabet.has(mark) {
		return &dfa{}, nil
	}
	out := &dfa{classes: d.classes, width: d.width + 1}
	out.classes[mark] = uint8(d.width)
	if d.width > 255 { // every byte has a class of its own already
		out.classes[mark], out.width = d.classes[mark], d.width
	}
	last := int32(d.states() + 1)
	row := func() []int32 {
		start := len(out.next)
		for range out.width {
			out.next = append(out.next, -1)
		}
		return out.next[start:]
	}
	row()[out.classes[mark]] = 1
	for q := range d.states() {
		r := row()
		for c, to := range d.next[q*d.width : (q+1)*d.width] {
			if to >= 0 {
				r[c] = to + 1
			}
		}
		if to := d.step(int32(q), mark); to >= 0 {
			r[out.classes[mark]] = to + 1
		} else if d.accepts[q] {
			r[out.classes[mark]] = last
		}
	}
	row()
	out.accepts = make([]bool, last+1)
	out.accepts[last] = true
	return out.trim(b)
}
