package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		text, tokens string
		least        int
		next         string
		match        int
	}{
		{"", "abc", 2, "", 0},
		{"xabcdef", "zabc", 2, "def", 3},
		{"abcdef", "abc", 2, "def", 3},
		{"abcdef", "abc", 4, "", 0},
		{"xxabc1", "yabc", 3, "1", 3},
		{"abc1abc2", "xabc", 3, "2", 3},      // of equal ones the last
		{"zabc1abc2", "zabc", 3, "1abc2", 4}, // a longer one before a later one
		{"abc", "abc", 3, "", 3},             // found, and nothing follows
		{"c", "c", 1, "", 1},
	} {
		next, match := find(ids(tt.text), ids(tt.tokens), tt.least)
		if !slices.Equal(next, ids(tt.next)) || match != tt.match {
			t.Errorf("find(%q, %q, %d): %v, %d", tt.text, tt.tokens, tt.least, next, match)
		}
	}
}

func ids(s string) []int32 {
	var list []int32
	for _, b := range []byte(s) {
		list = append(list, int32(b))
	}
	return list
}

// TestDrafter follows a text by hand.
func TestDrafter(t *testing.T) {
	d := drafter{on: true}
	tokens := ids("the cat, the ")
	d.follow(tokens, 1)
	if !slices.Equal(d.proposal, ids("cat, the ")) || d.match != 4 || d.predicted {
		t.Fatalf("%v after a match of %d", d.proposal, d.match)
	}
	tokens = append(tokens, 'c', 'a')
	if d.follow(tokens, 2); !slices.Equal(d.proposal, ids("t, the ")) || d.match != 6 {
		t.Errorf("%v after a match of %d", d.proposal, d.match)
	}
	tokens = append(tokens, 'n')
	if d.follow(tokens, 1); len(d.proposal) != 0 {
		t.Errorf("%v behind a wrong guess", d.proposal)
	}
	if h := d.hits[0]; h.all < 1.9 || h.right < 1.9 || d.hits[1].right != 0 || d.hits[1].all != 1 {
		t.Errorf("learned %v", d.hits)
	}
	// A letter again and again.
	tokens = ids("baaaa")
	if d.follow(tokens, 1); !slices.Equal(d.proposal, ids("a")) {
		t.Errorf("%v behind the same token four times", d.proposal)
	}
	// A prediction is followed from its start, and found again behind a difference.
	d = drafter{on: true, prediction: ids("func main() { println(1) }")}
	d.begin()
	if len(d.proposal) != len(d.prediction) || !d.predicted {
		t.Fatalf("starts with %v", d.proposal)
	}
	tokens = ids("func Main() {")
	for n := range len(tokens) {
		d.follow(tokens[:n+1], 1)
	}
	if !slices.Equal(d.proposal, ids(" println(1) }")) || !d.predicted {
		t.Errorf("%v behind a difference", d.proposal)
	}
}

// TestPace: unknown widths are tried by doubling, known ones count, old ones are forgotten.
func TestPace(t *testing.T) {
	var p pace
	if p.cost(1) != p.cost(9) || p.reach(1) != 2 {
		t.Errorf("at first: %v, %v, reach %d", p.cost(1), p.cost(9), p.reach(1))
	}
	p.add(1, 10*time.Millisecond)
	p.add(5, 30*time.Millisecond)
	near := func(got, want float64) bool { return math.Abs(got-want) < 1e-9 }
	if !near(p.cost(1), 0.01) || !near(p.cost(3), 0.02) || !near(p.cost(20), 0.03) || p.reach(1) != 10 {
		t.Errorf("%v %v %v, reach %d", p.cost(1), p.cost(3), p.cost(20), p.reach(1))
	}
	p.add(5, time.Hour) // somebody else had the machine
	if c := p.cost(5); c < 0.03 || c > 0.05 {
		t.Errorf("an outlier makes it %v", c)
	}
	for range forget {
		p.add(1, 10*time.Millisecond)
	}
	if !near(p.cost(5), 0.01) || p.reach(1) != 2 {
		t.Errorf("later: %v, reach %d", p.cost(5), p.reach(1))
	}
	p.add(1000, time.Second) // of no interest
}

// spoilt returns the ids with every n-th one replaced.
func spoilt(ids []int32, n int) []int32 {
	ids = slices.Clone(ids)
	for i := n - 1; i < len(ids); i += n {
		ids[i] = (ids[i] + 1) % 60
	}
	return ids
}

func randomText(rng *rand.Rand, n int) []byte {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('a' + rng.IntN(26))
	}
	return text
}
