package jinja

import "strings"

// text is a string that remembers which of its bytes came from outside the template. An operation that cannot follow
// single bytes marks its whole result when any operand is marked: text may lose trust, never gain it.
type text struct {
	s     string
	marks []mark // untrusted bytes of s: ascending, disjoint, not adjacent, not empty
	// markup is set by safe and escape. Python calls such a string Markup: what is added to it gets HTML-escaped.
	markup bool
}

type mark struct{ from, to int }

func str(s string) text { return text{s: s} }

func untrusted(s string) text {
	if s == "" {
		return text{}
	}
	return text{s: s, marks: []mark{{0, len(s)}}}
}

// slice returns bytes [i, j).
func (t text) slice(i, j int) text {
	out := text{s: t.s[i:j]}
	for _, m := range t.marks {
		from, to := max(m.from, i), min(m.to, j)
		if from < to {
			out.marks = append(out.marks, mark{from - i, to - i})
		}
	}
	return out
}

// derived wraps a string computed from t as a whole.
func (t text) derived(s string) text {
	if len(t.marks) == 0 {
		return str(s)
	}
	return untrusted(s)
}

// builder puts texts together and charges for them.
type builder struct {
	run   *run
	buf   []byte
	marks []mark
}

func (b *builder) add(t text) error {
	if len(b.buf)+len(t.s) > b.run.lim.Output {
		return limitError("template output is over %d bytes", b.run.lim.Output)
	}
	if err := b.run.alloc(len(t.s)); err != nil {
		return err
	}
	base := len(b.buf)
	b.buf = append(b.buf, t.s...)
	for _, m := range t.marks {
		b.mark(base+m.from, base+m.to)
	}
	return nil
}

// mark appends an untrusted range, joined with the last one when they touch.
func (b *builder) mark(from, to int) {
	if n := len(b.marks); n > 0 && b.marks[n-1].to == from {
		b.marks[n-1].to = to
		return
	}
	b.marks = append(b.marks, mark{from, to})
}

func (b *builder) text() text { return text{s: string(b.buf), marks: b.marks} }

func (b *builder) spans() []Span {
	var out []Span
	pos := 0
	for _, m := range b.marks {
		if pos < m.from {
			out = append(out, Span{Text: string(b.buf[pos:m.from]), Trusted: true})
		}
		out = append(out, Span{Text: string(b.buf[m.from:m.to])})
		pos = m.to
	}
	if pos < len(b.buf) {
		out = append(out, Span{Text: string(b.buf[pos:]), Trusted: true})
	}
	return out
}

func concat(r *run, parts ...text) (text, error) {
	b := builder{run: r}
	for _, p := range parts {
		if err := b.add(p); err != nil {
			return text{}, err
		}
	}
	return b.text(), nil
}

func joinTexts(r *run, sep text, parts []text) (text, error) {
	b := builder{run: r}
	for i, p := range parts {
		if i > 0 {
			if err := b.add(sep); err != nil {
				return text{}, err
			}
		}
		if err := b.add(p); err != nil {
			return text{}, err
		}
	}
	return b.text(), nil
}

// replace is Python's str.replace; count < 0 means all.
func (t text) replace(r *run, old, by text, count int) (text, error) {
	if err := r.work(len(t.s)); err != nil {
		return text{}, err
	}
	b := builder{run: r}
	pos := 0
	for count != 0 {
		i := strings.Index(t.s[pos:], old.s)
		if i < 0 {
			break
		}
		if err := b.add(t.slice(pos, pos+i)); err != nil {
			return text{}, err
		}
		if err := b.add(by); err != nil {
			return text{}, err
		}
		pos += i + len(old.s)
		count--
		if old.s == "" { // an empty pattern matches between any two characters
			if pos == len(t.s) {
				return b.text(), nil
			}
			n := runeLen(t.s[pos:])
			if err := b.add(t.slice(pos, pos+n)); err != nil {
				return text{}, err
			}
			pos += n
		}
	}
	if err := b.add(t.slice(pos, len(t.s))); err != nil {
		return text{}, err
	}
	return b.text(), nil
}

// trim cuts characters that satisfy cut from the chosen ends.
func (t text) trim(cut func(rune) bool, left, right bool) text {
	i, j := 0, len(t.s)
	if left {
		i = len(t.s) - len(strings.TrimLeftFunc(t.s, cut))
	}
	if right {
		j = i + len(strings.TrimRightFunc(t.s[i:], cut))
	}
	return t.slice(i, j)
}

// split cuts at sep, at most limit times when limit >= 0.
func (t text) split(r *run, sep string, limit int) ([]text, error) {
	if sep == "" {
		return nil, fail("empty separator")
	}
	if err := r.work(len(t.s)); err != nil {
		return nil, err
	}
	var out []text
	pos := 0
	for limit != 0 {
		i := strings.Index(t.s[pos:], sep)
		if i < 0 {
			break
		}
		if err := r.allocList(1); err != nil {
			return nil, err
		}
		out = append(out, t.slice(pos, pos+i))
		pos += i + len(sep)
		limit--
	}
	return append(out, t.slice(pos, len(t.s))), nil
}

// fields splits at runs of white space, at most limit times when limit >= 0.
func (t text) fields(r *run, limit int) ([]text, error) {
	if err := r.work(len(t.s)); err != nil {
		return nil, err
	}
	var out []text
	rest := t.trim(isSpace, true, false)
	for rest.s != "" {
		if err := r.allocList(1); err != nil {
			return nil, err
		}
		i := strings.IndexFunc(rest.s, isSpace)
		if i < 0 || limit == 0 {
			out = append(out, rest)
			break
		}
		out = append(out, rest.slice(0, i))
		rest = rest.slice(i, len(rest.s)).trim(isSpace, true, false)
		limit--
	}
	return out, nil
}
