package engine

import (
	"fmt"
	"sort"

	"aquifer/backends"
	"aquifer/runtime/kv"
	"aquifer/runtime/plan"
)

const (
	// defaultContext bounds the context where the configuration leaves it open: models state ever longer ones, and
	// the cache for them is allocated at the start.
	defaultContext = 8192
	// leastContext is the smallest context that the engine chooses by itself.
	leastContext = 512
	// headroom is kept free for the program around the engine, in bytes, and as a part of what is available.
	headroom, headroomPart = 64 << 20, 32
)

// allowance is how much of the available memory a model may take.
func allowance(available int64) int64 { return max(available-max(headroom, available/headroomPart), 0) }

// size is what fit decides.
type size struct {
	context int // positions of one sequence
	blocks  int // KV blocks of all
	memory  backends.Memory
}

// fit chooses the context and the size of the KV cache. The cache is fixed for the life of the engine and shared by
// all sequences:
//
//   - One sequence must fit with all of its context. If the configuration names no context, it is the model's,
//     at most defaultContext, and less where memory is short.
//   - There are blocks for maxSeqs such sequences, unless the additional ones would take more than half of the
//     memory that is left with one.
//
// measure tells the memory for a number of blocks; available is 0 if unknown.
func fit(want, modelContext, maxSeqs int, available int64, measure func(blocks int) (backends.Memory, error)) (size, error) {
	context, err := wanted(want, modelContext)
	if err != nil {
		return size{}, err
	}
	one := kv.Blocks(context)
	all := one * maxSeqs
	if available == 0 {
		m, err := measure(all)
		return size{context, all, m}, err
	}
	usable := allowance(available)
	m, err := measure(one)
	if err != nil {
		return size{}, err
	}
	if room := usable - m.Total(); room >= 0 {
		blocks, err := most(one, all, m.Total()+room/2, measure)
		if err != nil {
			return size{}, err
		}
		m, err = measure(blocks)
		return size{context, blocks, m}, err
	}
	least := kv.Blocks(min(leastContext, context))
	if want != 0 || least == one {
		return size{}, &MemoryError{m, usable}
	}
	if m, err = measure(least); err != nil {
		return size{}, err
	}
	if m.Total() > usable {
		return size{}, &MemoryError{m, usable}
	}
	blocks, err := most(least, one, usable, measure)
	if err != nil {
		return size{}, err
	}
	m, err = measure(blocks)
	return size{blocks * plan.KVBlock, blocks, m}, err
}

// wanted is the context that the configuration asks for; 0 leaves it to the model, within bounds.
func wanted(want, modelContext int) (int, error) {
	if want < 0 || want > modelContext {
		return 0, fmt.Errorf("engine: a context of %d was asked for, the model has %d", want, modelContext)
	}
	if want == 0 {
		return min(modelContext, defaultContext), nil
	}
	return want, nil
}

// most returns the largest number of blocks from lo to hi that takes at most limit bytes; lo is known to.
func most(lo, hi int, limit int64, measure func(blocks int) (backends.Memory, error)) (int, error) {
	var failed error
	n := sort.Search(hi-lo, func(i int) bool {
		m, err := measure(lo + 1 + i)
		if err != nil {
			failed = err
		}
		return m.Total() > limit
	})
	return lo + n, failed
}
