package models

import "aquifer/runtime/plan"

// Qwen2 and Qwen2.5: Llama with biases on queries, keys and values.
//
// Easy to get wrong:
//   - The biases are added in front of the rotation; o_proj and the gated block have none, and no field says so.
//   - sliding_window is set in most configs and switched off by use_sliding_window. Where it is on, the first
//     max_window_layers layers have no window.
func qwen2(b *binder) {
	f := &b.fields
	d := readDims(f, dimDefaults{kvHeads: 32, context: 32768})
	b.qwenLayers(d, func(m *decoder, p string) { m.queries(p, "attention_bias") })
}

// Qwen3: no biases, but norms on query and key heads. head_dim is a size of its own.
func qwen3(b *binder) {
	f := &b.fields
	d := readDims(f, dimDefaults{kvHeads: 32, headDim: 128, context: 32768})
	b.qwenLayers(d, func(m *decoder, p string) {
		m.queries(p, "attention_bias")
		m.headNorms(p, false)
	})
}

// qwenLayers writes the layers of both; queries makes queries, keys and values of h.
func (b *binder) qwenLayers(d dims, queries func(m *decoder, prefix string)) {
	f := &b.fields
	norm := plan.NormParams{Type: plan.RMSNorm, Eps: f.epsilon("rms_norm_eps", 1e-6)}
	f.choice("hidden_act", "silu", "swish")
	turn := readRope(f, d.headDim, d.context, defaultTheta)
	slides := make([]bool, d.layers)
	window := 0
	if f.bool("use_sliding_window", false) {
		window = f.window(4096)
		full := f.int("max_window_layers", 28, 0, 1<<20)
		slides = f.slides(d.layers, func(i int) bool { return i >= full })
	}

	m, ok := b.decoder(d, norm)
	if !ok {
		return
	}
	m.embed(1)
	r := b.rope("rope", turn, d.headDim, b.ck.RopePairing())
	m.each(func(i int, p string) {
		a := plan.AttentionParams{}
		if slides[i] {
			a.Window = window
		}
		m.norm(m.h, m.x, p+"input_layernorm")
		queries(m, p+"self_attn.")
		m.rotate(r)
		m.attend(i, a)
		m.output(p+"self_attn.", "attention_bias")
		m.add()
		m.norm(m.h, m.x, p+"post_attention_layernorm")
		m.gated(p+"mlp.", "mlp_bias", plan.SiLU)
		m.add()
	})
	m.finish(1, 0)
}
