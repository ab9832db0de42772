// Package grammar holds answers to a form: it turns a constraint (any JSON, a JSON Schema, a GBNF grammar, a regular
// expression, a list of choices) into masks of the tokens that can come next. It imports nothing of ours; a vocabulary
// enters as the bytes of each token.
//
// A constraint becomes rules over terminals, and a terminal is an automaton over bytes, so that tokens may end anywhere,
// inside a character too. A Matcher follows one answer: its state is a set of terminals being read, each with a frame
// behind it, a node of a graph of shared stacks (Tomita's). Masks come from one walk over a trie of the vocabulary, cut
// where nothing can follow; what a terminal allows whatever is behind it is computed once for all grammars.
//
// An answer that ends is always one the constraint accepts: tokens that end it are allowed in accepting states only.
// And it can always go on: every state of every automaton leads to an accepting one, rules that can't be completed are
// not entered (also not for want of stack), and only bytes that the vocabulary has as single tokens are used, so that
// whatever byte can come next, a token can.
//
// Sources come from clients. They are compiled under Limits, errors name the keyword and where it stands, and nothing
// that can't be enforced is let pass: see docs/structured-output.md for what is supported.
package grammar

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
)

// Kind says how a Source is meant.
type Kind uint8

// The kinds of Source.
const (
	JSONObject Kind = iota // any JSON object: OpenAI's JSON mode
	JSONValue              // any JSON value
	JSONSchema             // JSON that a schema accepts
	GBNF                   // a grammar in llama.cpp's language
	Regex                  // a regular expression in RE2's syntax, for the whole answer
	Choice                 // one of some texts
	Sequence               // all of some sources, one after the other
	Either                 // one of some sources
	Many                   // some sources one after the other, once or more often
	Literal                // one text, which may have bytes that no UTF-8 has: those of control tokens
	Prose                  // free text in which a regular expression finds nothing
)

// A Source is a constraint as clients state it.
type Source struct {
	Kind Kind
	// Text is that of a JSONSchema, GBNF, Regex or Literal; for Prose the regular expression, empty if nothing is left
	// out; for Many one of what stands between two rounds.
	Text    string
	Choices []string // Choice
	Parts   []Source // Sequence, Either, Many: what surrounds or repeats the calls of tools
	// Compact leaves no white space in JSON. Without it, one space or a line break with indentation may stand where
	// pretty-printers put it, never more.
	Compact bool
}

// A Vocabulary is what a model writes with.
type Vocabulary struct {
	// Tokens is the text of each id; empty for control tokens and unused ids, which are never allowed. It is kept, not
	// copied, and must not change.
	Tokens [][]byte
	Ends   []int32 // ids that end an answer, whatever Tokens says about them
}

// Options of a Compiler. A zero field means the default.
type Options struct {
	Limits   Limits
	Grammars int // bytes of compiled grammars that are kept; default 64 MiB
	Masks    int // bytes of masks that are kept, of all grammars together; default 64 MiB
}

// A Compiler makes grammars for one vocabulary and keeps them, as long as they are used. It may be used by many
// goroutines at once.
type Compiler struct {
	tokens   [][]byte
	ends     []int32
	alphabet byteSet
	limits   Limits
	standard map[string]*dfa // lexical forms of JSON, by regular expression

	// mu guards the rest, and the arenas of all grammars and matchers.
	mu       sync.Mutex
	proses   map[string]*dfa // automata of free text, by what they leave out
	ids      uint64          // given to automata and arenas
	grammars *cache[[sha256.Size]byte, *Grammar]
	masks    *masker
	scratch  [2]itemSet
	refused  Error
}

// A Grammar is a compiled Source.
type Grammar struct {
	c     *Compiler
	p     *program
	arena *arena
}

// NewCompiler prepares a vocabulary; for 128,000 tokens that takes a tenth of a second and 11 MB. It refuses, with an
// error that wraps ErrInvalid, one that can't end an answer or has no tokens of single bytes to write it with.
func NewCompiler(v Vocabulary, o Options) (*Compiler, error) {
	c := &Compiler{tokens: v.Tokens, ends: slices.Clone(v.Ends), limits: o.Limits.withDefaults()}
	if o.Grammars == 0 {
		o.Grammars = 64 << 20
	}
	if o.Masks == 0 {
		o.Masks = 64 << 20
	}
	if len(c.ends) == 0 {
		return nil, invalid("the vocabulary has no token that ends an answer")
	}
	for _, id := range c.ends {
		if id < 0 || int(id) >= len(c.tokens) {
			return nil, invalid("the vocabulary has no token %d, which is to end answers", id)
		}
	}
	tokens := c.tokens
	if slices.ContainsFunc(c.ends, func(id int32) bool { return len(tokens[id]) > 0 }) {
		tokens = slices.Clone(tokens)
		for _, id := range c.ends {
			tokens[id] = nil
		}
		c.tokens = tokens
	}
	for _, tok := range tokens {
		if len(tok) == 1 {
			c.alphabet.add(tok[0])
		}
	}
	if c.alphabet.count() == 0 {
		return nil, invalid("the vocabulary has no tokens of single bytes")
	}
	c.refused = Error{Msg: "the token can't follow here", Err: ErrNotAllowed}
	c.grammars = newCache[[sha256.Size]byte, *Grammar](o.Grammars)
	c.masks = newMasker(newTrie(tokens, &c.alphabet), o.Masks)
	return c, c.makeStandard()
}

