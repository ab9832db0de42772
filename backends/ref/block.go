package ref

import (
	"encoding/binary"
	"fmt"
	"math"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

func (p *program) CopyBlock(dst, src int) error {
	if p.closed {
		return errClosed
	}
	if dst < 0 || dst >= p.opt.KVBlocks || src < 0 || src >= p.opt.KVBlocks {
		return fmt.Errorf("ref: copy of KV block %d to %d, there are %d", src, dst, p.opt.KVBlocks)
	}
	for i, l := range p.plan.Layers {
		p.kv[i].copyBlock(dst, src, plan.KVBlock*l.Heads*l.Dim)
	}
	return nil
}

func (l *kvLayer) copyBlock(dst, src, n int) {
	if l.keys16 == nil {
		copy(l.keys[dst*n:][:n], l.keys[src*n:][:n])
		copy(l.values[dst*n:][:n], l.values[src*n:][:n])
		return
	}
	copy(l.keys16[dst*n:][:n], l.keys16[src*n:][:n])
	copy(l.values16[dst*n:][:n], l.values16[src*n:][:n])
}

// BlockLayout describes a KV block: by layer the keys of its positions and then the values, (KVBlock, heads*dim) each, little
// endian; F16 as it is, the others as float32.
func (p *program) BlockLayout() backends.BlockLayout {
	n := 0
	for _, l := range p.plan.Layers {
		n += 2 * plan.KVBlock * l.Heads * l.Dim
	}
	return backends.NewBlockLayout("ref/1", p.opt.KV, p.plan.Layers, n*kvSize(p.opt.KV))
}

func (p *program) ReadBlock(block int, data []byte) error {
	return p.eachPart(block, data, func(l *kvLayer, from, n int, data []byte) {
		if l.keys16 == nil {
			putFloats(data, l.keys[from:][:n])
			putFloats(data[4*n:], l.values[from:][:n])
			return
		}
		putHalves(data, l.keys16[from:][:n])
		putHalves(data[2*n:], l.values16[from:][:n])
	})
}

func (p *program) WriteBlock(block int, data []byte) error {
	return p.eachPart(block, data, func(l *kvLayer, from, n int, data []byte) {
		if l.keys16 == nil {
			floats(l.keys[from:][:n], data)
			floats(l.values[from:][:n], data[4*n:])
			return
		}
		halves(l.keys16[from:][:n], data)
		halves(l.values16[from:][:n], data[2*n:])
	})
}

// eachPart calls f for each layer, with the n elements from from on that belong to the block and their bytes.
func (p *program) eachPart(block int, data []byte, f func(l *kvLayer, from, n int, data []byte)) error {
	if p.closed {
		return errClosed
	}
	if err := p.BlockLayout().CheckBlock(block, p.opt.KVBlocks, len(data)); err != nil {
		return err
	}
	for i, l := range p.plan.Layers {
		n := plan.KVBlock * l.Heads * l.Dim
		bytes := 2 * n * kvSize(p.opt.KV)
		f(p.kv[i], block*n, n, data[:bytes])
		data = data[bytes:]
	}
	return nil
}

func putFloats(to []byte, from []float32) {
	for i, v := range from {
		binary.LittleEndian.PutUint32(to[4*i:], math.Float32bits(v))
	}
}

func putHalves(to []byte, from []uint16) {
	for i, v := range from {
		binary.LittleEndian.PutUint16(to[2*i:], v)
	}
}

func floats(to []float32, from []byte) {
	for i := range to {
		to[i] = math.Float32frombits(binary.LittleEndian.Uint32(from[4*i:]))
	}
}

func halves(to []uint16, from []byte) {
	for i := range to {
		to[i] = binary.LittleEndian.Uint16(from[2*i:])
	}
}
