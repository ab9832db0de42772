package engine

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"aquifer/backends"
)

// slowness is a device: what a step takes, and each of its tokens.
type slowness struct{ step, token time.Duration }

func (s slowness) of(tokens int) time.Duration { return s.step + time.Duration(tokens)*s.token }

// kinds of models: the embedded one, 1B, 7B and 70B on a small machine.
var kinds = []slowness{
	{6 * time.Millisecond, 1500 * time.Microsecond},
	{30 * time.Millisecond, 4 * time.Millisecond},
	{150 * time.Millisecond, 22 * time.Millisecond},
	{1500 * time.Millisecond, 220 * time.Millisecond},
}

// stepped starts an engine that notes the tokens of its steps.
func (s slowness) stepped(t *testing.T, change func(*Config)) (e *Engine, steps *[]int) {
	steps = new([]int)
	b := &fakeBackend{delay: s.step, each: s.token, scripts: [][]byte{bytes.Repeat([]byte("a"), 1000)}}
	b.watch = func(s *backends.Step) { *steps = append(*steps, len(s.Tokens)) }
	return start(t, b, func(c *Config) {
		c.Context, c.MaxSeqs = 2048, 4
		if change != nil {
			change(c)
		}
	}), steps
}

func finish(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStepsKeepTime: steps of prompts take no longer than they may unless they are as short as is worth it, and as many tokens
// as possible otherwise, from the second one on.
func TestStepsKeepTime(t *testing.T) {
	for i, want := range []int{256, 128, 128, 128} {
		synctest.Test(t, func(t *testing.T) {
			e, steps := kinds[i].stepped(t, func(c *Config) { c.Precision = backends.Auto })
			prompt := randomPrompt(rand.New(rand.NewPCG(1, 1)), 1500)
			if _, _, err := read(t, generate(t, e, t.Context(), Request{Prompt: prompt, MaxTokens: 1})); err != nil {
				t.Error(err)
			}
			for j, n := range (*steps)[:len(*steps)-1] {
				if j == 0 && n != aloneLeast || j > 0 && n != want {
					t.Errorf("%v: step %d has %d tokens, want %d", kinds[i], j, n, want)
				}
				if took := kinds[i].of(n); took > aloneTime && n > aloneLeast {
					t.Errorf("%v: a step of %d tokens takes %v", kinds[i], n, took)
				}
			}
			finish(t, e)
		})
	}
}

// TestExactSteps: in exact precision a prompt that is alone is cut at the same places, however long steps take.
func TestExactSteps(t *testing.T) {
	for _, k := range kinds {
		synctest.Test(t, func(t *testing.T) {
			e, steps := k.stepped(t, nil)
			for i := range 2 {
				prompt := randomPrompt(rand.New(rand.NewPCG(1, uint64(i))), 5*aloneLeast)
				if _, _, err := read(t, generate(t, e, t.Context(), Request{Prompt: prompt, MaxTokens: 1})); err != nil {
					t.Error(err)
				}
			}
			for i, n := range *steps {
				if n != aloneLeast {
					t.Errorf("%v: step %d has %d tokens", k, i, n)
				}
			}
			if len(*steps) != 10 {
				t.Errorf("%v: %d steps", k, len(*steps))
			}
			finish(t, e)
		})
	}
}

// TestAnswersKeepFlowing: while a long prompt is run an answer goes on, with gaps that are as long as they may be, or those of
// the shortest steps.
func TestAnswersKeepFlowing(t *testing.T) {
	for _, k := range kinds {
		synctest.Test(t, func(t *testing.T) {
			e, steps := k.stepped(t, nil)
			s := generate(t, e, t.Context(), Request{Prompt: scripted(0)})
			next := func() {
				if _, err := s.Next(); err != nil {
					t.Fatal(err)
				}
			}
			next()
			long := generate(t, e, t.Context(), Request{Prompt: randomPrompt(rand.New(rand.NewPCG(1, 2)), 1500), MaxTokens: 1})
			done := make(chan error, 1)
			go func() {
				_, err := long.Next()
				done <- err
			}()
			gaps, last := 0, time.Now()
			for running := true; running; gaps++ {
				next()
				gap := time.Since(last)
				last = time.Now()
				if most := max(k.of(1)+mixedTime, k.of(mixedLeast)); gap > most {
					t.Errorf("%v: a gap of %v, at most %v", k, gap, most)
				}
				select {
				case err := <-done:
					if running = false; err != nil {
						t.Error(err)
					}
				default:
				}
			}
			if gaps < 1500/64 {
				t.Errorf("%v: %d tokens came while the prompt was run in steps of %v", k, gaps, *steps)
			}
			s.Close()
			finish(t, e)
		})
	}
}

// TestCancelInTime: a client that leaves, a deadline and a short request wait for one step, and that is short.
func TestCancelInTime(t *testing.T) {
	for _, k := range kinds {
		synctest.Test(t, func(t *testing.T) {
			e, _ := k.stepped(t, nil)
			most := max(aloneTime, k.of(aloneLeast))
			prompt := randomPrompt(rand.New(rand.NewPCG(1, 3)), 1500)
			for i := range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				prompt[0] = int32(i) // nothing is found in the cache
				s := generate(t, e, ctx, Request{Prompt: prompt})
				time.Sleep(time.Duration(i) * 37 * time.Millisecond)
				left := time.Now()
				if i%2 == 0 {
					cancel()
				}
				short := generate(t, e, t.Context(), Request{Prompt: []int32{int32(i), 1}, MaxTokens: 1})
				if _, _, err := read(t, short); err != nil {
					t.Error(err)
				}
				if waited := time.Since(left); waited > 2*most { // the step in progress, and its own
					t.Errorf("%v: a short request took %v", k, waited)
				}
				left = time.Now()
				cancel()
				for e.Stats().Running > 0 {
					time.Sleep(time.Millisecond)
				}
				if waited := time.Since(left); waited > most+time.Millisecond {
					t.Errorf("%v: left after %v", k, waited)
				}
				s.Close()
			}
			finish(t, e)
		})
	}
}

