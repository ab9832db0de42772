package sample

import (
	"math"
	"slices"
)

// size makes s.weights and s.ranks as long as s.cand.
func (s *Sampler) size() {
	n := len(s.cand)
	s.weights = slices.Grow(s.weights[:0], n)[:n]
	s.ranks = slices.Grow(s.ranks[:0], n)[:n]
}

// weigh sets s.weights to the unnormalised probabilities of s.cand, 1 for a logit of top, and returns their sum and the
// entropy in nats. Logits are finite.
func (s *Sampler) weigh(top, temperature float32) (sum, entropy float64) {
	s.size()
	inverse := min(1/temperature, math.MaxFloat32) // finite, so that the best weighs e^0
	mean := 0.0
	for i, c := range s.cand {
		x := (c.logit - top) * inverse
		w := exp(x)
		s.weights[i] = w
		sum += float64(w)
		if w > 0 { // x may be -Inf
			mean -= float64(w * x)
		}
	}
	return sum, math.Log(sum) + mean/sum
}

// draw applies the temperature to s.cand and draws from it.
func (s *Sampler) draw() int32 {
	top, t := s.top(), s.p.Temperature
	if s.p.DynatempRange > 0 {
		t = s.dynamic(top)
	}
	if t == 0 {
		return slices.MinFunc(s.cand, compare).id
	}
	s.weigh(top, t)
	return s.cand[s.random.race(s.position, s.weights, s.cand)].id
}

// dynamic returns the temperature for s.cand: the entropy, as a part of the most that so many tokens can have, decides
// where in the range it lies.
func (s *Sampler) dynamic(top float32) float32 {
	if len(s.cand) < 2 {
		return s.p.Temperature
	}
	_, entropy := s.weigh(top, 1)
	part := min(max(entropy/math.Log(float64(len(s.cand))), 0), 1)
	low := max(s.p.Temperature-s.p.DynatempRange, 0)
	high := s.p.Temperature + s.p.DynatempRange
	return low + (high-low)*float32(math.Pow(part, float64(or(s.p.DynatempExponent, 1))))
}

// mirostat cuts s.cand where the surprise exceeds s.mu, draws, and notes how surprising the choice is among what is left.
func (s *Sampler) mirostat() int32 {
	top := s.top()
	sum, _ := s.weigh(top, s.p.Temperature)
	least := min(sum*math.Exp2(-s.mu), 1) // the best always stays
	total := 0.0
	for i, w := range s.weights {
		if float64(w) < least {
			s.weights[i] = 0
		}
		total += float64(s.weights[i])
	}
	i := s.random.race(s.position, s.weights, s.cand)
	s.surprise = -math.Log2(float64(s.weights[i]) / total)
	return s.cand[i].id
}

// drawAny is draw for the whole vocabulary, cut by MinP only. top is finite.
func (s *Sampler) drawAny(logits []float32, top float32) int32 {
	n := len(logits)
	s.weights = slices.Grow(s.weights[:0], n)[:n]
	floor, inverse := s.floor(top), min(1/s.p.Temperature, math.MaxFloat32)
	for i, l := range logits {
		w := float32(0)
		if l >= floor {
			w = exp((l - top) * inverse)
		}
		s.weights[i] = w
	}
	return int32(s.random.race(s.position, s.weights, nil))
}
