package engine

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"aquifer/backends"
	"aquifer/runtime/kv"
)

const mib = 1 << 20

func TestFit(t *testing.T) {
	// 1 MiB a KV block, 100 MiB of weights.
	measure := func(blocks int) (backends.Memory, error) {
		return backends.Memory{Weights: 100 * mib, KV: int64(blocks) * mib}, nil
	}
	tests := []struct {
		name            string
		want, model     int
		seqs            int
		available       int64 // MiB
		context, blocks int   // 0 for a MemoryError
	}{
		{"plenty", 0, 100000, 8, 1 << 20, 8192, 8 * 256},
		{"unknown memory", 0, 100000, 8, 0, 8192, 8 * 256},
		{"short model", 0, 1000, 2, 1 << 20, 1000, 2 * 32},
		{"asked for", 320, 1000, 4, 1 << 20, 320, 4 * 10},
		{"all of the model's", 1000, 1000, 1, 1 << 20, 1000, 32},
		// 64 MiB of headroom, 100 of weights, 256 for one sequence: half of the 580 that are left go to the others.
		{"some sequences", 0, 8192, 8, 1000, 8192, 256 + 290},
		{"one sequence", 0, 8192, 8, 64 + 100 + 256, 8192, 256},
		{"shrunk", 0, 8192, 8, 64 + 100 + 255, 255 * 32, 255},
		{"least", 0, 8192, 8, 64 + 100 + 16, 512, 16},
		{"too small", 0, 8192, 8, 64 + 100 + 15, 0, 0},
		{"too small for what was asked", 8192, 8192, 8, 64 + 100 + 255, 0, 0},
		{"short model too small", 0, 320, 8, 64 + 100 + 9, 0, 0},
		{"nothing", 0, 320, 8, 1, 0, 0},
	}
	for _, tt := range tests {
		got, err := fit(tt.want, tt.model, tt.seqs, tt.available*mib, measure)
		var me *MemoryError
		var be *backends.MemoryError
		switch {
		case tt.context == 0:
			if !errors.As(err, &me) || me.Need.Total() <= me.Available || me.Available < 0 || !errors.As(err, &be) {
				t.Errorf("%s: %+v, %v", tt.name, got, err)
			}
		case err != nil || got.context != tt.context || got.blocks != tt.blocks:
			t.Errorf("%s: %+v, %v; want %d positions, %d blocks", tt.name, got, err, tt.context, tt.blocks)
		case got.memory.KV != int64(tt.blocks)*mib:
			t.Errorf("%s: memory %+v", tt.name, got.memory)
		}
	}
	for _, want := range []int{-1, 1001} {
		if _, err := fit(want, 1000, 1, 0, measure); err == nil {
			t.Errorf("a context of %d of 1000 was accepted", want)
		}
	}
	broken := errors.New("unsupported")
	for available := range int64(2) {
		if _, err := fit(0, 1000, 1, available<<40, func(int) (backends.Memory, error) {
			return backends.Memory{}, broken
		}); !errors.Is(err, broken) {
			t.Errorf("the backend's error: %v", err)
		}
	}
	const text = "engine: the model needs 4 MiB (weights 1, KV cache 2, scratch 1), 1 MiB are available"
	if e := (&MemoryError{backends.Memory{Weights: mib, KV: 2 * mib, Scratch: 1}, 2*mib - 1}); e.Error() != text {
		t.Errorf("%q, want %q", e.Error(), text)
	}
}

func TestMemoryAvailable(t *testing.T) {
	files := func(pairs ...string) fs.FS {
		m := fstest.MapFS{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
		}
		return m
	}
	const meminfo = "MemTotal:       24684084 kB\nMemFree:  1 kB\nMemAvailable:    1000 kB\n"
	tests := []struct {
		name string
		root fs.FS
		want int64
	}{
		{"nothing", files(), 0},
		{"machine", files("proc/meminfo", meminfo), 1000 << 10},
		{"broken meminfo", files("proc/meminfo", "MemAvailable: -5 kB\n"), 0},
		{"no limit", files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/a\n",
			"sys/fs/cgroup/a/memory.max", "max\n", "sys/fs/cgroup/a/memory.current", "77\n"), 1000 << 10},
		{"version 2", files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max", "100000\n", "sys/fs/cgroup/a/b/memory.current", "70000\n",
			"sys/fs/cgroup/a/b/memory.stat", "anon 5\ninactive_file 1000\nactive_file 200\n"), 31200},
		{"limit of the parent", files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max", "max\n", "sys/fs/cgroup/a/b/memory.current", "70000\n",
			"sys/fs/cgroup/a/memory.max", "90000\n", "sys/fs/cgroup/a/memory.current", "80000\n"), 10000},
		{"version 1, path of the host", files("proc/meminfo", meminfo,
			"proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/docker/123\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes", "50000\n", "sys/fs/cgroup/memory/memory.usage_in_bytes", "20000\n",
			"sys/fs/cgroup/memory/memory.stat", "inactive_file 9\ntotal_inactive_file 100\n"), 30100},
		{"version 1, no limit", files("proc/meminfo", meminfo, "proc/self/cgroup", "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes", "20000\n"), 1000 << 10},
		{"used up", files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/\n",
			"sys/fs/cgroup/memory.max", "100\n", "sys/fs/cgroup/memory.current", "200\n"), 1},
		{"address space", files("proc/meminfo", "MemAvailable: 9000000 kB\n",
			"proc/self/limits", "Limit  Soft Limit  Hard Limit  Units\nMax address space         1638400000           unlimited            bytes\n",
			"proc/self/status", "Name: x\nVmSize:\t 1000000 kB\n"), 1638400000 - 1000000<<10 - addressReserve},
		{"address space used up", files("proc/self/limits", "Max address space 1000 unlimited bytes\n"), 1},
		{"address space without limit", files("proc/meminfo", meminfo,
			"proc/self/limits", "Max address space unlimited unlimited bytes\n"), 1000 << 10},
		{"escaping path", files("proc/meminfo", meminfo, "proc/self/cgroup", "0::/../../x\nrubbish\n4:memory\n"), 1000 << 10},
	}
	for _, tt := range tests {
		if got := memoryAvailable(tt.root); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestWholeContext: where memory is short an engine makes do with less, unless it was told to refuse.
func TestWholeContext(t *testing.T) {
	const model = 8192
	m, one := fakeModel(model), &fakeBackend{perSeq: mib}
	need, err := one.Measure(m.Plan, backends.Options{KVBlocks: kv.Blocks(model)})
	if err != nil {
		t.Fatal(err)
	}
	short := need.Total() + headroom - 1
	e, err := load(t.Context(), Config{Model: m, Backend: one}, short)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Info().Context; got >= model {
		t.Errorf("a context of %d", got)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	var me *MemoryError
	if _, err := load(t.Context(), Config{Model: m, Backend: one, WholeContext: true}, short); !errors.As(err, &me) {
		t.Errorf("the whole context: %v", err)
	}
	if e, err = load(t.Context(), Config{Model: m, Backend: one, WholeContext: true}, short+1); err != nil {
		t.Fatal(err)
	}
	if got := e.Info().Context; got != model {
		t.Errorf("a context of %d", got)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestUntouched(t *testing.T) {
	root := fstest.MapFS{"proc/self/status": {Data: []byte("Name:\tx\nVmRSS:\t    2048 kB\n")}}
	for promised, want := range map[int64]int64{0: 0, 1 * mib: 0, 2 * mib: 0, 5 * mib: 3 * mib} {
		if got := untouched(root, promised); got != want {
			t.Errorf("%d promised: %d, want %d", promised, got, want)
		}
	}
}
