package kv

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func tokens(n int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i * i)
	}
	return list
}

// before is the hash before one of a chain; zero for the first.
func before(chain []Hash, i int) Hash {
	if i == 0 {
		return Hash{}
	}
	return chain[i-1]
}

func TestHash(t *testing.T) {
	text := tokens(4 * BlockSize)
	chain := Chain(nil, Root("a"), text)
	if len(chain) != 4 {
		t.Fatalf("%d hashes for 4 blocks", len(chain))
	}
	if again := Chain(Chain(nil, Root("a"), text[:2*BlockSize+5]), Root("a"), text); !slices.Equal(again, chain) {
		t.Error("a chain made in two parts is another one")
	}
	if len(Chain(nil, Root("a"), text[:BlockSize-1])) != 0 {
		t.Error("a block that is not full has a hash")
	}
	seen := map[Hash]string{}
	note := func(name string, list []Hash) {
		for i, h := range list {
			what := fmt.Sprint(name, i)
			if other, ok := seen[h]; ok {
				t.Errorf("%s and %s have the same hash", what, other)
			}
			seen[h] = what
		}
	}
	note("text ", chain)
	note("another salt ", Chain(nil, Root("b"), text))
	for _, at := range []int{0, 1, BlockSize - 1} {
		changed := slices.Clone(text)
		changed[at]++
		note(fmt.Sprintf("changed at %d ", at), Chain(nil, Root("a"), changed))
	}
	changed := slices.Clone(text)
	changed[BlockSize+3] = -1
	if c := Chain(nil, Root("a"), changed); c[0] != chain[0] || c[1] == chain[1] || c[3] == chain[3] {
		t.Error("a change does not reach exactly the blocks from its own on")
	}
}

// TestReuse: contents outlive their owner until the block is needed, the longest unused first.
func TestReuse(t *testing.T) {
	p := NewPool(4)
	chain := Chain(nil, Root(""), tokens(3*BlockSize))
	var a Table
	p.Grow(&a, 3*BlockSize)
	for i, b := range a.Blocks {
		if _, ok := p.Reuse(chain[i]); ok {
			t.Fatal("known before Publish")
		}
		p.Publish(b, chain[i], before(chain, i))
		p.Publish(b, chain[i], before(chain, i)) // saying it twice does nothing
	}
	held := a.Blocks
	shared, ok := p.Reuse(chain[0]) // of a block in use
	if !ok || shared != held[0] || p.Shares(shared) != 2 || p.Free() != 1 {
		t.Fatalf("block %d, %v, %d free", shared, ok, p.Free())
	}
	p.Drop(&a)
	if p.Free() != 3 || p.Known() != 3 {
		t.Fatalf("%d free, %d known", p.Free(), p.Known())
	}
	p.Release(shared)
	if b, ok := p.Reuse(chain[1]); !ok || b != held[1] || p.Free() != 3 { // of a free one
		t.Fatalf("block %d, %v, %d free", b, ok, p.Free())
	}
	// The block that was never used goes first, then the end of the text, then its start.
	for i, want := range []int32{3, held[2], held[0]} {
		if b, ok := p.Alloc(); !ok || b != want {
			t.Errorf("allocation %d: block %d, %v, want %d", i, b, ok, want)
		}
	}
	if _, ok := p.Alloc(); ok {
		t.Error("a block too many")
	}
	for i, want := range []bool{false, true, false} {
		if _, ok := p.Reuse(chain[i]); ok != want {
			t.Errorf("block %d of the text is known: %v", i, ok)
		}
	}
}

// TestPublishTwice: of two blocks with the same contents one is known, and the other is free as any.
func TestPublishTwice(t *testing.T) {
	p := NewPool(3)
	h := Root("x")
	var a, b Table
	p.Grow(&a, 1)
	p.Grow(&b, 1)
	p.Publish(a.Blocks[0], h, Hash{})
	p.Publish(b.Blocks[0], h, Hash{})
	first := a.Blocks[0]
	if !p.Published(first) || p.Published(b.Blocks[0]) || p.Known() != 1 {
		t.Error("both are known, or the second")
	}
	p.Drop(&b)
	p.Drop(&a)
	if got, ok := p.Reuse(h); !ok || got != first {
		t.Errorf("block %d, %v", got, ok)
	}
	for name, f := range map[string]func(){
		"free":     func() { p.Publish(2, Root("y"), Hash{}) },
		"contents": func() { p.Publish(first, Root("y"), Hash{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// TestReuseRandom plays owners that publish, share, end and come back against a plain model of the contents.
func TestReuseRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	p := NewPool(23)
	contents := map[int32]Hash{} // what really is in a block
	var tables []*Table
	hits, evicted := 0, 0
	for i := range 30000 {
		known := p.Known()
		switch n := rng.IntN(10); {
		case n < 5: // a text of some blocks, of which the first may be known
			text := tokens(BlockSize * (1 + rng.IntN(6)))
			text[BlockSize*rng.IntN(len(text)/BlockSize)] = int32(rng.IntN(8))
			chain := Chain(nil, Root(fmt.Sprint(rng.IntN(2))), text)
			tab := &Table{}
			for _, h := range chain {
				b, ok := p.Reuse(h)
				if !ok {
					break
				}
				if contents[b] != h {
					t.Fatalf("step %d: block %d does not hold what it is known for", i, b)
				}
				hits++
				tab.Blocks = append(tab.Blocks, b)
			}
			from := len(tab.Blocks)
			if !p.Grow(tab, len(text)) {
				p.Drop(tab)
				break
			}
			for j, b := range tab.Blocks[from:] {
				contents[b] = chain[from+j]
				if rng.IntN(5) > 0 {
					p.Publish(b, chain[from+j], before(chain, from+j))
				}
			}
			tables = append(tables, tab)
		case len(tables) > 0:
			j := rng.IntN(len(tables))
			p.Drop(tables[j])
			tables = slices.Delete(tables, j, j+1)
		}
		if p.Known() < known {
			evicted++
		}
		if err := p.Check(tables...); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	if hits < 1000 || evicted < 1000 {
		t.Errorf("%d hits, %d evictions", hits, evicted)
	}
	for _, tab := range tables {
		p.Drop(tab)
	}
	if p.Free() != p.Total() || p.Check() != nil {
		t.Errorf("%d of %d are free at the end", p.Free(), p.Total())
	}
}

func BenchmarkChain(b *testing.B) {
	text := tokens(8192)
	var chain []Hash
	for b.Loop() {
		chain = Chain(chain[:0], Root("key"), text)
	}
}
