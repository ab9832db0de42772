package sample

import (
	"cmp"
	"math"
	"slices"
)

// gather fills s.cand with the tokens whose logits are numbers, at least floor, and among the k best, if k is not 0;
// -Inf does not count as a number here, and where the best logit is +Inf only such ones do, and become 0.
func (s *Sampler) gather(logits []float32, top, floor float32, k int) {
	s.cand = s.cand[:0]
	if math.IsInf(float64(top), 1) {
		for i, l := range logits {
			if l == top {
				s.cand = append(s.cand, candidate{int32(i), 0})
			}
		}
		s.keepFirst(k)
		return
	}
	if k > 0 && k <= heapK && k < len(logits) {
		s.selectTop(logits, k)
		s.cand = slices.DeleteFunc(s.cand, func(c candidate) bool { return !(c.logit >= floor && c.logit > negInfinity) })
		return
	}
	s.cand = slices.Grow(s.cand, len(logits))[:len(logits)]
	n := 0
	for i, l := range logits {
		s.cand[n] = candidate{int32(i), l}
		if l >= floor && l > negInfinity {
			n++
		}
	}
	s.cand = s.cand[:n]
	s.keepFirst(k)
}

// sigmaFloor is the logit TopNSigma standard deviations below the best. The deviation is that of all finite logits.
func (s *Sampler) sigmaFloor(logits []float32, top float32) float32 {
	if s.p.TopNSigma == 0 || math.IsInf(float64(top), 1) {
		return negInfinity
	}
	n, sum, squares := 0, 0.0, 0.0
	for _, l := range logits {
		if d := float64(top - l); d <= math.MaxFloat32 { // false for NaN
			n++
			sum += d
			squares += d * d
		}
	}
	mean := sum / float64(n)
	deviation := math.Sqrt(max(squares/float64(n)-mean*mean, 0))
	return float32(float64(top) - float64(s.p.TopNSigma)*deviation)
}

// heapK is up to how many tokens a heap finds faster than the histogram of keep.
const heapK = 512

// compare orders candidates: the more likely first, equal ones by id.
func compare(a, b candidate) int {
	// cmp.Compare puts NaN below every number.
	return cmp.Or(cmp.Compare(b.logit, a.logit), cmp.Compare(a.id, b.id))
}

// selectTop fills s.cand with the k most likely tokens. One pass with a heap of k whose root is the least likely:
// on real logits all but a few tokens fail the comparison with the root.
func (s *Sampler) selectTop(logits []float32, k int) {
	h := s.cand[:0]
	for i, l := range logits[:k] {
		h = append(h, candidate{int32(i), l})
	}
	for i := k/2 - 1; i >= 0; i-- {
		sink(h, i)
	}
	for i := k; i < len(logits); i++ {
		// An equal logit has the higher id here, so it loses.
		if l := logits[i]; l > h[0].logit || h[0].logit != h[0].logit && l == l {
			h[0] = candidate{int32(i), l}
			sink(h, 0)
		}
	}
	s.cand = h
}

// sink restores the heap order below i; every parent is less likely than its children.
func sink(h []candidate, i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && compare(h[c+1], h[c]) > 0 {
			c++
		}
		if compare(h[i], h[c]) >= 0 {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// keepFirst cuts s.cand to the k most likely, if k is not 0.
func (s *Sampler) keepFirst(k int) {
	if k == 0 || k >= len(s.cand) {
		return
	}
	top := s.top()
	s.size()
	for i, c := range s.cand {
		s.ranks[i], s.weights[i] = top-c.logit, 1
	}
	s.keep(float64(k))
}

// typical applies TypicalP.
func (s *Sampler) typical() {
	if !inside(s.p.TypicalP) {
		return
	}
	top := s.top()
	sum, entropy := s.weigh(top, 1)
	logSum := float32(math.Log(sum))
	for i, c := range s.cand {
		surprise := top - c.logit + logSum
		s.ranks[i] = float32(math.Abs(float64(surprise - float32(entropy))))
	}
	s.keep(float64(s.p.TypicalP) * sum)
}

// nucleus applies TopP.
func (s *Sampler) nucleus() {
	if !inside(s.p.TopP) {
		return
	}
	top := s.top()
	sum, _ := s.weigh(top, 1)
	for i, c := range s.cand {
		s.ranks[i] = top - c.logit
	}
	s.keep(float64(s.p.TopP) * sum)
}

// likely applies MinP.
func (s *Sampler) likely() {
	if s.p.MinP == 0 {
		return
	}
	floor := s.floor(s.top())
	s.cand = slices.DeleteFunc(s.cand, func(c candidate) bool { return c.logit < floor })
}

// floor returns the least logit that MinP lets pass.
func (s *Sampler) floor(top float32) float32 {
	if s.p.MinP == 0 {
		return negInfinity
	}
	return top + float32(math.Log(float64(s.p.MinP)))
}

// exclude applies XTC ("exclude top choices").
func (s *Sampler) exclude() {
	if s.random.at(forXTC, s.position) >= float64(s.p.XTCProbability) {
		return
	}
	sum, _ := s.weigh(s.top(), 1)
	least := float64(or(s.p.XTCThreshold, DefaultXTCThreshold)) * sum
	last, n := candidate{}, 0
	for i, c := range s.cand {
		if float64(s.weights[i]) >= least {
			if n == 0 || compare(c, last) > 0 {
				last = c
			}
			n++
		}
	}
	if n < 2 {
		return
	}
	s.cand = slices.DeleteFunc(s.cand, func(c candidate) bool { return compare(c, last) < 0 })
}

// top returns the largest logit of s.cand.
func (s *Sampler) top() float32 {
	top := negInfinity
	for _, c := range s.cand {
		if c.logit > top {
			top = c.logit
		}
	}
	return top
}

// ranked is a candidate at the edge of what keep keeps.
type ranked struct {
	rank, weight float32
	c            candidate
}

// Ranks are sorted by magnitude into buckets, 32 for each power of two.
const (
	bucketShift = 23 - 5
	buckets     = (255<<23 + 1<<23) >> bucketShift
)

// keep cuts s.cand to the ones of least s.ranks, equal ones in their order, whose s.weights add up to need. Sorting a
// vocabulary would cost more than all other steps together; the sum of weights by magnitude of the rank tells where the
// cut lies, and only the tokens of that magnitude have to be sorted.
func (s *Sampler) keep(need float64) {
	if s.sums == nil {
		s.sums = make([]float64, buckets)
	}
	clear(s.sums)
	for i, r := range s.ranks {
		s.sums[math.Float32bits(r)>>bucketShift] += float64(s.weights[i])
	}
	cut, have := uint32(0), 0.0
	for cut < buckets-1 && have+s.sums[cut] < need {
		have += s.sums[cut]
		cut++
	}
	s.edge = s.edge[:0]
	n := 0
	for i, r := range s.ranks {
		switch b := math.Float32bits(r) >> bucketShift; {
		case b < cut:
			s.cand[n] = s.cand[i]
			n++
		case b == cut:
			s.edge = append(s.edge, ranked{r, s.weights[i], s.cand[i]})
		}
	}
	slices.SortFunc(s.edge, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.rank, b.rank), compare(a.c, b.c)) })
	for _, e := range s.edge {
		if have >= need && n > 0 {
			break
		}
		s.cand[n] = e.c
		n++
		have += float64(e.weight)
	}
	s.cand = s.cand[:n]
}
