package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func generate(t testing.TB, e *Engine, ctx context.Context, r Request) *Stream {
	t.Helper()
	s, err := e.Generate(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCancel cancels requests in every stage, with the device held in a step, and counts the steps until everything
// is free.
func TestCancel(t *testing.T) {
	for _, stage := range []string{"queued", "prefill", "decode"} {
		for _, how := range []string{"context", "close"} {
			t.Run(stage+" "+how, func(t *testing.T) {
				b := &fakeBackend{gate: make(chan struct{}), entered: make(chan struct{})}
				e := start(t, b, func(c *Config) { c.MaxSeqs, c.StepTokens, c.Context = 1, 10, 256 })
				ctx, cancel := context.WithCancel(t.Context())
				var blocker *Stream
				if stage == "queued" {
					blocker = generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 2})
				}
				s := generate(t, e, ctx, Request{Prompt: make([]int32, 100)})
				<-b.entered
				if stage == "decode" {
					for range 12 { // ten steps of prompt, two tokens
						b.gate <- struct{}{}
						<-b.entered
					}
				}
				if how == "close" {
					s.Close()
					s.Close()
				} else {
					cancel()
				}
				var err error
				for err == nil {
					_, err = s.Next()
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Next: %v", err)
				}
				if stage == "queued" {
					waitFor(t, e, func(s Stats) bool { return s.Queued == 0 && s.Cancelled == 1 })
					b.gate <- struct{}{}
					<-b.entered
					b.gate <- struct{}{}
					if _, _, err := read(t, blocker); err != nil {
						t.Error(err)
					}
				} else {
					waitFor(t, e, func(s Stats) bool { return s.Cancelled == 1 })
					if got := e.Stats(); got.KVFree == got.KVBlocks {
						t.Error("the blocks were freed under a running step")
					}
					b.gate <- struct{}{} // the step that was running, and no other
				}
				waitIdle(t, e)
				cancel()
			})
		}
	}
}

func waitFor(t testing.TB, e *Engine, ok func(Stats) bool) {
	t.Helper()
	for start := time.Now(); !ok(e.Stats()); time.Sleep(100 * time.Microsecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("stats stay at %+v", e.Stats())
		}
	}
}

// TestFreedBlocksAreReusable: a request that waits for memory starts as soon as a cancelled one has given it back.
func TestFreedBlocksAreReusable(t *testing.T) {
	b := &fakeBackend{delay: 100 * time.Microsecond}
	e := start(t, b, func(c *Config) { c.MaxSeqs, c.Context = 2, 1024 })
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		generate(t, e, ctx, Request{Prompt: []int32{1}}) // all of the context
		generate(t, e, ctx, Request{Prompt: []int32{2}})
		s := generate(t, e, t.Context(), Request{Prompt: []int32{3}, MaxTokens: 3})
		time.Sleep(time.Millisecond)
		cancel()
		if text, _, err := read(t, s); err != nil || text != decoded(b.greedy([]int32{3}, 3)) {
			t.Errorf("%q, %v", text, err)
		}
	}
}

// TestSlowReader: an unread stream holds nobody up, and what collected comes in one Delta.
func TestSlowReader(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, func(c *Config) { c.MaxSeqs = 2 })
	slow := generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 200})
	fast := generate(t, e, t.Context(), Request{Prompt: []int32{2}, MaxTokens: 200})
	if text, _, err := read(t, fast); err != nil || text != decoded(b.greedy([]int32{2}, 200)) {
		t.Errorf("fast: %q, %v", text, err)
	}
	waitIdle(t, e)
	d, err := slow.Next()
	if err != nil || d.Text != decoded(b.greedy([]int32{1}, 200)) || d.Finish != FinishLength || d.Tokens != 200 {
		t.Errorf("slow: %+v, %v", d, err)
	}
	if _, err := slow.Next(); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
}

// TestStepError: the sequences of a failed step fail, the next request does not.
func TestStepError(t *testing.T) {
	broken := errors.New("device on fire")
	b := &fakeBackend{fail: func(step int) error {
		if step == 3 {
			return broken
		}
		return nil
	}}
	e := start(t, b, nil)
	s := generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 50})
	text, _, err := read(t, s)
	if !errors.Is(err, broken) || !strings.HasPrefix(decoded(b.greedy([]int32{1}, 2)), text) {
		t.Errorf("%q, %v", text, err)
	}
	s = generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 50})
	if text, _, err := read(t, s); err != nil || text != decoded(b.greedy([]int32{1}, 50)) {
		t.Errorf("after the error: %q, %v", text, err)
	}
	waitIdle(t, e)
	if s := e.Stats(); s.Failed != 1 || s.Finished != 1 {
		t.Errorf("%+v", s)
	}
	b.fail = nil
}