// TestFixedSteps: where times must not decide anything they don't.
func TestFixedSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, steps := kinds[3].stepped(t, func(c *Config) { c.FixedSteps = true })
		tokens := randomPrompt(rand.New(rand.NewPCG(1, 4)), 1025)
		if _, err := e.Score(t.Context(), tokens, 1024); err != nil && err != io.EOF {
			t.Error(err)
		}
		for _, n := range *steps {
			if n != DefaultStepTokens {
				t.Errorf("steps of %v tokens", *steps)
			}
		}
		if len(*steps) != 4 {
			t.Errorf("steps of %v tokens", *steps)
		}
		finish(t, e)
	})
}

// TestStride: single long times change nothing, lasting ones do, and what became faster is believed at once.
func TestStride(t *testing.T) {
	var s stride
	run := func(n int, token time.Duration) {
		for range n {
			s.next(256, 64)
			s.add(s.alone, time.Duration(s.alone)*token)
		}
		s.next(256, 64)
	}
	check := func(what string, alone, mixed int) {
		t.Helper()
		if s.alone != alone || s.mixed != mixed {
			t.Errorf("%s: %d and %d tokens, want %d and %d (%v a token)", what, s.alone, s.mixed, alone, mixed, s.seconds)
		}
	}
	s.next(256, 64)
	check("at first", aloneLeast, mixedLeast)
	run(1, 1500*time.Microsecond)
	check("after one step", 256, 64)
	for range 20 {
		run(1, 3*time.Second) // preempted
		check("after an outlier", 256, 64)
		run(4, 1500*time.Microsecond)
	}
	run(20, 10*time.Millisecond) // behind a long text
	check("slower", 128, 16)
	run(6, 1500*time.Microsecond)
	check("fast again", 256, 64)
	run(40, time.Hour)
	check("very slow", aloneLeast, mixedLeast)
	run(40, 1500*time.Microsecond)
	check("after all", 256, 64)
	s.next(40, 10)
	if s.alone != 40 || s.mixed != 10 {
		t.Errorf("%d and %d tokens in steps of 40", s.alone, s.mixed)
	}
}
