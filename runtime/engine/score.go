package engine

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
)

// Score returns the natural logarithm of the probability that the model gives to each token from index from on, after
// all tokens before it: element i is log p(tokens[from+i] | tokens[:from+i]). The tokens are run as they are, without
// BOS; the first one cannot be scored, so from is at least 1. It waits its turn like any other request, and runs beside
// others without changing their answers. Config.Outputs bounds how many tokens it scores in a step.
//
// A logit that is not a number makes its row's score NaN: it is for the caller to refuse.
func (e *Engine) Score(ctx context.Context, tokens []int32, from int) ([]float64, error) {
	if err := e.checkPrompt(tokens); err != nil {
		return nil, err
	}
	if from < 1 || from >= len(tokens) {
		return nil, &ParamError{Param: "from", Msg: fmt.Sprintf("is %d, must be 1 to %d for %d tokens", from, len(tokens)-1, len(tokens))}
	}
	// The last token is only predicted, it need not be run.
	run := len(tokens) - 1
	if run > e.info.Context {
		return nil, &ContextError{Prompt: len(tokens), Context: e.info.Context}
	}
	tokens = slices.Clone(tokens)
	q := &sequence{tokens: tokens[:run], prompt: run, raw: true, score: tokens[from:], scores: make([]float64, 0, len(tokens)-from)}
	q.Rows = len(q.score)
	s, err := e.add(ctx, &request{seqs: []*sequence{q}}, "")
	if err != nil {
		return nil, err
	}
	if _, err := s.Next(); err != nil {
		return nil, err
	}
	return s.scores, nil
}

// logProbs appends to out the log-probability of a token under each row of logits (rows, vocab); targets holds at least
// as many tokens. The rows are spread over the processors: a vocabulary's worth of exponentials takes a good part of the
// time that a small model needs for a token.
func logProbs(out []float64, targets []int32, logits []float32, vocab int) []float64 {
	rows := len(logits) / vocab
	first := len(out)
	out = append(out, make([]float64, rows)...)
	workers := min(runtime.GOMAXPROCS(0), rows)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < rows; i += workers {
				out[first+i] = logProb(logits[i*vocab:(i+1)*vocab], targets[i])
			}
		})
	}
	wg.Wait()
	return out
}

// logProb is a logit less the logarithm of the sum of all exponentials, in float64: the sum has as many terms as the
// vocabulary, and perplexities are compared to four digits.
func logProb(logits []float32, id int32) float64 {
	top, sum := float64(slices.Max(logits)), 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	return float64(logits[id]) - top - math.Log(sum)
}
