package plan

// Builder appends to a plan. Its methods return the numbers of what they add; errors are left to Validate, which
// sees the whole.
type Builder struct{ Plan Plan }

// NewBuilder starts an empty plan.
func NewBuilder(name string, vocab, maxPos int) *Builder {
	return &Builder{Plan{
		Name: name, Vocab: vocab, MaxPos: maxPos, Consts: map[Weight][]float32{}, Logits: None, Features: None,
	}}
}

// Buffer adds an activation buffer of the given width.
func (b *Builder) Buffer(name string, rows Rows, width int) Buf {
	b.Plan.Buffers = append(b.Plan.Buffers, Buffer{Name: name, Rows: rows, Width: width})
	return Buf(len(b.Plan.Buffers) - 1)
}

// Weight adds a weight.
func (b *Builder) Weight(w WeightInfo) Weight {
	b.Plan.Weights = append(b.Plan.Weights, w)
	return Weight(len(b.Plan.Weights) - 1)
}

// Const adds a float32 vector that the model computes instead of reading it.
func (b *Builder) Const(name string, values []float32) Weight {
	w := b.Weight(WeightInfo{Name: name, Rows: 1, Cols: len(values), Type: F32})
	b.Plan.Consts[w] = values
	return w
}

// KV adds a KV layer and returns its number.
func (b *Builder) KV(heads, dim int) int {
	b.Plan.Layers = append(b.Plan.Layers, KVLayer{Heads: heads, Dim: dim})
	return len(b.Plan.Layers) - 1
}

func newOp(k Kind) Op {
	op := Op{Kind: k}
	for i := range op.In {
		op.In[i], op.Out[i] = NoRef, NoRef
	}
	for i := range op.W {
		op.W[i] = None
	}
	return op
}

func (b *Builder) add(op Op) { b.Plan.Ops = append(b.Plan.Ops, op) }

// All is a reference to a whole buffer.
func All(buf Buf) Ref { return Ref{Buf: buf} }

// At is a reference to the columns of buf that start at off.
func At(buf Buf, off int) Ref { return Ref{Buf: buf, Off: int32(off)} }

// Embed adds an Embed op.
func (b *Builder) Embed(out Ref, table Weight, scale float32) {
	op := newOp(Embed)
	op.Out[0], op.W[0], op.F[0] = out, table, scale
	b.add(op)
}

// NormParams are the parameters of a Norm op.
type NormParams struct {
	Type  NormType
	Parts int // independent parts; 0 means 1
	Width int // columns of a part
	Gain  Weight
	Bias  Weight // None for no bias
	Eps   float32
	Plus  float32 // added to the gain
}

// Norm adds a Norm op.
func (b *Builder) Norm(out, in Ref, p NormParams) {
	op := newOp(Norm)
	op.Out[0], op.In[0], op.W[0], op.W[1] = out, in, p.Gain, p.Bias
	op.I[0], op.I[1], op.I[2] = int32(max(p.Parts, 1)), int32(p.Width), int32(p.Type)
	op.F[0], op.F[1] = p.Eps, p.Plus
	b.add(op)
}

// Output is one result of a Linear op.
type Output struct {
	To   Ref
	W    Weight
	Bias Weight // None for no bias
}

// Linear adds a Linear op with one to four outputs.
func (b *Builder) Linear(in Ref, outs ...Output) {
	op := newOp(Linear)
	op.In[0], op.I[0] = in, int32(len(outs))
	for i, o := range outs {
		op.Out[i], op.W[i], op.W[4+i] = o.To, o.W, o.Bias
	}
	b.add(op)
}

// RopeParams are the parameters of a Rope op.
type RopeParams struct {
	Heads, Dim, Rotated int // Rotated columns of a head's Dim take part
	Pairing             RopePairing
	Freqs               Weight  // (Rotated/2) inverse frequencies
	Factor              float32 // multiplies sin and cos
	Limit               int     // sequences of more tokens use Long; 0 for none
	Long                Weight  // (Rotated/2), where Limit is not 0
}

