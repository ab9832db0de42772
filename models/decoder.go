package models

import (
	"fmt"

	"aquifer/runtime/plan"
)

// rows is an activation of a decoder: one buffer with a row for each token and one with a row for each output. Behind
// the last layer's attention only the rows that are wanted go on: what a layer computes for the others nobody reads.
type rows [2]plan.Ref // by plan.Rows

// decoder holds what decoders have in common. The file of an architecture reads its config and then calls the parts in
// the order of its layers; a part reads and writes the rows it names.
type decoder struct {
	*binder
	dims
	params plan.NormParams // of the norms on the residual stream, but for their gain
	kind   plan.Rows       // of the rows at work

	x   rows     // (hidden) residual stream
	h   rows     // (hidden) normalised
	d   rows     // (hidden) what a block adds to x
	gu  rows     // (2*inner) gate, then up
	att rows     // (heads*headDim)
	qkv plan.Ref // (tokens, (heads+2*kvHeads)*headDim) queries, keys, values

	table plan.Weight // embedding
}

// decoder starts a plan once the config is read; false if it was bad. norm says which norms the residual stream has.
func (b *binder) decoder(d dims, norm plan.NormParams) (*decoder, bool) {
	if !b.start(d.vocab, d.context) {
		return nil, false
	}
	norm.Width, norm.Bias = d.hidden, plan.None
	m := &decoder{binder: b, dims: d, params: norm}
	m.x, m.h, m.d = m.rows("x", d.hidden), m.rows("h", d.hidden), m.rows("d", d.hidden)
	m.att = m.rows("att", d.heads*d.headDim)
	m.qkv = plan.All(b.Buffer("qkv", plan.PerToken, (d.heads+2*d.kvHeads)*d.headDim))
	return m, true
}

// rows adds the two buffers of an activation.
func (m *decoder) rows(name string, width int) rows {
	return rows{plan.All(m.Buffer(name, plan.PerToken, width)), plan.All(m.Buffer(name+".out", plan.PerOutput, width))}
}

// now returns the rows at work of an activation, from column off on.
func (m *decoder) now(r rows, off int) plan.Ref { return plan.At(r[m.kind].Buf, off) }

// embed looks the tokens up, times scale.
func (m *decoder) embed(scale float32) {
	m.table = m.embedding("model.embed_tokens", m.vocab, m.hidden)
	m.Embed(m.now(m.x, 0), m.table, scale)
}

// each calls layer for every layer, with the prefix of its tensors, until something fails.
func (m *decoder) each(layer func(i int, prefix string)) {
	for i := range m.layers {
		layer(i, fmt.Sprintf("model.layers.%d.", i))
		if m.failed() {
			return
		}
	}
}

// norm writes the norm of from to to, which may be from itself.
func (m *decoder) norm(to, from rows, prefix string) {
	p := m.params
	p.Gain = m.gain(prefix, p.Width)
	m.Norm(m.now(to, 0), m.now(from, 0), p)
}

// project binds a matrix with its bias, for an output at to. biasKey is the config's switch for the bias.
func (m *decoder) project(to plan.Ref, prefix, biasKey string, rows, cols int) plan.Output {
	return plan.Output{To: to, W: m.linear(prefix, rows, cols), Bias: m.bias(prefix, biasKey, rows)}
}

// heads returns where queries, keys and values lie, and the columns of queries and of keys.
func (m *decoder) parts() (queries, keys, values plan.Ref, q, kv int) {
	q, kv = m.heads*m.headDim, m.kvHeads*m.headDim
	return m.qkv, plan.At(m.qkv.Buf, q), plan.At(m.qkv.Buf, q+kv), q, kv
}

// queries projects h to queries, keys and values.
func (m *decoder) queries(prefix, biasKey string) {
	queries, keys, values, q, kv := m.parts()
	m.Linear(
		m.now(m.h, 0),
		m.project(queries, prefix+"q_proj", biasKey, q, m.hidden),
		m.project(keys, prefix+"k_proj", biasKey, kv, m.hidden),
		m.project(values, prefix+"v_proj", biasKey, kv, m.hidden),
	)
}

