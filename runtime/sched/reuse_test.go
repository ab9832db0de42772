package sched

import (
	"testing"
	"time"

	"aquifer/runtime/kv"
)

// text returns a sequence of n tokens that begin as those of all others with the same salt.
func text(salt string, n, most int) *Seq {
	tokens := make([]int32, n)
	return &Seq{Len: n, Max: most, Chain: kv.Chain(nil, kv.Root(salt), tokens)}
}

// TestReuse: a second sequence runs what the first has not, while that one runs, and after it has ended; admission
// counts what is missing.
func TestReuse(t *testing.T) {
	pool := kv.NewPool(6)
	s := New(Config{Seqs: 4, StepTokens: 256, MixTokens: 256, Queue: 9}, pool)
	add := func(q *Seq) *Seq {
		t.Helper()
		if err := s.Add(q, time.Time{}); err != nil {
			t.Fatal(err)
		}
		return q
	}
	first := add(text("a", 70, 96))
	if r := play(s); len(r.Work) != 1 || r.Work[0].N != 70 || first.Hit != 0 {
		t.Fatalf("%+v", r)
	}
	second := add(text("a", 100, 128)) // 4 blocks, of which it finds 2; one more would be too many
	r := play(s)
	if len(r.Work) != 2 || r.Work[1] != (Work{second, 64, 36, 1, true, 0, 0}) || second.Hit != 64 || pool.Free() != 1 {
		t.Fatalf("%+v, hit %d, %d free", r, second.Hit, pool.Free())
	}
	if b := first.Table.Blocks[1]; second.Table.Blocks[1] != b || pool.Shares(b) != 2 {
		t.Errorf("tables %v, %v", first.Table, second.Table)
	}
	other := add(text("b", 64, 65)) // another salt finds nothing, and there is no room
	if r := play(s); len(r.Work) != 2 || other.Running() || len(other.Table.Blocks) != 0 {
		t.Fatalf("%+v", r)
	}
	s.End(first)
	s.End(second)
	if pool.Free() != 6 || pool.Known() != 3 {
		t.Fatalf("%d free, %d known", pool.Free(), pool.Known())
	}
	if r := play(s); len(r.Work) != 1 || r.Work[0] != (Work{other, 0, 64, 1, true, 0, 0}) {
		t.Fatalf("%+v", r)
	}
	s.End(other)
	// All of its blocks are known, but the last token has to be run.
	whole := add(text("a", 96, 97))
	if r := play(s); len(r.Work) != 1 || r.Work[0] != (Work{whole, 64, 32, 1, true, 0, 0}) {
		t.Fatalf("%+v", r)
	}
	s.End(whole)
	scored := text("a", 96, 97)
	scored.Rows = 60 // from token 36 on
	if r := play(s); len(r.Work) != 0 {
		t.Fatalf("%+v", r)
	}
	add(scored)
	if r := s.Round(); len(r.Work) != 1 || r.Work[0].Pos != 32 {
		t.Fatalf("%+v", r)
	}
	s.End(scored)
	if err := pool.Check(); err != nil || pool.Free() != 6 {
		t.Errorf("%v, %d free", err, pool.Free())
	}
}

// TestReuseTurns: a sequence that turns long gives back what it found and has blocks of its own for all; what it held
// before is not found by others, nor is the old under the new name.
func TestReuseTurns(t *testing.T) {
	pool := kv.NewPool(16)
	s := New(Config{Seqs: 4, StepTokens: 256, MixTokens: 256, Queue: 9}, pool)
	first, second := text("short", 70, 80), text("short", 70, 96)
	second.Turns = true
	for _, q := range []*Seq{first, second} {
		if err := s.Add(q, time.Time{}); err != nil {
			t.Fatal(err)
		}
		play(s)
	}
	if second.Hit != 64 || pool.Free() != 16-3-1-2 {
		t.Fatalf("found %d, %d free", second.Hit, pool.Free())
	}
	known := pool.Known()
	s.Rewind(second)
	if second.Table.Blocks[0] == first.Table.Blocks[0] || pool.Shares(first.Table.Blocks[0]) != 1 || pool.Free() != 16-3-3 || second.Chain != nil {
		t.Errorf("tables %v, %v, %d free", first.Table, second.Table, pool.Free())
	}
	second.Chain = kv.Chain(nil, kv.Root("long"), make([]int32, second.Len))
	play(s)
	if pool.Known() != known+2 {
		t.Errorf("%d blocks are known, %d were", pool.Known(), known)
	}
	long := text("long", 70, 80)
	if err := s.Add(long, time.Time{}); err != nil {
		t.Fatal(err)
	}
	play(s)
	if long.Hit != 64 || long.Table.Blocks[0] != second.Table.Blocks[0] {
		t.Errorf("found %d", long.Hit)
	}
	// One that does not turn after all is found when it has ended.
	stays := text("stays", 70, 80)
	stays.Turns = true
	if err := s.Add(stays, time.Time{}); err != nil {
		t.Fatal(err)
	}
	known = pool.Known()
	play(s)
	if pool.Known() != known {
		t.Error("known before the end")
	}
	s.End(stays)
	if pool.Known() != known+2 {
		t.Error("not known after the end")
	}
}

func TestRewindMisuse(t *testing.T) {
	s := New(Config{Seqs: 1, StepTokens: 8, MixTokens: 8}, kv.NewPool(1))
	q := &Seq{Len: 1, Max: 3}
	if err := s.Add(q, time.Time{}); err != nil {
		t.Fatal(err)
	}
	play(s)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s.Rewind(q)
}
