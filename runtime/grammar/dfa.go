package grammar

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// A byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *byteSet) remove(b byte)   { s[b>>6] &^= 1 << (b & 63) }
func (s *byteSet) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }
func (s *byteSet) or(o *byteSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *byteSet) count() int {
	return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) + bits.OnesCount64(s[2]) + bits.OnesCount64(s[3])
}

// first returns the least byte of a set that is not empty.
func (s *byteSet) first() byte {
	for i, w := range s {
		if w != 0 {
			return byte(64*i + bits.TrailingZeros64(w))
		}
	}
	return 0
}

// A dfa is a deterministic automaton over bytes. State 0 is the start, and an accepting state can be reached from
// every state; a dfa without states matches nothing. It does not change once it is built.
type dfa struct {
	id      uint64     // unique in the compiler
	classes [256]uint8 // bytes that no state tells apart have the same class
	width   int        // number of classes
	next    []int32    // (states, width); -1 where a byte can't follow
	accepts []bool     // (states)
	live    []byteSet  // (states) bytes that can follow
}

func (d *dfa) states() int { return len(d.accepts) }

// step returns the state after b, -1 if b can't follow.
func (d *dfa) step(q int32, b byte) int32 { return d.next[int(q)*d.width+int(d.classes[b])] }

// ends reports whether nothing can follow in state q.
func (d *dfa) ends(q int32) bool { return d.live[q] == byteSet{} }

// size returns the bytes d takes.
func (d *dfa) size() int { return 512 + d.states()*(4*d.width+33) }

// matches reports whether d accepts text.
func (d *dfa) matches(text string) bool {
	if d.states() == 0 {
		return false
	}
	q := int32(0)
	for i := range len(text) {
		if q = d.step(q, text[i]); q < 0 {
			return false
		}
	}
	return d.accepts[q]
}

// subsets runs the subset construction.
type subsets struct {
	n      *nfa
	dfa    *dfa
	most   int // states
	budget *budget
	ids    map[string]int32
	sets   [][]int32 // of NFA states that have edges or accept, by DFA state
	seen   []int32   // by NFA state: the round that last saw it
	round  int32
	stack  []int32
	key    []byte
}

// determinise builds the automaton, of at most so many states, that accepts what n does as far as it can be spelled
// with the bytes of alphabet.
func determinise(n *nfa, alphabet *byteSet, most int, b *budget) (*dfa, error) {
	s := &subsets{n: n, dfa: &dfa{}, most: most, budget: b, ids: map[string]int32{}, seen: make([]int32, len(n.states))}
	s.dfa.classes, s.dfa.width = nfaClasses(n, alphabet)
	var sample [256]byte // a byte of each class
	for i := 255; i >= 0; i-- {
		sample[s.dfa.classes[i]] = byte(i)
	}
	if _, err := s.state([]int32{n.start}); err != nil {
		return nil, err
	}
	targets := make([][]int32, s.dfa.width)
	for q := 0; q < len(s.sets); q++ {
		for i := range targets {
			targets[i] = targets[i][:0]
		}
		for _, m := range s.sets[q] {
			for _, e := range n.states[m].edges {
				for c := s.dfa.classes[e.lo]; ; c++ { // classes ascend with the bytes
					targets[c] = append(targets[c], e.to)
					if c == s.dfa.classes[e.hi] {
						break
					}
				}
			}
		}
		next, known := int32(-1), []int32(nil)
		for c, to := range targets {
			if !alphabet.has(sample[c]) {
				to = nil
			}
			// Neighbouring classes mostly lead to the same states.
			if !slices.Equal(to, known) {
				next, known = -1, to
				if len(to) > 0 {
					var err error
					if next, err = s.state(to); err != nil {
						return nil, err
					}
				}
			}
			s.dfa.next = append(s.dfa.next, next)
		}
	}
	return s.dfa.trim(b)
}

// nfaClasses splits the bytes where any edge or the alphabet begins or ends.
func nfaClasses(n *nfa, alphabet *byteSet) ([256]uint8, int) {
	var cut [257]bool
	for _, s := range n.states {
		for _, e := range s.edges {
			cut[e.lo], cut[int(e.hi)+1] = true, true
		}
	}
	var classes [256]uint8
	for i := 1; i < 256; i++ {
		classes[i] = classes[i-1]
		if cut[i] || alphabet.has(byte(i)) != alphabet.has(byte(i-1)) {
			classes[i]++
		}
	}
	return classes, int(classes[255]) + 1
}

// state returns the number of the DFA state for the closure of some NFA states.
func (s *subsets) state(from []int32) (int32, error) {
	s.round++
	var set []int32
	s.stack = append(s.stack[:0], from...)
	work := 8
	for len(s.stack) > 0 {
		m := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		if work++; s.seen[m] == s.round {
			continue
		}
		s.seen[m] = s.round
		st := &s.n.states[m]
		if len(st.edges) > 0 || m == s.n.accept {
			set = append(set, m)
			work += len(st.edges)
		}
		s.stack = append(s.stack, st.empty...)
	}
	if err := s.budget.work(work); err != nil {
		return 0, err
	}
	slices.Sort(set)
	s.key = s.key[:0]
	for _, m := range set {
		s.key = binary.LittleEndian.AppendUint32(s.key, uint32(m))
	}
	if id, ok := s.ids[string(s.key)]; ok {
		return id, nil
	}
	if len(s.sets) >= s.most {
		return 0, overLimit("regular expression needs an automaton of more than %d states", s.most)
	}
	id := int32(len(s.sets))
	s.ids[string(s.key)] = id
	s.sets = append(s.sets, set)
	s.dfa.accepts = append(s.dfa.accepts, slices.Contains(set, s.n.accept))
	return id, s.budget.work(len(set) + s.dfa.width)
}

// trim drops the states that no accepting state can be reached from and fills in what is derived from the others.
func (d *dfa) trim(b *budget) (*dfa, error) {
	n := d.states()
	if err := b.work(n * d.width / 4); err != nil {
		return nil, err
	}
	from := make([][]int32, n) // states that lead to one
	for q := range n {
		last := int32(-1)
		for _, to := range d.next[q*d.width : (q+1)*d.width] {
			if to >= 0 && to != last {
				from[to] = append(from[to], int32(q))
				last = to
			}
		}
	}
	useful := make([]bool, n)
	var stack []int32
	for q, ok := range d.accepts {
		if ok {
			useful[q] = true
			stack = append(stack, int32(q))
		}
	}
	for len(stack) > 0 {
		q := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, p := range from[q] {
			if !useful[p] {
				useful[p] = true
				stack = append(stack, p)
			}
		}
	}
	out := &dfa{classes: d.classes, width: d.width}
	if n == 0 || !useful[0] {
		return out, nil
	}
	number := make([]int32, n)
	kept := int32(0)
	for q := range n {
		number[q] = -1
		if useful[q] {
			number[q] = kept
			kept++
		}
	}
	if err := b.keep(512 + int(kept)*(4*d.width+33)); err != nil {
		return nil, err
	}
	for q := range n {
		if !useful[q] {
			continue
		}
		for _, to := range d.next[q*d.width : (q+1)*d.width] {
			if to >= 0 {
				to = number[to]
			}
			out.next = append(out.next, to)
		}
		out.accepts = append(out.accepts, d.accepts[q])
	}
	out.live = make([]byteSet, kept)
	for q := range out.live {
		row := out.next[q*d.width : (q+1)*d.width]
		for i := range 256 {
			if row[d.classes[i]] >= 0 {
				out.live[q].add(byte(i))
			}
		}
	}
	return out, nil
}
