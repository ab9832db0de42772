package models

import (
	"fmt"

	"aquifer/runtime/plan"
)

// Llama 2, 3, 3.1, 3.2, SmolLM2 and everything else that is a LlamaForCausalLM.
//
// Easy to get wrong:
//   - A matrix is quantized if and only if its .codes exist; linear_weights_not_to_quantize is not reliable.
//   - head_dim rules where it is present; hidden_size/num_attention_heads is its default only. q_proj and o_proj need
//     not be square, and scores are divided by sqrt(head_dim).
//   - num_key_value_heads absent means as many as query heads; query head h reads KV head h/(heads/kv), not h mod kv.
//   - Rotation pairs (i, i+head_dim/2) in published checkpoints, but (2i, 2i+1) in llama.cpp's GGUF files, whose q and
//     k rows are permuted to match.
//   - llama3 scaling compares wavelengths with original_max_position_embeddings, not with max_position_embeddings,
//     and has no attention factor.
//   - rms_norm_eps absent means 1e-6; 1e-5 instead is visible.
//   - tie_word_embeddings absent means separate; when true, an lm_head.weight in the file does not count.
//   - The bias of a quantized matrix is added after the scale.

// maxContext bounds positions; the longest published contexts are a sixteenth of it.
const maxContext = 1 << 24

// llamaConfig holds the checked fields of config.json.
type llamaConfig struct {
	vocab, hidden, inner, layers, heads, kvHeads, headDim, context int
	eps                                                            float32
	tied                                                           bool
	freqs                                                          []float32
}

func readLlamaConfig(f *fields) (c llamaConfig) {
	f.ints([]integer{
		{&c.vocab, "vocab_size", required, 1, 1 << 22},
		{&c.hidden, "hidden_size", required, 1, 1 << 17},
		{&c.inner, "intermediate_size", required, 1, 1 << 20},
		{&c.layers, "num_hidden_layers", required, 1, 1 << 10},
		{&c.heads, "num_attention_heads", required, 1, 1 << 10},
		{&c.context, "max_position_embeddings", 2048, 1, maxContext},
	})
	c.kvHeads = f.int("num_key_value_heads", c.heads, 1, 1<<10)
	if c.heads%c.kvHeads != 0 {
		f.fail("num_key_value_heads", "is %d, which does not divide num_attention_heads %d", c.kvHeads, c.heads)
	}
	if !f.config.Has("head_dim") && c.hidden%c.heads != 0 {
		f.fail("num_attention_heads", "is %d, which does not divide hidden_size %d, and there is no head_dim", c.heads, c.hidden)
	}
	c.headDim = f.int("head_dim", max(1, c.hidden/c.heads), 1, 1<<12)
	if c.headDim%2 != 0 {
		f.fail("head_dim", "is %d, must be even to be rotated", c.headDim)
		c.headDim = 2 // the fields behind it are read all the same
	}
	c.eps = float32(f.float("rms_norm_eps", 1e-6, 0, 0.1))
	f.choice("hidden_act", "silu", "swish") // two names of one function
	c.tied = f.bool("tie_word_embeddings", false)
	c.freqs = inverseFrequencies(f, c.headDim, c.context)
	return c
}

// llamaRows are the buffers of the residual stream and of what a layer computes behind its attention.
type llamaRows struct {
	x  plan.Ref // (rows, hidden) residual
	h  plan.Ref // (rows, hidden) normalised
	d  plan.Ref // (rows, hidden) what a block adds to x
	gu plan.Ref // (rows, 2*inner) gate, then up
}

// llamaBuilder writes the plan.
type llamaBuilder struct {
	*binder
	llamaConfig
	rope    plan.RopeParams
	qkv     plan.Ref // (tokens, q+2*kv) queries, keys, values
	att     plan.Ref // (tokens, q)
	chosen  plan.Ref // (outputs, q) the rows of att that are wanted
	tokens  llamaRows
	outputs llamaRows
}

