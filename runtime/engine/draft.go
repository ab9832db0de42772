package engine

// Limits of drafts, in tokens.
const (
	minMatch  = 3  // that must have stood together before, for a draft from the text itself
	minResync = 2  // likewise, for one from a prediction
	maxMatch  = 32 // that are compared
	maxDraft  = 64 // that are proposed at a time; what steps try is less
	freshText = 16 // a prediction from its start counts as such a match
)

// drafter guesses how an answer goes on: as the text did where it was the same before, or as the caller has predicted
// (prompt lookup, arXiv 2304.04487). It learns how often that is right by comparing every guess with what the model chose,
// whether or not a step has tried it: so it costs nothing to learn while guesses are not worth trying.
type drafter struct {
	on         bool
	prediction []int32 // what the caller expects; nil for none

	proposal  []int32 // the next tokens, as guessed: a part of the text or the prediction
	match     int     // tokens before them that agree with what lies before the place they were taken from
	predicted bool    // taken from the prediction
	hits      [4]hits // by match

	accepted, rejected int // tokens of the prediction that steps have tried
}

// hits is how often guesses were right; the last fifty or so count.
type hits struct{ right, all float32 }

// group puts matches of similar length together: the longer they are, the likelier it is that they go on.
func group(match int) int {
	switch {
	case match < 6:
		return 0
	case match < 12:
		return 1
	case match < 24:
		return 2
	}
	return 3
}

// chance is the probability that token i of the proposal is right if those before it are.
func (d *drafter) chance(i int) float64 {
	h := d.hits[group(d.match+i)]
	return float64(h.right+1) / float64(h.all+2) // even, while there is no experience
}

func (d *drafter) learn(right bool) {
	h := &d.hits[group(d.match)]
	h.right, h.all = h.right*0.98, h.all*0.98+1
	if right {
		h.right++
	}
}

// begin makes the first guess, before the first token of the answer.
func (d *drafter) begin() {
	d.propose(d.prediction, freshText, true)
}

// follow takes in the n tokens that the text got last, and guesses anew where the old guess is wrong or used up.
func (d *drafter) follow(tokens []int32, n int) {
	if !d.on {
		return
	}
	for _, id := range tokens[len(tokens)-n:] {
		if len(d.proposal) == 0 {
			break
		}
		right := d.proposal[0] == id
		d.learn(right)
		if !right {
			d.proposal = nil
			break
		}
		d.proposal = d.proposal[1:]
		d.match++
	}
	if len(d.proposal) > 0 {
		return
	}
	next, match := find(d.prediction, tokens, minResync)
	own, ownMatch := find(tokens[:len(tokens)-1], tokens, minMatch)
	if ownMatch > match {
		// What follows there may include the last token, which find was not given to look at.
		d.propose(tokens[len(tokens)-1-len(own):], ownMatch, false)
	} else {
		d.propose(next, match, true)
	}
}

func (d *drafter) propose(next []int32, match int, predicted bool) {
	d.proposal, d.match, d.predicted = next[:min(len(next), maxDraft)], match, predicted
}

// find looks in text for the longest piece that tokens ends with too, and returns what follows it there; of pieces of equal
// length the last. It finds nothing that is shorter than least. It looks at every token of the text and takes no memory:
// thousands of them cost microseconds, and a step milliseconds.
func find(text, tokens []int32, least int) (next []int32, match int) {
	last := tokens[len(tokens)-1]
	for i := len(text) - 1; i >= least-1 && match < maxMatch; i-- {
		if text[i] != last {
			continue
		}
		n := 1
		for n < maxMatch && n <= i && n < len(tokens) && text[i-n] == tokens[len(tokens)-1-n] {
			n++
		}
		if n >= least && n > match {
			next, match = text[i+1:], n
		}
	}
	return next, match
}

// count notes what a step that tried the first tokens of the proposal has shown.
func (d *drafter) count(tried, right int) {
	if d.predicted {
		d.accepted += right
		d.rejected += tried - right
	}
}
