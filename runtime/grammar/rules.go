package grammar

import "fmt"

// A program is a compiled grammar: a recursive transition network. Each rule is a graph of positions, and what it
// reads are terminals, automata over bytes. It does not change after finish.
type program struct {
	positions []position // position 0 is the end of every rule
	rules     []rule     // rule 0 is the root
	terms     []terminal
	stack     int32 // how deep rules may nest in an answer
}

type ruleOp uint8

const (
	ruleEnd  ruleOp = iota // back to where the rule was called
	ruleTerm               // read terms[arg], then go to next
	ruleCall               // run rules[arg], then go to next
	ruleAlt                // go to one of alts
	ruleLoop               // run rules[arg] min to max times, then go to next
)

type position struct {
	op       ruleOp
	arg      int32
	next     int32 // always a lower number, as are those of alts
	alts     []int32
	min, max int32 // max < 0 is no limit

	empty bool  // the end of the rule can be reached without reading
	need  int32 // rules that nest, at the least, on the way to the end
}

const (
	endOfRule = 0
	never     = 1 << 30 // need of what can't be completed at all
)

type rule struct {
	name  string
	start int32
	order int32 // a rule comes after those that can call it before they have read anything
	empty bool
	need  int32
}

// A terminal is what one position reads.
type terminal struct {
	dfa *dfa
	// A counted terminal is a JSON string of min to max characters (max < 0: no limit). Counting beside the automaton
	// keeps that small: body is the state between two characters.
	counted  bool
	body     int32
	min, max int32
}

// A builder makes a program. Positions are made from the end of a rule to its start.
type builder struct {
	program
	budget   *budget
	alphabet *byteSet
	known    map[string]int32 // terminals by what they are made from
	standard map[string]*dfa  // automata that all grammars share, by regular expression
	proses   map[string]*dfa  // likewise those of free text, by what they leave out
	made     []prose          // that were missing there

	plainJSON [2]*jsonRules // with white space, compact; nil until used
}

func newBuilder(alphabet *byteSet, b *budget) *builder {
	p := &builder{budget: b, alphabet: alphabet, known: map[string]int32{}}
	p.stack = int32(b.Stack)
	p.positions = []position{{op: ruleEnd}}
	p.rules = []rule{{name: "root"}}
	return p
}

func (b *builder) add(p position) (int32, error) {
	if len(b.positions) >= b.budget.Rules {
		return 0, overLimit("compiles to more than %d positions", b.budget.Rules)
	}
	b.positions = append(b.positions, p)
	return int32(len(b.positions) - 1), b.budget.keep(64 + 4*len(p.alts))
}

func (b *builder) read(term, next int32) (int32, error) {
	if d := b.terms[term].dfa; d.states() == 1 && d.accepts[0] && d.ends(0) {
		return next, nil // nothing to read
	}
	return b.add(position{op: ruleTerm, arg: term, next: next})
}

func (b *builder) call(rule, next int32) (int32, error) {
	return b.add(position{op: ruleCall, arg: rule, next: next})
}

func (b *builder) alt(alts ...int32) (int32, error) {
	if len(alts) == 1 {
		return alts[0], nil
	}
	return b.add(position{op: ruleAlt, alts: alts})
}

func (b *builder) loop(rule int32, lo, hi int, next int32) (int32, error) {
	return b.add(position{op: ruleLoop, arg: rule, min: int32(lo), max: int32(hi), next: next})
}

// rule makes a rule that is defined later.
func (b *builder) rule(name string) (int32, error) {
	b.rules = append(b.rules, rule{name: name, start: -1})
	return int32(len(b.rules) - 1), b.budget.keep(64 + len(name))
}

// terminal returns the terminal known by key, made by build at the first time.
func (b *builder) terminal(key string, build func() (terminal, error)) (int32, error) {
	if t, ok := b.known[key]; ok {
		return t, nil
	}
	t, err := build()
	if err != nil {
		return 0, err
	}
	id := int32(len(b.terms))
	b.terms = append(b.terms, t)
	b.known[key] = id
	return id, b.budget.keep(64 + len(key))
}

// expr returns the terminal for an expression whose key is unique to it.
func (b *builder) expr(key string, e *expr) (int32, error) {
	return b.terminal(key, func() (terminal, error) {
		d, err := b.dfa(e, plain)
		return terminal{dfa: d}, err
	})
}

func (b *builder) dfa(e *expr, enc encoding) (*dfa, error) {
	n, err := buildNFA(e, enc, nil, b.budget)
	if err != nil {
		return nil, err
	}
	return determinise(n, b.alphabet, b.budget.States, b.budget)
}

// readText reads one fixed text.
func (b *builder) readText(s string, next int32) (int32, error) {
	t, err := b.expr("text:"+s, text(s))
	if err != nil {
		return 0, err
	}
	return b.read(t, next)
}

// finish derives what the runtime needs to know and checks that an answer is possible and that no rule can call
// itself without reading.
func (b *builder) finish() (*program, error) {
	if err := b.findEmpty(); err != nil {
		return nil, err
	}
	if err := b.findOrder(); err != nil {
		return nil, err
	}
	if err := b.findNeed(); err != nil {
		return nil, err
	}
	switch need := b.rules[0].need; {
	case need >= never:
		return nil, unsatisfiable("no text of finite length meets the constraint")
	case need > b.stack:
		return nil, overLimit("needs %d nested rules, at most %d", need, b.stack)
	}
	return &b.program, nil
}

