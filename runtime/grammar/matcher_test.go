package grammar

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// TestRollback: a matcher that went ahead and came back is where it was, also across arenas.
func TestRollback(t *testing.T) {
	c := newCompiler(t, madeUp(11, 400), Options{})
	for i, src := range sources() {
		g := compile(t, c, src)
		rng := rand.New(rand.NewPCG(uint64(i), 12))
		m := g.NewMatcher()
		masks := [][]uint32{}
		for range 40 {
			mask := make([]uint32, c.MaskWords())
			if err := m.Mask(mask); err != nil {
				t.Fatal(err)
			}
			masks = append(masks, mask)
			ids := tokensOf(nil, mask)
			if err := m.Accept(ids[rng.IntN(len(ids))]); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(3) == 0 {
				k := rng.IntN(min(len(masks), 6))
				if err := m.Rollback(k); err != nil {
					t.Fatal(err)
				}
				masks = masks[:len(masks)-k]
			}
			if rng.IntN(10) == 0 {
				g.arena = nil // as if it were full
			}
			if m.Done() {
				if err := m.Rollback(1); err != nil {
					t.Fatal(err)
				}
				masks = masks[:len(masks)-1]
			}
		}
		got := make([]uint32, c.MaskWords())
		for len(masks) > 0 {
			if err := m.Rollback(1); err != nil {
				t.Fatal(err)
			}
			if err := m.Mask(got); err != nil || !slices.Equal(got, masks[len(masks)-1]) {
				t.Fatalf("%v: after %d tokens the mask is another one (%v)", src, len(masks)-1, err)
			}
			masks = masks[:len(masks)-1]
		}
		if err := m.Rollback(1); err == nil {
			t.Error("rolled back over the start")
		}
	}
}

