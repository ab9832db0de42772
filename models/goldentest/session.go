// Package goldentest runs the golden checkpoints on a backend and compares the results with those of the reference
// implementation that made them. It is for tests only: here models meets backends, which neither imports otherwise.
package goldentest

import (
	"fmt"
	"slices"
	"testing"

	"aquifer/backends"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// Session is one sequence of a loaded model.
type Session struct {
	Model   *models.Model
	Program backends.Program

	t      testing.TB
	opt    backends.Options
	blocks []int32
	tokens []int32 // fed so far
}

// Open builds, compiles and loads a checkpoint folder for a sequence of at most length positions, fed in steps of at
// most step tokens. Everything is closed with the test.
func Open(t testing.TB, b backends.Backend, dir string, length, step int, precision backends.Precision, kv plan.DType) *Session {
	t.Helper()
	ck, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ck.Close() })
	m, err := models.Build(ck)
	if err != nil {
		t.Fatal(err)
	}
	blocks := (length + plan.KVBlock - 1) / plan.KVBlock
	s := &Session{t: t, Model: m, opt: backends.Options{
		Precision: precision, KV: kv, KVBlocks: blocks + 1, MaxTokens: step, MaxSeqs: 1, MaxOutputs: step,
	}}
	for i := range blocks { // descending, so that a backend which ignores the table fails
		s.blocks = append(s.blocks, int32(blocks-i))
	}
	s.Program = compile(t, b, m.Plan, s.opt)
	for _, binding := range m.Bindings {
		load(t, s.Program, m.Plan, ck, binding, binding.Weight)
	}
	return s
}

func compile(t testing.TB, b backends.Backend, p *plan.Plan, o backends.Options) backends.Program {
	t.Helper()
	pr, err := b.Compile(p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pr.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return pr
}

// load streams the tensor of a binding into weight w of the program's plan.
func load(t testing.TB, pr backends.Program, p *plan.Plan, ck *checkpoint.Checkpoint, b models.Binding, w plan.Weight) {
	t.Helper()
	rows, rowBytes := p.Weights[w].PartBytes(b.Part)
	tensor, ok := ck.Tensor(b.Tensor)
	if !ok || tensor.Bytes != int64(rows)*rowBytes {
		t.Fatalf("tensor %s has %d bytes, the plan wants %d rows of %d", b.Tensor, tensor.Bytes, rows, rowBytes)
	}
	const chunk = 1 << 20
	step := max(1, int(chunk/rowBytes))
	buf := make([]byte, int64(min(step, rows))*rowBytes)
	for first := 0; first < rows; first += step {
		n := min(step, rows-first)
		part := buf[:int64(n)*rowBytes]
		if _, err := tensor.ReadAt(part, int64(first)*rowBytes); err != nil {
			t.Fatal(err)
		}
		if err := pr.Load(w, b.Part, first, n, part); err != nil {
			t.Fatal(err)
		}
	}
}

// Reset starts the sequence anew.
func (s *Session) Reset() { s.tokens = nil }

// step returns a step that feeds ids behind what was fed before, of a sequence that will have length tokens.
func (s *Session) step(ids []int32, length int) *backends.Step {
	return &backends.Step{Tokens: ids, Runs: []backends.Run{{Pos: len(s.tokens), N: len(ids), Blocks: s.blocks, Length: length}}}
}

// Feed runs ids in chunks whose sizes cycle through chunks (none: one step) and returns the logits of the wanted
// positions, counted from the first of ids, in ascending order.
func (s *Session) Feed(ids []int32, wanted []int, chunks ...int) [][]float32 {
	s.t.Helper()
	length := len(s.tokens) + len(ids)
	if limit := s.Model.Plan.LongFrom(); limit > 0 && len(s.tokens) > 0 && len(s.tokens) <= limit && length > limit {
		// The sequence turns long: its keys have to be made anew.
		before := s.tokens
		s.tokens = nil
		if err := s.Program.Run(s.step(before, length)); err != nil {
			s.t.Fatal(err)
		}
		s.tokens = before
	}
	var out [][]float32
	for first, i := 0, 0; first < len(ids); i++ {
		n := len(ids) - first
		if len(chunks) > 0 {
			n = min(n, chunks[i%len(chunks)])
		}
		step := s.step(ids[first:first+n], length)
		for r := range n {
			if slices.Contains(wanted, first+r) {
				step.Out = append(step.Out, int32(r))
			}
		}
		if err := s.Program.Run(step); err != nil {
			s.t.Fatal(err)
		}
		for m := range step.Out {
			out = append(out, slices.Clone(step.Logits[m*s.Model.Vocab:][:s.Model.Vocab]))
		}
		s.tokens = append(s.tokens, ids[first:first+n]...)
		first += n
	}
	if len(out) != len(wanted) {
		s.t.Fatal(fmt.Errorf("%d rows of logits, want %d", len(out), len(wanted)))
	}
	return out
}

// argmax returns the first of the largest logits.
func argmax(logits []float32) int32 {
	best := 0
	for i, v := range logits {
		if v > logits[best] {
			best = i
		}
	}
	return int32(best)
}
