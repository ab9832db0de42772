package grammar

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"aquifer/models/modeltest"
	"aquifer/tokenizer"
)

// sampleText is what the tokens of made-up vocabularies are cut from.
const sampleText = `{"name": "Wasser", "city":"Zürich 水", "age": 42, "tags": ["a", "b"], "ok": true, "n": null, "x": -1.5e3}
{
  "properties": {"id": "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "date": "2026-11-25T10:00:00Z"},
	"list": [[], {}, [1, 23, 456], "say \"hi\"\n", "\u00e9", "tab\t"]
}
The quick brown fox 😀 jumps over 13 lazy dogs; user@example.com, https://example.org/a?b=c#d yes no maybe`

// byteVocabulary has a token for each byte, in another order, and two ends.
func byteVocabulary() Vocabulary {
	v := Vocabulary{Ends: []int32{256, 3}}
	b := 0
	for i := range 258 {
		if i == 3 || i == 256 {
			v.Tokens = append(v.Tokens, []byte("<end>"))
			continue
		}
		v.Tokens = append(v.Tokens, []byte{byte(b*29 + 11)})
		b++
	}
	return v
}

// madeUp adds pieces of sampleText to the bytes: tokens that end inside characters, that are equal, control tokens.
func madeUp(seed uint64, n int) Vocabulary {
	rng := rand.New(rand.NewPCG(seed, 1))
	v := byteVocabulary()
	for range n {
		switch rng.IntN(20) {
		case 0:
			v.Tokens = append(v.Tokens, nil)
		case 1:
			v.Tokens = append(v.Tokens, v.Tokens[rng.IntN(len(v.Tokens))])
		case 2:
			junk := make([]byte, 1+rng.IntN(5))
			for i := range junk {
				junk[i] = byte(rng.Uint32())
			}
			v.Tokens = append(v.Tokens, junk)
		default:
			from := rng.IntN(len(sampleText) - 12)
			v.Tokens = append(v.Tokens, []byte(sampleText[from:from+2+rng.IntN(10)]))
		}
	}
	return v
}

// withoutBytes takes the single-byte tokens of some bytes away.
func withoutBytes(v Vocabulary, bytes string) Vocabulary {
	for i, tok := range v.Tokens {
		if len(tok) == 1 && strings.IndexByte(bytes, tok[0]) >= 0 {
			v.Tokens[i] = nil
		}
	}
	return v
}

// newCompiler allows more time than the default: the machine may be busy. What takes long by itself runs out of steps.
func newCompiler(t testing.TB, v Vocabulary, o Options) *Compiler {
	t.Helper()
	if o.Limits.Time == 0 {
		o.Limits.Time = 20 * time.Second
	}
	c, err := NewCompiler(v, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func compile(t testing.TB, c *Compiler, src Source) *Grammar {
	t.Helper()
	g, err := c.Compile(context.Background(), src)
	if err != nil {
		t.Fatalf("%s: %v", src.Text, err)
	}
	return g
}

// realCompilers are compilers of published vocabularies, made once.
var realCompilers = struct {
	sync.Mutex
	m map[string]*Compiler
}{m: map[string]*Compiler{}}

// realCompiler returns the compiler for the vocabulary of a shared tokenizer; it skips the test where that isn't there.
func realCompiler(t testing.TB, name string) *Compiler {
	t.Helper()
	realCompilers.Lock()
	defer realCompilers.Unlock()
	if c := realCompilers.m[name]; c != nil {
		return c
	}
	c := newCompiler(t, realVocabulary(t, name), Options{})
	realCompilers.m[name] = c
	return c
}

func realVocabulary(t testing.TB, name string) Vocabulary {
	t.Helper()
	tok, err := tokenizer.Parse(modeltest.SharedFile(t, "tokenizers", name+".json.xz"))
	if err != nil {
		t.Fatal(err)
	}
	v := Vocabulary{Tokens: make([][]byte, tok.Size())}
	for id := range int32(tok.Size()) {
		if !tok.IsSpecial(id) {
			v.Tokens[id] = tok.Bytes(id)
		}
	}
	for _, piece := range []string{"<|eot_id|>", "<|end_of_text|>", "</s>", "<|im_end|>", "<end_of_turn>", "<eos>"} {
		if id, ok := tok.ID(piece); ok {
			v.Ends = append(v.Ends, id)
		}
	}
	return v
}

// accepts feeds a text byte by byte and reports how much of it is possible and whether the answer may end there.
func accepts(m *Matcher, text string) (n int, end bool) {
	for i := range len(text) {
		if m.AcceptBytes([]byte{text[i]}) != nil {
			return i, false
		}
	}
	return len(text), m.CanEnd()
}

// randomTokens cuts text into tokens of c at random; nil where that fails.
func randomTokens(rng *rand.Rand, c *Compiler, byText map[string]int32, text string) []int32 {
	var ids []int32
	for text != "" {
		var fit []int32
		for n := 1; n <= min(len(text), 16); n++ {
			if id, ok := byText[text[:n]]; ok {
				fit = append(fit, id)
			}
		}
		if len(fit) == 0 {
			return nil
		}
		id := fit[rng.IntN(len(fit))]
		ids = append(ids, id)
		text = text[len(c.tokens[id]):]
	}
	return ids
}

func byText(c *Compiler) map[string]int32 {
	m := map[string]int32{}
	for id, tok := range c.tokens {
		if len(tok) > 0 {
			m[string(tok)] = int32(id)
		}
	}
	return m
}
