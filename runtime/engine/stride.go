package engine

import (
	"time"

	"aquifer/backends"
	"aquifer/runtime/sched"
)

const (
	// aloneTime is what a step may take that runs prompts alone. Whoever comes or leaves meanwhile waits for its end.
	aloneTime = 500 * time.Millisecond
	// mixedTime is what the prompts of a step may take in which other sequences decode: the text of those stands still.
	mixedTime = 150 * time.Millisecond
	// aloneLeast is how many tokens such steps have however long they take. Kernels unpack a weight once a step: with fewer
	// tokens that costs more than a few percent of the speed (docs/performance.md).
	aloneLeast = 128
	// mixedLeast is how many tokens the others have, those that decode among them: up to here kernels for few tokens read
	// weights as they are, and behind it a step soon takes twice as long.
	mixedLeast = 16
	// reluctance is by how much a step must be too long before the next are shorter, so that noise alone does not make them so.
	reluctance = 1.4
)

// stride knows how long tokens of prompts take, and from that how many of them a step may have. The numbers are the least
// and its doubles, since kernels like round ones, and since a text should be cut at the same places where it can.
type stride struct {
	seconds      float64 // that a token takes in steps with prompts; 0 if unknown
	alone, mixed int     // tokens that prompts get in a step with nothing else, and beside sequences that decode
}

// add takes in the time of a step with prompts. What else the machine does makes steps longer, never shorter: so a short time is
// believed sooner than a long one, and a single long one changes little.
func (s *stride) add(tokens int, took time.Duration) {
	each := max(took.Seconds(), 1e-9) / float64(tokens)
	switch {
	case s.seconds == 0:
		s.seconds = each
	case each < s.seconds:
		s.seconds += (each - s.seconds) / 2
	default:
		s.seconds += (min(each, 2*s.seconds) - s.seconds) / 4
	}
}

// next sets the tokens of the next step, of at most as many as alone and mixed are.
func (s *stride) next(alone, mixed int) {
	s.alone = s.fit(s.alone, aloneLeast, alone, aloneTime)
	s.mixed = s.fit(s.mixed, mixedLeast, mixed, mixedTime)
}

// fit returns the number of tokens, from least to most, that take no longer than they may; now is how many it was. With more
// tokens in a step each takes less, so what seems to fit does.
func (s *stride) fit(now, least, most int, may time.Duration) int {
	if s.seconds == 0 || least >= most {
		return min(least, most)
	}
	room := may.Seconds() / s.seconds
	n := least
	for n < most && float64(min(2*n, most)) <= room {
		n = min(2*n, most)
	}
	if n < now && float64(now) <= room*reluctance {
		return now
	}
	return n
}

// limit tells the scheduler how many tokens of prompts the next step may have. Engine.mu is held.
func (e *Engine) limit() {
	if e.cfg.FixedSteps {
		return
	}
	s, alone := &e.loop.stride, e.cfg.StepTokens
	if e.cfg.Precision == backends.Exact {
		alone = min(alone, aloneLeast) // at any time: a request that is alone is cut at the same places
	}
	s.next(alone, e.cfg.mixTokens())
	mixed := s.mixed
	if mixed == mixedLeast {
		e.sched.Singles(func(*sched.Seq) { mixed-- })
		mixed = max(mixed, mixedLeast/2)
	}
	e.sched.Limit(s.alone, mixed)
}

// prefills returns how many tokens a step has, if enough of them are of prompts that its time says what those take.
func prefills(work []sched.Work) (tokens int, ok bool) {
	most := 0
	for _, w := range work {
		tokens += w.N
		most = max(most, w.N-w.Draft)
	}
	return tokens, tokens >= mixedLeast && most > 1
}
