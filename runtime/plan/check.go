package plan

import (
	"fmt"
	"math"
)

// maxWidth bounds the columns of a buffer. With it, heads*dim and part counts multiply inside int64.
const maxWidth = 1 << 28

// span is a use of buffer columns by an op.
type span struct {
	name  string // "in0", "out2"
	ref   Ref
	width int
}

func (s span) overlaps(t span) bool {
	return s.ref.Buf == t.ref.Buf &&
		int64(s.ref.Off) < int64(t.ref.Off)+int64(t.width) && int64(t.ref.Off) < int64(s.ref.Off)+int64(s.width)
}

// opCheck reads an op the way its kind defines it. It notes what is used, so that everything else can be required
// to be absent, and keeps the first error.
type opCheck struct {
	p   *Plan
	op  *Op
	err error

	reads, writes      []span
	weights            []weightUse
	choice             *choice // that the op makes or reads
	in, out, w, iUsed  uint8   // bit masks of the used slots
	fUsed              uint8
	elementwise, selec bool // may work in place; changes the row kind
}

type weightUse struct {
	role string
	w    Weight
}

func checkOp(p *Plan, op *Op) *opCheck {
	c := &opCheck{p: p, op: op}
	switch op.Kind {
	case Embed:
		c.embed()
	case Norm:
		c.norm()
	case Linear:
		c.linear()
	case Rope:
		c.rope()
	case Attention:
		c.attention()
	case Glu:
		c.enum(0, "activation", int(GeluErf))
		c.columns(1, 2)
	case Add:
		c.float(0, "scale")
		c.columns(0, 2)
	case Select:
		c.selectRows()
	case Scale:
		c.float(0, "scale")
		c.nonNegative(1, "cap")
		c.columns(0, 1)
	case Route:
		c.route()
	case Experts:
		c.experts()
	case Mix:
		c.mix()
	default:
		c.fail("unknown kind %d", op.Kind)
	}
	c.absent()
	c.rowKinds()
	c.aliasing()
	return c
}

func (c *opCheck) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// read and write note operands; width is in int64 because callers multiply.
func (c *opCheck) read(i int, width int64) {
	c.in |= 1 << i
	if s, ok := c.operand(fmt.Sprintf("in%d", i), c.op.In[i], width); ok {
		c.reads = append(c.reads, s)
	}
}

func (c *opCheck) write(i int, width int64) {
	c.out |= 1 << i
	if s, ok := c.operand(fmt.Sprintf("out%d", i), c.op.Out[i], width); ok {
		c.writes = append(c.writes, s)
	}
}

func (c *opCheck) operand(name string, r Ref, width int64) (span, bool) {
	if r.Buf < 0 || int(r.Buf) >= len(c.p.Buffers) {
		c.fail("%s is buffer %d of %d", name, r.Buf, len(c.p.Buffers))
		return span{}, false
	}
	b := &c.p.Buffers[r.Buf]
	if width < 1 || r.Off < 0 || int64(r.Off)+width > int64(b.Width) {
		c.fail("%s is columns [%d, %d) of buffer %q, which has %d", name, r.Off, int64(r.Off)+width, b.Name, b.Width)
		return span{}, false
	}
	return span{name, r, int(width)}, true
}

// weight notes weight slot i and returns its entry, or nil behind an error.
func (c *opCheck) weight(i int, role string) *WeightInfo {
	c.w |= 1 << i
	w := c.op.W[i]
	if w < 0 || int(w) >= len(c.p.Weights) {
		c.fail("%s is weight %d of %d", role, w, len(c.p.Weights))
		return nil
	}
	c.weights = append(c.weights, weightUse{role, w})
	return &c.p.Weights[w]
}

// vector notes weight slot i as a dense vector of one of the given lengths.
func (c *opCheck) vector(i int, role string, lengths ...int64) *WeightInfo {
	info := c.weight(i, role)
	if info == nil {
		return nil
	}
	if info.Encoding != Dense || info.Rows != 1 || info.Type == Q8_0 {
		c.fail("%s %q is not a plain vector", role, info.Name)
		return nil
	}
	for _, n := range lengths {
		if int64(info.Cols) == n {
			return info
		}
	}
	c.fail("%s %q has %d values, must be %d", role, info.Name, info.Cols, lengths[0])
	return nil
}

