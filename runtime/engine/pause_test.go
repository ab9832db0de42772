package engine

import (
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"aquifer/backends"
)

// TestShortMemory: eight answers in memory for one and a half: they take turns in it, none is refused, and each is what it
// would be alone (to the device here, running a text anew makes no difference in any precision).
func TestShortMemory(t *testing.T) {
	for _, precision := range []backends.Precision{backends.Exact, backends.Fast} {
		const mb = 1 << 20
		var gate atomic.Pointer[chan struct{}] // steps wait until all requests of a round are there
		b := &fakeBackend{perSeq: mb, watch: func(*backends.Step) { <-*gate.Load() }}
		cfg := Config{
			Model: fakeModel(2048), Tokenizer: testTokenizer(), Backend: b, Context: 512, StepTokens: 64, Precision: precision,
			Speculate: 4,
		}
		e, err := load(t.Context(), cfg, headroom+16*mb+2*8*mb) // one sequence and half of what is left
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Stats().KVBlocks; got != 24 {
			t.Fatalf("%d blocks, want 24", got)
		}
		alone := start(t, &fakeBackend{}, func(c *Config) { c.Context = 512 })
		for round := range 2 {
			var all sync.WaitGroup
			var requests [8]Request
			var want [8]answer
			for i := range requests {
				requests[i] = Request{
					Prompt: randomPrompt(rand.New(rand.NewPCG(uint64(i), 4)), 5+i*20), MaxTokens: 250, Key: string(rune('a' + i%3)),
					Sampling: Sampling{Temperature: float32(i % 2), RepeatPenalty: 1.1, Seed: uint64(i)}, N: 1 + i%4/3, Logprobs: i == 2,
				}
				want[i] = collect(t, alone, requests[i])
			}
			open := make(chan struct{})
			gate.Store(&open)
			for i, r := range requests {
				all.Go(func() {
					if got := collect(t, e, r); !reflect.DeepEqual(got, want[i]) {
						t.Errorf("%v, round %d, request %d: %+v, want %+v", precision, round, i, got, want[i])
					}
				})
			}
			waitFor(t, e, func(s Stats) bool { return s.Running+s.Queued >= len(requests) })
			close(open)
			all.Wait()
		}
		waitIdle(t, e)
		if s := e.Stats(); s.Paused == 0 || s.Again == 0 {
			t.Errorf("%v: %d pauses, %d tokens run again", precision, s.Paused, s.Again)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
