package models

import (
	"math"

	"aquifer/runtime/plan"
)

// Gemma 2: norms in front of and behind each block, capped scores and logits, a window in every other layer (arXiv
// 2408.00118).
//
// Easy to get wrong:
//   - What gemma.go lists.
//   - Scores are divided by sqrt(query_pre_attn_scalar), which is not head_dim in the largest model.
//   - The first layer has the window, the second sees everything, and so on.
//   - post_attention_layernorm is behind attention and inside the residual branch, unlike everywhere else; the norm in
//     front of the gated block is pre_feedforward_layernorm.
func gemma2(b *binder) {
	f := &b.fields
	d := readDims(f, dimDefaults{kvHeads: 4, headDim: 256, context: 8192, tied: true})
	turn := readRope(f, d.headDim, d.context, defaultTheta)
	g := readGemma2(b, d, 50, 30)
	window, slides := f.window(4096), f.slides(d.layers, func(i int) bool { return i%2 == 0 })

	m, ok := b.decoder(d, g.norm)
	if !ok {
		return
	}
	m.embed(gemmaScale(d))
	r := b.rope("rope", turn, d.headDim, b.ck.RopePairing())
	m.each(func(i int, p string) {
		a := plan.AttentionParams{Scale: g.scale, Cap: g.scoreCap}
		if slides[i] {
			a.Window = window
		}
		m.norm(m.h, m.x, p+"input_layernorm")
		m.queries(p+"self_attn.", "attention_bias")
		m.rotate(r)
		m.attend(i, a)
		m.output(p+"self_attn.", "attention_bias")
		m.gemma2Rest(p, g.act)
	})
	m.finish(1, g.logitCap)
}

// gemma2Config is what Gemma 2 and 3 have beyond Gemma 1.
type gemma2Config struct {
	norm               plan.NormParams
	act                plan.Activation
	scale              float32 // of scores
	scoreCap, logitCap float32 // 0 for none
}

// readGemma2 reads it. The caps are the values of absent fields; null means none.
func readGemma2(b *binder, d dims, scoreCap, logitCap float64) (g gemma2Config) {
	f := &b.fields
	g.norm, g.act = b.gemmaNorm(), f.gemmaActivation()
	g.scale = float32(1 / math.Sqrt(f.float("query_pre_attn_scalar", 256, 0, 1<<20)))
	limit := func(key string, def float64) float32 {
		if f.config.Null(key) || !f.config.Has(key) && def == 0 {
			return 0
		}
		return float32(f.float(key, def, 0, 1e6))
	}
	g.scoreCap, g.logitCap = limit("attn_logit_softcapping", scoreCap), limit("final_logit_softcapping", logitCap)
	return g
}

// gemma2Rest is a layer of Gemma 2 and 3 behind its attention.
func (m *decoder) gemma2Rest(p string, act plan.Activation) {
	m.norm(m.d, m.d, p+"post_attention_layernorm")
	m.add()
	m.norm(m.h, m.x, p+"pre_feedforward_layernorm")
	m.gated(p+"mlp.", "mlp_bias", act)
	m.norm(m.d, m.d, p+"post_feedforward_layernorm")
	m.add()
}
