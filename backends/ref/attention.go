package ref

import (
	"math"

	"aquifer/backends"
	"aquifer/runtime/half"
	"aquifer/runtime/plan"
)

// kvLayer keeps keys and values of one attention layer, (KVBlocks*KVBlock, heads*dim) each. A slot is
// block*KVBlock + position%KVBlock.
type kvLayer struct {
	keys, values     []float32 // KV types F32 and Q8_0, whose numbers are rounded when they are stored
	keys16, values16 []uint16  // KV type F16
	round            int       // Q8_0: width of a head
}

// kvSize returns the bytes of an element.
func kvSize(t plan.DType) int {
	if t == plan.F16 {
		return 2
	}
	return 4
}

func newKVLayer(t plan.DType, n int64, dim int) *kvLayer {
	switch t {
	case plan.F16:
		return &kvLayer{keys16: make([]uint16, n), values16: make([]uint16, n)}
	case plan.Q8_0:
		return &kvLayer{keys: make([]float32, n), values: make([]float32, n), round: dim}
	default:
		return &kvLayer{keys: make([]float32, n), values: make([]float32, n)}
	}
}

func (l *kvLayer) store(at int, keys, values []float32) {
	if l.keys16 == nil {
		copy(l.keys[at:], keys)
		copy(l.values[at:], values)
		for h := 0; l.round > 0 && h < len(keys); h += l.round {
			roundQ8(l.keys[at+h:][:l.round])
			roundQ8(l.values[at+h:][:l.round])
		}
		return
	}
	for i := range keys {
		l.keys16[at+i], l.values16[at+i] = half.Bits(keys[i]), half.Bits(values[i])
	}
}

// roundQ8 rounds a head to Q8_0: 32 columns, at the end fewer, share an F16 scale, which takes the largest of them to 127.
// The arithmetic is float32, so that every backend rounds to the same numbers. Where one of the columns is not a
// number, or the scale too large for F16, all are NaN.
func roundQ8(head []float32) {
	for len(head) > 0 {
		group := head[:min(32, len(head))]
		head = head[len(group):]
		var top float64
		for _, v := range group {
			top = math.Max(top, math.Abs(float64(v))) // NaN if either is
		}
		scale := half.Float(half.Bits(float32(top) / 127))
		for i, v := range group {
			switch {
			case math.IsNaN(float64(scale)), math.IsInf(float64(scale), 0):
				group[i] = float32(math.NaN())
			case scale == 0:
				group[i] = 0
			default:
				q := math.RoundToEven(float64(float32(v * float32(1/scale))))
				group[i] = scale * float32(max(-127, min(127, q))) // exact: 11 bits times 7
			}
		}
	}
}

// score returns the product of a query with the key at offset at.
func (l *kvLayer) score(at int, query []float32) (s float64) {
	if l.keys16 == nil {
		for i, k := range l.keys[at:][:len(query)] {
			s += float64(query[i]) * float64(k)
		}
		return s
	}
	for i, k := range l.keys16[at:][:len(query)] {
		s += float64(query[i]) * float64(half.Float(k))
	}
	return s
}

// addValue adds weight times the value at offset at to sum.
func (l *kvLayer) addValue(sum []float64, weight float64, at int) {
	if l.values16 == nil {
		for i, v := range l.values[at:][:len(sum)] {
			sum[i] += weight * float64(v)
		}
		return
	}
	for i, v := range l.values16[at:][:len(sum)] {
		sum[i] += weight * float64(half.Float(v))
	}
}

func (p *program) attention(op *plan.Op, runs []backends.Run) {
	layer, kv := p.plan.Layers[op.I[0]], p.kv[op.I[0]]
	heads, window := int(op.I[1]), int(op.I[2])
	width := layer.Heads * layer.Dim
	slot := func(t, pos int) int {
		block := runs[p.sequences[t]].Blocks[pos/plan.KVBlock]
		return (int(block)*plan.KVBlock + pos%plan.KVBlock) * width
	}
	for t, pos := range p.positions {
		kv.store(slot(t, int(pos)), p.row(op.In[1], t, width), p.row(op.In[2], t, width))
	}
	p.parallel(len(p.positions)*heads, func(thread, i int) {
		t, h := i/heads, i%heads
		query := p.row(op.In[0], t, heads*layer.Dim)[h*layer.Dim:][:layer.Dim]
		out := p.row(op.Out[0], t, heads*layer.Dim)[h*layer.Dim:][:layer.Dim]
		column := h / (heads / layer.Heads) * layer.Dim

		last, first := int(p.positions[t]), 0
		if window > 0 {
			first = max(0, last-window+1)
		}
		weights := p.rows[thread][:last-first+1]
		sum := p.rows[thread][len(weights):][:layer.Dim]
		for k := range weights {
			s := kv.score(slot(t, first+k)+column, query)
			weights[k] = softCap(s*float64(op.F[0]), float64(op.F[1]))
		}
		softmax(weights)
		clear(sum)
		for k, w := range weights {
			kv.addValue(sum, w, slot(t, first+k)+column)
		}
		for d, v := range sum {
			out[d] = float32(v)
		}
	})
}

// softmax works in place. A NaN, or an infinite maximum, makes every weight NaN.
func softmax(x []float64) {
	top := math.Inf(-1)
	for _, v := range x {
		top = math.Max(top, v) // NaN if either is
	}
	var sum float64
	for i, v := range x {
		x[i] = math.Exp(v - top)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}
