package models

import "aquifer/runtime/plan"

// Mixtral 8x7B and 8x22B: Mistral whose gated blocks are a mixture of experts (arXiv 2401.04088).
//
// Easy to get wrong:
//   - w1 is the gate, w3 the other factor, w2 goes back to the residual stream.
//   - The weights of the chosen experts are the softmax over their logits alone, which is the same as the softmax over
//     all, divided by what the chosen ones have of it.
//   - The router is never quantized.
func mixtral(b *binder) {
	f := &b.fields
	d := readDims(f, dimDefaults{kvHeads: 8, context: 4096 * 32})
	norm := plan.NormParams{Type: plan.RMSNorm, Eps: f.epsilon("rms_norm_eps", 1e-5)}
	f.choice("hidden_act", "silu", "swish")
	turn := readRope(f, d.headDim, d.context, 1e6)
	window := f.window(0)
	route := plan.RouteParams{Experts: f.int("num_local_experts", 8, 1, 1<<12), Among: true}
	route.Slots = f.int("num_experts_per_tok", 2, 1, route.Experts)

	m, ok := b.decoder(d, norm)
	if !ok {
		return
	}
	m.embed(1)
	r := b.rope("rope", turn, d.headDim, b.ck.RopePairing())
	x := newExperts(m, route)
	m.each(func(i int, p string) {
		m.norm(m.h, m.x, p+"input_layernorm")
		m.queries(p+"self_attn.", "attention_bias")
		m.rotate(r)
		m.attend(i, plan.AttentionParams{Window: window})
		m.output(p+"self_attn.", "attention_bias")
		m.add()
		m.norm(m.h, m.x, p+"post_attention_layernorm")
		x.mix(p + "block_sparse_moe.")
		m.add()
	})
	m.finish(1, 0)
}
