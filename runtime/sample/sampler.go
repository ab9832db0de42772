package sample

import (
	"cmp"
	"math"
	"slices"
)

// Sampler chooses the tokens of one sequence.
//
// Logits may hold anything. The order of logits is total: numbers as usual (-Inf and +Inf included), NaN below all
// of them, equal ones by id, the lower first. A NaN is never chosen unless all logits are NaN; if some are +Inf the
// draw is among those.
type Sampler struct {
	p       Params
	random  random
	window  window
	weights []float32   // (vocab): unnormalised probabilities, or penalised logits before that
	cand    []candidate // survivors of the filters, most likely first
}

type candidate struct {
	id    int32
	logit float32
}

// New returns a sampler for a vocabulary of the given size. The parameters must be valid.
func New(p Params, vocab int) *Sampler {
	s := &Sampler{window: window{vocab: vocab}}
	s.Reset(p)
	return s
}

// Reset makes s equal to New(p, vocab) but keeps its memory.
func (s *Sampler) Reset(p Params) {
	s.p, s.random = p, newRandom(p.Seed)
	s.window.reset(p.window())
}

// Prompt tells the sampler the tokens that came before the first choice.
func (s *Sampler) Prompt(ids []int32) {
	if !s.p.repeats() {
		return
	}
	// What lies before the window would only be pushed out again.
	for _, id := range ids[max(0, len(ids)-s.p.window()):] {
		s.window.push(id, false)
	}
}

// Accept tells the sampler that the sequence goes on with id.
func (s *Sampler) Accept(id int32) {
	if s.p.penalised() {
		s.window.push(id, true)
	}
}

// Sample chooses a token. logits (vocab) is not changed. It draws at most one random number, and the next call the
// next one; it does not allocate once its buffers have grown to the vocabulary.
func (s *Sampler) Sample(logits []float32) int32 {
	if s.p.penalised() {
		logits = s.penalise(logits)
	}
	best := argmax(logits)
	top := logits[best]
	if s.p.Temperature == 0 || s.p.TopK == 1 || math.IsNaN(float64(top)) || math.IsInf(float64(top), -1) {
		return best
	}
	switch {
	case s.p.TopK > 0 && s.p.TopK < len(logits):
		s.selectTop(logits, s.p.TopK)
		s.nucleus()
	case s.topP():
		s.gatherNucleus(logits, top)
	default:
		return s.drawAny(logits, top)
	}
	return s.draw()
}

func (s *Sampler) topP() bool { return s.p.TopP > 0 && s.p.TopP < 1 }

// penalise returns the penalised copy of logits.
func (s *Sampler) penalise(logits []float32) []float32 {
	s.weights = append(s.weights[:0], logits...)
	s.window.each(func(id int32, generated int32) {
		l := &s.weights[id]
		if s.p.repeats() {
			if *l > 0 {
				*l /= s.p.RepeatPenalty
			} else {
				*l *= s.p.RepeatPenalty
			}
		}
		if generated > 0 {
			*l -= s.p.PresencePenalty + float32(generated)*s.p.FrequencyPenalty
		}
	})
	return s.weights
}

// argmax returns the first of the largest logits in the order of Sampler.
func argmax(logits []float32) int32 {
	best := -1
	top := float32(math.NaN())
	for i, l := range logits {
		if l > top || best < 0 && l == l {
			best, top = i, l
		}
	}
	return int32(max(best, 0))
}

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
	slices.SortFunc(h, compare)
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

// nucleus cuts s.cand, which is sorted, to the first ones whose probabilities reach TopP.
func (s *Sampler) nucleus() {
	if !s.topP() {
		return
	}
	top, sum := s.cand[0].logit, 0.0
	for _, c := range s.cand {
		sum += float64(weight(c.logit, top, 1))
	}
	s.cutNucleus(top, sum)
}

// cutNucleus is nucleus with the total weight known.
func (s *Sampler) cutNucleus(top float32, sum float64) {
	need, have := float64(s.p.TopP)*sum, 0.0
	for i, c := range s.cand {
		have += float64(weight(c.logit, top, 1))
		if have >= need {
			s.cand = s.cand[:i+1]
			return
		}
	}
}

