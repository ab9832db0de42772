package sample

import "math"

// Vocab is what a sampler knows of the tokens.
type Vocab struct {
	Size int
	// Text returns what a token decodes to. It is called for tokens that DRY looks at; nil means that none has a text.
	Text func(id int32) string
}

// Sampler chooses the tokens of one sequence.
//
// Logits may hold anything. The order of logits is total: numbers as usual (-Inf and +Inf included), NaN below all
// of them, equal ones by id, the lower first. A NaN is never chosen unless all logits are NaN; if some are +Inf the
// draw is among those.
type Sampler struct {
	p        Params
	random   random
	position int // tokens accepted
	window   window
	dry      dry
	mu       float64 // Mirostat's bound of the surprise, in bits
	surprise float64 // of the last choice, in bits

	logits  []float32   // (vocab): the edited copy
	cand    []candidate // what the steps have left over, in no order that matters
	weights []float32   // by candidate: unnormalised probabilities
	ranks   []float32   // by candidate: the lower the sooner it is kept
	edge    []ranked    // scratch of keep
	sums    []float64   // likewise (buckets)
}

type candidate struct {
	id    int32
	logit float32
}

// New returns a sampler. The parameters must be valid.
func New(p Params, v Vocab) *Sampler {
	s := &Sampler{window: window{vocab: v.Size}, dry: dry{text: v.Text}}
	s.Reset(p)
	return s
}

// Reset makes s equal to New with the same vocabulary but keeps its memory.
func (s *Sampler) Reset(p Params) {
	s.p, s.random, s.position = p, newRandom(p.Seed), 0
	s.window.reset(p.window())
	s.dry.reset(&s.p)
	s.mu, s.surprise = 2*float64(or(p.MirostatTau, DefaultMirostatTau)), 0
}

// Prompt tells the sampler the tokens that came before the first choice.
func (s *Sampler) Prompt(ids []int32) {
	if s.p.repeats() {
		// What lies before the window would only be pushed out again.
		for _, id := range ids[max(0, len(ids)-s.p.window()):] {
			s.window.push(id, false)
		}
	}
	if s.dry.on() {
		for _, id := range ids[max(0, len(ids)-s.dry.window):] {
			s.dry.push(id)
		}
	}
}

// Accept tells the sampler that the sequence goes on with id.
func (s *Sampler) Accept(id int32) {
	s.position++
	if s.p.penalised() {
		s.window.push(id, true)
	}
	if s.dry.on() {
		s.dry.push(id)
	}
	if s.p.Mirostat != 0 {
		s.mu -= float64(or(s.p.MirostatEta, DefaultMirostatEta)) * (s.surprise - float64(or(s.p.MirostatTau, DefaultMirostatTau)))
	}
}

// Sample chooses a token, of those in the mask if that is not nil; -1 if there is none. logits (vocab) is not changed.
// The choice depends on the tokens told to the sampler and their number: until Accept, the same logits give the same
// token. It does not allocate once its buffers have grown to the vocabulary.
func (s *Sampler) Sample(logits []float32, mask Mask) int32 {
	logits = s.edit(logits, mask)
	best := argmax(logits)
	top := logits[best]
	switch {
	case mask != nil && top != top:
		return -1
	case top != top || top == negInfinity || s.p.Temperature == 0:
		s.surprise = 0
		return best
	case s.p.Mirostat != 0:
		s.gather(logits, top, negInfinity, 0)
		return s.mirostat()
	case s.p.TopK == 1:
		return best
	case math.IsInf(float64(top), 1) || s.p.cuts() || s.p.DynatempRange > 0:
		s.gather(logits, top, s.sigmaFloor(logits, top), s.p.TopK)
		s.typical()
		s.nucleus()
		s.likely()
		s.exclude()
		return s.draw()
	}
	return s.drawAny(logits, top)
}

// edit returns the logits after the mask, the biases and the penalties: logits itself if there are none, otherwise a
// copy.
func (s *Sampler) edit(logits []float32, mask Mask) []float32 {
	if mask == nil && len(s.p.LogitBias) == 0 && !s.p.penalised() && !s.dry.on() {
		return logits
	}
	s.logits = append(s.logits[:0], logits...)
	if mask != nil {
		mask.apply(s.logits)
	}
	for _, b := range s.p.LogitBias {
		if int(b.ID) < len(s.logits) {
			s.logits[b.ID] += b.Value
		}
	}
	if s.p.penalised() {
		s.penalise()
	}
	if s.dry.on() {
		s.dry.penalise(s.logits)
	}
	return s.logits
}

// penalise applies the penalties for single tokens.
func (s *Sampler) penalise() {
	s.window.each(func(id int32, generated int32) {
		l := &s.logits[id]
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
}

// argmax returns the first of the largest logits in the order of Sampler.
func argmax(logits []float32) int32 {
	best := 0
	for best < len(logits)-1 && logits[best] != logits[best] {
		best++
	}
	if logits[best] != logits[best] {
		return 0
	}
	top := logits[best]
	for i := best + 1; i < len(logits); i++ {
		if logits[i] > top {
			best, top = i, logits[i]
		}
	}
	return int32(best)
}
