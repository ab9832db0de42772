package sched

import (
	"testing"
	"time"

	"aquifer/runtime/kv"
	"aquifer/runtime/plan"
)

// family adds a sequence with children and returns all of them.
func family(t *testing.T, s *Scheduler, key string, length, most, children int) []*Seq {
	t.Helper()
	var all []*Seq
	for range children + 1 {
		all = append(all, &Seq{Key: key, Len: length, Max: most})
	}
	if err := s.Add(all[0], time.Time{}, all[1:]...); err != nil {
		t.Fatal(err)
	}
	return all
}

// play runs a round and gives every sequence with logits its next token.
func play(s *Scheduler) Round {
	r := s.Round()
	for _, w := range r.Work {
		s.Ran(w)
		if w.Logits {
			s.Append(w.Seq)
		}
	}
	return r
}

// TestFork: the prompt of three sequences is run once; its full block is one for all, each has the one behind to itself.
func TestFork(t *testing.T) {
	pool := kv.NewPool(20)
	s := New(Config{Seqs: 4, StepTokens: 64, MixTokens: 64}, pool)
	all := family(t, s, "", plan.KVBlock+8, 4*plan.KVBlock, 2)
	if r := play(s); len(r.Work) != 1 || r.Work[0].N != plan.KVBlock+8 || len(r.Copies) != 0 {
		t.Fatalf("first round %+v", r)
	}
	pristine := all[1].Table.Blocks[1]
	r := play(s)
	if len(r.Work) != 3 || r.Work[0] != (Work{all[0], plan.KVBlock + 8, 1, 1, true, 0, 0}) {
		t.Fatalf("second round %+v", r)
	}
	for i, c := range all[1:] {
		if r.Work[i+1] != (Work{c, plan.KVBlock + 8, 0, 0, true, 0, 0}) {
			t.Errorf("child %d starts with %+v", i, r.Work[i+1])
		}
	}
	// The parent and the first child write to copies; the last child has the original to itself.
	if len(r.Copies) != 2 || r.Copies[0] != (Copy{all[0].Table.Blocks[1], pristine}) || r.Copies[1] != (Copy{all[1].Table.Blocks[1], pristine}) ||
		all[2].Table.Blocks[1] != pristine {
		t.Errorf("copies %v, tables %v %v %v", r.Copies, all[0].Table, all[1].Table, all[2].Table)
	}
	if b := all[0].Table.Blocks[0]; pool.Shares(b) != 3 || all[1].Table.Blocks[0] != b || all[2].Table.Blocks[0] != b {
		t.Errorf("the full block has %d shares", pool.Shares(b))
	}
	if r := play(s); len(r.Work) != 3 || len(r.Copies) != 0 || r.Work[2].N != 1 {
		t.Errorf("third round %+v", r)
	}
	for _, q := range all {
		s.End(q)
	}
	if pool.Free() != 20 || s.Waiting()+s.Running() != 0 {
		t.Errorf("%d blocks are free", pool.Free())
	}
}

// TestForkWholeBlocks: where the prompt ends with a block nothing is copied, and no block is held for that.
func TestForkWholeBlocks(t *testing.T) {
	pool := kv.NewPool(4)
	s := New(Config{Seqs: 2, StepTokens: 64, MixTokens: 64}, pool)
	all := family(t, s, "", plan.KVBlock, 2*plan.KVBlock, 1)
	play(s)
	if r := play(s); len(r.Work) != 2 || len(r.Copies) != 0 || pool.Free() != 1 {
		t.Fatalf("%+v, %d free", r, pool.Free())
	}
	s.End(all[0])
	s.End(all[1])
}

// TestForkLate: children that find no slot start behind the prompt although their parent has ended.
func TestForkLate(t *testing.T) {
	pool := kv.NewPool(8)
	s := New(Config{Seqs: 1, StepTokens: 64, MixTokens: 64}, pool)
	all := family(t, s, "", 10, 50, 3)
	play(s)
	s.End(all[0])
	for i, c := range all[1:] {
		r := play(s)
		if len(r.Work) != 1 || r.Work[0] != (Work{c, 10, 0, 0, true, 0, 0}) {
			t.Fatalf("child %d: %+v", i, r)
		}
		if r := play(s); len(r.Work) != 1 || r.Work[0] != (Work{c, 10, 1, 1, true, 0, 0}) {
			t.Fatalf("child %d: %+v", i, r)
		}
		s.End(c)
	}
	if pool.Free() != 8 {
		t.Errorf("%d blocks are free", pool.Free())
	}
}

