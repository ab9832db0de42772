package models

import "aquifer/runtime/plan"

// Phi-3 mini and medium, with 4k or 128k of context: Llama with fused projections.
//
// Easy to get wrong:
//   - The rows of qkv_proj are all query heads, all key heads, all value heads; those of gate_up_proj gate, then up.
//   - sliding_window counts; unlike in Qwen2 nothing switches it off.
//   - What rope.go says of longrope: one list of divisors for all positions, chosen by the length of the sequence, and
//     a factor on sine and cosine with either list. original_max_position_embeddings stands outside rope_scaling.
func phi3(b *binder) {
	f := &b.fields
	d := readDims(f, dimDefaults{context: 4096})
	norm := plan.NormParams{Type: plan.RMSNorm, Eps: f.epsilon("rms_norm_eps", 1e-5)}
	f.choice("hidden_act", "silu", "swish")
	turn := readRope(f, d.headDim, d.context, defaultTheta)
	window := f.window(0)

	m, ok := b.decoder(d, norm)
	if !ok {
		return
	}
	m.embed(1)
	r := b.rope("rope", turn, d.headDim, b.ck.RopePairing())
	width := (d.heads + 2*d.kvHeads) * d.headDim
	m.each(func(i int, p string) {
		m.norm(m.h, m.x, p+"input_layernorm")
		m.Linear(m.now(m.h, 0), m.project(m.qkv, p+"self_attn.qkv_proj", "attention_bias", width, d.hidden))
		m.rotate(r)
		m.attend(i, plan.AttentionParams{Window: window})
		m.output(p+"self_attn.", "attention_bias")
		m.add()
		m.norm(m.h, m.x, p+"post_attention_layernorm")
		gate, _ := m.gates()
		m.Linear(m.now(m.h, 0), m.project(gate, p+"mlp.gate_up_proj", "mlp_bias", 2*d.inner, d.hidden))
		m.down(p+"mlp.", "mlp_bias", plan.SiLU)
		m.add()
	})
	m.finish(1, 0)
}
