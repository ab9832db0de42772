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
	FinishStop   Finish = "stop"   // the model ended it, or a stop string came
	FinishLength Finish = "length" // MaxTokens or the end of the context
)

// Usage has the figures of a finished answer.
type Usage struct {
	Prompt, Completion int           // tokens; Completion includes the one that ended the answer
	QueueTime          time.Duration // from the request to its first step
	PrefillTime        time.Duration // from the first step, or that behind Request.Untimed, to the first token
	DecodeTime         time.Duration // from the first token to the last
}

// Delta is what was generated since the Delta before.
type Delta struct {
	Text   string // whole characters, and nothing that may yet become a stop string
	Tokens int    // tokens generated, also those without text
	// Logprobs are those of the tokens generated, if they were asked for: also of tokens whose text is held back or, as
	// a stop string's, never comes, but not of the end-of-text token.
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
	text   []byte // unread
	tokens int
	probs  []Logprob // likewise
	finish Finish
	usage  *Usage
	err    error         // what Next returns when the text has been read
	left   error         // the context's, once Next has returned it: nothing follows
	row    []float32     // the result of a request for logits
	scores []float64     // the result of a request for scores
	ready  chan struct{} // capacity 1: there may be something to read
}

func newStream(ctx context.Context) *Stream {
	s := &Stream{ready: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// Next waits for the next part of the answer. Behind the last one, which has Finish and Usage, it returns io.EOF.
// When the request's context ends, Next returns the context's error at once, and the engine drops the request within
// one step.
func (s *Stream) Next() (Delta, error) {
	for {
		s.mu.Lock()
		if s.left == nil && (len(s.text) > 0 || len(s.probs) > 0 || s.finish != "") {
			d := Delta{Text: string(s.text), Tokens: s.tokens, Logprobs: s.probs, Finish: s.finish, Usage: s.usage}
			s.text, s.tokens, s.probs = s.text[:0], 0, nil
			if s.finish != "" {
				s.finish, s.usage, s.err = "", nil, io.EOF
			}
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

// Close gives the answer up, if it is not complete: the engine drops the request within one step. It may be called at
// any time, more than once, and beside Next.
func (s *Stream) Close() {
	s.cancel()
}

// push adds text and one token, with its log-probability if that is wanted. It never blocks.
func (s *Stream) push(text []byte, probs []Logprob, finish Finish, usage *Usage) {
	s.mu.Lock()
	if s.err == nil {
		s.text = append(s.text, text...)
		s.tokens++
		s.probs = append(s.probs, probs...)
		s.finish, s.usage = finish, usage
	}
	s.mu.Unlock()
	if len(text) > 0 || len(probs) > 0 || finish != "" {
		s.wake()
	}
}

// fail ends the stream with an error and reports whether it had not ended before. Text that is unread stays readable.
func (s *Stream) fail(err error) bool {
	s.mu.Lock()
	first := s.err == nil && s.finish == ""
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
		s.row, s.scores, s.finish = logits, scores, FinishStop
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
