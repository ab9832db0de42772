package backendtest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// attentionShape is one attention op.
type attentionShape struct {
	heads, kvHeads, dim int
	window              int
	limit               float32 // soft cap of the scores
	kv                  plan.DType
}

func (a attentionShape) String() string {
	return fmt.Sprintf("%d-%dx%d-w%d-c%v-%s", a.heads, a.kvHeads, a.dim, a.window, a.limit, a.kv)
}

// lab builds a plan whose queries, keys and values are looked up by token, inside one fused buffer.
func (a attentionShape) lab(name string) *lab {
	l := newLab(name)
	for i := range l.magnitude {
		l.magnitude[i] = 0.2 // means of many values shrink
	}
	q, kv := a.heads*a.dim, a.kvHeads*a.dim
	fused := l.inputOf("fused", q+2*kv+1, l.normals(labVocab*(q+2*kv+1), 1))
	out := plan.At(l.b.Buffer("out", plan.PerToken, q+3), 2)
	l.b.Attention(out, plan.At(fused.Buf, 1), plan.At(fused.Buf, 1+q), plan.At(fused.Buf, 1+q+kv), plan.AttentionParams{
		Layer: l.b.KV(a.kvHeads, a.dim), Heads: a.heads, Window: a.window, Scale: 1.5 * plan.DefaultScale(a.dim), Cap: a.limit,
	})
	return l.result(out, q)
}

func (a attentionShape) options() backends.Options {
	o := options(backends.Exact)
	o.KV, o.KVBlocks = a.kv, 40
	return o
}

// schedule feeds sequences of the given lengths in random chunks, several in a step, each in random blocks of the
// pool that no other has. Half of the steps are single tokens of every running sequence, as in decoding.
func schedule(rng *rand.Rand, lengths []int, o backends.Options, vocab int) (steps []*backends.Step) {
	pool := rng.Perm(o.KVBlocks)
	blocks := make([][]int32, len(lengths))
	for i, n := range lengths {
		for range (n + plan.KVBlock - 1) / plan.KVBlock {
			blocks[i] = append(blocks[i], int32(pool[0]))
			pool = pool[1:]
		}
	}
	pos := make([]int, len(lengths))
	for {
		s := &backends.Step{}
		single := rng.IntN(2) == 0
		for _, i := range rng.Perm(len(lengths)) {
			left := lengths[i] - pos[i]
			if left == 0 || len(s.Runs) == o.MaxSeqs {
				continue
			}
			n := 1
			if !single {
				n = 1 + rng.IntN(min(left, 70))
			}
			if len(s.Tokens)+n > o.MaxTokens {
				continue
			}
			s.Runs = append(s.Runs, backends.Run{Pos: pos[i], N: n, Blocks: blocks[i]})
			for range n {
				s.Tokens = append(s.Tokens, int32(rng.IntN(vocab)))
			}
			pos[i] += n
		}
		if len(s.Runs) == 0 {
			return steps
		}
		for r := range s.Tokens {
			if len(s.Out) < o.MaxOutputs {
				s.Out = append(s.Out, int32(r))
			}
		}
		steps = append(steps, s)
	}
}

func attentionCases() []testCase {
	var cases []testCase
	for _, ratio := range []int{1, 3, 4} {
		for _, dim := range []int{12, 20, 26, 64, 80, 128} {
			for _, kv := range []plan.DType{plan.F32, plan.F16, plan.Q8_0} {
				a := attentionShape{heads: 2 * ratio, kvHeads: 2, dim: dim, kv: kv}
				switch dim {
				case 20:
					a.window = 24
				case 26:
					a.limit = 5
				case 80:
					a.window, a.limit = 1, 0
				case 128:
					a.window, a.heads, a.kvHeads = 47, ratio, 1
				}
				cases = append(cases, testCase{a.String(), func(tested, oracle backends.Backend) error {
					l := a.lab(a.String())
					steps := schedule(l.rng, []int{1, 33, 150, 64, 7}, a.options(), labVocab)
					return l.differ(tested, oracle, a.options(), tolerance{norm: attending}, steps...)
				}})
			}
		}
	}
	cases = append(cases, sharedCases()...)
	return append(cases, odd())
}