// headNorms normalises each head of queries and keys. A gain has headDim columns or, if own, those of all heads.
func (m *decoder) headNorms(prefix string, own bool) {
	queries, keys, _, q, kv := m.parts()
	p := m.params
	p.Width = m.headDim
	for _, s := range []struct {
		at           plan.Ref
		name         string
		heads, width int
	}{{queries, "q_norm", m.heads, q}, {keys, "k_norm", m.kvHeads, kv}} {
		p.Parts, p.Gain = s.heads, plan.None
		if own {
			p.Gain = m.headGains(prefix+s.name, s.heads, m.headDim)
		} else {
			p.Gain = m.gain(prefix+s.name, m.headDim)
		}
		m.Norm(s.at, s.at, p)
	}
}

// rotate turns queries and keys by their positions.
func (m *decoder) rotate(r plan.RopeParams) {
	queries, keys, _, _, _ := m.parts()
	r.Heads = m.heads
	m.Rope(queries, r)
	r.Heads = m.kvHeads
	m.Rope(keys, r)
}

// attend attends in layer i. The parameters' zero scale stands for the usual one. Behind the last layer only the
// wanted rows remain, of x, of att and of what is named besides.
func (m *decoder) attend(i int, p plan.AttentionParams, besides ...rows) {
	queries, keys, values, _, _ := m.parts()
	p.Layer, p.Heads = m.KV(m.kvHeads, m.headDim), m.heads
	if p.Scale == 0 {
		p.Scale = plan.DefaultScale(m.headDim)
	}
	m.Attention(m.now(m.att, 0), queries, keys, values, p)
	if i != m.layers-1 {
		return
	}
	for _, r := range append([]rows{m.att, m.x}, besides...) {
		m.Select(r[plan.PerOutput], r[plan.PerToken])
	}
	m.kind = plan.PerOutput
}

// output projects what attention gathered to d.
func (m *decoder) output(prefix, biasKey string) {
	m.Linear(m.now(m.att, 0), m.project(m.now(m.d, 0), prefix+"o_proj", biasKey, m.hidden, m.heads*m.headDim))
}

// add adds d to the residual stream.
func (m *decoder) add() { m.Add(m.now(m.x, 0), m.now(m.x, 0), m.now(m.d, 0), 1, m.hidden) }

// gated runs the gated block on h and writes to d.
func (m *decoder) gated(prefix, biasKey string, act plan.Activation) {
	gate, up := m.gates()
	m.Linear(
		m.now(m.h, 0),
		m.project(gate, prefix+"gate_proj", biasKey, m.inner, m.hidden),
		m.project(up, prefix+"up_proj", biasKey, m.inner, m.hidden),
	)
	m.down(prefix, biasKey, act)
}

// gates returns where the two halves of the gated block go.
func (m *decoder) gates() (gate, up plan.Ref) {
	if m.gu == (rows{}) {
		m.gu = m.rows("gu", 2*m.inner)
	}
	return m.now(m.gu, 0), m.now(m.gu, m.inner)
}

// down is the second half of a gated block.
func (m *decoder) down(prefix, biasKey string, act plan.Activation) {
	gate, up := m.gates()
	m.Glu(gate, gate, up, act, m.inner)
	m.Linear(gate, m.project(m.now(m.d, 0), prefix+"down_proj", biasKey, m.hidden, m.inner))
}

// finish normalises the residual stream and multiplies it with the head. The logits are scale times that, capped
// where limit is not 0.
func (m *decoder) finish(scale, limit float32) {
	m.norm(m.h, m.x, "model.norm")
	logits := plan.All(m.Buffer("logits", plan.PerOutput, m.vocab))
	m.head = m.table
	if !m.tied {
		m.head = m.matrix("lm_head", m.vocab, m.hidden)
	}
	h := m.now(m.h, 0)
	m.Linear(h, plan.Output{To: logits, W: m.head, Bias: plan.None})
	if scale != 1 || limit != 0 {
		m.Scale(logits, logits, scale, limit, m.vocab)
	}
	m.Plan.Features, m.Plan.Logits = h.Buf, logits.Buf
}
