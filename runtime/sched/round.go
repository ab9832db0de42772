package sched

import (
	"cmp"
	"slices"

	"aquifer/runtime/kv"
)

// Work is the share of one sequence in a step: its tokens Pos..Pos+N-1. A child whose prompt its parent has run starts
// with N = 0: it has nothing to run, and its first token is to be chosen from the logits behind the parent's prompt.
type Work struct {
	Seq    *Seq
	Pos, N int
	Rows   int  // how many of them need logits, counted from the last
	Logits bool // its last known token is among them, so the next one is to be chosen
	Draft  int  // how many of the N are not known, but the first of the proposed ones
	Again  int  // how many of the N have been run before
}

// Expired is a sequence that was removed because its time is over.
type Expired struct {
	Seq *Seq
	Err error // ErrQueueTimeout or ErrDeadline
}

// Copy is a KV block whose contents are to be copied.
type Copy struct{ Dst, Src int32 }

// Round is a step to run. Its slices are valid until the next call of Round.
type Round struct {
	Copies []Copy // to be made before the step, in this order
	Work   []Work // single tokens first; empty if nothing can run
}

// Round admits waiting sequences and makes up the next step. When the step has
// run, the caller calls Ran for each Work and then, for those with Logits, Append or End; Accept comes before, for every
// proposed token that turned out to be the next. While a sequence waits, Work is never empty.
func (s *Scheduler) Round() Round {
	s.out.Work = s.out.Work[:0]
	s.supply()
	s.admit()
	s.share()
	for _, q := range s.running {
		if q.left() == 1 || q.forked {
			s.emit(q)
		}
	}
	for _, q := range s.prompts {
		s.emit(q)
	}
	s.out.Copies, s.copies = s.copies, s.out.Copies[:0]
	return s.out
}

func (s *Scheduler) emit(q *Seq) {
	n := q.grant + q.tried
	s.out.Work = append(s.out.Work, Work{
		Seq: q, Pos: q.done, N: n, Draft: q.tried, Rows: q.rows(n), Logits: q.grant == q.left(), Again: max(min(q.ran-q.done, n), 0),
	})
	q.Draft = 0
}

// share sets the grants of all running sequences and collects those with prompts in s.prompts.
func (s *Scheduler) share() {
	s.round++
	s.prompts, s.claims = s.prompts[:0], s.claims[:0]
	single := 0
	for _, q := range s.running {
		q.tried = 0
		switch q.left() {
		case 0: // its next token is not known yet
			q.grant = 0
		case 1:
			q.grant = 1
			single++
		default:
			s.prompts = append(s.prompts, q)
		}
	}
	if len(s.prompts) == 0 {
		s.speculate(s.cfg.StepTokens - single)
		return
	}
	s.bound()
	// StepTokens is at least Seqs, so there is a token for every prompt.
	limit := s.alone
	if single > 0 {
		limit = s.mixed
	}
	budget := min(s.cfg.StepTokens-single, max(limit, len(s.prompts))) - len(s.prompts)
	for _, q := range s.prompts {
		q.grant = 1
		l := q.lane
		if l.round != s.round {
			l.round, l.want = s.round, 0
			s.claims = append(s.claims, l)
		}
		l.want += q.most - 1
	}
	// The smallest claim comes first, and what it does not need is left to the others; likewise within a lane.
	slices.SortStableFunc(s.claims, func(a, b *lane) int { return cmp.Compare(a.want, b.want) })
	for i, l := range s.claims {
		l.share = min(l.want, budget/(len(s.claims)-i))
		budget -= l.share
	}
	slices.SortStableFunc(s.prompts, func(a, b *Seq) int { return cmp.Compare(a.most, b.most) })
	s.divide()
}

// divide gives the share of each lane to its prompts, which are sorted by what they may get.
func (s *Scheduler) divide() {
	for _, l := range s.claims {
		rest := 0
		for _, q := range s.prompts {
			if q.lane == l {
				rest++
			}
		}
		for _, q := range s.prompts {
			if q.lane == l {
				more := min(q.most-1, l.share/rest)
				q.grant += more
				l.share -= more
				rest--
			}
		}
	}
}

// bound sets how many tokens each of s.prompts may get for the sake of outputs and cuts.
func (s *Scheduler) bound() {
	scored := 0
	for _, q := range s.prompts {
		if q.rows(q.left()) > 1 {
			scored++
		}
	}
	for _, q := range s.prompts {
		q.most = q.left()
		if rows := q.rows(q.left()); rows > 1 {
			q.most -= rows - min(rows, 1+(s.cfg.Outputs-len(s.running))/scored)
		}
		if q.done < q.Cut {
			q.most = min(q.most, q.Cut-q.done)
		}
	}
}

// speculate grants proposed tokens what a step without prompts has left over; tokens is how many.
func (s *Scheduler) speculate(tokens int) {
	outputs := s.cfg.Outputs - len(s.running)
	for _, q := range s.running {
		if q.left() == 1 && len(q.children) == 0 {
			q.tried = max(min(q.Draft, q.Max-q.Len-1, len(q.Table.Blocks)*kv.BlockSize-q.Len, tokens, outputs), 0)
			tokens -= q.tried
			outputs -= q.tried
		}
	}
}
