package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"aquifer/backends"
	"aquifer/runtime/kv"
	"aquifer/runtime/kv/prefixfile"
	"aquifer/runtime/plan"
	"aquifer/runtime/vfs"
)

func memFolder() (*vfs.Mem, *prefixfile.Folder) {
	mem := vfs.NewMem()
	return mem, prefixfile.New(mem, 1<<20)
}

// in returns a change of a configuration that keeps prefixes in the folder.
func in(f *prefixfile.Folder, more ...func(*Config)) func(*Config) {
	return func(c *Config) {
		c.Prefixes = f
		for _, change := range more {
			change(c)
		}
	}
}

func shut(t *testing.T, e *Engine) Prefixes {
	t.Helper()
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e.Saved()
}

// TestPrefixes: what one engine knew of texts the next one knows, for the same clients, and answers are the model's.
func TestPrefixes(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 1))
	_, folder := memFolder()
	b := &fakeBackend{}
	text := randomPrompt(rng, 150)
	e := start(t, b, in(folder, func(c *Config) { c.Context, c.MaxSeqs = 1024, 1 }))
	if r := e.Restored(); r.Blocks != 0 || r.Err != nil {
		t.Errorf("of nothing: %+v", r)
	}
	answer, _ := turn(t, e, b, Request{Prompt: text, MaxTokens: 30, Key: "k"})
	turn(t, e, b, Request{Prompt: randomPrompt(rng, 70), MaxTokens: 5, Key: "other"})
	if s := shut(t, e); s.Err != nil || s.Blocks != 5+2 || s.Of != 7 { // of 179 and 74 tokens
		t.Errorf("saved %+v", s)
	}
	e = start(t, b, in(folder, func(c *Config) { c.Context, c.MaxSeqs = 512, 3 }))
	if r := e.Restored(); r.Err != nil || r.Blocks != 7 || r.Of != 7 || r.Damaged != 0 {
		t.Errorf("restored %+v", r)
	}
	if s := e.Stats(); s.KVFree != s.KVBlocks || s.KVKnown != 7 || s.KVCached != 7 {
		t.Errorf("%+v", s)
	}
	next := slices.Concat(text, answer, randomPrompt(rng, 20))
	for i, tt := range []struct {
		key    string
		cached int
	}{{"other", 0}, {"k", 160}, {"K", 0}, {"", 0}} {
		before := e.Stats()
		_, u := turn(t, e, b, Request{Prompt: next, MaxTokens: 9, Key: tt.key})
		after := e.Stats()
		if u.Cached != tt.cached || after.Reused-before.Reused != int64(tt.cached) || after.Prefill-before.Prefill != int64(len(next)-tt.cached) {
			t.Errorf("request %d of %q: %d tokens were cached, want %d; %d run", i, tt.key, u.Cached, tt.cached, after.Prefill-before.Prefill)
		}
	}
}

// TestPrefixesOrder: where there is room for some only, those that were used last come back, from their beginning on.
func TestPrefixesOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 2))
	_, folder := memFolder()
	b := &fakeBackend{}
	e := start(t, b, in(folder, func(c *Config) { c.Context, c.MaxSeqs = 512, 2 }))
	old, mid, last := randomPrompt(rng, 100), randomPrompt(rng, 100), randomPrompt(rng, 100)
	for _, p := range [][]int32{old, mid, last, old} {
		turn(t, e, b, Request{Prompt: p, MaxTokens: 1})
	}
	shut(t, e)
	e = start(t, b, in(folder, func(c *Config) { c.Context, c.MaxSeqs = 192, 1 })) // 6 blocks
	if r := e.Restored(); r.Err != nil || r.Blocks != 6 || r.Of != 9 {
		t.Errorf("restored %+v", r)
	}
	for i, tt := range []struct {
		prompt []int32
		cached int
	}{{old, 96}, {last, 64}} { // the first one took a block from the end of the second
		if _, u := turn(t, e, b, Request{Prompt: tt.prompt, MaxTokens: 1}); u.Cached != tt.cached {
			t.Errorf("text %d: %d tokens were cached, want %d", i, u.Cached, tt.cached)
		}
	}
}