// TestForkWithoutParent: children of a sequence that ends before its prompt has been run, and those that are apart, run
// it themselves.
func TestForkWithoutParent(t *testing.T) {
	s := New(Config{Seqs: 2, StepTokens: 8, MixTokens: 8}, kv.NewPool(8))
	all := family(t, s, "", 10, 20, 1)
	play(s)
	s.End(all[0])
	if r := play(s); len(r.Work) != 1 || r.Work[0] != (Work{all[1], 0, 8, 0, false, 0, 0}) {
		t.Errorf("%+v", r)
	}
	s.End(all[1])
	apart := &Seq{Len: 10, Max: 20, Apart: true}
	if err := s.Add(all[0], time.Time{}, apart); err != nil {
		t.Fatal(err)
	}
	if r := play(s); len(r.Work) != 2 || r.Work[0].N+r.Work[1].N != 8 || r.Work[1].Pos != 0 {
		t.Errorf("%+v", r)
	}
}

// TestForkOvertakes: sequences whose memory waiting children hold would wait for ever for those, and those for them.
func TestForkOvertakes(t *testing.T) {
	pool := kv.NewPool(20)
	s := New(Config{Seqs: 1, StepTokens: 1024, MixTokens: 1024, Queue: 10}, pool)
	small := family(t, s, "a", 4*plan.KVBlock-1, 15*plan.KVBlock, 1) // waiting, it holds 4 blocks and needs 2 more
	large := family(t, s, "b", 15*plan.KVBlock-1, 15*plan.KVBlock, 1)
	play(s)
	s.End(small[0])
	if r := play(s); len(r.Work) != 1 || r.Work[0].Seq != large[0] {
		t.Fatalf("%+v", r)
	}
	s.End(large[0])
	if r := play(s); len(r.Work) != 1 || r.Work[0].Seq != large[1] {
		t.Fatalf("nothing overtakes: %+v, %d free", r, pool.Free())
	}
	s.End(large[1])
	if r := play(s); len(r.Work) != 1 || r.Work[0].Seq != small[1] {
		t.Fatalf("%+v", r)
	}
	s.End(small[1])
	if pool.Free() != 20 {
		t.Errorf("%d blocks are free", pool.Free())
	}
}

func TestAddRefusesChildren(t *testing.T) {
	s := New(Config{Seqs: 1, StepTokens: 8, MixTokens: 8, Queue: 1}, kv.NewPool(2))
	parent := func() *Seq { return &Seq{Len: 5, Max: 9} }
	for name, c := range map[string]*Seq{
		"key": {Key: "x", Len: 5, Max: 9}, "length": {Len: 4, Max: 9}, "max": {Len: 5, Max: 8}, "rows": {Len: 5, Max: 9, Rows: 2},
		"invalid": {},
	} {
		if err := s.Add(parent(), time.Time{}, c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	big := &Seq{Len: 5, Max: 2 * plan.KVBlock}
	if err := s.Add(big, time.Time{}, &Seq{Len: 5, Max: 2 * plan.KVBlock}); err == nil {
		t.Error("two that need a third block were accepted")
	}
	if s.Waiting() != 0 || len(s.lanes) != 0 {
		t.Fatalf("%d wait after refusals", s.Waiting())
	}
	// Children take no place in the queue.
	family(t, s, "", 5, 9, 20)
	family(t, s, "", 5, 9, 20)
	if err := s.Add(parent(), time.Time{}); err != ErrFull {
		t.Errorf("third: %v", err)
	}
}

// TestForkQueueTimeout: the wait of children has no limit.
func TestForkQueueTimeout(t *testing.T) {
	s := New(Config{Seqs: 1, StepTokens: 8, MixTokens: 8, QueueTimeout: time.Second}, kv.NewPool(9))
	all := family(t, s, "", 5, 9, 1)
	play(s)
	expired := s.Expire(time.Unix(1e9, 0))
	if r := s.Round(); len(expired) != 0 || len(r.Work) != 1 {
		t.Errorf("%+v", r)
	}
	all[1].Deadline = time.Unix(1, 0)
	expired = s.Expire(time.Unix(1e9, 0))
	if r := s.Round(); len(expired) != 1 || expired[0].Err != ErrDeadline {
		t.Errorf("%+v", r)
	}
}
