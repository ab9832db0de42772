package sample

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// oracle computes the distribution that Params describe in the plainest way: float64, full sorts, one step after the
// other, nothing shared with the package but the defaults. xtc says whether XTC's chance came, mu is Mirostat's bound.
type oracle struct {
	p                 Params
	prompt, generated []int32
	text              func(int32) string
	mask              Mask
	xtc               bool
	mu                float64
}

type tok struct {
	id int
	l  float64
}

func (o oracle) probs(logits []float32) []float64 {
	all := make([]tok, len(logits))
	for i, l := range logits {
		all[i] = tok{i, float64(l)}
	}
	for _, b := range o.p.LogitBias {
		all[b.ID].l += float64(b.Value)
	}
	o.penalties(all)
	o.dry(all)
	if o.mask != nil {
		all = slices.DeleteFunc(all, func(t tok) bool { return !o.mask.Allows(int32(t.id)) })
	}
	slices.SortStableFunc(all, func(a, b tok) int { return cmp.Compare(b.l, a.l) })
	out := make([]float64, len(logits))
	if o.p.Temperature == 0 {
		out[all[0].id] = 1
		return out
	}
	t := float64(o.p.Temperature)
	if o.p.Mirostat == 2 {
		for i := range all {
			all[i].l /= t
		}
		probs := softmax(all)
		n := 1
		for n < len(all) && -math.Log2(probs[n]) <= o.mu {
			n++
		}
		all, t = all[:n], 1
	} else {
		all = o.cut(all)
		t = o.temperature(all)
	}
	if t == 0 {
		out[all[0].id] = 1
		return out
	}
	for i := range all {
		all[i].l /= t
	}
	for i, p := range softmax(all) {
		out[all[i].id] = p
	}
	return out
}

// softmax gives the probabilities of a list.
func softmax(all []tok) []float64 {
	top, sum := math.Inf(-1), 0.0
	for _, x := range all {
		top = max(top, x.l)
	}
	probs := make([]float64, len(all))
	for i, x := range all {
		probs[i] = math.Exp(x.l - top)
		sum += probs[i]
	}
	for i := range probs {
		probs[i] /= sum
	}
	return probs
}

func entropyOf(probs []float64) float64 {
	h := 0.0
	for _, p := range probs {
		if p > 0 {
			h -= p * math.Log(p)
		}
	}
	return h
}

func (o oracle) penalties(all []tok) {
	p := o.p
	history := append(slices.Clone(o.prompt), o.generated...)
	first := max(0, len(history)-p.window())
	seen, count := map[int32]bool{}, map[int32]int{}
	for i := first; i < len(history); i++ {
		if p.repeats() || i >= len(o.prompt) { // without a repeat penalty the window holds generated tokens only
			seen[history[i]] = true
		}
		if i >= len(o.prompt) {
			count[history[i]]++
		}
	}
	for id := range seen {
		l := &all[id].l
		if p.RepeatPenalty > 0 {
			if *l > 0 {
				*l /= float64(p.RepeatPenalty)
			} else {
				*l *= float64(p.RepeatPenalty)
			}
		}
		if n := count[id]; n > 0 {
			*l -= float64(p.PresencePenalty) + float64(n)*float64(p.FrequencyPenalty)
		}
	}
}

// dry tries every token: how long is the longest end of the history that, with the token, stands in it already?
func (o oracle) dry(all []tok) {
	p := o.p
	if p.DRYMultiplier == 0 {
		return
	}
	breakers := p.DRYBreakers
	if breakers == nil {
		breakers = DefaultDRYBreakers()
	}
	history := append(slices.Clone(o.prompt), o.generated...)
	limit := 0 // tokens behind the last that completes a breaker
	if p.DRYLastN > 0 {
		history = history[max(0, len(history)-p.DRYLastN):]
	}
	for limit < len(history) && !o.completes(history[:len(history)-limit], breakers) {
		limit++
	}
	allowed := int(or(float32(p.DRYAllowedLength), DefaultDRYAllowedLength))
	base := float64(or(p.DRYBase, DefaultDRYBase))
	for i := range all {
		longest := 0
		for n := 1; n <= limit; n++ {
			want := append(slices.Clone(history[len(history)-n:]), int32(all[i].id))
			for at := 0; at+n+1 <= len(history); at++ {
				if slices.Equal(history[at:at+n+1], want) {
					longest = n
				}
			}
		}
		own := o.text != nil && slices.ContainsFunc(breakers, func(b string) bool { return strings.Contains(o.text(int32(all[i].id)), b) })
		if longest >= allowed && !own {
			all[i].l -= float64(p.DRYMultiplier) * math.Pow(base, float64(longest-allowed))
		}
	}
}

// completes reports whether a breaker ends within the last token of the history.
func (o oracle) completes(history []int32, breakers []string) bool {
	if o.text == nil {
		return false
	}
	text, before := "", 0
	for i, id := range history {
		if i == len(history)-1 {
			before = len(text)
		}
		text += o.text(id)
	}
	for _, b := range breakers {
		for end := before + 1; end <= len(text); end++ {
			if strings.HasSuffix(text[:end], b) {
				return true
			}
		}
	}
	return false
}

// cut applies everything between the penalties and the temperature to a sorted list and returns a sorted list.
func (o oracle) cut(all []tok) []tok {
	p := o.p
	if p.TopNSigma > 0 {
		mean, variance := 0.0, 0.0
		for _, x := range all {
			mean += x.l / float64(len(all))
		}
		for _, x := range all {
			variance += (x.l - mean) * (x.l - mean) / float64(len(all))
		}
		least := all[0].l - float64(p.TopNSigma)*math.Sqrt(variance)
		all = slices.DeleteFunc(all, func(x tok) bool { return x.l < least })
	}
	if p.TopK > 0 {
		all = all[:min(len(all), p.TopK)]
	}
	if p.TypicalP > 0 && p.TypicalP < 1 {
		probs := softmax(all)
		h := entropyOf(probs)
		order := make([]int, len(all))
		for i := range order {
			order[i] = i
		}
		far := func(i int) float64 { return math.Abs(-math.Log(probs[i]) - h) }
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(far(a), far(b)) })
		var kept []tok
		have := 0.0
		for _, i := range order {
			kept = append(kept, all[i])
			if have += probs[i]; have >= float64(p.TypicalP) {
				break
			}
		}
		slices.SortStableFunc(kept, func(a, b tok) int { return cmp.Or(cmp.Compare(b.l, a.l), cmp.Compare(a.id, b.id)) })
		all = kept
	}
	if p.TopP > 0 && p.TopP < 1 {
		have := 0.0
		for i, q := range softmax(all) {
			if have += q; have >= float64(p.TopP) {
				all = all[:i+1]
				break
			}
		}
	}
	if p.MinP > 0 {
		probs := softmax(all)
		n := 1
		for n < len(all) && probs[n] >= float64(p.MinP)*probs[0] {
			n++
		}
		all = all[:n]
	}
	if o.xtc && p.XTCProbability > 0 {
		n := 0
		for _, q := range softmax(all) {
			if q >= float64(or(p.XTCThreshold, DefaultXTCThreshold)) {
				n++
			}
		}
		all = all[max(n-1, 0):]
	}
	return all
}

func (o oracle) temperature(all []tok) float64 {
	t, r := float64(o.p.Temperature), float64(o.p.DynatempRange)
	if r == 0 || len(all) < 2 {
		return t
	}
	part := entropyOf(softmax(all)) / math.Log(float64(len(all)))
	low := max(t-r, 0)
	return low + (t+r-low)*math.Pow(part, float64(or(o.p.DynatempExponent, 1)))
}
