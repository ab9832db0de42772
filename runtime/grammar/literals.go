package grammar

import (
	"slices"
	"strings"
)

// literals returns the terminal that reads one of some texts.
func (b *builder) literals(texts []string) (int32, error) {
	texts = slices.Clone(texts)
	slices.Sort(texts)
	texts = slices.Compact(texts)
	var key strings.Builder
	key.WriteString("literals")
	for _, s := range texts {
		key.WriteByte(0xFF) // in no text
		key.WriteString(s)
	}
	return b.terminal(key.String(), func() (terminal, error) {
		d, err := literalDFA(texts, b.alphabet, b.budget)
		return terminal{dfa: d}, err
	})
}

// literalDFA builds the automaton of a sorted list of texts, a tree. What bounds its states is the memory they take, not
// the limit for regular expressions: there are no more of them than bytes in texts. Texts that alphabet can't spell are
// left out.
func literalDFA(texts []string, alphabet *byteSet, b *budget) (*dfa, error) {
	var used byteSet
	for _, s := range texts {
		for i := range len(s) {
			used.add(s[i])
		}
	}
	d := &dfa{width: 1} // class 0: the bytes that can't be read at all
	for i := range 256 {
		if used.has(byte(i)) && alphabet.has(byte(i)) { // UTF-8 uses fewer than 255 of them
			d.classes[i] = uint8(d.width)
			d.width++
		}
	}
	state := func() (int32, error) {
		for range d.width {
			d.next = append(d.next, -1)
		}
		d.accepts = append(d.accepts, false)
		return int32(len(d.accepts) - 1), b.keep(4*d.width + 1)
	}
	if _, err := state(); err != nil {
		return nil, err
	}
next:
	for _, s := range texts {
		for i := range len(s) {
			if !alphabet.has(s[i]) {
				continue next
			}
		}
		q := int32(0)
		for i := range len(s) {
			at := int(q)*d.width + int(d.classes[s[i]])
			if q = d.next[at]; q < 0 {
				var err error
				if q, err = state(); err != nil {
					return nil, err
				}
				d.next[at] = q
			}
		}
		d.accepts[q] = true
	}
	return d.trim(b)
}
