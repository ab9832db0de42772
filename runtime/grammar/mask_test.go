package grammar

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// sources are constraints of every kind, for tests of what must hold for all of them.
func sources() []Source {
	out := []Source{
		{Kind: JSONObject},
		{Kind: JSONValue, Compact: true},
		{Kind: Regex, Text: `(?:[a-z ]+|"[^"]*")(?:, (?:[a-z ]+|"[^"]*"))*`},
		{Kind: Regex, Text: `.*fox.{0,12}`},
		{Kind: Regex, Text: `[^\x00-\x7f]+|\p{Lu}\p{L}{1,4}`},
		{Kind: Choice, Choices: []string{"yes", "no", "yesterday", "Zürich 水", ""}},
		{Kind: GBNF, Text: `root ::= ("(" root ")" | [a-z ]+ | "\"" [^"]* "\"")+`},
		{Kind: GBNF, Text: `root ::= s
s ::= "a" s "b" | "a" s "c" | "x"{2,5} | ([0-9]{3}){0,70}`},
	}
	for _, schema := range []string{
		`{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},"tags":{"type":"array","items":{"type":"string"}}},"required":["name"]}`,
		`{"type":"array","items":{"type":"string","minLength":2,"maxLength":7},"minItems":1,"maxItems":4}`,
		`{"type":"array","items":{"type":"string","minLength":3}}`,
		`{"type":"string","pattern":"^[A-Z][a-z]*$"}`,
		`{"type":"string","pattern":"fox","maxLength":40}`,
		`{"type":"object","additionalProperties":{"type":"number"},"properties":{"a":{"type":"null"}}}`,
		`{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}],"$defs":{"n":{"type":"object","properties":{"v":{"type":"integer","minimum":-5,"maximum":400},"next":{"$ref":"#"}},"required":["v","next"]}}}`,
		`{"anyOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"$ref":"#"}},"required":["k"]},{"type":"object","properties":{"k":{"const":"a"},"y":{"$ref":"#"}},"required":["k"]}]}`,
	} {
		out = append(out, Source{Kind: JSONSchema, Text: schema})
	}
	return out
}

// checkMask compares a mask with what Accept says of every token.
func checkMask(t *testing.T, m *Matcher, mask []uint32, sample func(id int) bool) {
	t.Helper()
	for id := range m.g.c.tokens {
		if !sample(id) {
			continue
		}
		in := mask[id>>5]>>(id&31)&1 != 0
		err := m.Accept(int32(id))
		if err == nil {
			if err := m.Rollback(1); err != nil {
				t.Fatal(err)
			}
		}
		if in != (err == nil) {
			t.Fatalf("token %d %q: in the mask %v, Accept: %v", id, m.g.c.tokens[id], in, err)
		}
	}
}

// tokensOf appends the tokens of a mask to ids.
func tokensOf(ids []int32, mask []uint32) []int32 {
	for i, w := range mask {
		for ; w != 0; w &= w - 1 {
			ids = append(ids, int32(32*i+bits.TrailingZeros32(w)))
		}
	}
	return ids
}

// walk draws tokens from the mask until the answer ends, at most n of them, and returns the text. visit is called with
// every mask.
func walk(t *testing.T, rng *rand.Rand, m *Matcher, n int, visit func(mask []uint32)) (text string, ended bool) {
	t.Helper()
	mask := make([]uint32, m.g.c.MaskWords())
	var ids []int32
	for range n {
		if err := m.Mask(mask); err != nil {
			t.Fatalf("after %q: %v", text, err)
		}
		if visit != nil {
			visit(mask)
		}
		ids = tokensOf(ids[:0], mask)
		id := ids[rng.IntN(len(ids))]
		if m.CanEnd() && rng.IntN(4) == 0 {
			id = m.g.c.ends[0]
		}
		if err := m.Accept(id); err != nil {
			t.Fatalf("after %q: token %d %q of the mask: %v", text, id, m.g.c.tokens[id], err)
		}
		if slices.Contains(m.g.c.ends, id) {
			return text, true
		}
		text += string(m.g.c.tokens[id])
	}
	return text, false
}

// TestMaskIsAccept: a token is in the mask exactly if its bytes can follow, whatever way the mask was computed.
func TestMaskIsAccept(t *testing.T) {
	vocabularies := map[string]Vocabulary{
		"bytes": byteVocabulary(),
		"small": madeUp(1, 300),
		"large": madeUp(2, 4000),
		"gaps":  withoutBytes(madeUp(3, 500), "\xf1\xf2\xf5Zq\x00"),
	}
	for name, v := range vocabularies {
		c := newCompiler(t, v, Options{Masks: 1 << 20})
		for i, src := range sources() {
			g := compile(t, c, src)
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			for range 12 {
				m := g.NewMatcher()
				walk(t, rng, m, 25, func(mask []uint32) {
					checkMask(t, m, mask, func(int) bool { return name != "large" || rng.IntN(8) == 0 })
				})
			}
		}
	}
}

// TestMaskIsAcceptReal is TestMaskIsAccept over published vocabularies, on samples of their tokens.
func TestMaskIsAcceptReal(t *testing.T) {
	for _, name := range []string{"llama3_1", "mistral_v3"} {
		t.Run(name, func(t *testing.T) {
			c := realCompiler(t, name)
			for i, src := range sources() {
				g := compile(t, c, src)
				rng := rand.New(rand.NewPCG(uint64(i), 9))
				for range 3 {
					m := g.NewMatcher()
					walk(t, rng, m, 12, func(mask []uint32) {
						checkMask(t, m, mask, func(id int) bool { return rng.IntN(40) == 0 })
					})
				}
			}
		})
	}
}

func TestMaskLength(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	m := compile(t, c, Source{Kind: JSONValue}).NewMatcher()
	if c.MaskWords() != 9 {
		t.Errorf("mask of %d words for 258 tokens", c.MaskWords())
	}
	for _, n := range []int{0, 8, 10} {
		if err := m.Mask(make([]uint32, n)); err == nil {
			t.Errorf("mask of %d words accepted", n)
		}
	}
}