// findEmpty finds what can be passed without reading: rounds over all positions until nothing changes.
func (b *builder) findEmpty() error {
	for changed := true; changed; {
		if err := b.budget.work(len(b.positions)); err != nil {
			return err
		}
		for i := range b.positions {
			p := &b.positions[i]
			switch p.op {
			case ruleEnd:
				p.empty = true
			case ruleTerm:
				d := b.terms[p.arg].dfa
				p.empty = d.states() > 0 && d.accepts[0] && b.positions[p.next].empty
			case ruleCall:
				p.empty = b.rules[p.arg].empty && b.positions[p.next].empty
			case ruleLoop:
				p.empty = (p.min == 0 || b.rules[p.arg].empty) && b.positions[p.next].empty
			case ruleAlt:
				for _, a := range p.alts {
					p.empty = p.empty || b.positions[a].empty
				}
			}
		}
		changed = false
		for i := range b.rules {
			r := &b.rules[i]
			if empty := b.positions[r.start].empty; empty != r.empty {
				r.empty, changed = empty, true
			}
		}
	}
	return nil
}

// findNeed finds the least nesting that completes each position, in rounds like findEmpty.
func (b *builder) findNeed() error {
	for i := range b.rules {
		b.rules[i].need = never
	}
	for changed := true; changed; {
		if err := b.budget.work(len(b.positions)); err != nil {
			return err
		}
		for i := range b.positions {
			p := &b.positions[i]
			next := b.positions[p.next].need
			switch p.op {
			case ruleEnd:
				p.need = 0
			case ruleTerm:
				if p.need = next; b.terms[p.arg].dfa.states() == 0 {
					p.need = never
				}
			case ruleCall, ruleLoop:
				p.need = next
				if !b.rules[p.arg].empty && (p.op == ruleCall || p.min > 0) {
					p.need = min(max(next, 1+b.rules[p.arg].need), never)
				}
			case ruleAlt:
				p.need = never
				for _, a := range p.alts {
					p.need = min(p.need, b.positions[a].need)
				}
			}
		}
		changed = false
		for i := range b.rules {
			r := &b.rules[i]
			if need := b.positions[r.start].need; need != r.need {
				r.need, changed = need, true
			}
		}
	}
	return nil
}

// findOrder numbers the rules such that each comes after those that can call it at their begin. Where that is
// impossible a rule is left-recursive: the stack would grow without end before anything is read.
func (b *builder) findOrder() error {
	const unseen, open, done = 0, 1, 2
	state := make([]uint8, len(b.rules))
	number := int32(len(b.rules))
	var visit func(r int32) error
	visit = func(r int32) error {
		state[r] = open
		seen := map[int32]bool{}
		todo := []int32{b.rules[r].start}
		for len(todo) > 0 {
			i := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if seen[i] {
				continue
			}
			seen[i] = true
			p := &b.positions[i]
			if err := b.budget.work(8 + len(p.alts)); err != nil {
				return err
			}
			todo = append(todo, p.alts...)
			pass := false
			switch p.op {
			case ruleTerm:
				d := b.terms[p.arg].dfa
				pass = d.states() > 0 && d.accepts[0]
			case ruleCall, ruleLoop:
				pass = b.rules[p.arg].empty || p.op == ruleLoop && p.min == 0
				switch state[p.arg] {
				case unseen:
					if err := visit(p.arg); err != nil {
						return err
					}
				case open:
					return &Error{
						Msg: fmt.Sprintf("rule %s is left-recursive: it can come back to itself before it has read anything", quote(b.rules[p.arg].name)),
						Err: ErrUnsupported,
					}
				}
			}
			if pass {
				todo = append(todo, p.next)
			}
		}
		state[r] = done
		number--
		b.rules[r].order = number
		return nil
	}
	// Rules that an answer can't come to may be as they like.
	for _, r := range b.reachable() {
		if state[r] == unseen {
			if err := visit(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// reachable returns the rules that an answer can come to.
func (b *builder) reachable() []int32 {
	rules, todo := []int32{0}, []int32{b.rules[0].start}
	seenRule, seen := map[int32]bool{0: true}, map[int32]bool{}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[i] {
			continue
		}
		seen[i] = true
		p := &b.positions[i]
		todo = append(append(todo, p.next), p.alts...)
		if (p.op == ruleCall || p.op == ruleLoop) && !seenRule[p.arg] {
			seenRule[p.arg] = true
			rules = append(rules, p.arg)
			todo = append(todo, b.rules[p.arg].start)
		}
	}
	return rules
}

// size returns the bytes a program takes, about.
func (p *program) size() int {
	n := 48*len(p.rules) + 64*len(p.positions)
	for _, r := range p.rules {
		n += len(r.name)
	}
	for i := range p.positions {
		n += 4 * len(p.positions[i].alts)
	}
	seen := map[*dfa]bool{}
	for _, t := range p.terms {
		if !seen[t.dfa] {
			seen[t.dfa] = true
			n += t.dfa.size()
		}
	}
	return n + 64*len(p.terms)
}
