package engine

import (
	"strconv"

	"aquifer/runtime/kv"
)

// mayTurn reports whether a sequence of so many tokens that may grow to most can become long on its way.
func (e *Engine) mayTurn(tokens, most int) bool {
	return e.longFrom > 0 && tokens <= e.longFrom && most > e.longFrom
}

// chain appends to chain the hashes of the other full blocks of a text. What is cached of a long sequence is something
// else than what is cached of the same text in a short one.
func (e *Engine) chain(chain []kv.Hash, key string, tokens []int32) []kv.Hash {
	long := e.longFrom > 0 && len(tokens) > e.longFrom
	return kv.Chain(chain, kv.Root(strconv.FormatBool(long)+key), tokens)
}

// grow follows the text of a sequence that got n more tokens, all but the last of which the step has run. Engine.mu is held.
func (e *Engine) grow(q *sequence, n int) {
	for range n - 1 {
		e.sched.Accept(&q.Seq)
		e.extend(q)
	}
	e.sched.Append(&q.Seq)
	e.extend(q)
}

// extend does what a sequence's new length asks for. Engine.mu is held.
func (e *Engine) extend(q *sequence) {
	switch {
	case e.longFrom > 0 && q.Len == e.longFrom+1:
		// The sequence counts as long from here on: its keys have to be made anew.
		reuse := q.Chain != nil
		e.sched.Rewind(&q.Seq)
		if reuse {
			q.Chain = e.chain([]kv.Hash{}, q.Key, q.tokens)
		}
	case q.Chain != nil && q.Len%kv.BlockSize == 0:
		q.Chain = e.chain(q.Chain, q.Key, q.tokens[:q.Len])
	}
}
