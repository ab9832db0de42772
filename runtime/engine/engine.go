// Package engine runs a loaded model: requests go in, streams of text come out. One goroutine, the loop, owns the
// backend's program and runs step after step; requests join and leave between steps. Nothing else touches the
// device, and no reader of a stream can hold the loop up.
//
// It imports models, backends, tokenizer and the packages beside it (sched, kv, sample, chat); the packages above it,
// api and runtime/cli, talk to nothing below it to get an answer. It reads no environment and no flags.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"aquifer/backends"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/runtime/chat"
	"aquifer/runtime/kv"
	"aquifer/runtime/kv/prefixfile"
	"aquifer/runtime/plan"
	"aquifer/runtime/sched"
	"aquifer/tokenizer"
)

// Defaults of Config.
const (
	DefaultMaxSeqs      = 8
	DefaultStepTokens   = 256
	DefaultMaxQueue     = 512
	DefaultQueueTimeout = time.Minute
)

// Config says what to run and how. The engine keeps using the parts, but closes none of them.
type Config struct {
	ID         string // what clients call the model; "" for the model's name
	Model      *models.Model
	Checkpoint *checkpoint.Checkpoint
	Tokenizer  *tokenizer.Tokenizer // nil: answers have no text, and Chat is refused
	Chat       *chat.Format         // nil: Chat is refused
	Backend    backends.Backend
	Precision  backends.Precision
	KV         plan.DType // of the cache: plan.F32, plan.F16 or plan.Q8_0

	Context      int           // positions of one sequence; 0 means the model's, at most 8192, less where memory is short
	MaxSeqs      int           // sequences that run at a time; 0 means DefaultMaxSeqs
	WholeContext bool          // fail with a *MemoryError rather than leave out a part of the default context
	Others       int64         // bytes of the other models in this process: what they have not touched yet is not available
	StepTokens   int           // tokens of a step at most; 0 means DefaultStepTokens, never less than MaxSeqs
	FixedSteps   bool          // let prompts take StepTokens however long that takes, so that times decide nothing
	Outputs      int           // rows of logits of a step; 0 means MaxSeqs, never less; more let Score run faster
	MaxQueue     int           // requests that wait beyond those; 0 means DefaultMaxQueue, negative none
	QueueTimeout time.Duration // longest wait; 0 means DefaultQueueTimeout, negative no limit

	// Speculate is how many proposed tokens a sequence may try in a step at most, where that seems to make it faster; 0
	// turns that off. With SpeculateAsked only requests with a Prediction do.
	Speculate      int
	SpeculateAsked bool

	// Prefixes is where known beginnings of texts are restored from by Load and saved to by Close, for models of the same
	// contents that are run in the same way; nil for nowhere.
	Prefixes *prefixfile.Folder

	Progress func(done, total int64) // bytes of weights while loading, by one goroutine at a time; may be nil
	Log      *slog.Logger            // for internal errors only; nil means slog.Default()
}

// Info describes a loaded engine.
type Info struct {
	ID, Name, Arch, Scheme string
	Params                 int64
	BitsPerWeight          float64 // of the model's body
	Vocab                  int

	Backend   backends.Info
	Kernels   []string // by weight, in plan order
	Precision backends.Precision
	KV        plan.DType

	Context    int // positions of one sequence
	KVTokens   int // positions that all sequences share
	MaxSeqs    int
	StepTokens int
	Speculate  int // tokens that a sequence may try in a step
	Memory     backends.Memory
	LoadTime   time.Duration

	BOS, EOS string // texts of the tokens that begin and end a text; "" for none
	Template string // of chats, as the checkpoint has it; "" for none
}

