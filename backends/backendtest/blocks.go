package backendtest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// blockCases: KV blocks as bytes, out of one program and into another.
func blockCases() []testCase {
	var cases []testCase
	for _, kv := range []plan.DType{plan.F32, plan.F16, plan.Q8_0} {
		cases = append(
			cases,
			testCase{"move-" + kv.String(), func(tested, _ backends.Backend) error { return moveBlocks(tested, kv) }},
			testCase{"whole-" + kv.String(), func(tested, _ backends.Backend) error { return wholeBlocks(tested, kv) }},
			testCase{"bad-" + kv.String(), func(tested, _ backends.Backend) error { return badBlocks(tested, kv) }},
		)
	}
	return append(cases, testCase{"layout", blockLayouts}, testCase{"layers-none", noLayers})
}

// layered is a lab with two attention layers, of heads that are no whole vectors.
func layered() *lab {
	l := newLab("layered")
	out := l.b.Buffer("out", plan.PerToken, 4*20+6*12)
	at := 0
	for i, s := range []attentionShape{{heads: 4, kvHeads: 2, dim: 20}, {heads: 6, kvHeads: 1, dim: 12}} {
		q, kv := s.heads*s.dim, s.kvHeads*s.dim
		in := l.input(fmt.Sprintf("in%d", i), q+2*kv)
		l.b.Attention(plan.At(out, at), in, plan.At(in.Buf, q), plan.At(in.Buf, q+kv), plan.AttentionParams{
			Layer: l.b.KV(s.kvHeads, s.dim), Heads: s.heads, Scale: 0.3,
		})
		at += q
	}
	return l.result(plan.All(out), at)
}

func blockOptions(kv plan.DType) backends.Options {
	o := options(backends.Exact)
	o.KV = kv
	return o
}

// moveBlocks: a sequence goes on in other blocks, of its own program and of another one, as if nothing had been.
func moveBlocks(tested backends.Backend, kv plan.DType) error {
	l, o := layered(), blockOptions(kv)
	from, err := l.program(tested, o)
	if err != nil {
		return err
	}
	defer from.Close()
	o.KVBlocks, o.MaxTokens, o.MaxSeqs = 13, 41, 2
	other, err := l.program(tested, o)
	if err != nil {
		return err
	}
	defer other.Close()
	if from.BlockLayout() != other.BlockLayout() {
		return fmt.Errorf("layouts %+v and %+v of one plan", from.BlockLayout(), other.BlockLayout())
	}
	if err := from.Run(step(seq{0, 64, []int32{5, 2}})); err != nil {
		return err
	}
	behind := func(pr backends.Program, blocks ...int32) ([]float32, error) {
		s := step(seq{64, 9, blocks})
		err := pr.Run(s)
		return slices.Clone(s.Features), err
	}
	want, err := behind(from, 5, 2, 7)
	if err != nil {
		return err
	}
	for _, to := range []struct {
		name   string
		pr     backends.Program
		blocks []int32
	}{{"the same", from, []int32{0, 3, 1}}, {"another", other, []int32{12, 0, 4}}} {
		if err := move(from, []int32{5, 2}, to.pr, to.blocks[:2]); err != nil {
			return err
		}
		got, err := behind(to.pr, to.blocks...)
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s program: results in blocks %v differ from those in the blocks they were read from", to.name, to.blocks)
		}
	}
	return nil
}

// move gives blocks of one program the contents of blocks of another one.
func move(from backends.Program, src []int32, to backends.Program, dst []int32) error {
	data := make([]byte, from.BlockLayout().Bytes)
	for i, b := range src {
		if err := from.ReadBlock(int(b), data); err != nil {
			return err
		}
		if err := to.WriteBlock(int(dst[i]), data); err != nil {
			return err
		}
		for j := range data {
			data[j] = 0xa5 // which a program that kept the slice would read
		}
	}
	return nil
}

