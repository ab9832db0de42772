// Package backends defines what a device must do to run a plan: compile it, take its weights, run steps. The
// implementations live in the sub-packages (ref, cpu); they import runtime/plan and this package, nothing else of
// ours. Nothing here registers itself: runtime/cli names the backends it wires.
package backends

import (
	"errors"
	"fmt"
	"slices"

	"aquifer/runtime/plan"
)

// Backend is an opened device.
type Backend interface {
	Info() Info
	// Measure says what Compile would allocate, without allocating it.
	Measure(p *plan.Plan, o Options) (Memory, error)
	// Compile chooses a kernel for every op and allocates weights, KV blocks (zeroed) and scratch. It returns
	// *UnsupportedError for an op or type the backend lacks and *MemoryError when an allocation fails.
	Compile(p *plan.Plan, o Options) (Program, error)
	Close() error
}

// Program is a compiled plan together with its weights and its KV cache. One goroutine at a time may use it, except
// for Load.
type Program interface {
	// Load delivers n rows of one part of a weight, from row first on, in the element type the plan states, little
	// endian. Rows are matrix rows (Dense), row groups (Codes, Scales) or codebooks (Codebooks). data is not kept.
	// Calls for disjoint rows may run concurrently. Run fails until every row of every part has been delivered,
	// except for plan constants, which Compile takes from the plan.
	Load(w plan.Weight, part plan.Part, first, n int, data []byte) error
	// Run executes one step and sets s.Logits and s.Features. The step is checked first; a bad one changes nothing.
	Run(s *Step) error
	// CopyBlock copies all positions of all layers of KV block src to dst.
	CopyBlock(dst, src int) error
	// BlockLayout says what the bytes of a KV block are.
	BlockLayout() BlockLayout
	// ReadBlock copies all of KV block number block to data, BlockLayout().Bytes long. What it holds of positions that no
	// step has written is undefined.
	ReadBlock(block int, data []byte) error
	// WriteBlock gives a KV block the bytes of another one of the same layout. A step that reads it then computes what it
	// would have computed with the other one, bit for bit. Any bytes are safe: they are numbers and no more. data is not
	// kept.
	WriteBlock(block int, data []byte) error
	// Kernels names the kernel chosen for each weight, in plan order, for reports.
	Kernels() []string
	Close() error
}

// Tracer is a Program that can stop between ops, for the op-by-op comparison with the reference backend.
type Tracer interface {
	// RunOps runs ops [from, to) of the plan for the step; from > 0 continues the same step.
	RunOps(s *Step, from, to int) error
	// Read copies the rows of a buffer as the last RunOps left it, (rows, width).
	Read(b plan.Buf) ([]float32, error)
}

// Info describes an opened device.
type Info struct {
	Name    string // "cpu", "ref"
	Device  string // processor or card
	Level   string // instruction set in use: "baseline", "avx2", "avx512", "dotprod"; "go" for ref
	Threads int
	BuildID string // of the kernel library; empty for ref
}

// Precision is the accuracy contract of linear ops (design decision D7).
type Precision uint8

// Precisions.
const (
	Exact Precision = iota // relative error of a product <= 1e-6 against fp64
	Fast                   // bounded and measured, see docs/performance.md
	Auto                   // as Fast where that was shown to keep perplexity within 0.5 %, elsewhere as Exact
)

func (p Precision) String() string {
	switch p {
	case Fast:
		return "fast"
	case Auto:
		return "auto"
	default:
		return "exact"
	}
}

// Options are the sizes and choices of a compilation. All limits are inclusive and must be at least one.
type Options struct {
	Precision  Precision
	KV         plan.DType // F32, F16, or Q8_0: 32 columns of a head, at its end fewer, share an F16 scale
	KVBlocks   int        // blocks of plan.KVBlock positions, shared by all sequences
	MaxTokens  int        // tokens of a step
	MaxSeqs    int        // sequences of a step
	MaxOutputs int        // rows selected for output in a step
}

// Memory is what a compiled plan occupies, in bytes.
type Memory struct {
	Weights, KV, Scratch int64
}

// Total returns the sum.
func (m Memory) Total() int64 { return m.Weights + m.KV + m.Scratch }