// makeStandard builds the automata that most grammars share, so that their masks are shared too.
func (c *Compiler) makeStandard() error {
	c.standard = map[string]*dfa{}
	b := newBuilder(&c.alphabet, newBudget(context.Background(), Limits{}.withDefaults()))
	for _, re := range []string{jsonString, jsonNumber, jsonInteger, jsonLiterals} {
		t, err := b.pattern(re)
		if err != nil {
			return err
		}
		d := b.terms[t].dfa
		c.ids++
		d.id = c.ids
		c.standard[re] = d
	}
	return nil
}

// MaskWords returns the length of a mask.
func (c *Compiler) MaskWords() int { return maskWords(len(c.tokens)) }

// Compile makes a grammar, or returns the one it made of an equal source before. The error is an *Error; it wraps that
// of ctx if ctx ends first.
func (c *Compiler) Compile(ctx context.Context, src Source) (*Grammar, error) {
	if n := src.size(); n > c.limits.Source {
		return nil, overLimit("source of %d bytes, at most %d", n, c.limits.Source)
	}
	key := src.hash()
	c.mu.Lock()
	g, ok := c.grammars.get(key)
	proses := c.proses
	c.mu.Unlock()
	if ok {
		return g, nil
	}
	b := newBuilder(&c.alphabet, newBudget(ctx, c.limits))
	b.standard, b.proses = c.standard, proses
	start, err := b.source(src, endOfRule, b.budget.Depth)
	if err != nil {
		return nil, err
	}
	b.rules[0].start = start
	p, err := b.finish()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	for _, t := range p.terms {
		if t.dfa.id == 0 {
			c.ids++
			t.dfa.id = c.ids
		}
	}
	c.keepProses(b.made)
	c.mu.Unlock()
	masks := c.prepare(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, l := range masks {
		c.masks.cache.put(key, l, l.size())
	}
	if g, ok := c.grammars.get(key); ok { // made meanwhile by another goroutine
		return g, nil
	}
	g = &Grammar{c: c, p: p}
	if g.newMatcher(); g.arena.work < 0 {
		return nil, errWork
	}
	c.grammars.put(key, g, p.size()+arenaSize)
	return g, nil
}

// warmStates is how many states of a grammar's automata have their masks computed when it is compiled; each takes up
// to a millisecond.
const warmStates = 24

// prepare computes the masks that cost the most, before an answer waits for them: those of strings, which are there
// already unless this is the first grammar that needs them, and of the first states of other terminals.
func (c *Compiler) prepare(p *program) map[maskKey]*lexMask {
	out := map[maskKey]*lexMask{}
	have := func(key maskKey) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.masks.cache.get(key)
		return ok || out[key] != nil
	}
	t := c.masks.trie
	states := make([]int32, t.deep+1)
	warm := 0
	for _, term := range p.terms {
		d := term.dfa
		if term.counted {
			if key := (maskKey{lexKey: lexKey{d.id, term.body, 255}}); !have(key) {
				out[key] = t.countedMask(d, term.body, states)
			}
			continue
		}
		for q := int32(0); int(q) < d.states() && warm < warmStates; q++ {
			key := maskKey{lexKey: lexKey{d.id, q, lexPlain}}
			if d.live[q].count() < fatBytes || have(key) {
				continue
			}
			warm++
			out[key] = t.lexMask(d, q, states)
			if out[key].nested && len(p.positions) > 3 {
				key.counted = lexOthers
				out[key] = t.othersMask(d, q)
			}
		}
	}
	return out
}

// current returns the arena to use, a new one when the last is full. The lock is held.
func (g *Grammar) current() *arena {
	if g.arena == nil || g.arena.size() > arenaSize {
		g.c.ids++
		g.arena = newArena(g.p, g.c.ids)
	}
	return g.arena
}