// Engine is a loaded model. All methods may be called concurrently.
type Engine struct {
	cfg      Config
	info     Info
	eos      []int32 // ids that end an answer, ascending
	bos      int32   // what a chat prompt must start with; -1 for nothing
	longFrom int     // of the plan

	constraints constraints
	controls    map[int32]byte // tokens that answers are taken apart at, and what stands for them there
	kvBlocks    int            // of the pool
	prog        backends.Program
	pool        *kv.Pool
	prefixes    prefixfile.Kind
	restored    Prefixes
	saved       Prefixes
	saving      context.Context // ends when they have to be saved
	stopSaving  context.CancelFunc
	hurry       sync.Once
	closed      chan struct{} // the loop has ended
	shutdown    sync.Once
	closeErr    error

	mu       sync.Mutex
	work     sync.Cond // something has changed for the loop
	sched    *sched.Scheduler
	stepping bool // between Round and the end of its step: blocks in use must stay as they are
	closing  bool // no new requests
	broken   bool
	stats    Stats
	started  int64 // sequences

	loop loopState // of the loop goroutine
}

// Load makes a model ready: it measures the memory the model takes and refuses with a *MemoryError if there is less,
// compiles the plan and streams the weights from the checkpoint. When ctx ends, loading stops.
func Load(ctx context.Context, cfg Config) (*Engine, error) {
	return load(ctx, cfg, Spare(cfg.Others))
}

func load(ctx context.Context, cfg Config, available int64) (_ *Engine, err error) {
	start := time.Now()
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	p := cfg.Model.Plan
	if p.Logits == plan.None {
		return nil, fmt.Errorf("engine: model %s has no logits", cfg.Model.Name)
	}
	want := cfg.Context
	if cfg.WholeContext && want == 0 {
		want = min(cfg.modelContext(), defaultContext)
	}
	fitted, err := fit(want, cfg.modelContext(), cfg.MaxSeqs, available, cfg.measure)
	if err != nil {
		return nil, err
	}
	if err := bound(cfg.Model); err != nil {
		return nil, err
	}
	list, total, err := chunks(cfg.Model, cfg.Checkpoint)
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, bos: -1, pool: kv.NewPool(fitted.blocks), closed: make(chan struct{}), longFrom: p.LongFrom(), kvBlocks: fitted.blocks}
	e.work.L = &e.mu
	e.saving, e.stopSaving = context.WithCancel(context.Background())
	e.sched = e.newScheduler()
	e.controls = cfg.controls()
	if e.prog, err = cfg.Backend.Compile(p, cfg.options(fitted.blocks)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			e.prog.Close()
		}
	}()
	if err := loadWeights(ctx, e.prog, list, total, cfg.Prefixes != nil, cfg.Progress); err != nil {
		return nil, err
	}
	if cfg.Checkpoint != nil {
		if err := cfg.Checkpoint.Unchanged(); err != nil {
			return nil, err
		}
	}
	if e.restorePrefixes(ctx, list); ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	e.describe(fitted)
	e.info.LoadTime = time.Since(start)
	go e.run()
	return e, nil
}

// describe fills in what is known of a loaded model.
func (e *Engine) describe(fitted size) {
	cfg, m := &e.cfg, e.cfg.Model
	e.info = Info{
		ID: cfg.ID, Name: m.Name, Arch: m.Arch, Scheme: m.Scheme, Params: m.Params, BitsPerWeight: m.BitsPerWeight,
		Vocab: m.Plan.Vocab, Backend: cfg.Backend.Info(), Kernels: e.prog.Kernels(), Precision: cfg.Precision, KV: cfg.KV,
		Context: fitted.context, KVTokens: fitted.blocks * plan.KVBlock, MaxSeqs: cfg.MaxSeqs, StepTokens: cfg.StepTokens,
		Speculate: cfg.Speculate, Memory: fitted.memory,
	}
	ck := cfg.Checkpoint
	if ck == nil {
		return
	}
	special := ck.Special()
	e.eos = special.EOSIDs
	if special.AddBOS {
		e.bos = special.BOSID
	}
	e.info.BOS, e.info.EOS = special.BOS, special.EOS
	_, e.info.Template, _ = ck.Template()
}

