package sample

import (
	"math"
	"slices"
)

// Logprob is the natural logarithm of a token's probability.
type Logprob struct {
	ID    int32
	Value float64 // -Inf for a token that cannot come; never NaN
}

// Logprobs appends to dst the log-probability of id and then those of the n most likely tokens, the most likely first,
// fewer if the vocabulary is smaller. They are those of the logits as they are: of the model's own distribution, before
// anything that Params ask for. The order is that of Sampler; a NaN has no probability, and several +Inf share all of it.
func (s *Sampler) Logprobs(dst []Logprob, logits []float32, id int32, n int) []Logprob {
	top := logits[argmax(logits)]
	sum := 0.0
	for _, l := range logits {
		if l == top {
			sum++ // also where l - top would be NaN
		} else {
			sum += float64(exp(l - top))
		}
	}
	norm := math.Log(sum)
	value := func(l float32) float64 {
		switch {
		case l != l || l == negInfinity:
			return math.Inf(-1)
		case l == top:
			return -norm
		}
		return float64(l) - float64(top) - norm
	}
	dst = append(dst, Logprob{id, value(logits[id])})
	if n = min(n, len(logits)); n == 0 {
		return dst
	}
	s.selectTop(logits, n)
	slices.SortFunc(s.cand, compare)
	for _, c := range s.cand {
		dst = append(dst, Logprob{c.id, value(c.logit)})
	}
	return dst
}
