package kv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// publish runs a text of whole blocks through the pool, reusing what is known, and returns its table.
func publish(t *testing.T, p *Pool, chain []Hash) *Table {
	t.Helper()
	tab := &Table{}
	for _, h := range chain {
		b, ok := p.Reuse(h)
		if !ok {
			break
		}
		tab.Blocks = append(tab.Blocks, b)
	}
	from := len(tab.Blocks)
	if !p.Grow(tab, len(chain)*BlockSize) {
		p.Drop(tab)
		return nil
	}
	for i := from; i < len(chain); i++ {
		p.Publish(tab.Blocks[i], chain[i], before(chain, i))
	}
	return tab
}

func text(salt string, blocks, change int) []Hash {
	list := tokens(blocks * BlockSize)
	list[change*BlockSize] = -7
	return Chain(nil, Root(salt), list)
}

func contents(t *testing.T, p *Pool, blocks []int32) (list []Content) {
	t.Helper()
	for _, b := range blocks {
		c, ok := p.Content(b)
		if !ok {
			t.Fatalf("block %d is listed and not known", b)
		}
		list = append(list, c)
	}
	return list
}

// TestRecent: what was used last is first, a beginning ahead of its end, and what can't be found is left out.
func TestRecent(t *testing.T) {
	p := NewPool(8)
	if got := p.Recent(); len(got) != 0 {
		t.Errorf("%v in a new pool", got)
	}
	a, b := text("", 3, 2), text("", 4, 3) // the first two blocks are the same
	p.Drop(publish(t, p, a))
	p.Drop(publish(t, p, b))
	hashes := func() (list []Hash) {
		for _, c := range contents(t, p, p.Recent()) {
			list = append(list, c.Hash)
		}
		return list
	}
	if got, want := hashes(), slices.Concat(b, a[2:]); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	p.Drop(publish(t, p, a))
	if got, want := hashes(), slices.Concat(a, b[2:]); !slices.Equal(got, want) {
		t.Errorf("after using the first once more: %x, want %x", got, want)
	}
	// The same text in two sequences at once: the known blocks are of both, and are released in another order.
	p = NewPool(8)
	var one, two Table
	p.Grow(&one, 2*BlockSize)
	p.Grow(&two, 2*BlockSize)
	p.Publish(one.Blocks[0], a[0], Hash{})
	p.Publish(two.Blocks[0], a[0], Hash{})
	p.Publish(two.Blocks[1], a[1], a[0])
	p.Publish(one.Blocks[1], a[1], a[0])
	p.Drop(&one)
	p.Drop(&two)
	if got := hashes(); !slices.Equal(got, a[:2]) {
		t.Errorf("%x, want %x", got, a[:2])
	}
	// The beginning goes first here, and with it the end is lost.
	for range 7 {
		p.Alloc()
	}
	if got := p.Recent(); len(got) != 0 || p.Known() != 1 {
		t.Errorf("%v of a text without its beginning, %d known", got, p.Known())
	}
}

// TestRecentForged: contents that claim to follow each other in a circle are listed by nobody, and stop nobody.
func TestRecentForged(t *testing.T) {
	p := NewPool(4)
	a, b := Root("a"), Root("b")
	fill := func(int32) error { return nil }
	p.Restore(Content{Hash: a}, fill)
	p.Restore(Content{Hash: b, Before: a}, fill)
	block, _ := p.Reuse(a)
	p.before[block] = b // as if a had been handed out and come back as what follows b
	p.Release(block)
	if got := p.Recent(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// TestRestore: a pool that was filled from another one finds the same texts and hands blocks out in the same order.
func TestRestore(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 50 {
		p := NewPool(19)
		for range 40 {
			n := 1 + rng.IntN(6)
			chain := text(fmt.Sprint(rng.IntN(2)), n, rng.IntN(n))
			if tab := publish(t, p, chain); tab != nil {
				p.Drop(tab)
			}
		}
		list := contents(t, p, p.Recent())
		for i, c := range list {
			if c.Before != (Hash{}) && !slices.ContainsFunc(list[:i], func(x Content) bool { return x.Hash == c.Before }) {
				t.Fatalf("content %d of %d is ahead of the one before it in its text", i, len(list))
			}
		}
		most := 3 + rng.IntN(20)
		q := NewPool(most)
		filled := map[int32]Hash{}
		for i, c := range list {
			ok, err := q.Restore(c, func(block int32) error { filled[block] = c.Hash; return nil })
			if ok != (i < most) || err != nil {
				t.Fatalf("content %d into %d blocks: %v, %v", i, most, ok, err)
			}
		}
		if err := q.Check(); err != nil || q.Free() != most || q.Known() != min(most, len(list)) || q.Unknown() != most-q.Known() {
			t.Fatalf("%v; %d free, %d known", err, q.Free(), q.Known())
		}
		for _, c := range list[:min(most, len(list))] {
			if ok, err := q.Restore(c, func(int32) error { return errors.New("written twice") }); ok || err != nil {
				t.Fatalf("a second time: %v, %v", ok, err)
			}
		}
		if got := contents(t, q, q.Recent()); !slices.Equal(got, list[:len(got)]) {
			t.Fatal("the order is another one")
		}
		for i := min(most, len(list)) - 1; i >= 0; i-- { // the last ones go first
			for q.Unknown() > 0 {
				q.Alloc()
			}
			b, ok := q.Alloc()
			if !ok || filled[b] != list[i].Hash {
				t.Fatalf("block %d is handed out before content %d", b, i)
			}
		}
	}
}

// TestRestoreRefused: nothing is restored that nobody could find, and nothing of what could not be written.
func TestRestoreRefused(t *testing.T) {
	p := NewPool(2)
	chain := text("", 3, 0)
	fill := func(int32) error { return nil }
	if ok, _ := p.Restore(Content{chain[1], chain[0]}, fill); ok {
		t.Error("a content whose beginning is not there")
	}
	broken := errors.New("broken")
	if ok, err := p.Restore(Content{Hash: chain[0]}, func(int32) error { return broken }); ok || !errors.Is(err, broken) {
		t.Errorf("%v, %v", ok, err)
	}
	if _, ok := p.Reuse(chain[0]); ok || p.Unknown() != 2 || p.Check() != nil {
		t.Error("something is left of what could not be written")
	}
}
