package cpu

import (
	"math/bits"
	"sync"

	"aquifer/runtime/plan"
)

// progress knows which rows of which weights have been loaded. It is safe for concurrent use.
type progress struct {
	mu    sync.Mutex
	plan  *plan.Plan
	parts map[partKey]*rowSet
	left  int // parts that lack rows
}

type partKey struct {
	w    plan.Weight
	part plan.Part
}

// rowSet has a bit for each row that is present.
type rowSet struct {
	bits []uint64
	left int
}

func newProgress(p *plan.Plan) *progress {
	g := &progress{plan: p, parts: map[partKey]*rowSet{}}
	for i := range p.Weights {
		for _, part := range p.Weights[i].Parts() {
			rows, _ := p.Weights[i].PartBytes(part)
			g.parts[partKey{plan.Weight(i), part}] = &rowSet{bits: make([]uint64, (rows+63)/64), left: rows}
			g.left++
		}
	}
	return g
}

func (g *progress) mark(w plan.Weight, part plan.Part, first, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.parts[partKey{w, part}]
	if s.left == 0 {
		return
	}
	for i := first; i < first+n; {
		// As many rows as share a word.
		end := min((i/64+1)*64, first+n)
		mask := ^uint64(0) >> (64 - (end - i)) << (i % 64)
		s.left -= bits.OnesCount64(mask &^ s.bits[i/64])
		s.bits[i/64] |= mask
		i = end
	}
	if s.left == 0 {
		g.left--
	}
}

// missing names the first weight, in plan order, that lacks rows.
func (g *progress) missing() (name string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left == 0 {
		return "", false
	}
	for i := range g.plan.Weights {
		for _, part := range g.plan.Weights[i].Parts() {
			if g.parts[partKey{plan.Weight(i), part}].left > 0 {
				return g.plan.Weights[i].Name, true
			}
		}
	}
	return "", false
}
