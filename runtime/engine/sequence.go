package engine

import (
	"fmt"
	"slices"
	"time"

	"aquifer/runtime/chat"
	"aquifer/runtime/sample"
	"aquifer/runtime/sched"
	"aquifer/tokenizer"
)

// sequence is one answer while the engine works on it. The scheduler's part and the fields of the first group are
// guarded by Engine.mu; the others belong to the loop once the sequence has been added.
type sequence struct {
	sched.Seq
	request *request
	index   int       // in the request
	number  int64     // how many have started, with this one
	last    time.Time // when it got its last token; zero for none yet
	ended   bool      // its part of the stream has its end; only the scheduler may still hold blocks for it

	tokens []int32 // prompt and answer
	prompt int     // tokens of the prompt
	max    int     // tokens of the answer
	eos    []int32 // ids that end the answer, ascending
	params sample.Params

	sampler *sample.Sampler
	tok     *tokenizer.Tokenizer // nil: no text is wanted
	decoder *tokenizer.Decoder   // of tok
	reading
	logprobState
	stop   stopper
	draft  drafter
	form   *form     // that the answer has to have; nil for none
	raw    bool      // the logits themselves are wanted, or scores, not an answer
	score  []int32   // the tokens to be scored, those behind the last Rows of tokens; nil for logits
	scores []float64 // of the first of them, as far as steps have come

	created, started, timed, first time.Time // timed is when the first step behind Request.Untimed began
}

// advance chooses the next token from the logits and passes on the text that has become certain. It says why the answer
// ends, if it does. It fails if the form of the answer has no token left that could follow.
func (q *sequence) advance(logits []float32, text []byte, now time.Time) (finish Finish, scratch []byte, err error) {
	if q.first.IsZero() {
		q.first = now
		q.sampler.Prompt(q.tokens)
	}
	mask, err := q.form.allowed()
	if err != nil {
		return "", text, fmt.Errorf("engine: constrained answer: %w", err)
	}
	id := q.sampler.Sample(logits, mask)
	if id < 0 {
		return "", text, errNoToken
	}
	complete, err := q.form.accept(id)
	if err != nil {
		return "", text, fmt.Errorf("engine: constrained answer: %w", err)
	}
	q.sampler.Accept(id)
	q.tokens = append(q.tokens, id)
	completion := len(q.tokens) - q.prompt

	var out piece
	var stopped bool
	if _, eos := slices.BinarySearch(q.eos, id); eos {
		finish = FinishStop
	} else {
		content := true
		if q.decoder != nil {
			var parts chat.Parts
			parts, content = q.read(id)
			text, stopped = q.stop.push(text, parts.Content)
			out.add(parts)
		}
		if q.logprobs && content {
			out.probs = q.logprob(logits, id)
		}
		switch {
		case stopped, complete:
			finish = FinishStop
		case completion == q.max:
			finish = FinishLength
		}
	}
	if finish == "" {
		out.text = text
		q.request.stream.push(q.index, out)
		return "", text, nil
	}
	if !stopped && q.decoder != nil {
		// What was held back belongs to the answer, unless it completes a stop string.
		rest := q.rest()
		out.add(rest)
		if text, stopped = q.stop.push(text, rest.Content); stopped {
			finish = FinishStop
		} else {
			text = q.stop.flush(text)
		}
	}
	if finish == FinishStop && q.called() {
		finish = FinishCalls
	}
	out.text, out.finish = text, finish
	out.usage = &Usage{
		Prompt: q.prompt, Cached: q.Hit, Completion: completion, Reasoning: q.thought,
		Accepted: q.draft.accepted, Rejected: q.draft.rejected,
		QueueTime: q.started.Sub(q.created), PrefillTime: q.first.Sub(q.timed), DecodeTime: now.Sub(q.first),
	}
	q.request.stream.push(q.index, out)
	return finish, text, nil
}
