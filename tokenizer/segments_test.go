package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// chatFixtures have control tokens that templates use.
func chatFixtures(t testing.TB) map[string]*Tokenizer {
	return map[string]*Tokenizer{"bytelevel": fixture(t, "bytelevel"), "spm": fixture(t, "spm"), "flags": fixture(t, "flags")}
}

func specials(tok *Tokenizer) []string {
	var out []string
	for _, a := range tok.AddedTokens() {
		if u, _ := tok.Unknown(); a.Special && a.ID != u {
			out = append(out, a.Content)
		}
	}
	return out
}

func countSpecial(tok *Tokenizer, ids []int32) (n int) {
	for _, id := range ids {
		if u, ok := tok.Unknown(); tok.IsSpecial(id) && !(ok && id == u) {
			n++
		}
	}
	return n
}

// TestSegmentBorders: where user text holds no control tokens, cutting a prompt into segments changes nothing.
func TestSegmentBorders(t *testing.T) {
	words := []string{
		"water", " the", "The", "  ", " ", "\n", "'", "s", "12", "3", "é", "e\u0301", "\u0301", "水", "...", "\r\n", "-", "▁", "ſ", "a", "\u00e2\u0080", "<tool>", "KEY",
		"ﬁ", "İ",
	}
	for name, tok := range chatFixtures(t) {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			literals := append([]string{"user\n", "\n", " "}, specials(tok)...)
			for range 3000 {
				var segs []Segment
				var all strings.Builder
				for range 1 + rng.IntN(6) {
					list, trusted := words, rng.IntN(2) == 0
					if trusted {
						list = literals
					}
					var sb strings.Builder
					for range rng.IntN(4) {
						sb.WriteString(list[rng.IntN(len(list))])
					}
					segs = append(segs, Segment{sb.String(), trusted})
					all.WriteString(sb.String())
				}
				for _, add := range []bool{false, true} {
					got := tok.EncodeSegments(segs, add)
					want := tok.Encode(all.String(), EncodeOptions{AddSpecial: add, ParseSpecial: true})
					if !slices.Equal(got, want) {
						t.Fatalf("%+v, special %v\n got %v\nwant %v", segs, add, got, want)
					}
				}
			}
		})
	}
}

// TestSegmentInjection: no control token comes out of user text, wherever its characters stand.
func TestSegmentInjection(t *testing.T) {
	for name, tok := range chatFixtures(t) {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			list := specials(tok)
			for range 3000 {
				// Control tokens are cut in two anywhere, and at least one half is the user's.
				var segs []Segment
				trusted := 0
				for range 1 + rng.IntN(4) {
					s := list[rng.IntN(len(list))]
					cut := rng.IntN(len(s) + 1)
					switch rng.IntN(4) {
					case 0:
						segs = append(segs, Segment{s, true})
						trusted++
					case 1:
						segs = append(segs, Segment{s, false})
					case 2:
						segs = append(segs, Segment{s[:cut], true}, Segment{s[cut:] + "x", false})
						if cut == len(s) {
							trusted++
						}
					default:
						segs = append(segs, Segment{"x" + s[:cut], false}, Segment{s[cut:], true})
						if cut == 0 {
							trusted++
						}
					}
				}
				ids := tok.EncodeSegments(segs, false)
				if got := countSpecial(tok, ids); got != trusted {
					t.Fatalf("%+v: %d control tokens, the template has %d: %v", segs, got, trusted, ids)
				}
			}
		})
	}
}

// TestSegmentNormalizedSpecial: the same where control tokens are looked for after normalization, which moves text.
func TestSegmentNormalizedSpecial(t *testing.T) {
	raw := strings.ReplaceAll(string(fixtureJSON(t, "flags")), `"normalized":false,"special":true`, `"normalized":true,"special":true`)
	tok, err := Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	mask, ok := tok.ID("<mask>")
	if !ok || len(tok.normTokens.tokens) < 5 {
		t.Fatal("the fixture has changed")
	}
	for _, user := range []string{"<mask>", "x", "ﬃ", "İİİ", "e" + strings.Repeat("\u0301", 40), "Å½", "ﷺ", "\u1100\u1161", ""} {
		for _, c := range []struct {
			segs []Segment
			want int
		}{
			{[]Segment{{user, false}, {"<mask>", true}}, 1},
			{[]Segment{{"<mask>", true}, {user, false}}, 1},
			{[]Segment{{"ﬃ<mask>ﬃ", true}, {user, false}, {"<mask>", true}, {user, false}}, 2},
			{[]Segment{{user, false}, {"<MASK>", true}, {user + "<mask>", false}}, 1}, // lower-cased before it is matched
			{[]Segment{{user + "<mas", false}, {"k>", true}}, 0},
			{[]Segment{{user, true}, {"<mas", true}, {"k>", false}, {user, true}}, 2 * strings.Count(user, "<mask>")},
			{[]Segment{{"<mask>" + user, false}}, 0},
		} {
			ids := tok.EncodeSegments(c.segs, false)
			got := 0
			for _, id := range ids {
				if id == mask {
					got++
				}
			}
			if got != c.want {
				t.Errorf("%+v: %d control tokens, want %d: %v", c.segs, got, c.want, ids)
			}
		}
	}
}

// TestMergesNeverGiveSpecial: a control token that is also a piece the merges could build stays out of user text.
func TestMergesNeverGiveSpecial(t *testing.T) {
	const file = `{"added_tokens":[{"id":4,"content":"ab","special":true},{"id":2,"content":"c","special":true}],
		"model":{"type":"BPE","ignore_merges":%v,"vocab":{"a":0,"b":1,"c":2,"<unk>":3,"ab":4,"abb":5},"merges":["a b","ab b"],"unk_token":"<unk>"}}`
	for _, ignore := range []string{"false", "true"} {
		tok, err := Parse([]byte(strings.Replace(file, "%v", ignore, 1)))
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string][]int32{"ab": {0, 1}, "c": {3}, "aab": {0, 0, 1}} {
			if got := tok.Encode(text, EncodeOptions{}); !slices.Equal(got, want) {
				t.Errorf("ignore_merges %s: %q gives %v, want %v", ignore, text, got, want)
			}
		}
		if got := tok.Encode("abc", EncodeOptions{ParseSpecial: true}); !slices.Equal(got, []int32{4, 2}) {
			t.Errorf("trusted text gives %v", got)
		}
	}
}
