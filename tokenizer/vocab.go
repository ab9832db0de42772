package tokenizer

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"strings"
)

// stringTable keeps many strings end to end, so that 128 k pieces are two allocations without pointers in them.
type stringTable struct {
	blob string
	ends []uint32 // ends[i] is where string i ends in blob
}

func newStringTable(ss []string) stringTable {
	n := 0
	for _, s := range ss {
		n += len(s)
	}
	var sb strings.Builder
	sb.Grow(n)
	ends := make([]uint32, len(ss))
	for i, s := range ss {
		sb.WriteString(s)
		ends[i] = uint32(sb.Len()) // callers keep the total under maxFile
	}
	return stringTable{blob: sb.String(), ends: ends}
}

func (t *stringTable) at(i int32) string {
	lo := uint32(0)
	if i > 0 {
		lo = t.ends[i-1]
	}
	return t.blob[lo:t.ends[i]]
}

// vocab maps pieces to ids and back. An empty piece is an id the file does not use.
type vocab struct {
	stringTable
	slots []int32 // open addressing over id+1; 0 is free
	seed  maphash.Seed
}

// newVocab indexes pieces by id. If two ids share a piece it returns the second of them.
func newVocab(pieces []string) (v *vocab, dup int32) {
	v = &vocab{
		stringTable: newStringTable(pieces),
		slots:       make([]int32, tableSize(len(pieces))),
		seed:        maphash.MakeSeed(),
	}
	mask := uint64(len(v.slots) - 1)
	for id, p := range pieces {
		if p == "" {
			continue
		}
		h := maphash.String(v.seed, p) & mask
		for ; v.slots[h] != 0; h = (h + 1) & mask {
			if v.at(v.slots[h]-1) == p {
				return nil, int32(id)
			}
		}
		v.slots[h] = int32(id) + 1
	}
	return v, -1
}

func (v *vocab) size() int { return len(v.ends) }

// has reports whether id is in range and used.
func (v *vocab) has(id int32) bool { return id >= 0 && int(id) < len(v.ends) && v.at(id) != "" }

// lookup returns the id of a piece, or -1.
func (v *vocab) lookup(piece string) int32 {
	mask := uint64(len(v.slots) - 1)
	for h := maphash.String(v.seed, piece) & mask; ; h = (h + 1) & mask {
		id := v.slots[h] - 1
		if id < 0 || v.at(id) == piece {
			return id
		}
	}
}

// lookupBytes is lookup without the conversion.
func (v *vocab) lookupBytes(piece []byte) int32 {
	mask := uint64(len(v.slots) - 1)
	for h := maphash.Bytes(v.seed, piece) & mask; ; h = (h + 1) & mask {
		id := v.slots[h] - 1
		if id < 0 || v.at(id) == string(piece) {
			return id
		}
	}
}

// tableSize is a power of two that keeps n entries at most two thirds full.
func tableSize(n int) int { return 1 << bits.Len(uint(n+n/2+1)) }

// pairTable maps a pair of non-negative numbers to a rank and a number. Probing is seeded, so a file cannot choose
// pairs that collide.
type pairTable struct {
	slots []pairSlot // a power of two of them
	seed  uint64
	n     int
}

type pairSlot struct {
	key  uint64 // pair + 1; 0 is free
	rank uint32
	into int32
}

// newPairTable makes room for n pairs; put must not be called for more.
func newPairTable(n int) pairTable {
	return pairTable{slots: make([]pairSlot, tableSize(n)), seed: rand.Uint64() | 1}
}

func pairKey(a, b int32) uint64 { return (uint64(uint32(a))<<32 | uint64(uint32(b))) + 1 }

func (t *pairTable) slot(key uint64) *pairSlot {
	hi, lo := bits.Mul64(key^t.seed, 0x9E3779B97F4A7C15^t.seed<<1)
	mask := uint64(len(t.slots) - 1)
	for h := (hi ^ lo) & mask; ; h = (h + 1) & mask {
		if s := &t.slots[h]; s.key == key || s.key == 0 {
			return s
		}
	}
}

// put stores a pair; the last value for a pair wins.
func (t *pairTable) put(a, b int32, rank uint32, into int32) {
	key := pairKey(a, b)
	s := t.slot(key)
	if s.key == 0 {
		t.n++
	}
	*s = pairSlot{key: key, rank: rank, into: into}
}

// get returns the pair's values; ok is false if it is not there.
func (t *pairTable) get(a, b int32) (rank uint32, into int32, ok bool) {
	s := t.slot(pairKey(a, b))
	return s.rank, s.into, s.key != 0
}

// A merge joins two adjacent symbols into one.
type merge struct {
	rank              uint32
	left, right, into int32
}

// all lists the pairs in no particular order.
func (t *pairTable) all() []merge {
	out := make([]merge, 0, t.n)
	for _, s := range t.slots {
		if s.key != 0 {
			p := s.key - 1
			out = append(out, merge{rank: s.rank, left: int32(p >> 32), right: int32(uint32(p)), into: s.into})
		}
	}
	return out
}
