package engine

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	h.add(time.Millisecond, 1) // bounds are inclusive
	h.add(1001*time.Microsecond, 2)
	h.add(time.Hour, 1)
	last := len(h.Buckets) - 1
	if h.Buckets[0] != 1 || h.Buckets[1] != 2 || h.Buckets[last] != 1 || h.Count() != 4 {
		t.Errorf("%v", h.Buckets)
	}
	if want := time.Hour + 3*time.Millisecond + 2*time.Microsecond; h.Sum != want {
		t.Errorf("sum %v, want %v", h.Sum, want)
	}
}

// TestStatsTimes counts a request whose every step takes 20 ms: one wait, one first token behind a step, and the others
// a step apart.
func TestStatsTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, &fakeBackend{delay: 20 * time.Millisecond}, nil)
		for _, script := range []int{4, 7} {
			if _, _, err := read(t, generate(t, e, t.Context(), Request{Prompt: []int32{1, 2}, MaxTokens: script})); err != nil {
				t.Fatal(err)
			}
		}
		s := e.Stats()
		if s.QueueWait.Count() != 2 || s.QueueWait.Sum != 0 {
			t.Errorf("waits %+v", s.QueueWait)
		}
		if s.FirstToken.Count() != 2 || s.FirstToken.Sum != 40*time.Millisecond {
			t.Errorf("first tokens %+v", s.FirstToken)
		}
		if s.TokenGap.Count() != 9 || s.TokenGap.Sum != 180*time.Millisecond {
			t.Errorf("gaps %+v", s.TokenGap)
		}
		if s.Cut != 2 || s.Stopped != 0 || s.Finished != 2 || s.Decoded != 11 {
			t.Errorf("%+v", s)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestSlots looks at what runs between the steps.
func TestSlots(t *testing.T) {
	b := &fakeBackend{gate: make(chan struct{}), entered: make(chan struct{})}
	e := start(t, b, func(c *Config) { c.MaxSeqs, c.StepTokens = 3, 8 })
	if got := e.Slots(); len(got) != 3 || got[0].Busy || got[1].Busy || got[2].Busy {
		t.Fatalf("idle: %+v", got)
	}
	long := generate(t, e, t.Context(), Request{Prompt: make([]int32, 20), MaxTokens: 5, Sampling: Sampling{Temperature: 1, Seed: 1}})
	<-b.entered
	if got := e.Slots()[0]; !got.Busy || got.Prompt != 20 || got.Run != 0 || got.Generated != 0 || got.Left != 5 || got.Sequence != 1 || got.Sampling.Temperature != 1 {
		t.Errorf("in the first step: %+v", got)
	}
	short := generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 2})
	b.gate <- struct{}{}
	<-b.entered
	if got := e.Slots(); got[0].Run != 8 || !got[1].Busy || got[1].Sequence != 2 || got[2].Busy {
		t.Errorf("in the second step: %+v", got)
	}
	go func() {
		for range b.entered {
			b.gate <- struct{}{}
		}
	}()
	b.gate <- struct{}{}
	for _, s := range []*Stream{long, short} {
		if _, _, err := read(t, s); err != nil {
			t.Error(err)
		}
	}
	waitIdle(t, e)
	if got := e.Slots(); got[0].Busy || got[1].Busy {
		t.Errorf("at the end: %+v", got)
	}
	close(b.entered)
}
