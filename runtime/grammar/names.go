package grammar

import (
	"slices"
	"strconv"
	"strings"
)

// names are the names that propertyNames leaves to an object's properties.
type names struct {
	s      *schemas
	shapes []*shape // a name matches one of them
	from   all      // the schemas they come from; none: any name will do
	list   []string // where listed, all names there are
	listed bool
}

// namesOf reads the propertyNames of a shape. Names are strings, so what its schemas say of other types is nothing.
func (s *schemas) namesOf(sh *shape) (*names, error) {
	n := &names{s: s}
	if len(sh.names) == 0 {
		return n, nil
	}
	shapes, err := s.alternatives(sh.names)
	if err != nil {
		return nil, err
	}
	n.from, n.listed = sh.names, true
	for _, x := range shapes {
		switch {
		case x.types&typeString == 0:
			continue
		case !x.limited && x.touched&typeString == 0:
			return &names{s: s}, nil
		}
		n.shapes = append(n.shapes, x)
		n.listed = n.listed && x.limited
		for _, v := range x.enum {
			ok, err := s.admits(x, v)
			if err != nil {
				return nil, placedAt(err, sh.names[0])
			}
			if ok && v.kind == kindString && !slices.Contains(n.list, v.text) {
				n.list = append(n.list, v.text)
			}
		}
	}
	if !n.listed && len(n.shapes) > 1 {
		at := sh.names[0]
		return nil, at.parent.keyword(at.name, ErrUnsupported, "with alternatives is supported only where they list the names")
	}
	return n, nil
}

// admit reports whether a property can have a name.
func (n *names) admit(name string) (bool, error) {
	if len(n.from) == 0 {
		return true, nil
	}
	for _, x := range n.shapes {
		if ok, err := n.s.admits(x, &value{kind: kindString, text: name}); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// otherKey returns the terminal for the keys of properties that have none of some names. They have only shortest
// escapes, so that no name can be spelled in another way. The names must not be listed.
func (n *names) otherKey(named map[string]bool) (int32, error) {
	b := n.s.b
	if len(named) == 0 && len(n.from) == 0 {
		return b.pattern(jsonString)
	}
	var taken []string
	for name := range named {
		taken = append(taken, string(quoted.appendText(nil, name)))
	}
	slices.Sort(taken)
	var key strings.Builder
	key.WriteString("other keys")
	for _, v := range n.from {
		key.WriteString(" " + strconv.Itoa(v.id))
	}
	for _, name := range taken {
		key.WriteString("\xff" + name)
	}
	return b.terminal(key.String(), func() (terminal, error) {
		d, err := n.content()
		if err != nil {
			return terminal{}, err
		}
		not, err := literalDFA(taken, b.alphabet, b.budget)
		if err != nil {
			return terminal{}, err
		}
		if d, err = subtract(d, not, b.budget); err == nil {
			d, err = enclose(d, b.alphabet, b.budget)
		}
		return terminal{dfa: d}, err
	})
}

// content returns the automaton of what stands between the quotes of a name.
func (n *names) content() (*dfa, error) {
	if len(n.from) == 0 {
		return n.s.lengths(anyShape())
	}
	sh := n.shapes[0]
	if len(sh.patterns)+len(sh.formats) > 0 {
		return n.s.content(sh)
	}
	d, err := n.s.lengths(sh)
	return d, placed(err, n.from[0])
}