func TestRollbackLimits(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	m := compile(t, c, Source{Kind: Regex, Text: "(?:ab)*"}).NewMatcher()
	for range 1000 {
		if err := m.AcceptBytes([]byte("ab")); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{-1, MaxRollback + 1} {
		if err := m.Rollback(n); !errors.Is(err, ErrInvalid) {
			t.Errorf("Rollback(%d): %v", n, err)
		}
	}
	if err := m.AcceptBytes([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := m.Rollback(MaxRollback); err != nil || !m.CanEnd() {
		t.Errorf("%v, can end %v", err, m.CanEnd())
	}
}

// TestClone: clones go their own ways.
func TestClone(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	m := compile(t, c, Source{Kind: Choice, Choices: []string{"yes", "no", "yesterday"}}).NewMatcher()
	if n, _ := accepts(m, "ye"); n != 2 {
		t.Fatal(n)
	}
	d := m.Clone()
	if n, end := accepts(d, "sterday"); n != 7 || !end || !d.Done() {
		t.Errorf("clone: %d bytes, end %v", n, end)
	}
	if n, end := accepts(m, "s"); n != 1 || !end || m.Done() {
		t.Errorf("original: %d bytes, end %v, done %v", n, end, m.Done())
	}
	if err := d.Rollback(9); err != nil {
		t.Error(err)
	}
	if n, end := accepts(d, "no"); n != 2 || !end {
		t.Errorf("clone rolled back to the start: %d bytes, end %v", n, end)
	}
}

// TestEnds: ends are allowed exactly where the text is complete, and nothing after them.
func TestEnds(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	m := compile(t, c, Source{Kind: Regex, Text: "ab?"}).NewMatcher()
	mask := make([]uint32, c.MaskWords())
	has := func(id int32) bool {
		if err := m.Mask(mask); err != nil {
			t.Fatal(err)
		}
		return mask[id>>5]>>(id&31)&1 != 0
	}
	for _, end := range c.ends {
		if has(end) || !errors.Is(m.Accept(end), ErrNotAllowed) || m.CanEnd() || m.Done() {
			t.Errorf("end %d allowed before the text", end)
		}
	}
	if err := m.AcceptBytes([]byte("a")); err != nil {
		t.Fatal(err)
	}
	for _, end := range c.ends {
		if !has(end) || !m.CanEnd() || m.Done() {
			t.Errorf("end %d not allowed behind a", end)
		}
	}
	if err := m.Accept(c.ends[1]); err != nil {
		t.Fatal(err)
	}
	if !m.Done() || m.CanEnd() || m.Mask(mask) != nil || len(tokensOf(nil, mask)) > 0 || m.Accept(c.ends[0]) == nil || m.AcceptBytes([]byte("b")) == nil {
		t.Error("something can follow the end")
	}
	if err := m.Rollback(1); err != nil || m.Done() || !m.CanEnd() {
		t.Errorf("the end can't be taken back: %v", err)
	}
	if err := m.AcceptBytes([]byte("b")); err != nil || !m.Done() || !m.CanEnd() {
		t.Errorf("behind ab only an end can follow: %v", err)
	}
	for _, id := range []int32{-1, int32(len(c.tokens))} {
		if !errors.Is(m.Accept(id), ErrNotAllowed) {
			t.Errorf("token %d accepted", id)
		}
	}
}

func TestForced(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	schema := `{"type":"object","properties":{"name":{"enum":["Zoë","Zoé"]},"n":{"const":12}},"required":["name","n"]}`
	m := compile(t, c, compact(schema)).NewMatcher()
	if got := string(m.Forced(nil, 1000)); got != "{\"name\":\"Zo\xc3" {
		t.Errorf("forced %q", got)
	}
	if got := string(m.Forced([]byte("x"), 4)); got != `x{"na` {
		t.Errorf("forced %q with a limit of 4", got)
	}
	if n, _ := accepts(m, "{\"name\":\"Zo\xc3\xab"); n != 13 {
		t.Fatal(n)
	}
	if got := string(m.Forced(nil, 1000)); got != `","n":12}` {
		t.Errorf("forced %q", got)
	}
	if n, end := accepts(m, `","n":12}`); n != 9 || !end || len(m.Forced(nil, 9)) > 0 {
		t.Errorf("%d bytes, end %v", n, end)
	}
	// Where the answer may end nothing is forced.
	m = compile(t, c, Source{Kind: Regex, Text: "a(?:bc)?"}).NewMatcher()
	if got := string(m.Forced(nil, 9)); got != "a" {
		t.Errorf("forced %q", got)
	}
}

// TestForcedIsOnly: what is forced is what any answer goes on with, for every source.
func TestForcedIsOnly(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	for i, src := range sources() {
		rng := rand.New(rand.NewPCG(uint64(i), 5))
		m := compile(t, c, src).NewMatcher()
		var before []byte // forced one byte earlier, without that byte
		walk(t, rng, m, 60, func(mask []uint32) {
			ids, forced := tokensOf(nil, mask), m.Forced(nil, 100)
			only := len(ids) == 1 && !m.CanEnd()
			if (len(forced) > 0) != only || only && c.tokens[ids[0]][0] != forced[0] {
				t.Fatalf("%v: forced %q, the mask has %d tokens", src, forced, len(ids))
			}
			if !bytes.HasPrefix(forced, before) {
				t.Fatalf("%v: forced %q, %q before", src, forced, before)
			}
			if before = forced; len(before) > 0 {
				before = before[1:]
			}
		})
	}
}

// TestMatchersTogether: matchers of one grammar in many goroutines, with compilations beside them.
func TestMatchersTogether(t *testing.T) {
	c := newCompiler(t, madeUp(13, 300), Options{Masks: 100 << 10, Grammars: 3 * arenaSize})
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 14))
			for range 10 {
				src := sources()[rng.IntN(len(sources()))]
				g, err := c.Compile(t.Context(), src)
				if err != nil {
					t.Error(err)
					return
				}
				m, mask := g.NewMatcher(), make([]uint32, c.MaskWords())
				for range 20 {
					if err := m.Mask(mask); err != nil {
						t.Error(err)
						return
					}
					ids := tokensOf(nil, mask)
					if err := m.Accept(ids[rng.IntN(len(ids))]); err != nil {
						t.Error(err)
						return
					}
					if m.Done() {
						break
					}
					m = m.Clone()
				}
			}
		})
	}
	wg.Wait()
}

// TestArenaFull: an answer that keeps coming to new states is followed in bounded memory.
func TestArenaFull(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	g := compile(t, c, Source{Kind: JSONSchema, Compact: true, Text: `{"type":"array","items":{"type":"array","maxItems":100000},"maxItems":100000}`})
	m := g.NewMatcher()
	first := m.arena
	if err := m.AcceptBytes([]byte("[")); err != nil {
		t.Fatal(err)
	}
	for i := range 20000 {
		if err := m.AcceptBytes([]byte("[1,[2]],")); err != nil {
			t.Fatalf("item %d: %v", i, err)
		}
		if size := m.arena.size(); size > arenaSize+100<<10 {
			t.Fatalf("item %d: arena of %d bytes", i, size)
		}
	}
	if m.arena == first {
		t.Error("the arena was never full")
	}
	if n, end := accepts(m, "[]]"); n != 3 || !end {
		t.Errorf("the answer can't be completed: %d bytes, end %v", n, end)
	}
}

