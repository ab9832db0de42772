package cpu_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"aquifer/backends"
	"aquifer/backends/backendtest"
	"aquifer/backends/cpu"
	"aquifer/runtime/plan"
)

// open opens the backend or skips where the platform has none.
func open(t testing.TB, c cpu.Config) backends.Backend {
	t.Helper()
	b, err := cpu.Open(c)
	if errors.Is(err, cpu.ErrUnsupportedPlatform) || errors.Is(err, cpu.ErrNotBuilt) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// levels runs f for each level this machine can run.
func levels(t *testing.T, f func(t *testing.T, level string)) {
	open(t, cpu.Config{Threads: 1}) // a library that is there and can't be loaded is a failure, not a skip
	all := cpu.Levels()
	if len(all) == 0 {
		t.Fatal("the library was loaded, but not for its levels")
	}
	for _, l := range all {
		t.Run(l.Name, func(t *testing.T) {
			if !l.OK {
				t.Skip(l.Why)
			}
			f(t, l.Name)
		})
	}
}

// TestConformance runs the suite with three threads at each level, and with one at the level that would be chosen: that the
// number of threads changes nothing is for TestThreads to find.
func TestConformance(t *testing.T) {
	best := ""
	for _, l := range cpu.Levels() {
		if l.OK {
			best = l.Name
		}
	}
	levels(t, func(t *testing.T, level string) {
		all := []int{3}
		if level == best {
			all = append(all, 1)
		}
		for _, threads := range all {
			t.Run(fmt.Sprintf("%d threads", threads), func(t *testing.T) {
				backendtest.RunAll(t, func(t *testing.T) backends.Backend {
					return open(t, cpu.Config{Threads: threads, Level: level})
				})
			})
		}
	})
}

// TestThreads: results have the same bits for every number of threads.
func TestThreads(t *testing.T) {
	levels(t, func(t *testing.T, level string) {
		var opens []func(t *testing.T) backends.Backend
		for _, threads := range []int{1, 2, 3, 7} {
			opens = append(opens, func(t *testing.T) backends.Backend {
				return open(t, cpu.Config{Threads: threads, Level: level})
			})
		}
		backendtest.Identical(t, opens...)
	})
}

// tiny is large enough for phases that are shared between threads.
var tiny = shape{"tiny", 2, 128, 4, 2, 256, 512, plan.Scheme{Codebooks: 2, Bits: 8, InGroup: 8, OutGroup: 1}, plan.F16}

func tinyOptions() backends.Options {
	return backends.Options{KV: plan.F16, KVBlocks: 8, MaxTokens: 64, MaxSeqs: 2, MaxOutputs: 2}
}

// TestPool hammers the hand-over between phases: more threads than processors, so that they are preempted everywhere,
// several programs at once, and thousands of steps that are over before every thread has noticed them.
func TestPool(t *testing.T) {
	steps := 4000
	if testing.Short() {
		steps = 500
	}
	for _, threads := range []int{2, 16} {
		dev := open(t, cpu.Config{Threads: threads})
		var wg sync.WaitGroup
		for range 3 {
			prog := tiny.program(t, dev, tinyOptions())
			want := run(t, prog, tokenStep(0, 7))
			wg.Go(func() {
				for i := range steps {
					s := tokenStep(0, 7)
					if err := prog.Run(s); err != nil {
						t.Error(err)
						return
					}
					if !slices.Equal(s.Logits, want) {
						t.Errorf("%d threads: step %d differs from the first", threads, i)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func run(t *testing.T, prog backends.Program, s *backends.Step) []float32 {
	t.Helper()
	if err := prog.Run(s); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(s.Logits)
}

// TestGarbage: a decode step allocates next to nothing.
func TestGarbage(t *testing.T) {
	prog := tiny.program(t, open(t, cpu.Config{Threads: 1}), tinyOptions())
	s := tokenStep(5, 1)
	if n := testing.AllocsPerRun(100, func() {
		if err := prog.Run(s); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("%v allocations a step, at most 2", n)
	}
}

// TestMemory: weights take at most 15 % more than in the file, and Measure says what Compile takes.
func TestMemory(t *testing.T) {
	dev := open(t, cpu.Config{})
	for _, s := range []shape{smol4x8, smol2x8, llama2} {
		p := s.plan()
		m, err := dev.Measure(p, tinyOptions())
		if err != nil {
			t.Fatal(err)
		}
		var file int64
		for i := range p.Weights {
			file += p.Weights[i].Bytes()
		}
		if ratio := float64(m.Weights) / float64(file); ratio > 1.15 {
			t.Errorf("%s: weights take %.3f times their %d bytes", s.name, ratio, file)
		}
		const positions = 8 * plan.KVBlock
		for _, kv := range []plan.DType{plan.F32, plan.F16, plan.Q8_0} {
			o := tinyOptions()
			o.KV = kv
			m, err := dev.Measure(p, o)
			if err != nil {
				t.Fatal(err)
			}
			want, err := kv.Bytes(int64(s.layers) * positions * int64(2*s.kv*(s.hidden/s.heads)))
			if err != nil || m.KV != want {
				t.Errorf("%s: KV in %s takes %d bytes, want %d (%v)", s.name, kv, m.KV, want, err)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	open(t, cpu.Config{}) // skips where there is no library
	for _, c := range []struct {
		config cpu.Config
		want   string
	}{
		{cpu.Config{Level: "avx9"}, "avx9"},
		{cpu.Config{Threads: -1}, "-1 threads"},
		{cpu.Config{Threads: 5000}, "5000 threads"},
	} {
		if _, err := cpu.Open(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want an error with %q", c.config, err, c.want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	dev := open(t, cpu.Config{Threads: 1})
	o := tinyOptions()
	o.KV = plan.BF16
	var unsupported *backends.UnsupportedError
	if _, err := dev.Compile(tiny.plan(), o); !errors.As(err, &unsupported) {
		t.Errorf("KV in bf16: got %v, want an UnsupportedError", err)
	}
	o = tinyOptions()
	o.KVBlocks = 1 << 24
	var memory *backends.MemoryError
	huge := tiny
	huge.layers = 60
	huge.hidden, huge.kv, huge.heads = 1<<20, 1<<10, 1<<10
	if _, err := dev.Compile(huge.plan(), o); !errors.As(err, &memory) || memory.Bytes < 1<<40 {
		t.Errorf("KV of exabytes: got %v, want a MemoryError", err)
	}
}

func TestCloseOrder(t *testing.T) {
	dev := open(t, cpu.Config{Threads: 1})
	prog, err := dev.Compile(tiny.plan(), tinyOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.Close(); err == nil {
		t.Fatal("closed a device with a program")
	}
	if err := prog.Close(); err != nil {
		t.Fatal(err)
	}
	if err := prog.Run(tokenStep(0, 1)); err == nil {
		t.Error("ran a closed program")
	}
	if err := prog.Close(); err != nil {
		t.Error("second Close:", err)
	}
}

func TestKernels(t *testing.T) {
	levels(t, func(t *testing.T, level string) {
		prog := tiny.program(t, open(t, cpu.Config{Threads: 1, Level: level}), tinyOptions())
		for _, name := range prog.Kernels() {
			if !strings.HasSuffix(name, " "+level) {
				t.Errorf("kernel %q does not name level %s", name, level)
			}
			if cpu.Reason(name) == "" {
				t.Errorf("kernel %q has no reason", name)
			}
		}
	})
}

// TestReason: kernels of every kind of scheme have a reason, and what is no kernel has none.
func TestReason(t *testing.T) {
	levels(t, func(t *testing.T, level string) {
		dev := open(t, cpu.Config{Threads: 1, Level: level})
		for _, name := range []string{"2x8g8", "1x16g8", "1x12g32", "3x5g4og2", "8x8g32"} {
			scheme, err := plan.ParseScheme(name)
			if err != nil {
				t.Fatal(err)
			}
			model := tiny
			model.scheme = scheme
			prog, err := dev.Compile(model.plan(), tinyOptions())
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range prog.Kernels() {
				if cpu.Reason(name) == "" {
					t.Errorf("kernel %q has no reason", name)
				}
			}
			prog.Close()
		}
	})
	if cpu.Reason("go 2x8g8") != "" || cpu.Reason("") != "" {
		t.Error("a reason for no kernel")
	}
}

// TestAuto: auto differs from exact at the levels that AutoIsExact names, and only there, for one token or for many.
func TestAuto(t *testing.T) {
	wide := tiny // long enough for tables over tokens
	wide.layers, wide.hidden, wide.ffn = 1, 1024, 4096
	levels(t, func(t *testing.T, level string) {
		dev := open(t, cpu.Config{Threads: 1, Level: level})
		differs := false
		for _, n := range []int{1, 64} {
			var first []float32
			for _, p := range []backends.Precision{backends.Exact, backends.Auto} {
				o := tinyOptions()
				o.Precision, o.MaxTokens = p, 64
				prog := wide.program(t, dev, o)
				s := tokenStep(0, n)
				if err := prog.Run(s); err != nil {
					t.Fatal(err)
				}
				if p == backends.Exact {
					first = slices.Clone(s.Logits)
				}
				differs = differs || !slices.Equal(first, s.Logits)
			}
		}
		if differs == cpu.AutoIsExact(level) {
			t.Errorf("auto differs from exact: %v", differs)
		}
	})
}
