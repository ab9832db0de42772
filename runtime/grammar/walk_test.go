package grammar

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"aquifer/runtime/grammar/grammartest"
)

// finish draws tokens uniformly from the mask for n tokens, then tokens that come to an end, until the answer ends. It
// gives up after 4n tokens, as max_tokens would.
func finish(t *testing.T, rng *rand.Rand, m *Matcher, n int) (text string, ended bool) {
	t.Helper()
	c := m.g.c
	mask := make([]uint32, c.MaskWords())
	var all, ids []int32
	for i := range 4 * n {
		if err := m.Mask(mask); err != nil {
			t.Fatalf("after %q: %v", text, err)
		}
		all = tokensOf(all[:0], mask)
		ids = append(ids[:0], all...)
		if i >= n {
			best := 100
			for _, id := range all {
				r := rank(c.tokens[id])
				if r < best {
					ids, best = ids[:0], r
				}
				if r == best {
					ids = append(ids, id)
				}
			}
		}
		id := ids[rng.IntN(len(ids))]
		if end := m.CanEnd(); end != slices.ContainsFunc(c.ends, func(e int32) bool { return mask[e>>5]>>(e&31)&1 != 0 }) {
			t.Fatalf("after %q: can end %v, the mask says otherwise", text, end)
		} else if end && (i >= n || rng.IntN(3) == 0) {
			id = c.ends[rng.IntN(len(c.ends))]
		}
		if err := m.Accept(id); err != nil {
			t.Fatalf("after %q: token %d of the mask: %v", text, id, err)
		}
		if slices.Contains(c.ends, id) {
			return text, true
		}
		text += string(c.tokens[id])
	}
	return text, false
}

// rank orders tokens by how soon they bring JSON to an end.
func rank(tok []byte) int {
	if len(tok) == 0 {
		return 99
	}
	kinds := []string{`"`, "}]", "tfn0123456789-:", ",", "abcdefghijklmnopqrstuvwxyz.@+/TZP_ABCDEFGHIJKLMNOQRSUVWXY", "{[", ""}
	for i, k := range kinds {
		if strings.IndexByte(k, tok[0]) >= 0 {
			return 10*i + min(len(tok), 9)
		}
	}
	return 90
}

// checkAnswer checks a finished answer against its schema with a validator that isn't ours.
func checkAnswer(t *testing.T, schema, text string) {
	t.Helper()
	if err := grammartest.Validate(schema, text); err != nil {
		t.Fatal(err)
	}
}

// walkSchemas checks that answers to random schemas that end parse and validate, and that most end.
func walkSchemas(t *testing.T, c *Compiler, seed uint64, schemas, walks int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 11))
	ended, refused := 0, 0
	for range schemas {
		schema := grammartest.Document(rng)
		g, err := c.Compile(t.Context(), Source{Kind: JSONSchema, Text: schema, Compact: rng.IntN(2) == 0})
		if err != nil {
			refused++
			if strings.Contains(err.Error(), "over the limit") {
				t.Errorf("%s: %v", schema, err)
			}
			continue
		}
		for range walks {
			text, ok := finish(t, rng, g.NewMatcher(), 2+rng.IntN(40))
			if ok {
				ended++
				checkAnswer(t, schema, text)
			}
		}
	}
	total := (schemas - refused) * walks
	t.Logf("%d schemas, %d refused; %d of %d answers ended", schemas, refused, ended, total)
	if refused > schemas/10 || ended < total*9/10 {
		t.Errorf("too few answers: %d schemas of %d refused, %d answers of %d ended", refused, schemas, ended, total)
	}
}

func TestRandomSchemas(t *testing.T) {
	for i, v := range []Vocabulary{byteVocabulary(), madeUp(5, 500), withoutBytes(madeUp(6, 3000), "\x00\x01\xc0\xf3\xf4\xffQ")} {
		walkSchemas(t, newCompiler(t, v, Options{}), uint64(i), 250, 6)
	}
}

func TestRandomSchemasReal(t *testing.T) {
	for i, name := range []string{"llama3_1", "mistral_v3"} { // byte-level, and SentencePiece with bytes
		t.Run(name, func(t *testing.T) {
			walkSchemas(t, realCompiler(t, name), uint64(i)+10, 60, 6)
		})
	}
}

// TestRandomJSON is the same for JSON mode, at depths where the stack runs out.
func TestRandomJSON(t *testing.T) {
	for _, stack := range []int{4, 9, 128} {
		c := newCompiler(t, madeUp(7, 800), Options{Limits: Limits{Stack: stack}})
		for kind := JSONObject; kind <= JSONValue; kind++ {
			g := compile(t, c, Source{Kind: kind})
			rng := rand.New(rand.NewPCG(uint64(stack), uint64(kind)))
			ended := 0
			for range 300 {
				text, ok := finish(t, rng, g.NewMatcher(), 60)
				if !ok {
					continue
				}
				ended++
				var v any
				if err := json.Unmarshal([]byte(text), &v); err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				if _, object := v.(map[string]any); kind == JSONObject && !object {
					t.Fatalf("%q is no object", text)
				}
			}
			if ended < 270 {
				t.Errorf("stack %d: %d answers of 300 ended", stack, ended)
			}
		}
	}
}

// TestStackLimit: what nests deeper than the stack is not offered, and what was begun can be completed.
func TestStackLimit(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{Limits: Limits{Stack: 12}})
	g := compile(t, c, Source{Kind: JSONValue})
	m := g.NewMatcher()
	n, _ := accepts(m, strings.Repeat("[", 100))
	if n < 3 || n > 12 {
		t.Fatalf("%d levels in a stack of 12", n)
	}
	if k, end := accepts(m, strings.Repeat("]", n)); k != n || !end {
		t.Errorf("%d levels can't be closed: %d bytes, end %v", n, k, end)
	}
	if _, err := c.Compile(t.Context(), Source{Kind: JSONSchema, Text: strings.Repeat(`{"type":"array","minItems":1,"items":`, 14) + `{}` + strings.Repeat(`}`, 14)}); err == nil {
		t.Error("a schema that needs more than the stack was compiled")
	}
	// A list written as recursion takes no stack.
	list := compile(t, c, Source{Kind: GBNF, Text: "root ::= \"a\" root | \"b\""})
	if k, end := accepts(list.NewMatcher(), strings.Repeat("a", 5000)+"b"); k != 5001 || !end {
		t.Errorf("list: %d bytes, end %v", k, end)
	}
}
