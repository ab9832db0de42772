package ref

import (
	"math"

	"aquifer/runtime/plan"
)

// route chooses experts by selection: there are few slots.
func (p *program) route(op *plan.Op) {
	experts, slots := int(op.I[0]), int(op.I[1])
	p.parallel(p.count(op.Out[0].Buf), func(thread, t int) {
		logits, out := p.row(op.In[0], t, experts), p.row(op.Out[0], t, 2*slots)
		weights := p.rows[thread][:experts]
		for i, v := range logits {
			weights[i] = float64(v)
		}
		for s := range slots {
			best := -1
			for e, v := range logits {
				if !chosen(out[:s], e) && (best < 0 || v > logits[best] || isNaN(logits[best]) && !isNaN(v)) {
					best = e
				}
			}
			out[s] = float32(best)
		}
		if op.I[2] == 1 {
			weights = p.rows[thread][:slots]
			for s, e := range out[:slots] {
				weights[s] = float64(logits[int(e)])
			}
		}
		softmax(weights)
		for s, e := range out[:slots] {
			at := s
			if op.I[2] == 0 {
				at = int(e)
			}
			out[slots+s] = float32(weights[at])
		}
	})
}

func isNaN(v float32) bool { return math.IsNaN(float64(v)) }

func chosen(slots []float32, e int) bool {
	for _, v := range slots {
		if int(v) == e {
			return true
		}
	}
	return false
}

// use is a slot of a row that an expert serves.
type use struct{ row, slot int }

// experts decodes every expert that some row uses once, and multiplies it with the inputs of all of them.
func (p *program) experts(op *plan.Op) {
	count, slots, cols := int(op.I[1]), int(op.I[2]), p.plan.Weights[op.W[0]].Cols
	inputs := 1
	if op.I[3] == 1 {
		inputs = slots
	}
	rows := p.count(op.In[0].Buf)
	uses := make([][]use, count)
	for t := range rows {
		x := p.inputs[t*inputs*cols:][:inputs*cols]
		for i, v := range p.row(op.In[0], t, inputs*cols) {
			x[i] = float64(v)
		}
		for s, e := range p.row(op.In[1], t, 2*slots)[:slots] {
			uses[int(e)] = append(uses[int(e)], use{t, s})
		}
	}
	for k := range int(op.I[0]) {
		for e, list := range uses {
			if len(list) == 0 {
				continue
			}
			w := p.weights[int(op.W[k])+e]
			books := w.books(p.codebooks)
			group := max(w.info.Scheme.OutGroup, 1)
			p.parallel(w.info.Rows/group, func(thread, g int) {
				decoded := p.rows[thread]
				w.rowGroup(decoded, g, books)
				for a := range group {
					for _, u := range list {
						x := p.inputs[(u.row*inputs+u.slot%inputs)*cols:][:cols]
						out := p.row(op.Out[k], u.row, slots*w.info.Rows)
						out[u.slot*w.info.Rows+g*group+a] = float32(dot(decoded[a*cols:][:cols], x))
					}
				}
			})
		}
	}
}

func (p *program) mix(op *plan.Op) {
	width, slots := int(op.I[0]), int(op.I[1])
	p.parallel(p.count(op.Out[0].Buf), func(_, t int) {
		in, weights := p.row(op.In[0], t, slots*width), p.row(op.In[1], t, 2*slots)[slots:]
		for i := range width {
			var sum float64
			for s, w := range weights {
				sum += float64(w) * float64(in[s*width+i])
			}
			p.row(op.Out[0], t, width)[i] = float32(sum)
		}
	})
}