func (c *opCheck) optionalVector(i int, role string, lengths ...int64) {
	if c.op.W[i] == None {
		c.w |= 1 << i
		return
	}
	c.vector(i, role, lengths...)
}

func (c *opCheck) count(i int, name string) int64 {
	c.iUsed |= 1 << i
	n := c.op.I[i]
	if n < 1 || n > maxWidth {
		c.fail("%s is %d, must be 1..%d", name, n, maxWidth)
		return 1
	}
	return int64(n)
}

func (c *opCheck) enum(i int, name string, last int) {
	c.iUsed |= 1 << i
	if n := c.op.I[i]; n < 0 || int(n) > last {
		c.fail("%s is %d, must be 0..%d", name, n, last)
	}
}

func (c *opCheck) float(i int, name string) {
	c.fUsed |= 1 << i
	if f := float64(c.op.F[i]); math.IsNaN(f) || math.IsInf(f, 0) {
		c.fail("%s is %v", name, f)
	}
}

func (c *opCheck) nonNegative(i int, name string) {
	c.float(i, name)
	if c.op.F[i] < 0 {
		c.fail("%s is %v", name, c.op.F[i])
	}
}

// columns reads the width from I[i] and notes Out[0] and the first n inputs of an elementwise op.
func (c *opCheck) columns(i, n int) {
	width := c.count(i, "width")
	c.elementwise = true
	for k := range n {
		c.read(k, width)
	}
	c.write(0, width)
}

func (c *opCheck) embed() {
	c.float(0, "scale")
	w := c.weight(0, "table")
	if w == nil {
		return
	}
	if w.Encoding != Dense || w.Rows != c.p.Vocab {
		c.fail("table %q is %s (%d, %d), must be dense with %d rows", w.Name, w.Encoding, w.Rows, w.Cols, c.p.Vocab)
		return
	}
	c.write(0, int64(w.Cols))
	c.tokensOnly()
}

func (c *opCheck) norm() {
	parts, width := c.count(0, "parts"), c.count(1, "part width")
	c.enum(2, "norm type", int(LayerNorm))
	c.nonNegative(0, "epsilon")
	c.float(1, "gain offset")
	c.elementwise = true
	c.read(0, parts*width)
	c.write(0, parts*width)
	c.vector(0, "gain", width, parts*width)
	c.optionalVector(1, "bias", width, parts*width)
}

func (c *opCheck) linear() {
	n := c.count(0, "outputs")
	if n > int64(len(c.op.Out)) {
		c.fail("%d outputs, at most %d", n, len(c.op.Out))
		return
	}
	for i := range int(n) {
		w := c.weight(i, fmt.Sprintf("weight %d", i))
		if w == nil {
			return
		}
		if first := &c.p.Weights[c.op.W[0]]; w.Cols != first.Cols {
			c.fail("weights %q and %q have %d and %d columns", first.Name, w.Name, first.Cols, w.Cols)
			return
		}
		c.write(i, int64(w.Rows))
		c.optionalVector(4+i, fmt.Sprintf("bias %d", i), int64(w.Rows))
		if i == 0 {
			c.read(0, int64(w.Cols))
		}
	}
}

func (c *opCheck) rope() {
	heads, dim, rotated := c.count(0, "heads"), c.count(1, "head width"), c.count(2, "rotated columns")
	c.enum(3, "pairing", int(RopeNeighbours))
	c.float(0, "factor")
	if rotated%2 != 0 || rotated > dim {
		c.fail("%d columns of %d are to be rotated", rotated, dim)
	}
	if c.op.In[0] != c.op.Out[0] {
		c.fail("rope works in place only")
	}
	c.elementwise = true
	c.read(0, heads*dim)
	c.write(0, heads*dim)
	c.frequencies(0, "frequencies", rotated/2)
	c.iUsed |= 1 << 4
	switch limit := c.op.I[4]; {
	case limit < 0:
		c.fail("the limit of the first frequencies is %d", limit)
	case limit > 0:
		c.frequencies(1, "long frequencies", rotated/2)
	}
	c.tokensOnly()
}

func (c *opCheck) frequencies(i int, role string, n int64) {
	if w := c.vector(i, role, n); w != nil && w.Type != F32 {
		c.fail("%s %q are %s, not f32", role, w.Name, w.Type)
	}
}