// Run is the share of one sequence in a step: N consecutive tokens from position Pos on. Blocks maps position p to
// KV block Blocks[p/plan.KVBlock]; it covers positions 0..Pos+N-1, and no two sequences of a step write the same
// block. Blocks of earlier positions may be shared and are only read.
type Run struct {
	Pos, N int
	Blocks []int32
	// Length is the number of tokens that are known of the sequence, which a prompt run in parts has not reached yet;
	// 0 stands for Pos+N, and it is at least that. It decides whether a sequence is long (plan.Plan.LongFrom). The
	// caller sees to it that the keys of earlier positions were made in steps that decided alike.
	Length int
}

// Total returns the length that counts.
func (r Run) Total() int { return max(r.Length, r.Pos+r.N) }

// writes are the blocks that the run's own tokens go to.
func (r Run) writes() []int32 {
	return r.Blocks[r.Pos/plan.KVBlock : (r.Pos+r.N+plan.KVBlock-1)/plan.KVBlock]
}

// sharesWrite returns a block that both runs write. A step has few runs and a run few such blocks.
func (r Run) sharesWrite(q Run) (int32, bool) {
	for _, b := range r.writes() {
		if slices.Contains(q.writes(), b) {
			return b, true
		}
	}
	return 0, false
}

// Step is one execution of a program: the tokens of all runs one after the other.
type Step struct {
	Tokens []int32 // (T) ids, T = sum of Runs[i].N
	Runs   []Run
	Out    []int32 // (M) rows 0 <= r < T whose logits are wanted, ascending

	Logits   []float32 // (M, vocab), set by Run, valid until the program's next Run
	Features []float32 // (M, hidden), set likewise if the plan has Features; nil otherwise
}

// UnsupportedError names what a backend cannot run.
type UnsupportedError struct {
	Backend string
	What    string // op, type or size
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s backend: %s is not supported", e.Backend, e.What)
}

// MemoryError says that an allocation failed.
type MemoryError struct {
	What  string
	Bytes int64
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("not enough memory for %s: %d bytes", e.What, e.Bytes)
}

// ErrStep is wrapped by the errors of steps that break the rules above.
var ErrStep = errors.New("invalid step")

// Check verifies a step against a plan and the sizes a program was compiled for.
func (s *Step) Check(p *plan.Plan, o Options) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("backends: %w: %s", ErrStep, fmt.Sprintf(format, args...))
	}
	if len(s.Tokens) == 0 || len(s.Tokens) > o.MaxTokens {
		return bad("%d tokens, must be 1..%d", len(s.Tokens), o.MaxTokens)
	}
	if len(s.Runs) > o.MaxSeqs {
		return bad("%d sequences, at most %d", len(s.Runs), o.MaxSeqs)
	}
	if len(s.Out) > o.MaxOutputs {
		return bad("%d outputs, at most %d", len(s.Out), o.MaxOutputs)
	}
	for i, id := range s.Tokens {
		if id < 0 || int(id) >= p.Vocab {
			return bad("token %d is %d, vocabulary is %d", i, id, p.Vocab)
		}
	}
	total := 0
	for i, r := range s.Runs {
		if r.N < 1 || r.Pos < 0 || r.Pos > p.MaxPos-r.N || total > len(s.Tokens)-r.N {
			return bad("sequence %d: %d tokens at position %d, model has %d positions", i, r.N, r.Pos, p.MaxPos)
		}
		if r.Length < 0 || r.Length > p.MaxPos || r.Length > 0 && r.Length < r.Pos+r.N {
			return bad("sequence %d: length %d with %d tokens at position %d", i, r.Length, r.N, r.Pos)
		}
		total += r.N
		if need := (r.Pos + r.N + plan.KVBlock - 1) / plan.KVBlock; len(r.Blocks) < need {
			return bad("sequence %d: %d KV blocks, needs %d", i, len(r.Blocks), need)
		}
		for _, b := range r.Blocks {
			if b < 0 || int(b) >= o.KVBlocks {
				return bad("sequence %d: KV block %d of %d", i, b, o.KVBlocks)
			}
		}
	}
	for i, r := range s.Runs {
		for j, q := range s.Runs[:i] {
			if b, ok := r.sharesWrite(q); ok {
				return bad("sequences %d and %d both write KV block %d", j, i, b)
			}
		}
	}
	if total != len(s.Tokens) {
		return bad("runs cover %d of %d tokens", total, len(s.Tokens))
	}
	for i, r := range s.Out {
		if r < 0 || int(r) >= len(s.Tokens) || i > 0 && r <= s.Out[i-1] {
			return bad("output %d is row %d", i, r)
		}
	}
	return nil
}