// odd: sizes below one vector and KV heads in odd numbers.
func odd() testCase {
	a := attentionShape{heads: 9, kvHeads: 3, dim: 3, kv: plan.F16}
	return testCase{"odd", func(tested, oracle backends.Backend) error {
		l := a.lab("odd")
		return l.differ(tested, oracle, a.options(), tolerance{norm: attending}, schedule(l.rng, []int{100, 31}, a.options(), labVocab)...)
	}}
}

// sharedCases: blocks that several sequences read, blocks that are copied, positions that are written twice.
func sharedCases() []testCase {
	a := attentionShape{heads: 4, kvHeads: 2, dim: 32, kv: plan.F16}
	shared := testCase{"shared-prefix", func(tested, oracle backends.Backend) error {
		l := a.lab("shared")
		prefix := step(seq{0, 64, []int32{5, 2}})
		branch := step(seq{64, 20, []int32{5, 2, 7}}, seq{64, 3, []int32{5, 2, 1}}, seq{32, 5, []int32{5, 9}}, seq{0, 30, []int32{11}})
		again := step(seq{84, 1, []int32{5, 2, 7}}, seq{67, 1, []int32{5, 2, 1}})
		return l.differ(tested, oracle, a.options(), tolerance{norm: attending}, prefix, branch, again)
	}}
	rewind := testCase{"rewind", func(tested, oracle backends.Backend) error {
		l := a.lab("rewind")
		blocks := []int32{3, 0, 8}
		return l.differ(
			tested, oracle, a.options(), tolerance{norm: attending},
			step(seq{0, 80, blocks}), step(seq{40, 8, blocks}), step(seq{48, 1, blocks}), step(seq{0, 1, blocks}), step(seq{1, 90, blocks}),
		)
	}}
	copied := testCase{"copy-block", func(tested, oracle backends.Backend) error {
		l := a.lab("copied")
		run := func(b backends.Backend) ([]float32, error) {
			pr, err := l.program(b, a.options())
			if err != nil {
				return nil, err
			}
			defer pr.Close()
			var out []float32
			for _, s := range []*backends.Step{
				step(seq{0, 50, []int32{4, 6}}),
				nil, // copies block 6 to 12
				step(seq{50, 10, []int32{4, 6}}, seq{45, 12, []int32{4, 12}}),
				step(seq{60, 1, []int32{4, 6}}, seq{57, 1, []int32{4, 12}}),
			} {
				if s == nil {
					if err := pr.CopyBlock(12, 6); err != nil {
						return nil, err
					}
					continue
				}
				if err := pr.Run(s); err != nil {
					return nil, err
				}
				out = append(out, s.Features...)
			}
			return out, nil
		}
		want, err := run(oracle)
		if err != nil {
			return fmt.Errorf("oracle: %w", err)
		}
		got, err := run(tested)
		if err != nil {
			return err
		}
		width := a.heads * a.dim
		return compare(got, want, width, tolerance{norm: attending}, slices.Repeat([]float64{0.05}, len(want)/width))
	}}
	return []testCase{shared, rewind, copied}
}

// seq is a sequence's share of a hand-written step.
type seq struct {
	pos, n int
	blocks []int32
}

// step returns a step in which token ids follow from position and block, so that equal prefixes are equal.
func step(seqs ...seq) *backends.Step {
	s := &backends.Step{}
	for i, q := range seqs {
		s.Runs = append(s.Runs, backends.Run{Pos: q.pos, N: q.n, Blocks: q.blocks})
		for k := range q.n {
			s.Out = append(s.Out, int32(len(s.Tokens)))
			s.Tokens = append(s.Tokens, int32((37*i+11*(q.pos+k))%labVocab))
		}
	}
	return s
}