func (c *opCheck) attention() {
	c.iUsed |= 1
	layer := c.op.I[0]
	if layer < 0 || int(layer) >= len(c.p.Layers) {
		c.fail("KV layer %d of %d", layer, len(c.p.Layers))
		return
	}
	kv := c.p.Layers[layer]
	heads := c.count(1, "heads")
	c.iUsed |= 1 << 2
	if c.op.I[2] < 0 {
		c.fail("window is %d", c.op.I[2])
	}
	c.float(0, "scale")
	c.nonNegative(1, "cap")
	if kv.Heads < 1 || heads%int64(kv.Heads) != 0 {
		c.fail("%d query heads over %d KV heads", heads, kv.Heads)
		return
	}
	c.read(0, heads*int64(kv.Dim))
	c.read(1, int64(kv.Heads)*int64(kv.Dim))
	c.read(2, int64(kv.Heads)*int64(kv.Dim))
	c.write(0, heads*int64(kv.Dim))
	c.tokensOnly()
}

func (c *opCheck) selectRows() {
	c.selec = true
	in, out := c.op.In[0], c.op.Out[0]
	c.read(0, c.bufferWidth(in))
	c.write(0, c.bufferWidth(out))
	if c.err != nil {
		return
	}
	src, dst := &c.p.Buffers[in.Buf], &c.p.Buffers[out.Buf]
	if in.Off != 0 || out.Off != 0 || src.Width != dst.Width {
		c.fail("select copies whole rows, buffers %q and %q have %d and %d columns", src.Name, dst.Name, src.Width, dst.Width)
	}
	if src.Rows != PerToken || dst.Rows != PerOutput {
		c.fail("select goes from token rows to output rows, not from %q to %q", src.Name, dst.Name)
	}
}

func (c *opCheck) bufferWidth(r Ref) int64 {
	if r.Buf < 0 || int(r.Buf) >= len(c.p.Buffers) {
		return 1 // operand reports it
	}
	return int64(c.p.Buffers[r.Buf].Width)
}

// tokensOnly requires token rows: the op needs the token or its position.
func (c *opCheck) tokensOnly() {
	for _, s := range c.writes {
		if b := &c.p.Buffers[s.ref.Buf]; b.Rows != PerToken {
			c.fail("%s is buffer %q, which has no row for each token", s.name, b.Name)
		}
	}
}

// absent requires that every slot the op does not use is empty, so that no meaning hides there.
func (c *opCheck) absent() {
	if c.err != nil {
		return
	}
	if c.op.Flags != 0 {
		c.fail("flags are %#x, none are defined", c.op.Flags)
	}
	for i := range c.op.In {
		if c.in>>i&1 == 0 && c.op.In[i] != NoRef {
			c.fail("in%d is not used by the op", i)
		}
		if c.out>>i&1 == 0 && c.op.Out[i] != NoRef {
			c.fail("out%d is not used by the op", i)
		}
		if c.fUsed>>i&1 == 0 && c.op.F[i] != 0 {
			c.fail("float parameter %d is not used by the op", i)
		}
	}
	for i := range c.op.W {
		if c.w>>i&1 == 0 && c.op.W[i] != None {
			c.fail("weight slot %d is not used by the op", i)
		}
		if c.iUsed>>i&1 == 0 && c.op.I[i] != 0 {
			c.fail("integer parameter %d is not used by the op", i)
		}
	}
}

func (c *opCheck) rowKinds() {
	if c.err != nil || c.selec {
		return
	}
	spans := append(append([]span(nil), c.writes...), c.reads...)
	for _, s := range spans[1:] {
		a, b := &c.p.Buffers[spans[0].ref.Buf], &c.p.Buffers[s.ref.Buf]
		if a.Rows != b.Rows {
			c.fail("buffers %q and %q have different rows", a.Name, b.Name)
		}
	}
}

// aliasing: an elementwise op may write exactly what it reads; every other overlap of an output is an error.
func (c *opCheck) aliasing() {
	if c.err != nil {
		return
	}
	for i, w := range c.writes {
		for _, r := range c.reads {
			if w.overlaps(r) && !(c.elementwise && w.ref == r.ref) {
				c.fail("%s overlaps %s", w.name, r.name)
			}
		}
		for _, o := range c.writes[:i] {
			if w.overlaps(o) {
				c.fail("%s overlaps %s", w.name, o.name)
			}
		}
	}
}