// Rope adds a Rope op that works in place.
func (b *Builder) Rope(x Ref, p RopeParams) {
	op := newOp(Rope)
	op.In[0], op.Out[0], op.W[0] = x, x, p.Freqs
	op.I[0], op.I[1], op.I[2], op.I[3] = int32(p.Heads), int32(p.Dim), int32(p.Rotated), int32(p.Pairing)
	op.F[0] = p.Factor
	if p.Limit != 0 {
		op.I[4], op.W[1] = int32(p.Limit), p.Long
	}
	b.add(op)
}

// AttentionParams are the parameters of an Attention op.
type AttentionParams struct {
	Layer, Heads int
	Window       int // 0 for none
	Scale, Cap   float32
}

// Attention adds an Attention op.
func (b *Builder) Attention(out, q, k, v Ref, p AttentionParams) {
	op := newOp(Attention)
	op.Out[0], op.In[0], op.In[1], op.In[2] = out, q, k, v
	op.I[0], op.I[1], op.I[2] = int32(p.Layer), int32(p.Heads), int32(p.Window)
	op.F[0], op.F[1] = p.Scale, p.Cap
	b.add(op)
}

// Glu adds a Glu op over width columns.
func (b *Builder) Glu(out, gate, up Ref, act Activation, width int) {
	op := newOp(Glu)
	op.Out[0], op.In[0], op.In[1] = out, gate, up
	op.I[0], op.I[1] = int32(act), int32(width)
	b.add(op)
}

// Add adds an Add op: out = x + scale*y.
func (b *Builder) Add(out, x, y Ref, scale float32, width int) {
	op := newOp(Add)
	op.Out[0], op.In[0], op.In[1], op.I[0], op.F[0] = out, x, y, int32(width), scale
	b.add(op)
}

// Select adds a Select op; both buffers have the same width.
func (b *Builder) Select(out, in Ref) {
	op := newOp(Select)
	op.Out[0], op.In[0] = out, in
	b.add(op)
}

// Scale adds a Scale op: out = cap(scale*in).
func (b *Builder) Scale(out, in Ref, scale, limit float32, width int) {
	op := newOp(Scale)
	op.Out[0], op.In[0], op.I[0], op.F[0], op.F[1] = out, in, int32(width), scale, limit
	b.add(op)
}

// RouteParams say how a mixture of experts chooses.
type RouteParams struct {
	Experts int
	Slots   int  // experts that each row uses
	Among   bool // the weights are the softmax over the chosen experts, not over all
}

// Route adds a Route op; out has 2*p.Slots columns.
func (b *Builder) Route(out, logits Ref, p RouteParams) {
	op := newOp(Route)
	op.Out[0], op.In[0], op.I[0], op.I[1] = out, logits, int32(p.Experts), int32(p.Slots)
	if p.Among {
		op.I[2] = 1
	}
	b.add(op)
}

// ExpertOutput is one result of an Experts op: the weights of all experts are numbered from First on.
type ExpertOutput struct {
	To    Ref
	First Weight
}

// Experts adds an Experts op over the choice in routes. apart says that in has a row for each slot.
func (b *Builder) Experts(in, routes Ref, apart bool, p RouteParams, outs ...ExpertOutput) {
	op := newOp(Experts)
	op.In[0], op.In[1] = in, routes
	op.I[0], op.I[1], op.I[2] = int32(len(outs)), int32(p.Experts), int32(p.Slots)
	if apart {
		op.I[3] = 1
	}
	for i, o := range outs {
		op.Out[i], op.W[i] = o.To, o.First
	}
	b.add(op)
}

// Mix adds a Mix op over width columns.
func (b *Builder) Mix(out, in, routes Ref, slots, width int) {
	op := newOp(Mix)
	op.Out[0], op.In[0], op.In[1], op.I[0], op.I[1] = out, in, routes, int32(width), int32(slots)
	b.add(op)
}
