package models

import (
	"math"

	"aquifer/runtime/plan"
)

// Gemma 1 (2B, 7B).
//
// Easy to get wrong:
//   - Every RMS norm multiplies by 1 + its gain, the last one too. llama.cpp's GGUF files hold the sum.
//   - The embedding is multiplied by sqrt(hidden_size); the head, which is the same table, is not.
//   - hidden_act "gelu" of early configs means the tanh approximation; hidden_activation rules where it is present.
//   - head_dim times heads is not hidden_size.
func gemma(b *binder) {
	f := &b.fields
	d := readDims(f, dimDefaults{kvHeads: 16, headDim: 256, context: 8192, tied: true})
	norm := b.gemmaNorm()
	act := f.gemmaActivation()
	turn := readRope(f, d.headDim, d.context, defaultTheta)

	m, ok := b.decoder(d, norm)
	if !ok {
		return
	}
	m.embed(gemmaScale(d))
	r := b.rope("rope", turn, d.headDim, b.ck.RopePairing())
	m.each(func(i int, p string) {
		m.norm(m.h, m.x, p+"input_layernorm")
		m.queries(p+"self_attn.", "attention_bias")
		m.rotate(r)
		m.attend(i, plan.AttentionParams{})
		m.output(p+"self_attn.", "attention_bias")
		m.add()
		m.norm(m.h, m.x, p+"post_attention_layernorm")
		m.gated(p+"mlp.", "mlp_bias", act)
		m.add()
	})
	m.finish(1, 0)
}

func gemmaScale(d dims) float32 { return float32(math.Sqrt(float64(d.hidden))) }

func (b *binder) gemmaNorm() plan.NormParams {
	p := plan.NormParams{Type: plan.RMSNorm, Eps: b.fields.epsilon("rms_norm_eps", 1e-6), Plus: 1}
	if b.ck.GainsShifted() {
		p.Plus = 0
	}
	return p
}

func (f *fields) gemmaActivation() plan.Activation {
	f.choice("hidden_act", "gelu_pytorch_tanh", "gelu", "gelu_new")
	if f.choice("hidden_activation", "gelu_pytorch_tanh", "gelu") == "gelu" {
		return plan.GeluErf
	}
	return plan.GeluTanh
}