func llama(b *binder) {
	c := readLlamaConfig(&b.fields)
	if !b.start(c.vocab, c.context) {
		return
	}
	l := &llamaBuilder{binder: b, llamaConfig: c}
	q, kv := c.heads*c.headDim, c.kvHeads*c.headDim
	l.tokens, l.outputs = l.rows(plan.PerToken, ""), l.rows(plan.PerOutput, ".out")
	l.qkv = plan.All(b.Buffer("qkv", plan.PerToken, q+2*kv))
	l.att = plan.All(b.Buffer("att", plan.PerToken, q))
	l.chosen = plan.All(b.Buffer("att.out", plan.PerOutput, q))
	logits := plan.All(b.Buffer("logits", plan.PerOutput, c.vocab))

	embed := b.embedding("model.embed_tokens", c.vocab, c.hidden)
	l.rope = plan.RopeParams{
		Dim: c.headDim, Rotated: c.headDim, Pairing: b.ck.RopePairing(), Freqs: b.Const("rope", c.freqs), Factor: 1,
	}
	b.Embed(l.tokens.x, embed, 1)
	for i := range c.layers {
		l.layer(i)
		if b.failed() {
			return
		}
	}
	b.Norm(l.outputs.h, l.outputs.x, l.rms("model.norm"))
	head := embed
	if !c.tied {
		head = b.head("lm_head", c.vocab, c.hidden)
	}
	b.Linear(l.outputs.h, plan.Output{To: logits, W: head, Bias: plan.None})
	b.Plan.Features, b.Plan.Logits = l.outputs.h.Buf, logits.Buf
}

func (l *llamaBuilder) rows(rows plan.Rows, suffix string) llamaRows {
	buffer := func(name string, width int) plan.Ref { return plan.All(l.Buffer(name+suffix, rows, width)) }
	return llamaRows{buffer("x", l.hidden), buffer("h", l.hidden), buffer("d", l.hidden), buffer("gu", 2*l.inner)}
}

func (l *llamaBuilder) rms(prefix string) plan.NormParams {
	return plan.NormParams{Type: plan.RMSNorm, Width: l.hidden, Gain: l.norm(prefix, l.hidden), Bias: plan.None, Eps: l.eps}
}

// project binds a matrix with its bias.
func (l *llamaBuilder) project(to plan.Ref, prefix, biasKey string, rows, cols int) plan.Output {
	return plan.Output{To: to, W: l.linear(prefix, rows, cols), Bias: l.bias(prefix, biasKey, rows)}
}

// layer adds decoder layer i. Behind the last layer's attention only the rows that are wanted go on: what it computes
// for the others nobody reads.
func (l *llamaBuilder) layer(i int) {
	prefix := fmt.Sprintf("model.layers.%d.", i)
	attn, mlp := prefix+"self_attn.", prefix+"mlp."
	q, kv := l.heads*l.headDim, l.kvHeads*l.headDim
	queries, keys, values := l.qkv, plan.At(l.qkv.Buf, q), plan.At(l.qkv.Buf, q+kv)

	t := l.tokens
	l.Norm(t.h, t.x, l.rms(prefix+"input_layernorm"))
	l.Linear(
		t.h,
		l.project(queries, attn+"q_proj", "attention_bias", q, l.hidden),
		l.project(keys, attn+"k_proj", "attention_bias", kv, l.hidden),
		l.project(values, attn+"v_proj", "attention_bias", kv, l.hidden),
	)
	l.rope.Heads = l.heads
	l.Rope(queries, l.rope)
	l.rope.Heads = l.kvHeads
	l.Rope(keys, l.rope)
	l.Attention(l.att, queries, keys, values, plan.AttentionParams{
		Layer: l.KV(l.kvHeads, l.headDim), Heads: l.heads, Scale: plan.DefaultScale(l.headDim),
	})

	att := l.att
	if i == l.layers-1 {
		l.Select(l.chosen, att)
		l.Select(l.outputs.x, t.x)
		att, t = l.chosen, l.outputs
	}
	l.Linear(att, l.project(t.d, attn+"o_proj", "attention_bias", l.hidden, q))
	l.Add(t.x, t.x, t.d, 1, l.hidden)
	l.Norm(t.h, t.x, l.rms(prefix+"post_attention_layernorm"))
	gate, up := t.gu, plan.At(t.gu.Buf, l.inner)
	l.Linear(
		t.h,
		l.project(gate, mlp+"gate_proj", "mlp_bias", l.inner, l.hidden),
		l.project(up, mlp+"up_proj", "mlp_bias", l.inner, l.hidden),
	)
	l.Glu(gate, gate, up, plan.SiLU, l.inner)
	l.Linear(gate, l.project(t.d, mlp+"down_proj", "mlp_bias", l.hidden, l.inner))
	l.Add(t.x, t.x, t.d, 1, l.hidden)
}
