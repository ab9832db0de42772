package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"slices"

	"aquifer/backends"
)

// identity stands for all that the bytes of a KV block depend on besides the text before it: the weights and the plan, the
// kernels and their precision, the layout of the block. The model's name and path are not in it, nor is anything that leaves the bytes
// as they are, such as threads, or how many blocks there are. list has the sums of the weights' chunks.
//
// The kernel library counts with its build: what an older one computed, perhaps wrongly, must not come back.
func (c *Config) identity(layout backends.BlockLayout, list []chunk) [sha256.Size]byte {
	h := sha256.New()
	info := c.Backend.Info()
	fmt.Fprintf(h, "aquifer KV blocks 1\n%q %q %q %q\n%q %d\n", info.Name, info.Level, info.BuildID, c.Precision, layout.Name, layout.Bytes)
	p := c.Model.Plan
	fmt.Fprintf(h, "%d %d %+v %+v %+v\n", p.Vocab, p.MaxPos, p.Weights, p.Buffers, p.Layers)
	bits(h, p.Ops)
	for _, w := range slices.Sorted(maps.Keys(p.Consts)) {
		bits(h, w)
		bits(h, p.Consts[w])
	}
	for i := range list {
		chunk := &list[i]
		bits(h, []int64{int64(chunk.binding.Weight), int64(chunk.binding.Part), int64(chunk.first), int64(chunk.n)})
		bits(h, chunk.sum)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// bits hashes numbers of fixed size.
func bits(h hash.Hash, data any) {
	if err := binary.Write(h, binary.LittleEndian, data); err != nil {
		panic(fmt.Sprintf("engine: hash of %T: %v", data, err))
	}
}
