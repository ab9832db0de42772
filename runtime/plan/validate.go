package plan

import (
	"fmt"
	"sort"
)

// Validate checks everything a backend relies on: operands and their widths, row kinds, weight shapes, schemes and
// types, KV layers, constants. Rules beyond the ranges:
//
//   - Norm, Glu, Add, Scale may write exactly one of their inputs; Rope must; all other outputs overlap nothing.
//   - A column is written before it is read; the ops run in order.
//   - Every weight and KV layer is used, a KV layer by one op only.
//   - Experts and Mix read what a Route op of the same numbers wrote.
//   - All Rope ops that change frequencies for long sequences do so at one length.
//   - Slots an op does not define are empty.
//
// A plan that passes cannot make a backend access anything out of bounds in a step that passes Step.Check.
func (p *Plan) Validate() error {
	if p.Vocab < 1 || p.Vocab > maxWidth || p.MaxPos < 1 || p.MaxPos > maxWidth {
		return fmt.Errorf("plan: vocabulary %d and %d positions must be 1..%d", p.Vocab, p.MaxPos, maxWidth)
	}
	if err := p.validateTables(); err != nil {
		return err
	}
	written := make([]intervals, len(p.Buffers))
	weights := make([]bool, len(p.Weights))
	layers := make([]bool, len(p.Layers))
	var routes choices
	for i := range p.Ops {
		op := &p.Ops[i]
		c := checkOp(p, op)
		if c.err != nil {
			return fmt.Errorf("plan: op %d (%s): %w", i, op.Kind, c.err)
		}
		for _, r := range c.reads {
			if !written[r.ref.Buf].contain(int(r.ref.Off), int(r.ref.Off)+r.width) {
				return fmt.Errorf("plan: op %d (%s): %s reads columns of buffer %q that nothing wrote",
					i, op.Kind, r.name, p.Buffers[r.ref.Buf].Name)
			}
		}
		for _, w := range c.writes {
			written[w.ref.Buf].add(int(w.ref.Off), int(w.ref.Off)+w.width)
		}
		for _, w := range c.weights {
			weights[w.w] = true
		}
		if err := routes.follow(c); err != nil {
			return fmt.Errorf("plan: op %d (%s): %w", i, op.Kind, err)
		}
		if op.Kind == Rope && op.I[4] > 0 && int(op.I[4]) != p.LongFrom() {
			return fmt.Errorf("plan: op %d (%s): long sequences start behind %d tokens, elsewhere behind %d", i, op.Kind, op.I[4], p.LongFrom())
		}
		if op.Kind == Attention {
			if layers[op.I[0]] {
				return fmt.Errorf("plan: op %d (%s): KV layer %d has another op already", i, op.Kind, op.I[0])
			}
			layers[op.I[0]] = true
		}
	}
	for i, used := range weights {
		if !used {
			return fmt.Errorf("plan: weight %q is used by no op", p.Weights[i].Name)
		}
	}
	for i, used := range layers {
		if !used {
			return fmt.Errorf("plan: KV layer %d is used by no op", i)
		}
	}
	return p.validateResults(written)
}

func (p *Plan) validateTables() error {
	names := make(map[string]bool, len(p.Weights))
	for i := range p.Weights {
		w := &p.Weights[i]
		if err := w.Validate(); err != nil {
			return err
		}
		if names[w.Name] {
			return fmt.Errorf("plan: weight %q occurs twice", w.Name)
		}
		names[w.Name] = true
	}
	for w, values := range p.Consts {
		if w < 0 || int(w) >= len(p.Weights) {
			return fmt.Errorf("plan: constant for weight %d of %d", w, len(p.Weights))
		}
		if info := &p.Weights[w]; info.Encoding != Dense || info.Type != F32 || info.Rows != 1 || info.Cols != len(values) {
			return fmt.Errorf("plan: constant %q is not a vector of %d f32", info.Name, len(values))
		}
	}
	clear(names)
	for i := range p.Buffers {
		b := &p.Buffers[i]
		if b.Name == "" || names[b.Name] {
			return fmt.Errorf("plan: buffer %d has no name of its own: %q", i, b.Name)
		}
		names[b.Name] = true
		if b.Width < 1 || b.Width > maxWidth || b.Rows > PerOutput {
			return fmt.Errorf("plan: buffer %q has %d columns, must be 1..%d, and rows of kind %d", b.Name, b.Width, maxWidth, b.Rows)
		}
	}
	for i, l := range p.Layers {
		if l.Heads < 1 || l.Heads > maxWidth || l.Dim < 1 || l.Dim > maxWidth || int64(l.Heads)*int64(l.Dim) > maxWidth {
			return fmt.Errorf("plan: KV layer %d has %d heads of %d columns", i, l.Heads, l.Dim)
		}
	}
	return nil
}

// validateResults checks Logits and Features; a plan without logits (a pure embedding model) has features.
func (p *Plan) validateResults(written []intervals) error {
	if p.Logits == None && p.Features == None {
		return fmt.Errorf("plan: neither logits nor features")
	}
	for _, r := range []struct {
		name string
		buf  Buf
	}{{"logits", p.Logits}, {"features", p.Features}} {
		if r.buf == None {
			continue
		}
		if r.buf < 0 || int(r.buf) >= len(p.Buffers) {
			return fmt.Errorf("plan: %s are buffer %d of %d", r.name, r.buf, len(p.Buffers))
		}
		b := &p.Buffers[r.buf]
		if b.Rows != PerOutput || r.name == "logits" && b.Width != p.Vocab {
			return fmt.Errorf("plan: %s buffer %q must be one row of %d for each output", r.name, b.Name, p.Vocab)
		}
		if !written[r.buf].contain(0, b.Width) {
			return fmt.Errorf("plan: %s buffer %q is not written", r.name, b.Name)
		}
	}
	return nil
}

// intervals is a sorted list of disjoint, non-touching half-open column ranges.
type intervals []struct{ from, to int }

func (iv intervals) contain(from, to int) bool {
	i := sort.Search(len(iv), func(i int) bool { return iv[i].to >= to })
	return i < len(iv) && iv[i].from <= from
}

func (iv *intervals) add(from, to int) {
	old := *iv
	lo := sort.Search(len(old), func(i int) bool { return old[i].to >= from })
	hi := lo
	for hi < len(old) && old[hi].from <= to {
		from, to = min(from, old[hi].from), max(to, old[hi].to)
		hi++
	}
	merged := append(intervals(nil), old[:lo]...)
	merged = append(merged, struct{ from, to int }{from, to})
	*iv = append(merged, old[hi:]...)
}
