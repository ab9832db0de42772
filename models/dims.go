package models

// maxContext bounds positions; the longest published contexts are a sixteenth of it.
const maxContext = 1 << 24

// dims are the sizes that every decoder has.
type dims struct {
	vocab, hidden, inner, layers int
	heads, kvHeads, headDim      int
	context                      int
	tied                         bool // the head is the embedding
}

// dimDefaults are the values of absent fields, in which the configuration classes of transformers differ. 0 stands for
// the usual ones: as many KV heads as heads, and heads that share hidden_size.
type dimDefaults struct {
	kvHeads, headDim, context int
	tied                      bool
}

func readDims(f *fields, def dimDefaults) (d dims) {
	f.ints([]integer{
		{&d.vocab, "vocab_size", required, 1, 1 << 22},
		{&d.hidden, "hidden_size", required, 1, 1 << 17},
		{&d.inner, "intermediate_size", required, 1, 1 << 20},
		{&d.layers, "num_hidden_layers", required, 1, 1 << 10},
		{&d.heads, "num_attention_heads", required, 1, 1 << 10},
		{&d.context, "max_position_embeddings", def.context, 1, maxContext},
	})
	if def.kvHeads == 0 {
		def.kvHeads = d.heads
	}
	d.kvHeads = f.int("num_key_value_heads", def.kvHeads, 1, 1<<10)
	if d.heads%d.kvHeads != 0 {
		f.fail("num_key_value_heads", "is %d, which does not divide num_attention_heads %d", d.kvHeads, d.heads)
	}
	if def.headDim == 0 {
		if !f.config.Has("head_dim") && d.hidden%d.heads != 0 {
			f.fail("num_attention_heads", "is %d, which does not divide hidden_size %d, and there is no head_dim", d.heads, d.hidden)
		}
		def.headDim = max(1, d.hidden/d.heads)
	}
	d.headDim = f.int("head_dim", def.headDim, 1, 1<<12)
	if d.headDim%2 != 0 {
		f.fail("head_dim", "is %d, must be even to be rotated", d.headDim)
		d.headDim = 2 // the fields behind it are read all the same
	}
	d.tied = f.bool("tie_word_embeddings", def.tied)
	return d
}

// epsilon reads the epsilon of the norms.
func (f *fields) epsilon(key string, def float64) float32 { return float32(f.float(key, def, 0, 0.1)) }

// window reads the width of a sliding window; 0 is none. def is the value of an absent field; null means none.
func (f *fields) window(def int) int {
	const key = "sliding_window"
	if f.config.Null(key) {
		return 0
	}
	if !f.config.Has(key) && def == 0 {
		return 0
	}
	return f.int(key, max(def, 1), 1, maxContext)
}

// slides says which layers have a sliding window: those that layer_types lists as such or, where there is no list,
// those that def names.
func (f *fields) slides(layers int, def func(layer int) bool) []bool {
	const key = "layer_types"
	out := make([]bool, layers)
	names, ok, err := f.config.Strings(key)
	switch {
	case err != nil:
		f.keep(err)
	case ok && len(names) != layers:
		f.fail(key, "has %d entries, must have %d", len(names), layers)
	}
	for i := range out {
		if !ok || f.err != nil {
			out[i] = def(i)
			continue
		}
		switch names[i] {
		case "sliding_attention":
			out[i] = true
		case "full_attention":
		default:
			f.fail(key, "%.40q is not supported, only full_attention, sliding_attention", names[i])
		}
	}
	return out
}
