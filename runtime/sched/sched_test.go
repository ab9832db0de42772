package sched

import (
	"errors"
	"slices"
	"testing"
	"time"

	"aquifer/runtime/kv"
	"aquifer/runtime/plan"
)

func TestConfig(t *testing.T) {
	good := Config{Seqs: 2, StepTokens: 2, MixTokens: 1}
	New(good, kv.NewPool(1))
	for _, change := range []func(*Config){
		func(c *Config) { c.Seqs = 0 },
		func(c *Config) { c.StepTokens = 1 },
		func(c *Config) { c.MixTokens = 0 },
		func(c *Config) { c.Outputs = 1 },
		func(c *Config) { c.Queue = -1 },
		func(c *Config) { c.QueueTimeout = -1 },
	} {
		bad := good
		change(&bad)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was accepted", bad)
				}
			}()
			New(bad, kv.NewPool(1))
		}()
	}
}

func TestAddRefuses(t *testing.T) {
	s := New(Config{Seqs: 1, StepTokens: 8, MixTokens: 8, Queue: 1}, kv.NewPool(2))
	now := time.Unix(0, 0)
	for name, q := range map[string]*Seq{
		"no tokens":               {Max: 4},
		"max below":               {Len: 5, Max: 4},
		"too large":               {Len: 1, Max: 2*plan.KVBlock + 1},
		"rows of tokens it lacks": {Len: 2, Max: 4, Rows: 3},
		"rows below none":         {Len: 2, Max: 4, Rows: -1},
	} {
		if err := s.Add(q, now); err == nil || errors.Is(err, ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
	first := &Seq{Len: 1, Max: 2 * plan.KVBlock}
	if err := s.Add(first, now); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(first, now); err == nil {
		t.Error("the same sequence was added twice")
	}
	// The first takes the free slot, the second the one place in the queue.
	if err := s.Add(&Seq{Len: 1, Max: 1}, now); err != nil {
		t.Error(err)
	}
	if err := s.Add(&Seq{Len: 1, Max: 1}, now); !errors.Is(err, ErrFull) {
		t.Errorf("third: %v, want %v", err, ErrFull)
	}
	// An ended sequence can come back.
	s.End(first)
	if err := s.Add(first, now); err != nil {
		t.Error(err)
	}
}

// TestTurns: a client with one request is served next, however many another has queued.
func TestTurns(t *testing.T) {
	m := newSim(t, Config{Seqs: 1, StepTokens: 8, MixTokens: 8, Queue: 100}, 10)
	for range 20 {
		m.add("greedy", 4, 4, 4, 0)
	}
	m.round(nil)
	late := m.add("modest", 4, 4, 4, 0)
	for m.live[&late.Seq] != nil {
		m.round(nil)
	}
	if m.ended > 3 {
		t.Errorf("%d answers of the other key came first", m.ended-1)
	}
	m.drain(1000)
}

// TestShortPromptBehindLong: prompts share a step, so a short one is not stuck behind long ones of its own key or of
// another.
func TestShortPromptBehindLong(t *testing.T) {
	for _, keys := range [][2]string{{"a", "a"}, {"a", "b"}} {
		m := newSim(t, Config{Seqs: 8, StepTokens: 64, MixTokens: 64, Queue: 8}, 2000)
		for range 7 {
			m.add(keys[0], 5000, 1, 1, 0)
		}
		m.round(nil)
		short := m.add(keys[1], 32, 1, 1, 0)
		before := m.rounds
		for m.live[&short.Seq] != nil {
			m.round(nil)
		}
		// An equal share of 64 tokens among 8 is 8, of 64 among two keys 32; one round more for the answer.
		want := 5
		if keys[0] != keys[1] {
			want = 3
		}
		if got := m.rounds - before; got > want {
			t.Errorf("keys %v: the short prompt took %d rounds, want %d", keys, got, want)
		}
		m.drain(10000)
	}
}

// TestKeysShareSteps: two keys get equal parts of a step, and so do the sequences of a key.
func TestKeysShareSteps(t *testing.T) {
	m := newSim(t, Config{Seqs: 4, StepTokens: 104, MixTokens: 104, Queue: 8}, 2000)
	for _, key := range []string{"a", "a", "a", "b"} {
		m.add(key, 5000, 1, 1, 0)
	}
	r := m.s.Round()
	keys := map[string]int{}
	for _, w := range r.Work {
		keys[w.Seq.Key] += w.N
		if w.Seq.Key == "a" && w.N != 17 && w.N != 18 {
			t.Errorf("a sequence of the first key got %d tokens", w.N)
		}
	}
	// One token for each of the four, then 50 for each key.
	if keys["a"] != 53 || keys["b"] != 51 {
		t.Errorf("tokens by key: %v", keys)
	}
}

// TestRanAfterEnd: a sequence that was ended during its step and came back starts from nothing.
func TestRanAfterEnd(t *testing.T) {
	s := New(Config{Seqs: 1, StepTokens: 8, MixTokens: 8, Queue: 1}, kv.NewPool(1))
	q := &Seq{Len: 4, Max: 4}
	if err := s.Add(q, time.Time{}); err != nil {
		t.Fatal(err)
	}
	old := s.Round().Work[0]
	s.End(q)
	s.Ran(old)
	if err := s.Add(q, time.Time{}); err != nil {
		t.Fatal(err)
	}
	s.Ran(old)
	if w := s.Round().Work; len(w) != 1 || w[0].Pos != 0 || w[0].N != 4 {
		t.Errorf("work %+v", w)
	}
}

// TestDecodeFirst: with others decoding, prompts get MixTokens at most, and no sequence misses a round.
func TestDecodeFirst(t *testing.T) {
	m := newSim(t, Config{Seqs: 3, StepTokens: 100, MixTokens: 10, Queue: 8}, 100)
	m.add("", 1, 50, 50, 0)
	m.add("", 1, 50, 50, 0)
	m.round(nil)
	m.add("", 80, 1, 1, 0)
	r := m.s.Round()
	if len(r.Work) != 3 || r.Work[0].N != 1 || r.Work[1].N != 1 || r.Work[2].N != 10 {
		t.Errorf("work %+v", r.Work)
	}
}

// TestLimit: prompts get no more tokens than the limit that holds for the step, but one each, never more than the
// configuration allows, and decoding sequences always get theirs.
func TestLimit(t *testing.T) {
	for _, tt := range []struct {
		alone, mixed int
		want         [2]int // tokens of the two prompts, alone and beside an answer
	}{
		{20, 6, [2]int{20, 6}},
		{0, 0, [2]int{2, 2}},
		{-5, -5, [2]int{2, 2}},
		{1000, 1000, [2]int{100, 10}},
	} {
		for decoding := range 2 {
			m := newSim(t, Config{Seqs: 3, StepTokens: 100, MixTokens: 10, Queue: 8}, 100)
			for range decoding {
				m.add("", 1, 50, 50, 0)
				m.round(nil)
			}
			m.add("", 180, 1, 1, 0)
			m.add("", 180, 1, 1, 0)
			m.s.Limit(tt.alone, tt.mixed)
			prompts, total := 0, 0
			for _, w := range m.s.Round().Work {
				if total += w.N; w.Seq.Len > 100 {
					prompts += w.N
				}
			}
			if prompts != tt.want[decoding] || total != prompts+decoding {
				t.Errorf("%+v, %d decode: %d tokens of prompts, %d in all", tt, decoding, prompts, total)
			}
		}
	}
}

// TestLargeIsNotOvertaken: a sequence that needs all the memory starts when what runs has ended, although small ones
// that would fit keep coming.
func TestLargeIsNotOvertaken(t *testing.T) {
	m := newSim(t, Config{Seqs: 4, StepTokens: 64, MixTokens: 64, Queue: 1000}, 10)
	m.add("small", 10, 20, 20, 0)
	m.round(nil)
	large := m.add("large", 10*plan.KVBlock-5, 5, 5, 0)
	for large.admitted < 0 {
		m.add("small", 10, 20, 20, 0)
		m.round(nil)
		if m.rounds > 60 {
			t.Fatal("the large sequence starves")
		}
	}
	m.drain(10000)
}

func TestTimes(t *testing.T) {
	m := newSim(t, Config{Seqs: 1, StepTokens: 8, MixTokens: 8, Queue: 8, QueueTimeout: time.Second}, 100)
	m.add("", 1, 1000, 1000, 0)
	m.round(nil)
	queued := m.add("", 1, 1, 1, 0)
	deadline := m.add("", 1, 1, 1, 500*time.Millisecond)
	start := m.now
	left := func(c *client) bool { return m.live[&c.Seq] == nil }
	for m.now.Sub(start) < 500*time.Millisecond {
		m.round(nil)
	}
	if m.round(nil); !left(deadline) || left(queued) {
		t.Errorf("after the deadline: %d expired", m.expired)
	}
	for m.now.Sub(start) < time.Second {
		m.round(nil)
	}
	if m.round(nil); !left(queued) {
		t.Error("the queue timeout has passed")
	}
	// A running sequence has no queue timeout, but a deadline.
	if m.s.Running() != 1 {
		t.Errorf("%d running", m.s.Running())
	}
	for q := range m.live {
		q.Deadline = m.now
	}
	if m.round(nil); len(m.live) != 0 || m.pool.Free() != 100 {
		t.Error("the deadline of a running sequence has passed")
	}
}

func TestAppendMisuse(t *testing.T) {
	for name, f := range map[string]func(s *Scheduler, q *Seq){
		"not run yet": func(s *Scheduler, q *Seq) { s.Round(); s.Append(q) },
		"waiting":     func(s *Scheduler, q *Seq) { s.Append(q) },
		"past max": func(s *Scheduler, q *Seq) {
			for range 3 {
				s.Ran(s.Round().Work[0])
				s.Append(q)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(Config{Seqs: 1, StepTokens: 8, MixTokens: 8}, kv.NewPool(1))
			q := &Seq{Len: 1, Max: 3}
			if err := s.Add(q, time.Time{}); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f(s, q)
		})
	}
}

func TestNoAllocation(t *testing.T) {
	s := New(Config{Seqs: 8, StepTokens: 256, MixTokens: 64, Queue: 8}, kv.NewPool(1000))
	seqs := make([]*Seq, 8)
	for i := range seqs {
		seqs[i] = &Seq{Key: string(rune('a' + i%3)), Len: 1 + 200*(i%2), Max: 2000}
		if err := s.Add(seqs[i], time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	round := func() {
		for _, w := range s.Round().Work {
			s.Ran(w)
			if w.Logits {
				s.Append(w.Seq)
			}
		}
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(500, round); n != 0 {
		t.Errorf("%v allocations per round", n)
	}
}

func BenchmarkRound(b *testing.B) {
	s := New(Config{Seqs: 8, StepTokens: 256, MixTokens: 64, Queue: 512}, kv.NewPool(1<<20))
	for i := range 500 {
		if err := s.Add(&Seq{Key: string(rune('a' + i%7)), Len: 100, Max: 1 << 20}, time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		for _, w := range s.Round().Work {
			s.Ran(w)
			if w.Logits && w.Seq.Len < w.Seq.Max {
				s.Append(w.Seq)
			}
		}
	}
}

// TestScored: a prompt whose scores are wanted takes as many tokens as it has rows for, and what precedes the scored
// ones at full speed; two of them share the rows evenly, and an answer keeps its own.
func TestScored(t *testing.T) {
	s := New(Config{Seqs: 4, StepTokens: 64, MixTokens: 64, Outputs: 24, Queue: 8}, kv.NewPool(100))
	now := time.Unix(0, 0)
	answer, scored, other := &Seq{Len: 1, Max: 200}, &Seq{Len: 100, Max: 100, Rows: 50}, &Seq{Len: 100, Max: 100, Rows: 100}
	round := func(want map[*Seq]Work) {
		t.Helper()
		work := s.Round().Work
		if len(work) != len(want) {
			t.Fatalf("%d sequences in the round, want %d", len(work), len(want))
		}
		for _, w := range work {
			if expected := want[w.Seq]; w.Pos != expected.Pos || w.N != expected.N || w.Rows != expected.Rows {
				t.Errorf("work %+v, want %+v", w, expected)
			}
			s.Ran(w)
			if w.Logits {
				s.Append(w.Seq)
			}
		}
	}
	for _, q := range []*Seq{answer, scored} {
		if err := s.Add(q, now); err != nil {
			t.Fatal(err)
		}
	}
	round(map[*Seq]Work{answer: {Pos: 0, N: 1, Rows: 1}, scored: {Pos: 0, N: 63, Rows: 13}}) // 64 tokens are the limit
	round(map[*Seq]Work{answer: {Pos: 1, N: 1, Rows: 1}, scored: {Pos: 63, N: 23, Rows: 23}})
	if err := s.Add(other, now); err != nil {
		t.Fatal(err)
	}
	// Three sequences own a row each; of the other 21 the two prompts get 10.
	round(map[*Seq]Work{answer: {Pos: 2, N: 1, Rows: 1}, scored: {Pos: 86, N: 11, Rows: 11}, other: {Pos: 0, N: 11, Rows: 11}})
}

// TestRewind: a sequence that starts over runs all of its tokens again, in the order and with the one result that a new
// one would have, and keeps its blocks.
func TestRewind(t *testing.T) {
	pool := kv.NewPool(8)
	s := New(Config{Seqs: 2, StepTokens: 16, MixTokens: 16}, pool)
	q := &Seq{Len: 20, Max: 60, Turns: true}
	if err := s.Add(q, time.Time{}); err != nil {
		t.Fatal(err)
	}
	step := func(pos, n, rows int, logits bool, again int) {
		t.Helper()
		r := s.Round()
		if len(r.Work) != 1 || r.Work[0] != (Work{q, pos, n, rows, logits, 0, again}) {
			t.Fatalf("work %+v", r.Work)
		}
		s.Ran(r.Work[0])
	}
	step(0, 16, 0, false, 0)
	step(16, 4, 1, true, 0)
	s.Append(q)
	step(20, 1, 1, true, 0)
	s.Append(q)
	free := pool.Free()
	s.Rewind(q)
	step(0, 16, 0, false, 16)
	step(16, 6, 1, true, 5)
	s.Append(q)
	step(22, 1, 1, true, 0)
	if pool.Free() != free {
		t.Errorf("%d blocks are free, %d were", pool.Free(), free)
	}
	s.End(q)
	s.Rewind(q)
	if r := s.Round(); len(r.Work) != 0 || pool.Free() != 8 {
		t.Errorf("work %+v behind the end", r.Work)
	}
}

// TestCut: no step has tokens on both sides of a cut, and what the cut leaves goes to others.
func TestCut(t *testing.T) {
	s := New(Config{Seqs: 2, StepTokens: 10, MixTokens: 10, Queue: 1}, kv.NewPool(10))
	a, b := &Seq{Len: 30, Max: 31, Cut: 12}, &Seq{Len: 30, Max: 31}
	for _, q := range []*Seq{a, b} {
		if err := s.Add(q, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []int
	for range 3 {
		for _, w := range s.Round().Work {
			if w.Seq == a {
				got = append(got, w.N)
			} else {
				got = append(got, -w.N)
			}
			s.Ran(w)
		}
	}
	if want := []int{5, -5, 5, -5, 2, -8}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