// TestPrefixesOthers: another model, or the same one run in another way, finds nothing and spoils nothing.
func TestPrefixesOthers(t *testing.T) {
	_, folder := memFolder()
	b := &fakeBackend{}
	prompt := randomPrompt(rand.New(rand.NewPCG(21, 3)), 100)
	run := func(name string, want int, change func(*Config)) {
		e := start(t, b, in(folder, change))
		if r := e.Restored(); r.Err != nil || (r.Blocks > 0) != (want > 0) {
			t.Errorf("%s: restored %+v", name, r)
		}
		if _, u := turn(t, e, b, Request{Prompt: prompt, MaxTokens: 5}); u.Cached != want {
			t.Errorf("%s: %d tokens were cached, want %d", name, u.Cached, want)
		}
		shut(t, e)
	}
	run("first", 0, func(c *Config) {})
	run("again", 96, func(c *Config) {})
	run("another type", 0, func(c *Config) { c.KV = plan.F16 })
	run("another precision", 0, func(c *Config) { c.Precision = backends.Fast })
	run("another model", 0, func(c *Config) { c.Model.Plan.Ops = []plan.Op{{Kind: plan.Add}} })
	run("another name", 96, func(c *Config) { c.Model.Name, c.Model.Plan.Name, c.ID = "x", "y", "z" })
	run("more at a time", 96, func(c *Config) { c.MaxSeqs, c.StepTokens, c.Context = 3, 17, 200 })
}

// TestPrefixesDamaged: a file that can't be used is news, and nothing else.
func TestPrefixesDamaged(t *testing.T) {
	mem, folder := memFolder()
	b := &fakeBackend{}
	prompt := randomPrompt(rand.New(rand.NewPCG(21, 4)), 200)
	e := start(t, b, in(folder))
	turn(t, e, b, Request{Prompt: prompt, MaxTokens: 5})
	name := shut(t, e)
	if name.Blocks != 6 {
		t.Fatalf("%+v", name)
	}
	files, err := folder.List()
	if err != nil || len(files) != 1 {
		t.Fatalf("%+v, %v", files, err)
	}
	whole, err := vfs.ReadFile(mem, files[0].Name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	entry := (len(whole) - 512) / 6
	for _, tt := range []struct {
		name   string
		change func(data []byte) []byte
		cached int
		fails  bool
	}{
		{"a block in the middle", func(d []byte) []byte { d[512+2*entry+100]++; return d }, 64, false},
		{"the first block", func(d []byte) []byte { d[512+100]++; return d }, 0, false},
		{"cut short", func(d []byte) []byte { return d[:512+3*entry+7] }, 96, true},
		{"its header", func(d []byte) []byte { d[30]++; return d }, 0, true},
		{"text", func([]byte) []byte { return []byte("hello") }, 0, true},
	} {
		if err := vfs.WriteFile(mem, files[0].Name, "x", tt.change(slices.Clone(whole))); err != nil {
			t.Fatal(err)
		}
		e := start(t, b, in(folder))
		if r := e.Restored(); (r.Err != nil) != tt.fails || r.Blocks*kv.BlockSize != tt.cached {
			t.Errorf("%s: %+v", tt.name, r)
		}
		if _, u := turn(t, e, b, Request{Prompt: prompt, MaxTokens: 5}); u.Cached != tt.cached {
			t.Errorf("%s: %d tokens were cached, want %d", tt.name, u.Cached, tt.cached)
		}
		shut(t, e)
	}
	e = start(t, b, in(folder)) // the last one has repaired it
	if r := e.Restored(); r.Blocks != 6 || r.Err != nil {
		t.Errorf("%+v", r)
	}
}

// TestPrefixesUnused: an engine that ran nothing leaves the file as it is, and so does one that broke.
func TestPrefixesUnused(t *testing.T) {
	_, folder := memFolder()
	b := &fakeBackend{}
	prompt := randomPrompt(rand.New(rand.NewPCG(21, 5)), 100)
	e := start(t, b, in(folder))
	turn(t, e, b, Request{Prompt: prompt, MaxTokens: 5})
	shut(t, e)
	e = start(t, b, in(folder))
	if s := shut(t, e); s.Blocks != 0 || s.Err != nil {
		t.Errorf("saved %+v of nothing new", s)
	}
	b = &fakeBackend{fail: func(step int) error {
		if step > 0 {
			panic("broken")
		}
		return nil
	}}
	e = start(t, b, in(folder))
	if _, _, err := read(t, generate(t, e, t.Context(), Request{Prompt: prompt, MaxTokens: 5})); !errors.Is(err, ErrBroken) {
		t.Errorf("%v", err)
	}
	_ = e.Close(t.Context())
	if s := e.Saved(); s.Blocks != 0 || e.Restored().Blocks != 3 {
		t.Errorf("saved %+v, restored %+v", s, e.Restored())
	}
	if got := folder.Totals(); got.Saved != 3 {
		t.Errorf("%+v", got)
	}
}

// TestPrefixesCut: answers that are cut by the end leave what was run of them, and what could not be saved is no error of Close.
func TestPrefixesCut(t *testing.T) {
	_, folder := memFolder()
	b := &fakeBackend{gate: make(chan struct{}, 1000), entered: make(chan struct{}, 1000)}
	e := start(t, b, in(folder))
	s := generate(t, e, t.Context(), Request{Prompt: randomPrompt(rand.New(rand.NewPCG(21, 6)), 100), MaxTokens: 100})
	b.gate <- struct{}{}
	<-b.entered
	<-b.entered // the second step, which waits
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	closed := make(chan error)
	go func() { closed <- e.Close(ctx) }()
	if _, _, err := read(t, s); !errors.Is(err, ErrClosed) {
		t.Errorf("the answer ended with %v", err)
	}
	b.gate <- struct{}{}
	if err := <-closed; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := e.Saved(); got.Blocks != 3 || got.Err != nil {
		t.Errorf("saved %+v", got)
	}
	none := prefixfile.New(vfs.WithFaults(vfs.NewMem(), func(vfs.Op) error { return os.ErrPermission }), 1<<20)
	b = &fakeBackend{}
	e = start(t, b, in(none))
	turn(t, e, b, Request{Prompt: randomPrompt(rand.New(rand.NewPCG(21, 7)), 100), MaxTokens: 3})
	if got := shut(t, e); !errors.Is(got.Err, os.ErrPermission) || got.Blocks != 0 {
		t.Errorf("saved %+v", got)
	}
}

// TestPrefixesTime: saving takes a time that is bounded whatever the disk, and less if somebody waits for its end; what is
// saved by then is a whole file.
func TestPrefixesTime(t *testing.T) {
	for _, tt := range []struct {
		name        string
		hurry       time.Duration // from the start of Close; negative for not at all
		least, most time.Duration
	}{{"alone", -1, saveTime, saveTime + time.Second}, {"at once", 0, hurryTime, 2 * hurryTime}, {"later", 2 * time.Second, 3 * time.Second, 4 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			mem := vfs.NewMem()
			slow := prefixfile.New(vfs.WithFaults(mem, func(op vfs.Op) error {
				if op.Kind == vfs.OpWrite {
					time.Sleep(300 * time.Millisecond)
				}
				return nil
			}), 1<<20)
			b := &fakeBackend{}
			e := start(t, b, in(slow, func(c *Config) { c.Context = 2048 }))
			turn(t, e, b, Request{Prompt: randomPrompt(rand.New(rand.NewPCG(21, 8)), 1000), MaxTokens: 3})
			if tt.hurry >= 0 {
				time.AfterFunc(tt.hurry, e.Hurry)
			}
			began := time.Now()
			saved := shut(t, e)
			took := time.Since(began)
			if saved.Err != nil || took < tt.least || took > tt.most || saved.Blocks < 2 || saved.Blocks > 17 || saved.Of != 31 {
				t.Errorf("%s: %+v after %v", tt.name, saved, took)
			}
			e = start(t, b, in(prefixfile.New(mem, 1<<20)))
			if r := e.Restored(); r.Err != nil || r.Blocks != saved.Blocks {
				t.Errorf("%s: restored %+v of %d", tt.name, r, saved.Blocks)
			}
			shut(t, e)
		})
	}
}

