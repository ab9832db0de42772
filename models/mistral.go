package models

import "aquifer/runtime/plan"

// Mistral 7B and Mistral-Nemo: Llama with a sliding window.
//
// Easy to get wrong:
//   - A window of W lets position i see W keys, itself included: i-W < j <= i. sliding_window null means none;
//     absent it means 4096, as in the first release.
//   - In Nemo head_dim times heads is not hidden_size.
func mistral(b *binder) {
	f := &b.fields
	d := readDims(f, dimDefaults{kvHeads: 8, context: 4096 * 32})
	norm := plan.NormParams{Type: plan.RMSNorm, Eps: f.epsilon("rms_norm_eps", 1e-6)}
	f.choice("hidden_act", "silu", "swish")
	turn := readRope(f, d.headDim, d.context, defaultTheta)
	b.llamaLayers(d, norm, turn, f.window(4096))
}
