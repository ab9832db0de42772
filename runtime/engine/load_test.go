package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// loadFixture writes a checkpoint with an AQLM weight, a large dense one and a vector, and the model to load from it.
func loadFixture(t *testing.T) (*models.Model, *checkpoint.Checkpoint, map[string][]byte) {
	t.Helper()
	scheme := plan.Scheme{Codebooks: 2, Bits: 8, InGroup: 8, OutGroup: 1}
	m := fakeModel(512)
	m.Plan.Weights = []plan.WeightInfo{
		{Name: "a", Rows: 40, Cols: 24, Encoding: plan.AQLM, Scheme: scheme, Codes: plan.I8, Codebooks: plan.F16, Scales: plan.F16},
		{Name: "large", Rows: 3001, Cols: 700, Type: plan.F16}, // 4.2 MB: three chunks
		{Name: "const", Rows: 1, Cols: 4, Type: plan.F32},
		{Name: "norm", Rows: 1, Cols: 24, Type: plan.F32},
	}
	m.Plan.Consts = map[plan.Weight][]float32{2: {1, 2, 3, 4}}
	m.Bindings = []models.Binding{
		{Weight: 0, Part: plan.Codes, Tensor: "a.codes"},
		{Weight: 0, Part: plan.Codebooks, Tensor: "a.codebooks"},
		{Weight: 0, Part: plan.Scales, Tensor: "a.scales"},
		{Weight: 1, Tensor: "large.weight"},
		{Weight: 3, Tensor: "norm.weight"},
	}
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	rng := rand.New(rand.NewPCG(1, 1))
	header, want := map[string]entry{}, map[string][]byte{}
	var data []byte
	for _, x := range []struct {
		key, name, dtype string
		size             int
		shape            []int
	}{
		{"a.codes", "a.codes", "I8", 1, []int{40, 3, 2}},
		{"a.codebooks", "a.codebooks", "F16", 2, []int{2, 256, 1, 8}},
		{"a.scales", "a.scales", "F16", 2, []int{40, 1, 1, 1}},
		{"large.elements", "large.weight", "F16", 2, []int{3001, 700}},
		{"norm.elements", "norm.weight", "F32", 4, []int{24}},
	} {
		n := x.size
		for _, d := range x.shape {
			n *= d
		}
		part := make([]byte, n)
		for i := range part {
			part[i] = byte(rng.Uint32())
		}
		header[x.name] = entry{x.dtype, x.shape, [2]int{len(data), len(data) + n}}
		want[x.key] = part
		data = append(data, part...)
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"model.safetensors": append(file, data...),
		"config.json":       []byte(`{"model_type": "llama", "eos_token_id": [7, 3], "bos_token_id": 5}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return m, c, want
}

func TestLoad(t *testing.T) {
	m, c, want := loadFixture(t)
	b := &fakeBackend{}
	var calls, last, total atomic.Int64
	e := start(t, b, func(cfg *Config) {
		cfg.Model, cfg.Checkpoint = m, c
		cfg.Progress = func(done, all int64) {
			if calls.Add(1); done <= last.Swap(done) {
				t.Error("progress goes back")
			}
			total.Store(all)
		}
	})
	got := b.last.Load().loaded
	if len(got) != len(want) {
		t.Errorf("%d parts, want %d", len(got), len(want))
	}
	size := int64(0)
	for key, data := range want {
		size += int64(len(data))
		if !bytes.Equal(got[key], data) {
			t.Errorf("%s differs", key)
		}
	}
	if calls.Load() != 7 || last.Load() != size || total.Load() != size {
		t.Errorf("progress: %d calls, %d of %d, want 7, %d", calls.Load(), last.Load(), total.Load(), size)
	}
	if e.Info().LoadTime <= 0 {
		t.Error("no load time")
	}
}

func TestLoadFails(t *testing.T) {
	boom := errors.New("no room in the device")
	tests := []struct {
		name   string
		change func(t *testing.T, cfg *Config, b *fakeBackend, cancel func())
		want   string
	}{
		{"unknown tensor", func(_ *testing.T, cfg *Config, _ *fakeBackend, _ func()) {
			cfg.Model.Bindings[1].Tensor = "missing"
		}, `tensor "missing" is missing`},
		{"wrong size", func(_ *testing.T, cfg *Config, _ *fakeBackend, _ func()) {
			cfg.Model.Bindings[4].Tensor = "a.scales"
		}, `tensor "a.scales" has 80 bytes, the elements of weight "norm" have 1 rows of 96`},
		{"unbound", func(_ *testing.T, cfg *Config, _ *fakeBackend, _ func()) {
			cfg.Model.Bindings = cfg.Model.Bindings[:4]
		}, `the elements of weight "norm" come from 0 tensors, must be 1`},
		{"bound twice", func(_ *testing.T, cfg *Config, _ *fakeBackend, _ func()) {
			cfg.Model.Bindings = append(cfg.Model.Bindings, cfg.Model.Bindings[0])
		}, `the codes of weight "a" come from 2 tensors, must be 1`},
		{"bad weight", func(_ *testing.T, cfg *Config, _ *fakeBackend, _ func()) {
			cfg.Model.Bindings = append(cfg.Model.Bindings, models.Binding{Weight: 9, Tensor: "a.codes"})
		}, `tensor "a.codes" is bound to weight 9 of 4`},
		{"backend error", func(_ *testing.T, _ *Config, b *fakeBackend, _ func()) {
			b.fail = func(int) error { return boom }
		}, boom.Error()},
		{"backend panic", func(_ *testing.T, _ *Config, b *fakeBackend, _ func()) {
			b.fail = func(int) error { panic("bug") }
		}, "panic while loading: bug"},
		{"cancelled", func(t *testing.T, cfg *Config, _ *fakeBackend, cancel func()) {
			calls := 0
			cfg.Progress = func(int64, int64) {
				cancel()
				if calls++; calls > 1+runtime.GOMAXPROCS(0) {
					t.Errorf("%d chunks were loaded after the end", calls-1)
				}
			}
		}, context.Canceled.Error()},
		{"truncated", func(t *testing.T, cfg *Config, _ *fakeBackend, _ func()) {
			cut(t, filepath.Join(cfg.Checkpoint.Path, "model.safetensors"), 3<<20)
		}, "unexpected EOF"},
		{"too little memory", func(_ *testing.T, _ *Config, b *fakeBackend, _ func()) {
			b.weights = 1 << 60
		}, "MiB are available"},
		{"context too large", func(_ *testing.T, cfg *Config, _ *fakeBackend, _ func()) {
			cfg.Context = 513
		}, "a context of 513 was asked for, the model has 512"},
		{"no checkpoint", func(_ *testing.T, cfg *Config, _ *fakeBackend, _ func()) {
			cfg.Checkpoint = nil
		}, "needs its checkpoint"},
		{"no model", func(_ *testing.T, cfg *Config, _ *fakeBackend, _ func()) { cfg.Model = nil }, "a model and a backend"},
		{"negative", func(_ *testing.T, cfg *Config, _ *fakeBackend, _ func()) { cfg.MaxSeqs = -1 }, "must not be negative"},
		{"no logits", func(_ *testing.T, cfg *Config, _ *fakeBackend, _ func()) {
			cfg.Model.Plan.Logits = plan.None
		}, "no logits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, c, _ := loadFixture(t)
			b := &fakeBackend{}
			cfg := Config{Model: m, Checkpoint: c, Backend: b}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			before := runtime.NumGoroutine()
			tt.change(t, &cfg, b, cancel)
			e, err := load(ctx, cfg, 1<<40)
			if err == nil {
				e.Close(ctx)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if n := b.compiled.Load(); n != 0 {
				t.Errorf("%d programs are left", n)
			}
			checkGoroutines(t, before)
		})
	}
}

func cut(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// TestRealMemory reads the machine's own files; Load must not refuse a tiny model.
func TestRealMemory(t *testing.T) {
	n := memoryAvailable(os.DirFS("/"))
	if runtime.GOOS == "linux" && (n < 64<<20 || n > 1<<50) {
		t.Errorf("%d bytes available", n)
	}
	e, err := Load(t.Context(), Config{Model: fakeModel(64), Backend: &fakeBackend{}})
	if err != nil {
		t.Fatal(err)
	}
	if text, last, err := read(t, generate(t, e, t.Context(), Request{Prompt: []int32{1}, MaxTokens: 5})); err != nil || text != "" ||
		last.Usage.Completion != 5 {
		t.Errorf("without a tokenizer: %q, %+v, %v", text, last, err)
	}
	var pe *ParamError
	if _, err := e.Generate(t.Context(), Request{Prompt: []int32{1}, Stop: []string{"x"}}); !errors.As(err, &pe) {
		t.Errorf("a stop string without a tokenizer: %v", err)
	}
	if _, err := e.Chat(t.Context(), ChatRequest{}); err == nil {
		t.Error("chat without a format")
	}
	if _, err := e.Logits(t.Context(), []int32{1}); err != nil {
		t.Error(err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
