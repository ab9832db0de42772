package kv

import (
	"math/rand/v2"
	"testing"

	"aquifer/runtime/plan"
)

func TestBlocks(t *testing.T) {
	for n, want := range map[int]int{
		0: 0, 1: 1, plan.KVBlock - 1: 1, plan.KVBlock: 1, plan.KVBlock + 1: 2, 10 * plan.KVBlock: 10,
	} {
		if got := Blocks(n); got != want {
			t.Errorf("Blocks(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestGrow(t *testing.T) {
	p := NewPool(3)
	var a, b Table
	if !p.Grow(&a, 1) || len(a.Blocks) != 1 {
		t.Fatalf("first position: %v", a)
	}
	if !p.Grow(&a, plan.KVBlock) || len(a.Blocks) != 1 {
		t.Fatalf("a full block: %v", a)
	}
	if !p.Grow(&a, plan.KVBlock+1) || len(a.Blocks) != 2 {
		t.Fatalf("one past a block: %v", a)
	}
	if p.Grow(&b, 2*plan.KVBlock) || len(b.Blocks) != 0 || p.Free() != 1 {
		t.Fatalf("two blocks of one: %v, %d free", b, p.Free())
	}
	if !p.Grow(&b, plan.KVBlock) || p.Free() != 0 {
		t.Fatalf("the last block: %v, %d free", b, p.Free())
	}
	if !p.Grow(&a, 3) || len(a.Blocks) != 2 {
		t.Fatalf("growing to less: %v", a)
	}
	if err := p.Check(&a, &b); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(&a); err == nil {
		t.Fatal("Check missed a table")
	}
	held := a.Blocks
	p.Drop(&a)
	p.Drop(&a)
	if held[0] == held[1] || p.Free() != 2 || p.Total() != 3 {
		t.Fatalf("after Drop: %v, %d free of %d", held, p.Free(), p.Total())
	}
	if err := p.Check(&b); err != nil {
		t.Fatal(err)
	}
}

func TestMisuse(t *testing.T) {
	for name, f := range map[string]func(p *Pool){
		"release twice":   func(p *Pool) { b, _ := p.Alloc(); p.Release(b); p.Release(b) },
		"retain free":     func(p *Pool) { p.Retain(0) },
		"release unknown": func(p *Pool) { p.Release(7) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f(NewPool(2))
		})
	}
}

// TestRandom runs random allocations, shares and releases against the invariants.
func TestRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	p := NewPool(37)
	var tables []*Table
	for i := range 20000 {
		switch n := rng.IntN(4); {
		case n == 0 || len(tables) == 0:
			tables = append(tables, &Table{})
		case n == 1:
			tab := tables[rng.IntN(len(tables))]
			before, free, want := len(tab.Blocks), p.Free(), rng.IntN(20*plan.KVBlock)
			ok := p.Grow(tab, want)
			if taken := len(tab.Blocks) - before; taken != free-p.Free() || !ok && taken != 0 ||
				ok && len(tab.Blocks) < Blocks(want) {
				t.Fatalf("step %d: Grow(%d) = %v took %d blocks of %d", i, want, ok, taken, free)
			}
		case n == 2: // share a prefix
			from := tables[rng.IntN(len(tables))]
			to := &Table{}
			for _, b := range from.Blocks[:rng.IntN(len(from.Blocks)+1)] {
				p.Retain(b)
				to.Blocks = append(to.Blocks, b)
			}
			tables = append(tables, to)
		default:
			j := rng.IntN(len(tables))
			p.Drop(tables[j])
			tables[j] = tables[len(tables)-1]
			tables = tables[:len(tables)-1]
		}
		if err := p.Check(tables...); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	for _, tab := range tables {
		p.Drop(tab)
	}
	if p.Free() != p.Total() {
		t.Fatalf("%d of %d free at the end", p.Free(), p.Total())
	}
}

func TestNoAllocation(t *testing.T) {
	p := NewPool(4)
	if n := testing.AllocsPerRun(100, func() {
		b, _ := p.Alloc()
		p.Retain(b)
		p.Release(b)
		p.Release(b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
