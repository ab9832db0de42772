package grammar

import (
	"fmt"
	"testing"
)

// TestProse: free text, then calls in a frame, in texts and in the byte of a control token.
func TestProse(t *testing.T) {
	v := byteVocabulary()
	for i, tok := range v.Tokens {
		if len(tok) == 1 && tok[0] >= 0xf8 {
			v.Tokens[i] = nil
		}
	}
	v.Tokens = append(v.Tokens, []byte{0xf8})
	c := newCompiler(t, v, Options{})
	number := Source{Kind: Regex, Text: `[0-9]+`}
	calls := func(open string) Source {
		return Source{Kind: Many, Parts: []Source{{Kind: Literal, Text: open}, number, {Kind: Literal, Text: "</c>"}}, Text: `\n?`}
	}
	text := Source{Kind: Sequence, Parts: []Source{
		{Kind: Prose, Text: `<c>`}, {Kind: Either, Parts: []Source{{Kind: Choice, Choices: []string{""}}, calls("<c>")}},
	}}
	control := Source{Kind: Sequence, Parts: []Source{
		{Kind: Prose}, {Kind: Either, Parts: []Source{{Kind: Choice, Choices: []string{""}}, calls("\xf8")}},
	}}
	start := Source{Kind: Either, Parts: []Source{{Kind: Prose, Text: `^ ?\{"name":`}, {Kind: Regex, Text: ` ?\{"name":[0-9]\}`}}}
	list := Source{Kind: Many, Parts: []Source{number}, Text: `, ?`}
	for _, tt := range []struct {
		src     Source
		text    string
		ok, end bool
	}{
		{text, "", true, true},
		{text, "a < b <c", true, true},
		{text, "<<c", true, true},
		{text, "Zürich 😀 <c><c>", false, false},
		{text, "x<c>", true, false},
		{text, "<<c>1", true, false},
		{text, "x<c>12</c>", true, true},
		{text, "x<c>12</c>\n<c>3</c>", true, true},
		{text, "x<c>12</c>more", false, false},
		{text, "<c>a", false, false},
		{text, "\xff", false, false},
		{control, "a <c> \xf8", true, false},
		{control, "a \xf81</c>\xf82</c>", true, true},
		{control, "a \xf8\xf8", false, false},
		{start, `{"name"`, true, true},
		{start, ` {"name": 1`, false, false},
		{start, ` {"name":1`, true, false},
		{start, ` {"name":1}`, true, true},
		{start, `x {"name": 1`, true, true},
		{list, "1", true, true},
		{list, "1, 22,3", true, true},
		{list, "1,", true, false},
		{list, "1 2", false, false},
	} {
		m := compile(t, c, tt.src).NewMatcher()
		err := m.AcceptBytes([]byte(tt.text))
		if (err == nil) != tt.ok || err == nil && m.CanEnd() != tt.end {
			t.Errorf("%q: %v, can end: %v", tt.text, err, m.CanEnd())
		}
	}
	for i := range 2 * maxProses {
		compile(t, c, Source{Kind: Prose, Text: fmt.Sprintf("<%d>", i)})
	}
	if n := len(c.proses); n > maxProses {
		t.Errorf("%d automata of free text are kept", n)
	}
}

// BenchmarkProse measures masks of free text that must not run into a mark by accident.
func BenchmarkProse(b *testing.B) {
	c := realCompiler(b, "llama3_1")
	ids := greedy(c, sampleText)
	g := compile(b, c, Source{Kind: Sequence, Parts: []Source{
		{Kind: Prose, Text: `<tool_call>`},
		{Kind: Either, Parts: []Source{{Kind: Choice, Choices: []string{""}}, {Kind: Literal, Text: "<tool_call>"}}},
	}})
	mask := make([]uint32, c.MaskWords())
	b.ReportAllocs()
	for b.Loop() {
		m := g.NewMatcher()
		for _, id := range ids {
			if err := m.Mask(mask); err != nil {
				b.Fatal(err)
			}
			if err := m.Accept(id); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ids)), "ns/token")
}