// complete fills in the defaults.
func (c *Config) complete() error {
	if c.Model == nil || c.Model.Plan == nil || c.Backend == nil {
		return errors.New("engine: a model and a backend are needed")
	}
	if c.Checkpoint == nil && len(c.Model.Bindings) > 0 {
		return errors.New("engine: a model with weights needs its checkpoint")
	}
	if c.MaxSeqs < 0 || c.StepTokens < 0 || c.Outputs < 0 || c.Speculate < 0 {
		return fmt.Errorf("engine: %d sequences, %d tokens in a step, %d outputs, %d proposed tokens: must not be negative",
			c.MaxSeqs, c.StepTokens, c.Outputs, c.Speculate)
	}
	if c.ID == "" {
		c.ID = c.Model.Name
	}
	if c.MaxSeqs == 0 {
		c.MaxSeqs = DefaultMaxSeqs
	}
	if c.StepTokens == 0 {
		c.StepTokens = DefaultStepTokens
	}
	c.StepTokens = max(c.StepTokens, c.MaxSeqs)
	// Two sequences can try all they may, or more of them less: with many in a step, wider ones gain little.
	c.Outputs = min(max(c.Outputs, c.MaxSeqs+2*c.Speculate), c.StepTokens)
	if c.MaxQueue == 0 {
		c.MaxQueue = DefaultMaxQueue
	}
	if c.QueueTimeout == 0 {
		c.QueueTimeout = DefaultQueueTimeout
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return nil
}

// modelContext is the longest sequence that the model can hold.
func (c *Config) modelContext() int { return min(c.Model.Context, c.Model.Plan.MaxPos) }

// options are those of a program with the given number of KV blocks.
func (c *Config) options(blocks int) backends.Options {
	return backends.Options{
		Precision: c.Precision, KV: c.KV, KVBlocks: blocks,
		MaxTokens: c.StepTokens, MaxSeqs: c.MaxSeqs, MaxOutputs: c.Outputs,
	}
}

// measure returns the memory of such a program.
func (c *Config) measure(blocks int) (backends.Memory, error) {
	return c.Backend.Measure(c.Model.Plan, c.options(blocks))
}

// Info describes the engine.
func (e *Engine) Info() Info { return e.info }

// Broken reports whether the engine has ended because of an internal error: all requests are refused with ErrBroken.
func (e *Engine) Broken() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.broken
}

// Close refuses new requests, fails the waiting ones with ErrClosed, lets the running ones finish until ctx ends, saves
// prefixes if that is wanted, for which it takes some seconds more at most, and frees the program. It returns the context's error
// if answers had to be cut.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closing = true
	e.failAll(ErrClosed, func(r *request) bool { return !r.begun })
	e.work.Broadcast()
	e.mu.Unlock()
	var cut error
	select {
	case <-e.closed:
	case <-ctx.Done():
		e.mu.Lock()
		if e.sched.Running() > 0 {
			cut = ctx.Err()
		}
		e.failAll(ErrClosed, func(*request) bool { return true })
		e.work.Broadcast()
		e.mu.Unlock()
		<-e.closed
	}
	e.shutdown.Do(func() {
		e.savePrefixes()
		e.stopSaving()
		e.closeErr = e.prog.Close()
	})
	return errors.Join(cut, e.closeErr)
}

// run is the loop. A panic in it, from whatever it calls, ends the engine but not the process.
func (e *Engine) run() {
	defer close(e.closed)
	defer func() {
		if v := recover(); v != nil {
			e.cfg.Log.Error("engine: panic in the loop", "panic", v, "stack", string(debug.Stack()))
			e.abandon()
		}
	}()
	for e.step() {
	}
}

// mixPart is the part of a step's tokens that prompts get at most while other sequences decode: what it is lower, the evener
// the others' text comes, and the later the first token behind the prompt.
const mixPart = 4

// mixTokens is the most that prompts get then.
func (c *Config) mixTokens() int { return max(c.StepTokens/mixPart, 1) }

// newScheduler returns a scheduler for the engine's pool.
func (e *Engine) newScheduler() *sched.Scheduler {
	return sched.New(sched.Config{
		Seqs: e.cfg.MaxSeqs, StepTokens: e.cfg.StepTokens, MixTokens: e.cfg.mixTokens(),
		Outputs: e.cfg.Outputs, Queue: max(e.cfg.MaxQueue, 0), QueueTimeout: max(e.cfg.QueueTimeout, 0),
	}, e.pool)
}