// wholeBlocks: every byte that is written is read again, and no other block changes.
func wholeBlocks(tested backends.Backend, kv plan.DType) error {
	l, o := layered(), blockOptions(kv)
	pr, err := l.program(tested, o)
	if err != nil {
		return err
	}
	defer pr.Close()
	contents := make([][]byte, o.KVBlocks)
	for round := range 2 {
		for i := range contents {
			b := (5*i + round) % o.KVBlocks
			contents[b] = make([]byte, pr.BlockLayout().Bytes)
			for j := range contents[b] {
				contents[b][j] = byte(l.rng.Uint32() >> 8 & 0x3b) // of no type is this a NaN, which may change on its way
			}
			if err := pr.WriteBlock(b, contents[b]); err != nil {
				return err
			}
		}
	}
	got := make([]byte, pr.BlockLayout().Bytes)
	for b, want := range contents {
		if err := pr.ReadBlock(b, got); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("block %d does not hold what was written to it", b)
		}
	}
	return nil
}

// badBlocks: blocks that are not there and bytes that are no block are refused, and leave everything as it is.
func badBlocks(tested backends.Backend, kv plan.DType) error {
	l, o := layered(), blockOptions(kv)
	pr, err := l.program(tested, o)
	if err != nil {
		return err
	}
	defer pr.Close()
	n := pr.BlockLayout().Bytes
	for _, c := range []struct{ block, bytes int }{
		{-1, n}, {o.KVBlocks, n}, {math.MaxInt, n}, {math.MinInt, n}, {1 << 32, n}, {0, 0}, {0, n - 1}, {0, n + 1}, {7, 2 * n},
	} {
		data := bytes.Repeat([]byte{1}, c.bytes)
		if pr.WriteBlock(c.block, data) == nil {
			return fmt.Errorf("took %d bytes for block %d of %d, a block has %d", c.bytes, c.block, o.KVBlocks, n)
		}
		if pr.ReadBlock(c.block, data) == nil {
			return fmt.Errorf("gave %d bytes of block %d of %d, a block has %d", c.bytes, c.block, o.KVBlocks, n)
		}
	}
	data := make([]byte, n)
	for b := range o.KVBlocks {
		if err := pr.ReadBlock(b, data); err != nil {
			return err
		}
		if bytes.IndexFunc(data, func(r rune) bool { return r != 0 }) >= 0 {
			return fmt.Errorf("block %d has changed, though all that was written to it was refused", b)
		}
	}
	return nil
}

// blockLayouts: a layout tells types and layers apart, has room for the elements, and depends on nothing else.
func blockLayouts(tested, _ backends.Backend) error {
	seen := map[string]string{}
	for _, kv := range []plan.DType{plan.F32, plan.F16, plan.Q8_0} {
		for name, l := range map[string]*lab{"small": small(), "layered": layered()} {
			o := blockOptions(kv)
			pr, err := l.program(tested, o)
			if err != nil {
				return err
			}
			layout := pr.BlockLayout()
			pr.Close()
			least := 0
			for _, layer := range l.b.Plan.Layers {
				least += 2 * plan.KVBlock * layer.Heads * layer.Dim
			}
			if layout.Bytes < least {
				return fmt.Errorf("%s in %s: a block of %d bytes has %d elements", name, kv, layout.Bytes, least)
			}
			what := name + " in " + kv.String()
			if other, ok := seen[layout.Name]; ok || layout.Name == "" {
				return fmt.Errorf("%s and %s have one layout, %q", what, other, layout.Name)
			}
			seen[layout.Name] = what
		}
	}
	return nil
}

// noLayers: a plan without attention has empty blocks.
func noLayers(tested, _ backends.Backend) error {
	l := newLab("flat")
	l.result(l.input("x", 32), 32)
	pr, err := l.program(tested, options(backends.Exact))
	if err != nil {
		return err
	}
	defer pr.Close()
	if n := pr.BlockLayout().Bytes; n != 0 {
		return fmt.Errorf("a block of no layers has %d bytes", n)
	}
	return errors.Join(pr.ReadBlock(0, nil), pr.WriteBlock(7, nil))
}