// TestPrefixesGolden: greedy answers of real models are the same bit by bit with prefixes that were restored, also where
// sequences turn long.
func TestPrefixesGolden(t *testing.T) {
	for _, model := range []string{"llama-2x8g8", "phi3-longrope-2x8g8"} {
		_, folder := memFolder()
		prefixes := in(folder, func(c *Config) { c.MaxSeqs, c.StepTokens = 2, 24 })
		e, want := goldenEngine(t, model, prefixes)
		base := want.Prompts[len(want.Prompts)-1].IDs
		type answer struct {
			text  string
			probs []Logprob
		}
		ask := func(e *Engine, n int, reuse bool) answer {
			text, probs := readLogprobs(t, generate(t, e, t.Context(), Request{Prompt: base[:n], MaxTokens: 16, Logprobs: true, NoReuse: !reuse}))
			return answer{text, probs}
		}
		lengths := []int{20, 37, len(base)} // where 32 tokens are the limit, the first turns long and the others are
		var plain []answer
		for _, n := range lengths {
			plain = append(plain, ask(e, n, false))
			ask(e, n, true)
		}
		shut(t, e)
		e, _ = goldenEngine(t, model, prefixes)
		if r := e.Restored(); r.Err != nil || r.Blocks == 0 || r.Blocks != r.Of {
			t.Fatalf("%s: %+v", model, r)
		}
		for i, n := range lengths {
			got := ask(e, n, true)
			same := slices.EqualFunc(got.probs, plain[i].probs, func(a, b Logprob) bool { return a.Value == b.Value })
			if got.text != plain[i].text || !same {
				t.Errorf("%s, %d tokens: %q, without prefixes %q", model, n, got.text, plain[i].text)
			}
		}
		waitIdle(t, e)
		if s := e.Stats(); s.Reused < 32+64 {
			t.Errorf("%s: only %d tokens were reused", model, s.Reused)
		}
	}
}
