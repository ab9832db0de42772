package grammar

import "unicode/utf8"

// plainText counts the characters of a token that may stand in a JSON string as it is, between any two characters.
func plainText(tok []byte) (chars int, ok bool) {
	if !utf8.Valid(tok) {
		return 0, false
	}
	for _, b := range tok {
		if !isPlain(b) {
			return 0, false
		}
	}
	return utf8.RuneCount(tok), true
}

func isPlain(b byte) bool { return b >= ' ' && b != '"' && b != '\\' }

// plainRun says what plain text can follow in a state of an automaton: whatever free characters of chars, and of those
// beyond ASCII if wide; no others among the first free; and no more than reach in all. maxToken stands for no limit, as
// far as the first maxPlain characters tell.
type plainRun struct {
	free, reach int
	chars       byteSet
	wide        bool
}

// plainChars looks at the states that plain text leads to from q.
func (d *dfa) plainChars(q int32) plainRun {
	r := plainRun{free: -1} // not known yet
	seen := map[int32]bool{q: true}
	level := []int32{q} // states after n characters
	for n := range maxPlain + 1 {
		fresh := false
		next := map[int32]bool{}
		for _, s := range level {
			chars, wide, mixed := d.plainSteps(s, func(to int32) {
				next[to] = true
				fresh = fresh || !seen[to]
				seen[to] = true
			})
			if n == 0 {
				r.chars, r.wide = chars, wide
			}
			if r.free < 0 && (mixed || chars != r.chars || wide != r.wide) {
				r.free = n
			}
		}
		switch {
		case len(next) == 0:
			r.free, r.reach = max(r.free, 0), n
			return r
		case r.free < 0 && !fresh: // all states seen go on in the same way
			r.free, r.reach = maxToken, maxToken
			return r
		case len(next) > 64:
			r.free, r.reach = max(r.free, 0), maxToken
			return r
		}
		level = level[:0]
		for s := range next {
			level = append(level, s)
		}
	}
	if r.free < 0 {
		r.free = maxPlain
	}
	r.reach = maxToken
	return r
}

// plainSteps calls yield with the states one character of plain text leads to. It returns the ASCII characters that
// can follow, and whether all others can; mixed says that only some of these can.
func (d *dfa) plainSteps(q int32, yield func(int32)) (chars byteSet, wide, mixed bool) {
	last := int32(-1)
	for b := byte(' '); b < utf8.RuneSelf; b++ {
		if !isPlain(b) {
			continue
		}
		if to := d.step(q, b); to >= 0 {
			chars.add(b)
			if to != last {
				yield(to)
				last = to
			}
		}
	}
	// The forms of UTF-8 with more bytes, see Unicode table 3-7.
	wide = true
	some := false
	for _, form := range [][]byteRange{
		{{0xC2, 0xDF}, {0x80, 0xBF}},
		{{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}},
		{{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}},
		{{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
		{{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}},
	} {
		all := d.formSteps(q, form, func(to int32) {
			some = true
			yield(to)
		})
		wide = wide && all
	}
	return chars, wide, some && !wide
}

func (d *dfa) formSteps(q int32, form []byteRange, yield func(int32)) bool {
	all, last := true, int32(-1)
	for c := int(form[0].lo); c <= int(form[0].hi); c++ {
		to := d.step(q, byte(c))
		if to < 0 {
			all = false
		} else if to != last {
			last = to
			if len(form) == 1 {
				yield(to)
			} else {
				all = d.formSteps(to, form[1:], yield) && all
			}
		}
	}
	return all
}
