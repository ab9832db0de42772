package backends

import (
	"errors"
	"strings"
	"testing"

	"aquifer/runtime/plan"
)

// TestStepCheck gives one defect at a time to a step that is otherwise right.
func TestStepCheck(t *testing.T) {
	p := &plan.Plan{Vocab: 100, MaxPos: 128}
	o := Options{KVBlocks: 4, MaxTokens: 8, MaxSeqs: 2, MaxOutputs: 2}
	good := func() *Step {
		return &Step{
			Tokens: []int32{1, 2, 3, 99},
			Runs:   []Run{{Pos: 31, N: 3, Blocks: []int32{0, 1}}, {Pos: 40, N: 1, Blocks: []int32{0, 2}}},
			Out:    []int32{2, 3},
		}
	}
	if err := good().Check(p, o); err != nil {
		t.Fatalf("a good step: %v", err)
	}
	cases := []struct {
		name string
		edit func(*Step)
		want string
	}{
		{"no tokens", func(s *Step) { s.Tokens = nil }, "0 tokens"},
		{"too many tokens", func(s *Step) { s.Tokens = make([]int32, 9) }, "9 tokens"},
		{"too many sequences", func(s *Step) { s.Runs = make([]Run, 3) }, "3 sequences"},
		{"too many outputs", func(s *Step) { s.Out = []int32{0, 1, 2} }, "3 outputs"},
		{"token beyond the vocabulary", func(s *Step) { s.Tokens[3] = 100 }, "token 3 is 100"},
		{"negative token", func(s *Step) { s.Tokens[0] = -1 }, "token 0 is -1"},
		{"empty run", func(s *Step) { s.Runs[1].N = 0 }, "sequence 1: 0 tokens"},
		{"negative position", func(s *Step) { s.Runs[0].Pos = -1 }, "position -1"},
		{"position beyond the model", func(s *Step) { s.Runs[1].Pos = 128 }, "position 128"},
		{"length overflows", func(s *Step) { s.Runs[0].N = 1 << 62 }, "sequence 0"},
		{"runs too short", func(s *Step) { s.Runs[0].N = 2 }, "cover 3 of 4"},
		{"runs too long", func(s *Step) { s.Runs[0].N = 5 }, "sequence"},
		{"too few blocks", func(s *Step) { s.Runs[0].Blocks = []int32{0} }, "1 KV blocks, needs 2"},
		{"block beyond the cache", func(s *Step) { s.Runs[0].Blocks[1] = 4 }, "KV block 4"},
		{"negative block", func(s *Step) { s.Runs[0].Blocks[1] = -1 }, "KV block -1"},
		{"two writers of a block", func(s *Step) { s.Runs[1].Blocks[1] = 1 }, "both write KV block 1"},
		{"output beyond the step", func(s *Step) { s.Out[1] = 4 }, "output 1 is row 4"},
		{"outputs out of order", func(s *Step) { s.Out = []int32{3, 2} }, "output 1 is row 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := good()
			c.edit(s)
			err := s.Check(p, o)
			if !errors.Is(err, ErrStep) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an invalid step with %q", err, c.want)
			}
		})
	}
}