// TestPanic: the requests get an error, later ones are refused, the process lives.
func TestPanic(t *testing.T) {
	b := &fakeBackend{fail: func(step int) error {
		if step == 3 {
			panic("kernel bug")
		}
		return nil
	}, delay: time.Millisecond}
	e := start(t, b, func(c *Config) { c.MaxSeqs = 2 })
	var list []*Stream
	for range 5 { // three of them wait
		list = append(list, generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 50}))
	}
	for _, s := range list {
		if _, _, err := read(t, s); !errors.Is(err, ErrBroken) {
			t.Errorf("%v, want %v", err, ErrBroken)
		}
	}
	if _, err := e.Generate(t.Context(), Request{Prompt: []int32{1}}); !errors.Is(err, ErrBroken) {
		t.Errorf("a later request: %v", err)
	}
	if !e.Broken() {
		t.Error("the engine does not say that it is broken")
	}
	if s := e.Stats(); s.Panics != 1 || s.Failed != 5 || s.Running+s.Queued != 0 || s.KVFree != s.KVBlocks {
		t.Errorf("%+v", s)
	}
}

func TestQueue(t *testing.T) {
	b := &fakeBackend{gate: make(chan struct{}, 100)}
	e := start(t, b, func(c *Config) { c.MaxSeqs, c.MaxQueue = 1, 2 })
	var list []*Stream
	for range 3 {
		list = append(list, generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 2}))
	}
	if _, err := e.Generate(t.Context(), Request{Prompt: []int32{1}}); !errors.Is(err, ErrBusy) {
		t.Errorf("the fourth: %v", err)
	}
	for range 100 {
		b.gate <- struct{}{}
	}
	for _, s := range list {
		if _, _, err := read(t, s); err != nil {
			t.Error(err)
		}
	}
	if s := e.Stats(); s.Refused != 1 || s.Finished < 2 {
		t.Errorf("%+v", s)
	}
}

// TestTimes runs the engine in a bubble of its own time: each step takes a second.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBackend{delay: time.Second}
		e := start(t, b, func(c *Config) { c.MaxSeqs, c.QueueTimeout, c.StepTokens = 1, 10*time.Second, 10 })
		first := generate(t, e, t.Context(), Request{Prompt: make([]int32, 25), MaxTokens: 20})
		late := generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 1})
		begin := time.Now()
		if _, _, err := read(t, late); !errors.Is(err, ErrQueueTimeout) {
			t.Errorf("in the queue: %v", err)
		}
		if wait := time.Since(begin); wait < 10*time.Second || wait > 11*time.Second {
			t.Errorf("the queue timeout came after %v", wait)
		}
		_, last, err := read(t, first)
		if err != nil {
			t.Fatal(err)
		}
		// Three steps for the prompt, the third of which gives the first token; 19 more.
		if u := last.Usage; u.QueueTime != 0 || u.PrefillTime != 3*time.Second || u.DecodeTime != 19*time.Second {
			t.Errorf("usage %+v", u)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		s := generate(t, e, ctx, Request{Prompt: []int32{1}})
		text, _, err := read(t, s)
		if !errors.Is(err, context.DeadlineExceeded) || text != decoded(b.greedy([]int32{1}, 5)) {
			t.Errorf("with a deadline: %q, %v", text, err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if s := e.Stats(); s.Expired != 2 || s.Running != 0 || s.KVFree != s.KVBlocks {
			t.Errorf("%+v", s)
		}
		if e.Close(t.Context()) != nil {
			t.Error("Close")
		}
	})
}