func TestVocabulary(t *testing.T) {
	for name, v := range map[string]Vocabulary{
		"no ends":       {Tokens: [][]byte{[]byte("a")}},
		"ends outside":  {Tokens: [][]byte{[]byte("a")}, Ends: []int32{1}},
		"negative ends": {Tokens: [][]byte{[]byte("a")}, Ends: []int32{-1}},
		"no bytes":      {Tokens: [][]byte{[]byte("ab"), nil}, Ends: []int32{1}},
		"empty":         {},
	} {
		if _, err := NewCompiler(v, Options{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What can't be spelled is left out; where nothing else is left, that is said.
	c := newCompiler(t, withoutBytes(byteVocabulary(), "Q{"), Options{})
	if _, err := c.Compile(t.Context(), Source{Kind: JSONObject}); !errors.Is(err, ErrUnsatisfiable) {
		t.Errorf("an object without braces: %v", err)
	}
	if _, err := c.Compile(t.Context(), Source{Kind: Choice, Choices: []string{"Q"}}); !errors.Is(err, ErrUnsatisfiable) {
		t.Errorf("Q: %v", err)
	}
	g := compile(t, c, Source{Kind: JSONValue})
	if n, _ := accepts(g.NewMatcher(), `["Q`); n != 2 {
		t.Errorf(`["Q: %d bytes`, n)
	}
	if n, end := accepts(g.NewMatcher(), `["P"]`); n != 5 || !end {
		t.Errorf(`["P"]: %d bytes, end %v`, n, end)
	}
}

func TestChoices(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	g := compile(t, c, Source{Kind: Choice, Choices: []string{"a", "ab", "水", "", "ab"}})
	for _, x := range []string{"a", "ab", "水", ""} {
		if n, end := accepts(g.NewMatcher(), x); n < len(x) || !end {
			t.Errorf("%q refused", x)
		}
	}
	for _, x := range []string{"b", "abc", "\xe6"} {
		if n, end := accepts(g.NewMatcher(), x); n == len(x) && end {
			t.Errorf("%q accepted", x)
		}
	}
	for _, bad := range [][]string{nil, {"a", "\xff"}} {
		if _, err := c.Compile(t.Context(), Source{Kind: Choice, Choices: bad}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := c.Compile(t.Context(), Source{Kind: 99}); !errors.Is(err, ErrInvalid) {
		t.Errorf("kind 99: %v", err)
	}
}

// TestParts: sources joined as calls of tools need them.
func TestParts(t *testing.T) {
	c := newCompiler(t, madeUp(21, 300), Options{})
	literal := func(s string) Source { return Source{Kind: Choice, Choices: []string{s}} }
	tool := func(name, schema string) Source {
		return Source{Kind: Sequence, Parts: []Source{
			literal("<tool_call>\n{\"name\": \"" + name + "\", \"arguments\": "), {Kind: JSONSchema, Text: schema}, literal("}\n</tool_call>"),
		}}
	}
	calls := Source{Kind: Many, Parts: []Source{{Kind: Either, Parts: []Source{
		tool("sum", `{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}`),
		tool("see", `{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`),
	}}, {Kind: Regex, Text: "\n?"}}}
	g := compile(t, c, calls)
	one, two := "<tool_call>\n{\"name\": \"sum\", \"arguments\": {\"a\": 1}}\n</tool_call>", "<tool_call>\n{\"name\": \"see\", \"arguments\": {\"a\":\"x\"}}\n</tool_call>"
	for _, x := range []string{one, two, one + two, two + "\n" + one + "\n"} {
		if n, end := accepts(g.NewMatcher(), x); n < len(x) || !end {
			t.Errorf("%q refused after %d bytes", x, n)
		}
	}
	for _, x := range []string{"", one[:len(one)-1], one + "\n\n", "<tool_call>\n{\"name\": \"sum\", \"arguments\": {\"a\": \"x\"}}\n</tool_call>", "x"} {
		if n, end := accepts(g.NewMatcher(), x); n == len(x) && end {
			t.Errorf("%q accepted", x)
		}
	}
	for range 10 {
		m := g.NewMatcher()
		walk(t, rand.New(rand.NewPCG(21, 21)), m, 40, func(mask []uint32) {
			checkMask(t, m, mask, func(int) bool { return true })
		})
	}
	deep := literal("x")
	for range 100 {
		deep = Source{Kind: Sequence, Parts: []Source{deep}}
	}
	for _, tt := range []struct {
		src   Source
		cause error
	}{
		{Source{Kind: Sequence}, ErrInvalid},
		{Source{Kind: Either, Parts: []Source{literal("a"), {Kind: Regex, Text: "("}}}, ErrInvalid},
		{Source{Kind: Many, Parts: []Source{{Kind: JSONSchema, Text: "false"}}}, ErrUnsatisfiable},
		{deep, ErrLimit},
	} {
		if _, err := c.Compile(t.Context(), tt.src); !errors.Is(err, tt.cause) {
			t.Errorf("%v: %v, want %v", tt.src.Kind, err, tt.cause)
		}
	}
	// Joined sources don't collide with others in the cache.
	if compile(t, c, Source{Kind: Sequence, Parts: []Source{literal("a"), literal("b")}}) == compile(t, c, Source{Kind: Either, Parts: []Source{literal("a"), literal("b")}}) {
		t.Error("two sources share a grammar")
	}
}
