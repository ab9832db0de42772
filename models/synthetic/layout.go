package synthetic

import (
	"errors"
	"fmt"
	"math"

	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// layout collects the tensors of a model. The weights of every matrix have a variance of 1/columns, so that what it
// returns is as large as what it was given, and activations stay finite through any number of layers.
type layout struct {
	weights
	list   []checkpoint.VirtualTensor
	tables map[float64]*quantiles // by standard deviation
}

// dimensions are the fields of a config that tensors depend on.
type dimensions struct {
	hidden, inner, layers, heads, kvHeads, headDim, vocab, experts int
	modelType                                                      string
	tied, qkNorm                                                   bool
}

func readDimensions(c checkpoint.Config) (d dimensions, err error) {
	var errs []error
	keep := func(err error) { errs = append(errs, err) }
	number := func(key string, def int) int {
		n, ok, err := c.Int(key)
		keep(err)
		if !ok {
			return def
		}
		return n
	}
	flag := func(key string) bool {
		v, _, err := c.Bool(key)
		keep(err)
		return v
	}
	d = dimensions{
		hidden: number("hidden_size", 0), inner: number("intermediate_size", 0), layers: number("num_hidden_layers", 0),
		heads: number("num_attention_heads", 0), vocab: number("vocab_size", 0), experts: number("num_local_experts", 0),
		tied: flag("tie_word_embeddings"), qkNorm: flag("use_qk_norm"),
	}
	d.kvHeads = number("num_key_value_heads", d.heads)
	d.headDim = number("head_dim", d.hidden/max(d.heads, 1))
	d.modelType, err = c.ModelType()
	keep(err)
	return d, errors.Join(errs...)
}

// layOut lists the tensors of a model under the names of its published checkpoints.
func layOut(c checkpoint.Config, w weights) ([]checkpoint.VirtualTensor, error) {
	d, err := readDimensions(c)
	if err != nil {
		return nil, err
	}
	if w.aqlm && (d.hidden%w.scheme.InGroup != 0 || d.inner%w.scheme.InGroup != 0) {
		return nil, fmt.Errorf("synthetic: groups of %d do not divide %d or %d columns", w.scheme.InGroup, d.hidden, d.inner)
	}
	l := &layout{weights: w, tables: map[float64]*quantiles{}}
	l.dense("model.embed_tokens.weight", d.vocab, d.hidden)
	for i := range d.layers {
		prefix := fmt.Sprintf("model.layers.%d.", i)
		l.attention(prefix+"self_attn.", d)
		l.norm(prefix+"input_layernorm", d.modelType, d.hidden)
		if d.modelType != "cohere" { // which has one norm for both blocks
			l.norm(prefix+"post_attention_layernorm", d.modelType, d.hidden)
		}
		l.feedForward(prefix, d)
	}
	l.norm("model.norm", d.modelType, d.hidden)
	if !d.tied {
		l.dense("lm_head.weight", d.vocab, d.hidden)
	}
	return l.list, nil
}

func (l *layout) attention(prefix string, d dimensions) {
	q, kv := d.heads*d.headDim, d.kvHeads*d.headDim
	if d.modelType == "phi3" {
		l.linear(prefix+"qkv_proj", q+2*kv, d.hidden)
	} else {
		for _, m := range []struct {
			name string
			rows int
		}{{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}} {
			l.linear(prefix+m.name, m.rows, d.hidden)
			if d.modelType == "qwen2" {
				l.noise(prefix+m.name+".bias", plan.F16, normal(l.seed(), l.table(0.1)), m.rows)
			}
		}
	}
	l.linear(prefix+"o_proj", d.hidden, q)
	if d.qkNorm {
		l.norm(prefix+"q_norm", d.modelType, d.heads, d.headDim)
		l.norm(prefix+"k_norm", d.modelType, d.kvHeads, d.headDim)
	}
}

func (l *layout) feedForward(prefix string, d dimensions) {
	switch d.modelType {
	case "mixtral":
		moe := prefix + "block_sparse_moe."
		l.dense(moe+"gate.weight", d.experts, d.hidden)
		for e := range d.experts {
			expert := fmt.Sprintf("%sexperts.%d.", moe, e)
			l.linear(expert+"w1", d.inner, d.hidden)
			l.linear(expert+"w2", d.hidden, d.inner)
			l.linear(expert+"w3", d.inner, d.hidden)
		}
		return
	case "phi3":
		l.linear(prefix+"mlp.gate_up_proj", 2*d.inner, d.hidden)
	default:
		l.linear(prefix+"mlp.gate_proj", d.inner, d.hidden)
		l.linear(prefix+"mlp.up_proj", d.inner, d.hidden)
	}
	l.linear(prefix+"mlp.down_proj", d.hidden, d.inner)
}

// noise adds a tensor.
func (l *layout) noise(name string, t plan.DType, data noise, shape ...int) {
	l.list = append(l.list, checkpoint.VirtualTensor{Name: name, DType: t, Shape: shape, Data: data})
}

// seed returns a number for the next tensor, far enough from all others' for tensors of any length.
func (l *layout) seed() uint64 { return uint64(len(l.list)) << 40 }

func (l *layout) table(deviation float64) *quantiles {
	if l.tables[deviation] == nil {
		l.tables[deviation] = newQuantiles(deviation)
	}
	return l.tables[deviation]
}

// dense adds a matrix in the dense type of the layout.
func (l *layout) dense(name string, rows, cols int) {
	deviation := 1 / math.Sqrt(float64(cols))
	data := normal(l.seed(), l.table(deviation))
	if l.weights.dense == plan.Q8_0 {
		data = blocks(l.seed(), deviation)
	}
	l.noise(name, l.weights.dense, data, rows, cols)
}

// norm adds the gain of a norm, which makes it a factor of one.
func (l *layout) norm(prefix, modelType string, shape ...int) {
	gain := 1.0
	if modelType == "gemma" { // which adds one to it
		gain = 0
	}
	l.noise(prefix+".weight", plan.F16, constant(gain), shape...)
}

// linear adds a matrix of a layer. The entries of its codebooks add up to numbers of variance 1, which the scales
// bring down to 1/cols.
func (l *layout) linear(prefix string, rows, cols int) {
	if !l.aqlm {
		l.dense(prefix+".weight", rows, cols)
		return
	}
	s := l.scheme
	l.noise(prefix+".codes", s.CodeType(), uniform(l.seed(), s.CodeType(), s.Bits), rows/s.OutGroup, cols/s.InGroup, s.Codebooks)
	entries := l.table(1 / math.Sqrt(float64(s.Codebooks)))
	l.noise(prefix+".codebooks", plan.F16, normal(l.seed(), entries), s.Codebooks, 1<<s.Bits, s.OutGroup, s.InGroup)
	l.noise(prefix+".scales", plan.F16, constant(1/math.Sqrt(float64(cols))), rows/s.OutGroup, 1, 1, 1)
}
