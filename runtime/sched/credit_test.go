package sched

import (
	"testing"
	"time"

	"aquifer/runtime/kv"
	"aquifer/runtime/plan"
)

// TestCredit: in the memory that one full answer would fill, three start; when it is short, the youngest gives way and
// comes back, and all end.
func TestCredit(t *testing.T) {
	const blocks = 12
	m := newSim(t, Config{Seqs: 4, StepTokens: 64, MixTokens: 64, Queue: 10}, blocks)
	for range 3 {
		m.add("k", 8, blocks*plan.KVBlock-8, 200, 0) // may fill the memory, and ends earlier
	}
	m.round(nil)
	if got := m.s.Running(); got != 3 {
		t.Errorf("%d run at first, want 3", got)
	}
	m.drain(10000)
	if m.s.Pauses() == 0 || m.ended != 3 {
		t.Errorf("%d pauses, %d ended", m.s.Pauses(), m.ended)
	}
}

// TestPausedGoFirst: nobody who comes later gets memory before a sequence that had to give its own back, whoever's turn it is.
func TestPausedGoFirst(t *testing.T) {
	pool := kv.NewPool(7)
	s := New(Config{Seqs: 4, StepTokens: 512, MixTokens: 512, Queue: 10}, pool)
	add := func(key string, n int) *Seq {
		q := &Seq{Key: key, Len: n, Max: 7 * plan.KVBlock}
		if err := s.Add(q, time.Time{}); err != nil {
			t.Fatal(err)
		}
		return q
	}
	step := func() {
		for _, w := range s.Round().Work {
			if s.Ran(w); w.Logits {
				s.Append(w.Seq)
			}
		}
	}
	a, b := add("a", 30), add("b", 30)
	for i := 0; !b.Running() || i < 3; i++ {
		step()
	}
	for i := 0; b.Running(); i++ {
		if step(); i > 7*plan.KVBlock {
			t.Fatal("nobody was paused")
		}
	}
	late := add("c", 1)
	for a.Len < a.Max {
		if step(); late.Running() && !b.Running() {
			t.Fatal("a later sequence runs, and an earlier one is paused")
		}
	}
	s.End(a)
	step()
	if !b.Running() {
		t.Error("the paused sequence does not go on")
	}
	s.End(b)
	step()
	if !late.Running() {
		t.Error("the late sequence does not start")
	}
	// A paused sequence can be ended.
	s.End(late)
	if pool.Free() != pool.Total() || s.Waiting()+s.Running() != 0 {
		t.Errorf("%d of %d blocks free, %d waiting, %d running", pool.Free(), pool.Total(), s.Waiting(), s.Running())
	}
}
