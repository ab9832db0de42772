package grammar

import "slices"

// MaxRollback is how many tokens Rollback can take back.
const MaxRollback = 128

// A Matcher follows one answer through a Grammar. It is for one goroutine at a time; matchers of one compiler share
// caches behind a lock, so each of them may have a goroutine of its own.
type Matcher struct {
	g     *Grammar
	arena *arena
	// history holds the states after the last tokens; its last one is the current state.
	history []moment
}

type moment struct {
	config int32
	ended  bool // by a token that ends the answer
}

// NewMatcher starts an answer.
func (g *Grammar) NewMatcher() *Matcher {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	a := g.current()
	a.work = stepWork
	m := &Matcher{g: g, arena: a, history: make([]moment, 1, 2*MaxRollback)}
	m.history[0].config = a.start()
	return m
}

// Clone returns a matcher in the same state that goes its own way, with the same history.
func (m *Matcher) Clone() *Matcher {
	history := make([]moment, len(m.history), 2*MaxRollback)
	copy(history, m.history)
	return &Matcher{g: m.g, arena: m.arena, history: history}
}

// begin makes a call ready: it moves to the current arena if another one was started since. The lock is held.
func (m *Matcher) begin() (*arena, moment) {
	a := m.g.current()
	a.work = stepWork
	if m.arena != a {
		// States of an arena that is full: what this matcher still needs is copied, the rest is garbage when the last
		// matcher has left.
		from := &moved{from: m.arena, frames: map[int32]int32{}}
		for i := range m.history {
			m.history[i].config = a.move(from, m.history[i].config)
		}
		m.arena = a
	}
	return a, m.history[len(m.history)-1]
}

func (m *Matcher) push(s moment) {
	if len(m.history) == cap(m.history) {
		m.history = m.history[:copy(m.history, m.history[len(m.history)-MaxRollback:])]
	}
	m.history = append(m.history, s)
}

var errWork = overLimit("the grammar is too ambiguous to be followed at this place")

// Mask sets dst, a bit for each token of the vocabulary (token i is bit i%32 of dst[i/32]), to the tokens that can
// follow. Ends of the answer are among them only if the text is complete. After an end no token can follow. The error
// is an *Error: ErrLimit if a hostile grammar makes the state too large to go on.
//
// There is always a token: see the package comment. That none is left is reported as an error all the same.
func (m *Matcher) Mask(dst []uint32) error {
	c := m.g.c
	if len(dst) != c.MaskWords() {
		return invalid("mask of %d words, want %d", len(dst), c.MaskWords())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, now := m.begin()
	if now.ended {
		clear(dst)
		return nil
	}
	c.masks.fill(a, now.config, dst)
	if a.work < 0 {
		return errWork
	}
	if a.configs[now.config].end {
		for _, id := range c.ends {
			dst[id>>5] |= 1 << (id & 31)
		}
	}
	if !slices.ContainsFunc(dst, func(w uint32) bool { return w != 0 }) {
		return unsatisfiable("no token of the vocabulary can follow")
	}
	return nil
}

// Accept goes on by one token. A token that the mask does not hold is an error that wraps ErrNotAllowed and changes
// nothing.
func (m *Matcher) Accept(token int32) error {
	c := m.g.c
	if token < 0 || int(token) >= len(c.tokens) {
		return &Error{Msg: "no such token", Err: ErrNotAllowed}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, now := m.begin()
	refused := &c.refused
	switch {
	case now.ended:
		return refused
	case slices.Contains(c.ends, token):
		if !a.configs[now.config].end {
			return refused
		}
		m.push(moment{now.config, true})
		return nil
	case len(c.tokens[token]) == 0:
		return refused
	}
	config, err := m.advance(a, now.config, c.tokens[token])
	if err == nil {
		m.push(moment{config, false})
	}
	return err
}

// AcceptBytes goes on by a text, as Accept does by a token; Rollback counts it as one. Text that Forced returned may be
// given to it piece by piece.
func (m *Matcher) AcceptBytes(text []byte) error {
	m.g.c.mu.Lock()
	defer m.g.c.mu.Unlock()
	a, now := m.begin()
	if now.ended {
		return &m.g.c.refused
	}
	config, err := m.advance(a, now.config, text)
	if err == nil {
		m.push(moment{config, false})
	}
	return err
}

// advance returns the state after text.
func (m *Matcher) advance(a *arena, config int32, text []byte) (int32, error) {
	s := &m.g.c.scratch
	s[0].items = append(s[0].items[:0], a.itemsOf(config)...)
	s[0].end = a.configs[config].end
	for i, b := range text {
		next := &s[(i+1)&1]
		a.step(s[i&1].items, b, next)
		if a.work < 0 {
			return 0, errWork
		}
		if len(next.items) == 0 && !next.end {
			return 0, &m.g.c.refused
		}
	}
	return a.config(&s[len(text)&1]), nil
}

// CanEnd reports whether the text so far is complete: a token that ends the answer may follow.
func (m *Matcher) CanEnd() bool {
	m.g.c.mu.Lock()
	defer m.g.c.mu.Unlock()
	a, now := m.begin()
	return !now.ended && a.configs[now.config].end
}

// Done reports whether nothing but an end of the answer can follow, or one was accepted.
func (m *Matcher) Done() bool {
	m.g.c.mu.Lock()
	defer m.g.c.mu.Unlock()
	a, now := m.begin()
	return now.ended || len(a.itemsOf(now.config)) == 0
}

// Forced appends to dst the bytes that must follow whatever the model says, at most max of them, and returns it. It
// stops where there is a choice, of bytes or to end. The state stays as it is.
func (m *Matcher) Forced(dst []byte, max int) []byte {
	c := m.g.c
	c.mu.Lock()
	defer c.mu.Unlock()
	a, now := m.begin()
	if now.ended {
		return dst
	}
	s := &c.scratch
	s[0].items = append(s[0].items[:0], a.itemsOf(now.config)...)
	s[0].end = a.configs[now.config].end
	for i := range max {
		at := &s[i&1]
		live := a.live(at.items)
		if at.end || live.count() != 1 {
			break
		}
		b := live.first()
		if a.step(at.items, b, &s[(i+1)&1]); a.work < 0 {
			break
		}
		dst = append(dst, b)
	}
	return dst
}

// Rollback takes back the last n tokens, at most MaxRollback.
func (m *Matcher) Rollback(n int) error {
	if n < 0 || n > MaxRollback || n >= len(m.history) {
		return invalid("can't take back %d tokens of %d", n, len(m.history)-1)
	}
	m.history = m.history[:len(m.history)-n]
	return nil
}
