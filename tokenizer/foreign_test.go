package tokenizer

import (
	"slices"
	"strings"
	"testing"

	"aquifer/models/modeltest"
)

// asLlamaCPP changes metadata to what llama.cpp's converter writes for the same tokenizer: spaces in tokens that users
// defined are spaces, and there are no merges.
func asLlamaCPP(m Metadata) (Metadata, int) {
	m.Tokens, m.Merges = slices.Clone(m.Tokens), nil
	changed := 0
	for i, kind := range m.Types {
		if kind == TypeUserDefined && strings.Contains(m.Tokens[i], spaceMark) {
			m.Tokens[i] = strings.ReplaceAll(m.Tokens[i], spaceMark, " ")
			changed++
		}
	}
	return m, changed
}

// TestForeignGemma reads Gemma 3 as llama.cpp's files have it and wants the ids of the reference. Only texts that
// contain the mark itself may differ: there the mark is no space.
func TestForeignGemma(t *testing.T) {
	cases := sharedCases(t)
	var refs []reference
	unmarshal(t, modeltest.SharedFile(t, "tokenizers", "expected", "gemma3.ref"), &refs)
	tok, err := Parse(modeltest.SharedFile(t, "tokenizers", "gemma3.json.xz"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := tok.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	m, changed := asLlamaCPP(m)
	if changed == 0 || m.AddSpacePrefix || m.Model != "llama" || m.Pre != preDefault {
		t.Fatalf("%d tokens with spaces, %q, %q, space prefix %v", changed, m.Model, m.Pre, m.AddSpacePrefix)
	}
	foreign, err := FromMetadata(m)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range cases {
		got := foreign.Encode(text, EncodeOptions{ParseSpecial: true})
		if !slices.Equal(got, refs[i].IDs2) && !strings.Contains(text, spaceMark) {
			t.Errorf("ids of %q\n got %v\nwant %v", text, got, refs[i].IDs2)
		}
		if got := foreign.Decode(refs[i].IDs2, false); got != refs[i].Dec0 {
			t.Errorf("text of %v\n got %q\nwant %q", refs[i].IDs2, got, refs[i].Dec0)
		}
	}
}
