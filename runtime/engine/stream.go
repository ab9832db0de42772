package engine

import (
	"context"
	"io"
	"sync"
	"time"
)

// Finish says why an answer ended.
type Finish string

// Reasons. The empty string means that the answer goes on.
const (
	FinishStop   Finish = "stop"       // the model ended it, or a stop string came
	FinishLength Finish = "length"     // MaxTokens or the end of the context
	FinishCalls  Finish = "tool_calls" // the model ended it, and wants tools to be called
)

// Usage has the figures of a finished answer.
type Usage struct {
	Prompt, Completion int           // tokens; Completion includes the one that ended the answer
	Reasoning          int           // tokens of the completion that are reasoning
	Cached             int           // tokens of the prompt that an earlier request had left in the cache
	Accepted, Rejected int           // tokens of Request.Prediction that were tried and turned out right or wrong
	QueueTime          time.Duration // from the request to its first step
	PrefillTime        time.Duration // from the first step, or that behind Request.Untimed, to the first token
	DecodeTime         time.Duration // from the first token to the last
}

// Delta is what was generated of one answer since the Delta before.
type Delta struct {
	Index  int    // of the answer, 0 to Request.N-1
	Text   string // whole characters, and nothing that may yet become a stop string
	Tokens int    // tokens generated, also those without text
	// Reasoning comes before Text, Calls behind it.
	Reasoning string
	Calls     []CallPart
	// Logprobs are those of the tokens generated, if they were asked for: also of tokens whose text is held back or, as
	// a stop string's, never comes, but not of the end-of-text token, nor of reasoning and calls.
	Logprobs []Logprob
	Finish   Finish // set in the last Delta
	Usage    *Usage // set in the last Delta
}

// Stream is an answer being generated. The engine never waits for its reader: unread text collects here, bounded by
// the length of the answer, and the next Delta holds all of it. One goroutine may read a Stream.
type Stream struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	parts  []part        // by answer
	turn   int           // the part to be looked at first
	making int           // answers that have no end yet
	unread int           // answers whose end has not been read
	err    error         // what Next returns when everything has been read
	left   error         // the context's, once Next has returned it: nothing follows
	row    []float32     // the result of a request for logits
	scores []float64     // the result of a request for scores
	ready  chan struct{} // capacity 1: there may be something to read
}

// part is what is unread of one answer.
type part struct {
	piece
	tokens int
}

func newStream(ctx context.Context, answers int) *Stream {
	s := &Stream{parts: make([]part, answers), making: answers, unread: answers, ready: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// Next waits for the next part of an answer; several take turns. The last one of each has Finish and Usage, and behind
// that of the last answer Next returns io.EOF. When the request's context ends, Next returns the context's error at
// once, and the engine drops the request within one step.
func (s *Stream) Next() (Delta, error) {
	for {
		s.mu.Lock()
		if d, ok := s.take(); ok {
			s.mu.Unlock()
			return d, nil
		}
		err := s.err
		if err == nil {
			// Before the next look: the engine cancels the context when it has completed or failed the stream.
			err = s.ctx.Err()
			s.left = err
		}
		s.mu.Unlock()
		if err != nil {
			return Delta{}, err
		}
		select {
		case <-s.ready:
		case <-s.ctx.Done():
		}
	}
}

// take returns what is unread of the next answer that has something. Stream.mu is held.
func (s *Stream) take() (Delta, bool) {
	if s.left != nil {
		return Delta{}, false
	}
	for range s.parts {
		i := s.turn
		s.turn = (i + 1) % len(s.parts)
		p := &s.parts[i]
		if p.empty() {
			continue
		}
		d := Delta{
			Index: i, Text: string(p.text), Tokens: p.tokens, Reasoning: string(p.reasoning), Calls: p.calls,
			Logprobs: p.probs, Finish: p.finish, Usage: p.usage,
		}
		*p = part{piece: piece{text: p.text[:0], reasoning: p.reasoning[:0]}}
		if d.Finish != "" {
			if s.unread--; s.unread == 0 {
				s.err = io.EOF
			}
		}
		return d, true
	}
	return Delta{}, false
}

// Close gives the answer up, if it is not complete: the engine drops the request within one step. It may be called at
// any time, more than once, and beside Next.
func (s *Stream) Close() {
	s.cancel()
}

// push adds what came of one token to an answer. It never blocks.
func (s *Stream) push(answer int, more piece) {
	s.mu.Lock()
	if s.err == nil {
		p := &s.parts[answer]
		p.join(more)
		p.tokens++
		if more.finish != "" {
			s.making--
		}
	}
	s.mu.Unlock()
	if !more.empty() {
		s.wake()
	}
}

// fail ends the stream with an error and reports whether it had not ended before. Text that is unread stays readable.
func (s *Stream) fail(err error) bool {
	s.mu.Lock()
	first := s.err == nil && s.making > 0
	if first {
		s.err = err
	}
	s.mu.Unlock()
	if first {
		s.wake()
	}
	return first
}

// deliver is the end of a request for logits or scores, which become the stream's.
func (s *Stream) deliver(logits []float32, scores []float64) {
	s.mu.Lock()
	if s.err == nil {
		s.row, s.scores, s.parts[0].finish = logits, scores, FinishStop
		s.making--
	}
	s.mu.Unlock()
	s.wake()
}

func (s *Stream) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
