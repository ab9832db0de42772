package engine

import (
	"time"

	"aquifer/runtime/sched"
)

const (
	maxWidth = 64 // tokens of the widest step that may hold drafts
	// forget is after how many steps a time no longer counts: what a step takes changes with what else the machine does and
	// with the length of the texts, and a width that seemed too slow once has to get another chance.
	forget = 512
	// margin is by how much a draft must seem to gain, so that noise alone does not make steps wider.
	margin = 1.03
)

// pace knows what steps take that run single tokens and drafts only, by their number of tokens.
type pace struct {
	steps   int64
	seconds [maxWidth + 1]float64 // a mean in which the last steps count most
	at      [maxWidth + 1]int64   // the step it was last measured in
}

func (p *pace) known(width int) bool { return p.seconds[width] > 0 && p.steps-p.at[width] < forget }

// add takes in the time of a step.
func (p *pace) add(width int, took time.Duration) {
	p.steps++
	if width > maxWidth {
		return
	}
	s := max(took.Seconds(), 1e-9)
	if p.known(width) {
		old := p.seconds[width]
		s = old + (min(s, 4*old)-old)/5
	}
	p.seconds[width], p.at[width] = s, p.steps
}

// cost estimates what a step takes: from the widths on both sides, or from one. Wider steps than any known one count as
// fast as that, which makes them be tried.
func (p *pace) cost(width int) float64 {
	lo, hi := width, width
	for lo > 0 && !p.known(lo) {
		lo--
	}
	for hi <= maxWidth && !p.known(hi) {
		hi++
	}
	switch {
	case lo == width:
		return p.seconds[width]
	case lo == 0 && hi > maxWidth:
		return 1
	case lo == 0:
		return p.seconds[hi]
	case hi > maxWidth:
		return p.seconds[lo]
	}
	return p.seconds[lo] + (p.seconds[hi]-p.seconds[lo])*float64(width-lo)/float64(hi-lo)
}

// reach bounds the next step's width: unknown ground is entered in steps that double.
func (p *pace) reach(base int) int {
	widest := base
	for w := base + 1; w <= maxWidth; w++ {
		if p.known(w) {
			widest = w
		}
	}
	return min(2*widest, maxWidth)
}

// speculate decides how many tokens of their drafts the running sequences try in the next step: as many as make most tokens
// a second, by the chances of the drafts and the times of steps. Engine.mu is held.
func (e *Engine) speculate() {
	p, base := &e.loop.pace, 0
	e.sched.Singles(func(*sched.Seq) { base++ })
	if base == 0 || base >= maxWidth {
		return
	}
	width, tokens, reach := base, float64(base), p.reach(base)
	e.sched.Singles(func(s *sched.Seq) {
		q := s.Owner.(*sequence)
		best, chance, sum := tokens/p.cost(width)*margin, 1.0, tokens
		n, gain := 0, tokens
		for d := 1; d <= min(e.draftable(q), reach-width); d++ {
			chance *= q.draft.chance(d - 1)
			sum += chance
			if rate := sum / p.cost(width+d); rate > best {
				best, n, gain = rate, d, sum
			}
		}
		s.Draft, tokens, width = n, gain, width+n
	})
}

// draftable is how many tokens of its draft a sequence may try in a step.
func (e *Engine) draftable(q *sequence) int {
	n := min(len(q.draft.proposal), e.cfg.Speculate, q.Max-q.Len-1)
	if e.longFrom > 0 && q.Len <= e.longFrom {
		n = min(n, e.longFrom-q.Len) // a sequence that becomes long runs all of its tokens anew
	}
	return n
}

// timed reports whether a step's time says something about drafts, and its width.
func timed(work []sched.Work) (width int, ok bool) {
	for _, w := range work {
		if w.N-w.Draft != 1 {
			return 0, false
		}
		width += w.N
	}
	return width, true
}
