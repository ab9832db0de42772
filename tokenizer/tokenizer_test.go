package tokenizer

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestVocabulary(t *testing.T) {
	tok := fixture(t, "spm")
	bos, ok1 := tok.BOS()
	unk, ok2 := tok.Unknown()
	if _, ok := tok.EOS(); bos != 1 || !ok1 || unk != 0 || !ok2 || ok {
		t.Errorf("BOS %d %v, unknown %d %v, EOS %v", bos, ok1, unk, ok2, ok)
	}
	for _, c := range []struct {
		piece, bytes string
		special      bool
	}{
		{"<s>", "<s>", true}, {"<0x0A>", "\n", false}, {"▁water", " water", false}, {"e", "e", false},
	} {
		id, ok := tok.ID(c.piece)
		if !ok || tok.Piece(id) != c.piece || string(tok.Bytes(id)) != c.bytes || tok.Text(id) != c.bytes || tok.IsSpecial(id) != c.special {
			t.Errorf("%q: id %d %v, piece %q, bytes %q, special %v", c.piece, id, ok, tok.Piece(id), tok.Bytes(id), tok.IsSpecial(id))
		}
	}
	if _, ok := tok.ID("no such piece"); ok {
		t.Error("found a piece that is not there")
	}
	var names []string
	for _, a := range tok.AddedTokens() {
		names = append(names, a.Content)
	}
	if !slices.Equal(names, []string{"<unk>", "<s>", "</s>"}) {
		t.Errorf("added tokens %q", names)
	}
	byteLevel := fixture(t, "bytelevel")
	if id, ok := byteLevel.ID("Ġwater"); !ok || string(byteLevel.Bytes(id)) != " water" {
		t.Errorf("Ġwater: id %d, bytes %q", id, byteLevel.Bytes(id))
	}
	if tok.Kind() != "SentencePiece BPE" || byteLevel.Kind() != "byte-level BPE" {
		t.Errorf("kinds %q, %q", tok.Kind(), byteLevel.Kind())
	}
	tok.Bytes(bos)[0] = 'X' // the caller's copy
	if string(tok.Bytes(bos)) != "<s>" {
		t.Error("Bytes gives away the table")
	}
}

// TestConcurrentUse needs the race detector to mean much; without it, it still compares results.
func TestConcurrentUse(t *testing.T) {
	for _, name := range fixtures {
		tok := fixture(t, name)
		refs := fixtureRefs(t, name)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 5 {
					for _, r := range refs {
						if got := tok.Encode(r.Text, EncodeOptions{ParseSpecial: true}); !slices.Equal(got, r.Bare) {
							t.Errorf("%s: ids of %q differ", name, r.Text)
						}
						if got := tok.Decode(r.Bare, false); got != r.Dec0 {
							t.Errorf("%s: text of %v differs", name, r.Bare)
						}
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestWordBreaks: cutting a SentencePiece text in front of marks changes nothing, cache or not.
func TestWordBreaks(t *testing.T) {
	whole := fixture(t, "spm")
	whole.cross.on = false
	cut := fixture(t, "spm")
	if !cut.cross.on {
		t.Fatal("the fixture allows no cuts")
	}
	for _, r := range fixtureRefs(t, "spm") {
		text := strings.Repeat(r.Text+" ", 5)
		for range 2 {
			a, b := whole.Encode(text, EncodeOptions{}), cut.Encode(text, EncodeOptions{})
			if !slices.Equal(a, b) {
				t.Errorf("%q\n whole %v\n cut   %v", text, a, b)
			}
		}
	}
}

// TestWordBreaksKept: a piece with a character in front of a mark forbids the cut there.
func TestWordBreaksKept(t *testing.T) {
	const file = `{"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},
		"model":{"type":"BPE","vocab":{"a":0,"b":1,"▁":2,"a▁":3,"a▁b":4,"▁b":5},"merges":["▁ b","a ▁","a▁ b"]}}`
	tok, err := Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]int32{"a b": {0, 5}, "a a": {3, 0}, "b b": {1, 5}, "ba bb a": {1, 0, 5, 1, 2, 0}} {
		if got := tok.Encode(text, EncodeOptions{}); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
