package models

import "aquifer/runtime/plan"

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
func llama(b *binder) {
	f := &b.fields
	d := readDims(f, dimDefaults{context: 2048})
	norm := plan.NormParams{Type: plan.RMSNorm, Eps: f.epsilon("rms_norm_eps", 1e-6)}
	f.choice("hidden_act", "silu", "swish") // two names of one function
	turn := readRope(f, d.headDim, d.context, defaultTheta)
	b.llamaLayers(d, norm, turn, 0)
}

// llamaLayers writes a decoder of Llama's form with a window over the positions, 0 for none.
func (b *binder) llamaLayers(d dims, norm plan.NormParams, turn rope, window int) {
	m, ok := b.decoder(d, norm)
	if !ok {
		return
	}
	m.embed(1)
	r := b.rope("rope", turn, d.headDim, b.ck.RopePairing())
	m.each(func(i int, p string) {
		m.norm(m.h, m.x, p+"input_layernorm")
		m.queries(p+"self_attn.", "attention_bias")
		m.rotate(r)
		m.attend(i, plan.AttentionParams{Window: window})
		m.output(p+"self_attn.", "attention_bias")
		m.add()
		m.norm(m.h, m.x, p+"post_attention_layernorm")
		m.gated(p+"mlp.", "mlp_bias", plan.SiLU)
		m.add()
	})
	m.finish(1, 0)
}
