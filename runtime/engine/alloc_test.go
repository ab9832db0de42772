package engine

import (
	"runtime"
	"testing"
	"time"

	"aquifer/backends"
	"aquifer/backends/ref"
)

// garbage returns the bytes and objects that one answer of n tokens costs, by token, everything around it included.
func garbage(t testing.TB, e *Engine, r Request, n int) (bytes, objects float64) {
	t.Helper()
	run := func() {
		read(t, generate(t, e, t.Context(), r))
		waitIdle(t, e)
	}
	run() // grows the buffers
	const rounds = 3
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		run()
	}
	runtime.ReadMemStats(&after)
	tokens := float64(rounds * n)
	return float64(after.TotalAlloc-before.TotalAlloc) / tokens, float64(after.Mallocs-before.Mallocs) / tokens
}

// allocated returns the bytes that f allocates.
func allocated(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}

// TestGarbage holds the engine to its budget: 4 KB for each generated token. The limits here are lower, so that the
// backend and the server have their share.
func TestGarbage(t *testing.T) {
	// The delay lets the reader keep up, so that each token has a Delta of its own.
	e := start(t, &fakeBackend{delay: 50 * time.Microsecond}, func(c *Config) { c.Context, c.Speculate = 1024, 4 })
	for _, tt := range []struct {
		name           string
		r              Request
		bytes, objects float64
	}{
		{"greedy", Request{Prompt: []int32{1, 2, 3}, MaxTokens: 200}, 256, 6},
		{"sampled, with stops", Request{
			Prompt: []int32{1, 2, 3}, MaxTokens: 200, Stop: []string{"\x00\x01\x02never", "nor\x00this"},
			Sampling: Sampling{Temperature: 1, TopP: 0.9, TopK: 50, RepeatPenalty: 1.1, Seed: 3},
		}, 256, 6},
	} {
		bytes, objects := garbage(t, e, tt.r, 200)
		t.Logf("%s: %.0f bytes in %.1f objects a token", tt.name, bytes, objects)
		if bytes > tt.bytes || objects > tt.objects {
			t.Errorf("%s: %.0f bytes in %.1f objects a token, at most %.0f in %.0f", tt.name, bytes, objects, tt.bytes, tt.objects)
		}
	}
}

// TestGarbageGolden is the same with a real, if tiny, model. The reference backend makes garbage of its own; what a
// step of it makes without the engine is subtracted.
func TestGarbageGolden(t *testing.T) {
	e, want := goldenEngine(t, "llama-2x8g8", func(c *Config) { c.Backend = ref.New(1) })
	r := Request{Prompt: want.Prompts[1].IDs, MaxTokens: 40, IgnoreEOS: true}
	all, _ := garbage(t, e, r, 40)
	step := backends.Step{
		Tokens: []int32{1}, Runs: []backends.Run{{N: 1, Blocks: []int32{0}}}, Out: []int32{0},
	}
	own := allocated(func() {
		for range 40 { // the loop is idle, so the program is free
			if err := e.prog.Run(&step); err != nil {
				t.Fatal(err)
			}
		}
	}) / 40
	t.Logf("%.0f bytes a token, %.0f of them the backend's", all, own)
	if all-own > 512 {
		t.Errorf("%.0f bytes a token, at most 512", all-own)
	}
}

// BenchmarkToken is the engine's share of a token: the fake backend takes next to no time with a short history.
func BenchmarkToken(b *testing.B) {
	for _, bb := range []struct {
		name string
		p    Sampling
	}{{"greedy", Sampling{}}, {"sampled", Sampling{Temperature: 0.8, TopP: 0.95, TopK: 40}}} {
		b.Run(bb.name, func(b *testing.B) {
			e := start(b, &fakeBackend{}, nil)
			b.ReportAllocs()
			const n = 32
			for i := 0; i < b.N; i += n {
				read(b, generate(b, e, b.Context(), Request{Prompt: []int32{1}, MaxTokens: n, Sampling: bb.p}))
			}
		})
	}
}
