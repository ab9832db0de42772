package grammar

// maxProses bounds how many automata of free text a compiler keeps. What they leave out are the marks of a model's chat
// format, of which there are few.
const maxProses = 16

// prose reads free text, UTF-8, in which a regular expression finds nothing; an empty one leaves nothing out. ^ is the
// begin of that text.
func (b *builder) prose(pattern string, next int32) (int32, error) {
	t, err := b.terminal("prose:"+pattern, func() (terminal, error) {
		if d := b.proses[pattern]; d != nil {
			return terminal{dfa: d}, nil
		}
		d, err := b.without(pattern)
		if err == nil {
			b.made = append(b.made, prose{pattern, d})
		}
		return terminal{dfa: d}, err
	})
	if err != nil {
		return 0, err
	}
	return b.read(t, next)
}

func (b *builder) without(pattern string) (*dfa, error) {
	anything := repeat(anyRune(), 0, -1)
	all, err := b.dfa(anything, plain)
	if err != nil || pattern == "" {
		return all, err
	}
	e, err := parseRegex(pattern)
	if err != nil {
		return nil, err
	}
	found, err := b.dfa(cat(anything, e, anything), plain)
	if err != nil {
		return nil, err
	}
	return subtract(all, found, b.budget)
}

// A prose is an automaton of free text, which grammars share so that they share its masks.
type prose struct {
	without string
	dfa     *dfa
}

// keepProses takes over what a compilation has made. The lock is held; the map that builders look into is never written to.
func (c *Compiler) keepProses(made []prose) {
	if len(made) == 0 || len(c.proses)+len(made) > maxProses {
		return
	}
	all := make(map[string]*dfa, len(c.proses)+len(made))
	for k, d := range c.proses {
		all[k] = d
	}
	for _, p := range made {
		all[p.without] = p.dfa
	}
	c.proses = all
}
