package ref

import (
	"math"

	"aquifer/runtime/plan"
)

func (p *program) embed(op *plan.Op, tokens []int32) {
	table, scale := p.weights[op.W[0]], float64(op.F[0])
	p.parallel(len(tokens), func(thread, t int) {
		values := table.row(p.rows[thread], int(tokens[t]))
		for i, v := range values {
			p.row(op.Out[0], t, len(values))[i] = float32(scale * v)
		}
	})
}

func (p *program) norm(op *plan.Op) {
	parts, width := int(op.I[0]), int(op.I[1])
	all := parts * width
	gain := p.weights[op.W[0]].vector(p.vectors)
	var bias []float64
	if op.W[1] != plan.None {
		bias = p.weights[op.W[1]].vector(p.vectors[all:])
	}
	eps, plus := float64(op.F[0]), float64(op.F[1])
	p.parallel(p.count(op.Out[0].Buf), func(_, t int) {
		in, out := p.row(op.In[0], t, all), p.row(op.Out[0], t, all)
		for first := 0; first < all; first += width {
			mean, factor := moments(in[first:][:width], plan.NormType(op.I[2]), eps)
			for i := first; i < first+width; i++ {
				y := (float64(in[i]) - mean) * factor * (gain[i%len(gain)] + plus)
				if bias != nil {
					y += bias[i%len(bias)]
				}
				out[i] = float32(y)
			}
		}
	})
}

// moments returns what a norm subtracts from each value and multiplies it with.
func moments(x []float32, t plan.NormType, eps float64) (mean, factor float64) {
	n := float64(len(x))
	if t == plan.LayerNorm {
		for _, v := range x {
			mean += float64(v)
		}
		mean /= n
	}
	var squares float64
	for _, v := range x {
		d := float64(v) - mean
		squares += d * d
	}
	return mean, 1 / math.Sqrt(squares/n+eps)
}

func (p *program) linear(op *plan.Op) {
	in := op.In[0]
	tokens, cols := p.count(in.Buf), p.plan.Weights[op.W[0]].Cols
	if tokens == 0 {
		return
	}
	p.parallel(tokens, func(_, t int) {
		x := p.inputs[t*cols:][:cols]
		for i, v := range p.row(in, t, cols) {
			x[i] = float64(v)
		}
	})
	for k := range int(op.I[0]) {
		w, out := p.weights[op.W[k]], op.Out[k]
		books := w.books(p.codebooks)
		var bias []float64
		if b := op.W[4+k]; b != plan.None {
			bias = p.weights[b].vector(p.vectors)
		}
		group := max(w.info.Scheme.OutGroup, 1)
		p.parallel(w.info.Rows/group, func(thread, g int) {
			rows := p.rows[thread]
			w.rowGroup(rows, g, books)
			for a := range group {
				r := g*group + a
				for t := range tokens {
					y := dot(rows[a*cols:][:cols], p.inputs[t*cols:][:cols])
					if bias != nil {
						y += bias[r]
					}
					p.row(out, t, w.info.Rows)[r] = float32(y)
				}
			}
		})
	}
}

// dot sums in four lanes, which hides the latency of an addition; the order is fixed all the same.
func dot(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func (p *program) rope(op *plan.Op) {
	heads, dim, half := int(op.I[0]), int(op.I[1]), int(op.I[2])/2
	short := p.weights[op.W[0]].vector(p.vectors)
	long, limit := short, int(op.I[4])
	if limit > 0 {
		long = p.weights[op.W[1]].vector(p.vectors[half:])
	}
	factor := float64(op.F[0])
	step, second := 1, half // RopeHalf pairs (i, i+half)
	if plan.RopePairing(op.I[3]) == plan.RopeNeighbours {
		step, second = 2, 1
	}
	p.parallel(p.count(op.Out[0].Buf), func(_, t int) {
		x, freqs := p.row(op.Out[0], t, heads*dim), short
		if p.lengths[p.sequences[t]] > limit {
			freqs = long
		}
		for i, f := range freqs {
			sin, cos := math.Sincos(float64(p.positions[t]) * f)
			sin, cos = sin*factor, cos*factor
			for h := 0; h < heads*dim; h += dim {
				a, b := &x[h+i*step], &x[h+i*step+second]
				u, v := float64(*a), float64(*b)
				*a, *b = float32(u*cos-v*sin), float32(v*cos+u*sin)
			}
		}
	})
}

func (p *program) glu(op *plan.Op) {
	act, width := plan.Activation(op.I[0]), int(op.I[1])
	p.parallel(p.count(op.Out[0].Buf), func(_, t int) {
		gate, up, out := p.row(op.In[0], t, width), p.row(op.In[1], t, width), p.row(op.Out[0], t, width)
		for i, g := range gate {
			out[i] = float32(activate(act, float64(g)) * float64(up[i]))
		}
	})
}

func activate(act plan.Activation, x float64) float64 {
	switch act {
	case plan.GeluTanh:
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case plan.GeluErf:
		return 0.5 * x * math.Erfc(-x/math.Sqrt2)
	}
	return x / (1 + math.Exp(-x))
}

func (p *program) add(op *plan.Op) {
	width, scale := int(op.I[0]), float64(op.F[0])
	p.parallel(p.count(op.Out[0].Buf), func(_, t int) {
		x, y, out := p.row(op.In[0], t, width), p.row(op.In[1], t, width), p.row(op.Out[0], t, width)
		for i := range out {
			out[i] = float32(float64(x[i]) + scale*float64(y[i]))
		}
	})
}

func (p *program) selectRows(op *plan.Op, rows []int32) {
	width := p.plan.Buffers[op.Out[0].Buf].Width
	for m, r := range rows {
		copy(p.row(op.Out[0], m, width), p.row(op.In[0], int(r), width))
	}
}

func (p *program) scale(op *plan.Op) {
	width, scale, limit := int(op.I[0]), float64(op.F[0]), float64(op.F[1])
	p.parallel(p.count(op.Out[0].Buf), func(_, t int) {
		in, out := p.row(op.In[0], t, width), p.row(op.Out[0], t, width)
		for i, x := range in {
			out[i] = float32(softCap(scale*float64(x), limit))
		}
	})
}

func softCap(x, limit float64) float64 {
	if limit > 0 {
		return limit * math.Tanh(x/limit)
	}
	return x
}
