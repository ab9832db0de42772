package grammar

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// benchAnswer is an answer to benchSchema, as models write them.
const (
	benchSchema = `{"type":"object","properties":{"title":{"type":"string","maxLength":80},"summary":{"type":"string"},` +
		`"score":{"type":"number","minimum":0,"maximum":10},"date":{"type":"string","format":"date"},` +
		`"tags":{"type":"array","items":{"enum":["water","rock","history","geology"]},"maxItems":5},` +
		`"people":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},"email":{"anyOf":[{"type":"string","format":"email"},{"type":"null"}]}},"required":["name","age","email"]}}},` +
		`"required":["title","summary","score","date","tags","people"],"additionalProperties":false}`
	benchAnswer = `{
  "title": "The water under the town",
  "summary": "In 1874 the wells of the town ran dry, and the people dug deeper than anybody had before. They found water in the sandstone, cold and clear, and a \"hall\" of rock where it had stood for ten thousand years. The town still drinks from it.",
  "score": 8.5,
  "date": "2026-11-25",
  "tags": ["water", "history"],
  "people": [
    {"name": "Anna Brunner", "age": 41, "email": "anna@example.com"},
    {"name": "José Álvarez", "age": 7, "email": null}
  ]
}`
)

// greedy cuts a text into the longest tokens.
func greedy(c *Compiler, text string) (ids []int32) {
	texts := byText(c)
	for text != "" {
		n := min(len(text), 40)
		for texts[text[:n]] == 0 {
			n--
		}
		ids = append(ids, texts[text[:n]])
		text = text[n:]
	}
	return ids
}

// BenchmarkAnswer measures Mask and Accept for each token of an answer with a vocabulary of 128,000 tokens, caches warm.
func BenchmarkAnswer(b *testing.B) {
	c := realCompiler(b, "llama3_1")
	ids := greedy(c, benchAnswer)
	for name, src := range map[string]Source{
		"schema": {Kind: JSONSchema, Text: benchSchema},
		"json":   {Kind: JSONObject},
		"gbnf":   {Kind: GBNF, Text: strings.Replace(gbnfJSON, "{0,2}", "{0,20}", 1)},
	} {
		b.Run(name, func(b *testing.B) {
			g := compile(b, c, src)
			mask := make([]uint32, c.MaskWords())
			var times []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				m := g.NewMatcher()
				for _, id := range ids {
					start := time.Now()
					if err := m.Mask(mask); err != nil {
						b.Fatal(err)
					}
					times = append(times, time.Since(start))
					if err := m.Accept(id); err != nil {
						b.Fatal(err)
					}
				}
			}
			report(b, times, len(ids))
		})
	}
}

// BenchmarkColdAnswer is BenchmarkAnswer with nothing in the cache of masks but what a compilation puts there.
func BenchmarkColdAnswer(b *testing.B) {
	c := realCompiler(b, "llama3_1")
	ids := greedy(c, benchAnswer)
	mask := make([]uint32, c.MaskWords())
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		schema := strings.Replace(benchSchema, `"maximum":10`, fmt.Sprintf(`"maximum":%d`, i+10), 1)
		m := compile(b, c, Source{Kind: JSONSchema, Text: schema}).NewMatcher()
		for _, id := range ids {
			start := time.Now()
			if err := m.Mask(mask); err != nil {
				b.Fatal(err)
			}
			times = append(times, time.Since(start))
			if err := m.Accept(id); err != nil {
				b.Fatal(err)
			}
		}
	}
	report(b, times, len(ids))
}

func report(b *testing.B, times []time.Duration, tokens int) {
	slices.Sort(times)
	sum := time.Duration(0)
	for _, d := range times {
		sum += d
	}
	at := func(p float64) float64 { return float64(times[int(float64(len(times)-1)*p)].Nanoseconds()) / 1e3 }
	b.ReportMetric(float64(sum.Nanoseconds())/float64(len(times))/1e3, "us/mask")
	b.ReportMetric(at(0.5), "p50-us")
	b.ReportMetric(at(0.99), "p99-us")
	b.ReportMetric(at(1), "max-us")
	b.ReportMetric(float64(tokens), "tokens")
}

func BenchmarkCompile(b *testing.B) {
	c := realCompiler(b, "llama3_1")
	for i := 0; b.Loop(); i++ {
		schema := strings.Replace(benchSchema, `"maximum":10`, fmt.Sprintf(`"maximum":%d`, i%1000+10), 1)
		compile(b, c, Source{Kind: JSONSchema, Text: schema})
		if i%1000 == 999 {
			c.grammars = newCache[[32]byte, *Grammar](c.grammars.limit)
		}
	}
}

func BenchmarkNewCompiler(b *testing.B) {
	v := realVocabulary(b, "llama3_1")
	b.ReportAllocs()
	for b.Loop() {
		newCompiler(b, v, Options{})
	}
}

// TestBenchAnswer keeps the benchmarks honest: their answer is one, and masks hold its tokens.
func TestBenchAnswer(t *testing.T) {
	if !json.Valid([]byte(benchAnswer)) {
		t.Error("the answer is not JSON")
	}
	c := newCompiler(t, madeUp(18, 2000), Options{})
	g := compile(t, c, Source{Kind: JSONSchema, Text: benchSchema})
	if n, end := accepts(g.NewMatcher(), benchAnswer); n < len(benchAnswer) || !end {
		t.Errorf("refused at %.40q", benchAnswer[n:])
	}
	checkAnswer(t, benchSchema, benchAnswer)
}

// TestNoAllocation: once its states were seen, following an answer allocates nothing.
func TestNoAllocation(t *testing.T) {
	c := newCompiler(t, madeUp(19, 3000), Options{})
	rng := rand.New(rand.NewPCG(19, 19))
	ids := randomTokens(rng, c, byText(c), benchAnswer)
	m := compile(t, c, Source{Kind: JSONSchema, Text: benchSchema}).NewMatcher()
	mask, forced := make([]uint32, c.MaskWords()), make([]byte, 0, 100)
	first := m.history[0]
	follow := func() {
		m.history = append(m.history[:0], first)
		for _, id := range ids {
			if err := m.Mask(mask); err != nil {
				t.Fatal(err)
			}
			if err := m.Accept(id); err != nil {
				t.Fatal(err)
			}
			forced = m.Forced(forced[:0], 100)
		}
	}
	follow()
	if n := testing.AllocsPerRun(10, follow); n > 0 {
		t.Errorf("%v allocations for %d tokens", n, len(ids))
	}
}

// TestMaskWork bounds what a mask takes in steps of the parse, which unlike time are the same on every machine: at most
// 40,000, and 2,000 on average, with a vocabulary of 128,000 tokens. 40,000 take about a millisecond.
func TestMaskWork(t *testing.T) {
	c := realCompiler(t, "llama3_1")
	for _, src := range []Source{{Kind: JSONObject}, {Kind: JSONValue}, {Kind: JSONSchema, Text: benchSchema}, {Kind: GBNF, Text: gbnfJSON}} {
		g := compile(t, c, src)
		rng := rand.New(rand.NewPCG(20, 20))
		total, worst, masks := 0, 0, 0
		for range 20 {
			m := g.NewMatcher()
			walk(t, rng, m, 60, func([]uint32) {
				used := stepWork - m.arena.work
				total, worst, masks = total+used, max(worst, used), masks+1
			})
		}
		if mean := total / masks; mean > 2000 || worst > 40_000 {
			t.Errorf("%v: %d steps a mask, at most %d", src.Kind, mean, worst)
		}
	}
}
