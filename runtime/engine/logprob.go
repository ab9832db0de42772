package engine

import "aquifer/runtime/sample"

// MaxTopLogprobs is the most tokens that Request.TopLogprobs may ask for (OpenAI's limit).
const MaxTopLogprobs = 20

// Logprob is a token and how likely the model found it at its place: its own distribution, before biases, penalties,
// temperature and all that cuts.
type Logprob struct {
	ID    int32
	Bytes []byte    // what the token decodes to; it may be a part of a character. nil without a tokenizer
	Value float64   // natural logarithm of the probability; -Inf for none
	Top   []Logprob // the most likely tokens of that place, the most likely first; their Top is nil
}

// logprob describes the token that was chosen from the logits. It is the loop's, as the sampler is.
func (q *sequence) logprob(logits []float32, id int32) []Logprob {
	q.scratch = q.sampler.Logprobs(q.scratch[:0], logits, id, q.top)
	list := make([]Logprob, len(q.scratch))
	for i, p := range q.scratch {
		list[i] = Logprob{ID: p.ID, Value: p.Value}
		if q.tok != nil {
			list[i].Bytes = q.tok.Bytes(p.ID)
		}
	}
	list[0].Top = list[1:]
	return list[:1:1]
}

// logprobState is what a sequence needs for log-probabilities.
type logprobState struct {
	logprobs bool
	top      int
	scratch  []sample.Logprob
}