// TestExpiredChoices: when a request of several choices has waited too long in the very moment in which a slot becomes
// free, none of its choices starts, and nobody else's step fails.
func TestExpiredChoices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBackend{delay: time.Second}
		e := start(t, b, func(c *Config) { c.MaxSeqs, c.QueueTimeout = 2, 10*time.Second })
		ends := generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 10})
		stays := generate(t, e, t.Context(), Request{Prompt: []int32{2}, MaxTokens: 20})
		family := generate(t, e, t.Context(), Request{Prompt: []int32{3}, MaxTokens: 5, N: 3})
		for _, s := range []*Stream{ends, stays} {
			if _, _, err := read(t, s); err != nil {
				t.Error(err)
			}
		}
		if _, _, err := readAll(t, family, 3); !errors.Is(err, ErrQueueTimeout) {
			t.Errorf("the choices: %v", err)
		}
		if s := e.Stats(); s.Failed != 0 || s.Expired != 1 || s.Finished != 2 {
			t.Errorf("%+v", s)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("drains", func(t *testing.T) {
		b := &fakeBackend{delay: time.Millisecond}
		e := start(t, b, func(c *Config) { c.MaxSeqs = 1 })
		running := generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 20})
		waiting := generate(t, e, t.Context(), Request{Prompt: []int32{2}, MaxTokens: 20})
		waitFor(t, e, func(s Stats) bool { return s.Running == 1 })
		var wg sync.WaitGroup
		for range 3 { // concurrent calls are fine
			wg.Go(func() {
				if err := e.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		if _, _, err := read(t, waiting); !errors.Is(err, ErrClosed) {
			t.Errorf("the waiting one: %v", err)
		}
		if text, _, err := read(t, running); err != nil || text != decoded(b.greedy([]int32{1}, 20)) {
			t.Errorf("the running one: %q, %v", text, err)
		}
		wg.Wait()
		if _, err := e.Generate(t.Context(), Request{Prompt: []int32{1}}); !errors.Is(err, ErrClosed) {
			t.Errorf("a later one: %v", err)
		}
		if b.compiled.Load() != 0 {
			t.Error("the program is not closed")
		}
	})
	t.Run("cuts", func(t *testing.T) {
		b := &fakeBackend{delay: time.Millisecond}
		e := start(t, b, nil)
		s := generate(t, e, t.Context(), Request{Prompt: []int32{1}})
		waitFor(t, e, func(s Stats) bool { return s.Decoded > 0 })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if _, _, err := read(t, s); !errors.Is(err, ErrClosed) {
			t.Errorf("the answer: %v", err)
		}
	})
}

// TestHammer runs clients of all kinds side by side, compares every complete answer with the model's, and counts
// goroutines and blocks at the end.
func TestHammer(t *testing.T) {
	before := runtime.NumGoroutine()
	b := &fakeBackend{scripts: [][]byte{[]byte(strings.Repeat("ab€", 30) + "STOP more")}}
	e := start(t, b, func(c *Config) { c.MaxSeqs, c.StepTokens, c.MaxQueue, c.Context = 5, 37, 6, 200 })
	const clients, requests = 12, 150
	var wg sync.WaitGroup
	var accepted atomic.Int64
	for c := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 7))
			for range requests {
				hammer(t, e, b, rng, fmt.Sprint(c%3), &accepted)
			}
		})
	}
	wg.Wait()
	waitIdle(t, e)
	s := e.Stats()
	if s.Finished == 0 || s.Cancelled == 0 || s.Finished+s.Cancelled != accepted.Load() || s.Expired+s.Failed+s.Panics != 0 || s.Reused == 0 {
		t.Errorf("%d requests: %+v", accepted.Load(), s)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	checkGoroutines(t, before)
}

// checkGoroutines waits until there are no more goroutines than before.
func checkGoroutines(t *testing.T, before int) {
	t.Helper()
	for start := time.Now(); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func hammer(t *testing.T, e *Engine, b *fakeBackend, rng *rand.Rand, key string, accepted *atomic.Int64) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := Request{Prompt: randomPrompt(rng, 1+rng.IntN(100)), MaxTokens: 1 + rng.IntN(60), Key: key}
	want, finish := decoded(b.greedy(r.Prompt, r.MaxTokens)), FinishLength
	if rng.IntN(2) == 0 { // begins as others do
		copy(r.Prompt, randomPrompt(rand.New(rand.NewPCG(0, uint64(rng.IntN(2)))), 100))
		want = decoded(b.greedy(r.Prompt, r.MaxTokens))
	}
	if rng.IntN(4) == 0 {
		hammerChoices(t, e, b, rng, r, accepted)
		return
	}
	if rng.IntN(3) == 0 {
		r.Prompt, r.MaxTokens, r.Stop = scripted(0), 0, []string{"STOP", "ba"}
		want, finish = strings.Repeat("ab€", 30), FinishStop
	}
	s := admitted(ctx, t, e, rng, r)
	if s == nil {
		return
	}
	accepted.Add(1)
	switch rng.IntN(4) {
	case 0: // the client leaves at some time
		time.AfterFunc(time.Duration(rng.IntN(1000))*time.Microsecond, cancel)
		text, last, err := read(t, s)
		if err != nil && !errors.Is(err, context.Canceled) || err == nil && last.Finish == "" ||
			!strings.HasPrefix(want, strings.TrimSuffix(text, "\ufffd")) {
			t.Errorf("cancelled: %q is no start of %q, %v", text, want, err)
		}
	case 1: // or reads nothing
		s.Close()
	default:
		text, last, err := read(t, s)
		if err != nil || text != want || last.Finish != finish {
			t.Errorf("%q, %q, %v; want %q", text, last.Finish, err, want)
		}
	}
}
