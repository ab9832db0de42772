package models

import "aquifer/runtime/plan"

// Gemma 3, text only: Gemma 2 with norms on query and key heads instead of caps, a window in five layers of six, and
// two rotations (arXiv 2503.19786).
//
// Easy to get wrong:
//   - What gemma.go and gemma2.go list; the gains of q_norm and k_norm count from 1 as well.
//   - Layers with a window rotate by rope_local_base_freq, without the scaling of the others.
//   - Every sixth layer sees everything, the first five do not.
func gemma3(b *binder) {
	f := &b.fields
	d := readDims(f, dimDefaults{kvHeads: 4, headDim: 256, context: 131072, tied: true})
	g := readGemma2(b, d, 0, 0)
	if f.bool("use_bidirectional_attention", false) {
		f.fail("use_bidirectional_attention", "is true, which is not supported")
	}
	pattern := f.int("sliding_window_pattern", 6, 1, 1<<10)
	window, slides := f.window(4096), f.slides(d.layers, func(i int) bool { return (i+1)%pattern != 0 })
	local, global := readGemma3Ropes(f, d)

	m, ok := b.decoder(d, g.norm)
	if !ok {
		return
	}
	m.embed(gemmaScale(d))
	far := lazyRope(b, "rope", global, d.headDim)
	near := lazyRope(b, "rope.local", local, d.headDim)
	m.each(func(i int, p string) {
		a, r := plan.AttentionParams{Scale: g.scale, Cap: g.scoreCap}, far
		if slides[i] {
			a.Window, r = window, near
		}
		m.norm(m.h, m.x, p+"input_layernorm")
		m.queries(p+"self_attn.", "attention_bias")
		m.headNorms(p+"self_attn.", false)
		m.rotate(r())
		m.attend(i, a)
		m.output(p+"self_attn.", "attention_bias")
		m.gemma2Rest(p, g.act)
	})
	m.finish(1, g.logitCap)
}

// lazyRope enters a rotation when a layer first asks for it: a model may have no layer of one kind.
func lazyRope(b *binder, name string, r rope, dim int) func() plan.RopeParams {
	var p *plan.RopeParams
	return func() plan.RopeParams {
		if p == nil {
			made := b.rope(name, r, dim, b.ck.RopePairing())
			p = &made
		}
		return *p
	}
}

// readGemma3Ropes reads the rotations of layers with and without a window, in the spelling of transformers 4 or, as
// two objects in rope_parameters, of transformers 5.
func readGemma3Ropes(f *fields, d dims) (local, global rope) {
	parameters, nested := f.object("rope_parameters")
	if !nested {
		global = readRope(f, d.headDim, d.context, 1e6)
		local = rope{freqs: narrow(frequencies(f.float("rope_local_base_freq", defaultTheta, 0, maxTheta), d.headDim)), factor: 1}
		return local, global
	}
	read := func(key string, theta float64) (r rope) {
		o, ok := parameters.object(key)
		if !ok {
			f.keep(parameters.err)
			f.fail("rope_parameters", "lacks %s", key)
			return rope{freqs: make([]float32, d.headDim/2), factor: 1}
		}
		r = o.scaled(f, frequencies(o.float("rope_theta", theta, 0, maxTheta), d.headDim), d.context)
		f.keep(o.err)
		return r
	}
	return read("sliding_attention", defaultTheta), read("full_attention", 1e6)
}
