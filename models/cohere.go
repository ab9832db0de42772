package models

import "aquifer/runtime/plan"

// Cohere Command-R and Command-R+.
//
// Easy to get wrong:
//   - The norms subtract the mean; they have no bias, and their epsilon is layer_norm_eps.
//   - A layer has one norm. Attention and the gated block both read its output and are both added to its input.
//   - Rotation pairs neighbours (2i, 2i+1), in published checkpoints and in GGUF files.
//   - use_qk_norm (Command-R+): the heads of queries and keys are normalised, mean subtracted, with a gain for each
//     head, in front of the rotation.
//   - Logits are multiplied by logit_scale. The largest one does not notice, probabilities do.
//   - The head is the embedding although tie_word_embeddings is absent. rope_theta differs between the models and
//     has changed its default, so it has to be there.
func cohere(b *binder) {
	f := &b.fields
	d := readDims(f, dimDefaults{context: 8192, tied: true})
	norm := plan.NormParams{Type: plan.LayerNorm, Eps: f.epsilon("layer_norm_eps", 1e-5)}
	f.choice("hidden_act", "silu", "swish")
	turn := readRope(f, d.headDim, d.context, 0)
	scale := float32(f.float("logit_scale", 0.0625, 0, 1e6))
	headNorms := f.bool("use_qk_norm", false)

	m, ok := b.decoder(d, norm)
	if !ok {
		return
	}
	m.embed(1)
	r := b.rope("rope", turn, d.headDim, plan.RopeNeighbours)
	m.each(func(i int, p string) {
		m.norm(m.h, m.x, p+"input_layernorm")
		m.queries(p+"self_attn.", "attention_bias")
		if headNorms {
			m.headNorms(p+"self_attn.", true)
		}
		m.rotate(r)
		m.attend(i, plan.AttentionParams{}, m.h)
		m.output(p+"self_attn.", "attention_bias")
		m.add()
		m.gated(p+"mlp.", "mlp_bias", plan.SiLU)
		m.add()
	})
	m.finish(scale, 0)
}
