package sample

import (
	"bytes"
	"cmp"
	"math"
	"slices"
)

// dry finds how far the sequence repeats itself, for the penalty of that name (llama.cpp calls it DRY after the text
// where it was proposed, text-generation-webui pull request 5677).
type dry struct {
	text func(id int32) string

	multiplier, base float64
	allowed          int
	window           int
	breakers         [][]byte
	longest          int // bytes of a breaker

	tokens []int32 // the last ones; up to twice the window, so that they rarely move
	since  int     // tokens behind the last one that completed a breaker: no repetition is longer
	tail   []byte  // the end of the text, a byte less than the longest breaker, plus the last token's

	z    []int32 // scratch of penalise
	hits []hit   // likewise
}

// hit is a token that would go on with a repetition of length tokens.
type hit struct{ id, length int32 }

func (d *dry) reset(p *Params) {
	d.multiplier, d.base = float64(p.DRYMultiplier), float64(or(p.DRYBase, DefaultDRYBase))
	d.allowed = lookback(p.DRYAllowedLength, DefaultDRYAllowedLength)
	d.window = lookback(p.DRYLastN, math.MaxInt32)
	d.tokens, d.tail, d.breakers = d.tokens[:0], d.tail[:0], d.breakers[:0]
	d.since, d.longest = 0, 0
	if !d.on() || d.text == nil {
		return
	}
	list := p.DRYBreakers
	if list == nil {
		list = DefaultDRYBreakers()
	}
	for _, b := range list {
		d.breakers = append(d.breakers, []byte(b))
		d.longest = max(d.longest, len(b))
	}
}

func (d *dry) on() bool { return d.multiplier > 0 }

// push adds a token.
func (d *dry) push(id int32) {
	if d.window < math.MaxInt32 && len(d.tokens) >= 2*d.window {
		d.tokens = d.tokens[:copy(d.tokens, d.tokens[len(d.tokens)-d.window:])]
	}
	d.tokens = append(d.tokens, id)
	d.since++
	if d.longest == 0 {
		return
	}
	old := min(len(d.tail), d.longest-1)
	d.tail = d.tail[:copy(d.tail, d.tail[len(d.tail)-old:])]
	d.tail = append(d.tail, d.text(id)...)
	for _, b := range d.breakers {
		// One that ends within what was there before does not count again.
		if bytes.Contains(d.tail[max(old-len(b)+1, 0):], b) {
			d.since = 0
			return
		}
	}
}

// breaks reports whether the token contains a breaker.
func (d *dry) breaks(id int32) bool {
	if d.longest == 0 {
		return false
	}
	// The tail's array has room behind it for the text, which is looked at and not kept.
	n := len(d.tail)
	d.tail = append(d.tail, d.text(id)...)
	text := d.tail[n:]
	d.tail = d.tail[:n]
	return slices.ContainsFunc(d.breakers, func(b []byte) bool { return bytes.Contains(text, b) })
}

// penalise lowers the logits of the tokens that would go on with a repetition.
func (d *dry) penalise(logits []float32) {
	limit := min(d.since, len(d.tokens))
	if limit < d.allowed || min(len(d.tokens), d.window) <= d.allowed {
		return
	}
	d.search(int32(limit))
	// The longest repetition of each token first.
	slices.SortFunc(d.hits, func(a, b hit) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(b.length, a.length)) })
	for i, h := range d.hits {
		if i > 0 && d.hits[i-1].id == h.id || h.id < 0 || int(h.id) >= len(logits) || d.breaks(h.id) {
			continue
		}
		penalty := d.multiplier * math.Pow(d.base, float64(int(h.length)-d.allowed))
		logits[h.id] -= float32(min(penalty, math.MaxFloat32))
	}
}

// search fills d.hits: for every place before the end where the last n tokens, at least d.allowed and at most limit,
// stand as well, the token behind that place. With z[k] = the number of tokens that the sequence read backwards has in
// common with itself from k on (Gusfield, Algorithms on Strings, 1.3) it takes one pass.
func (d *dry) search(limit int32) {
	t := d.tokens[max(len(d.tokens)-d.window, 0):]
	n := len(t)
	back := func(i int) int32 { return t[n-1-i] }
	d.z = slices.Grow(d.z[:0], n)[:n]
	d.hits = d.hits[:0]
	left, right := 0, 0 // tokens left..right-1 are known to equal the first ones
	for k := 1; k < n; k++ {
		same := 0
		if k < right {
			same = min(int(d.z[k-left]), right-k)
		}
		for k+same < n && back(same) == back(k+same) {
			same++
		}
		if k+same > right {
			left, right = k, k+same
		}
		d.z[k] = int32(same)
		if same >= d.allowed {
			d.hits = append(d.hits, hit{back(k - 1), min(int32(same), limit)})
		}
	}
}