// gatherNucleus fills s.cand with the nucleus of the whole vocabulary. Sorting all of it would cost more than the
// rest of the sampler; the sum of weights by order of magnitude tells where the cut lies, and only the tokens of that
// magnitude have to be sorted.
func (s *Sampler) gatherNucleus(logits []float32, top float32) {
	need := float64(s.p.TopP) * s.weigh(logits, top, 1, 0)
	var sums [magnitudes]float64
	for _, w := range s.weights {
		sums[magnitude(w)] += float64(w)
	}
	cut, have := 0, sums[0]
	for have < need && cut < magnitudes-2 { // the last is no choice
		cut++
		have += sums[cut]
	}
	have -= sums[cut]

	s.cand = s.cand[:0]
	for i, w := range s.weights {
		if magnitude(w) < cut {
			s.cand = append(s.cand, candidate{int32(i), w})
		}
	}
	sure := len(s.cand)
	for i, w := range s.weights {
		if magnitude(w) == cut {
			s.cand = append(s.cand, candidate{int32(i), w})
		}
	}
	last := s.cand[sure:]
	slices.SortFunc(last, compare)
	for i, c := range last {
		if have += float64(c.logit); have >= need {
			s.cand = s.cand[:sure+i+1]
			break
		}
	}
	// The weights overwrote the logits if those were the penalised copy; back to logits, relative to the best.
	for i := range s.cand {
		s.cand[i].logit = float32(math.Log(float64(s.cand[i].logit)))
	}
}

// magnitudes is the number of results of magnitude: 1, 127 powers of two in 8 steps each, the last of them 0.
const magnitudes = 127*8 + 1

// magnitude orders the weights 0..1 into classes, the largest first.
func magnitude(w float32) int {
	const one = 127 << 23 // bits of 1.0
	return int((one - math.Float32bits(w) + 1<<20 - 1) >> 20)
}

// draw applies MinP and the temperature to s.cand and draws from it.
func (s *Sampler) draw() int32 {
	top := s.cand[0].logit
	for _, c := range s.cand {
		top = max(top, c.logit)
	}
	floor := s.floor(top)
	sum := 0.0
	s.weights = s.weights[:0]
	for _, c := range s.cand {
		w := float32(0)
		if c.logit >= floor {
			w = weight(c.logit, top, s.p.Temperature)
		}
		s.weights = append(s.weights, w)
		sum += float64(w)
	}
	return s.cand[pick(s.weights, s.random.float64()*sum)].id
}

// drawAny draws from the whole vocabulary.
func (s *Sampler) drawAny(logits []float32, top float32) int32 {
	sum := s.weigh(logits, top, s.p.Temperature, s.p.MinP)
	return int32(pick(s.weights, s.random.float64()*sum))
}

// floor returns the least logit that MinP lets pass.
func (s *Sampler) floor(top float32) float32 {
	if s.p.MinP == 0 {
		return float32(math.Inf(-1))
	}
	return top + float32(math.Log(float64(s.p.MinP)))
}

// weigh sets s.weights, which may be logits, to the weights of logits and returns their sum.
func (s *Sampler) weigh(logits []float32, top, temperature, minP float32) float64 {
	s.weights = slices.Grow(s.weights[:0], len(logits))[:len(logits)]
	sum := 0.0
	if math.IsInf(float64(top), 1) {
		for i, l := range logits {
			s.weights[i] = weight(l, top, temperature)
			sum += float64(s.weights[i])
		}
		return sum
	}
	floor := float32(math.Inf(-1))
	if minP > 0 {
		floor = s.floor(top)
	}
	inverse := min(1/temperature, math.MaxFloat32) // finite, so that the best weighs e^0
	for i, l := range logits {
		w := float32(0)
		if l >= floor {
			w = exp((l - top) * inverse)
		}
		s.weights[i] = w
		sum += float64(w)
	}
	return sum
}

// weight returns the unnormalised probability of a logit, 1 for the best one. NaN weighs nothing.
func weight(l, top, temperature float32) float32 {
	if l == top {
		return 1 // l - top is NaN for two infinities
	}
	return exp((l - top) * min(1/temperature, math.MaxFloat32))
}

// pick returns the index where the running sum of weights passes r, an index of positive weight in any case.
func pick(weights []float32, r float64) int {
	last := 0
	for i, w := range weights {
		if w == 0 {
			continue
		}
		if r -= float64(w); r < 0 {
			return i
		}
		last = i
	}
	return last // r was rounded up to the sum
}
