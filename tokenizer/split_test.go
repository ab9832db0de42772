package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// TestScanners compares the hand-written scanners with a regular-expression engine.
func TestScanners(t *testing.T) {
	parts := []string{
		"'s", "'S", "'ſ", "'re", "'RE", "'ll", "'lL", "'v", "'ve", "'", "''", "a", "Z", "é", "e\u0301", "水", "1", "²", "٣", "Ⅷ", " ", "  ", "\t", "\n", "\r\n", "\r",
		"\u00a0", "\u2028", "\x85", "\x1c", "-", "...", "😀", "_", "\x00", "\u200d", "ǅ", "ʼ", "Ab", "aB", "ÀÉ", "é", "\u0301", "ª", "/", "\n/",
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for _, pattern := range []string{patternGPT2, patternLlama3, patternQwen2, patternTekken, patternGPT4o} {
		re, err := regexp2.Compile(pattern, regexp2.None)
		if err != nil {
			t.Fatal(err)
		}
		slow := &regexSplit{re: re}
		for range 30000 {
			var sb strings.Builder
			for range rng.IntN(10) {
				sb.WriteString(parts[rng.IntN(len(parts))])
			}
			s := sb.String()
			got, want := split(scanSplit{pattern}, s), split(slow, s)
			if !slices.Equal(got, want) {
				t.Fatalf("%s\n%+q\n got %v\nwant %v", pattern, s, got, want)
			}
		}
	}
}

func split(s splitter, text string) []span {
	budget := regexBudget(regexTime)
	return s.split(nil, text, &budget)
}

func pieces(s splitter, text string) []string {
	out := []string{}
	for _, sp := range split(s, text) {
		out = append(out, text[sp.lo:sp.hi])
	}
	return out
}

// TestBehaviors has the reference's documented examples ("the-final--countdown", split at "-") and its inversions.
func TestBehaviors(t *testing.T) {
	const text = "the-final--countdown"
	re, err := newRegexSplit("[a-z]+", isolated, false)
	if err != nil {
		t.Fatal(err)
	}
	for b, want := range map[behavior][]string{
		removed:          {"the", "final", "countdown"},
		isolated:         {"the", "-", "final", "-", "-", "countdown"},
		mergedWithBefore: {"the-", "final-", "-", "countdown"},
		mergedWithNext:   {"the", "-final", "-", "-countdown"},
		contiguous:       {"the", "-", "final", "--", "countdown"},
	} {
		if got := pieces(stringSplit{"-", b, false}, text); !slices.Equal(got, want) {
			t.Errorf("behavior %d: got %q, want %q", b, got, want)
		}
		// Matching the words and inverting is almost matching the dashes, but for their number.
		inverted := &regexSplit{re: re.(*regexSplit).re, b: b, invert: true}
		single := strings.ReplaceAll(text, "--", "-")
		if got, want := pieces(inverted, single), pieces(stringSplit{"-", b, false}, single); !slices.Equal(got, want) {
			t.Errorf("behavior %d inverted: got %q, want %q", b, got, want)
		}
	}
}

func TestDigitSplit(t *testing.T) {
	for _, c := range []struct {
		individual bool
		want       []string
	}{
		{true, []string{"a", "1", "2", "٣", "²", "b ", "4"}},
		{false, []string{"a", "12٣²", "b ", "4"}},
	} {
		if got := pieces(digitSplit{c.individual}, "a12٣²b 4"); !slices.Equal(got, c.want) {
			t.Errorf("individual %v: got %q, want %q", c.individual, got, c.want)
		}
	}
}

// TestRegexBudget: a pattern that explodes loses no text and ends in bounded time.
func TestRegexBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a timeout")
	}
	tok, err := Parse([]byte(`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?:a|aa)+[bd]|c"},"behavior":"Isolated"},
		"added_tokens":[{"id":3,"content":"!"}],
		"model":{"type":"BPE","vocab":{"a":0,"c":1,"aa":2},"merges":["a a"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("cc"+strings.Repeat("a", 5001)+"c!", 20)
	start := time.Now()
	ids := tok.Encode(text, EncodeOptions{})
	took := time.Since(start)
	var got strings.Builder
	for _, id := range ids {
		got.WriteString(tok.Piece(id))
	}
	if got.String() != text {
		t.Errorf("%d of %d bytes came back", got.Len(), len(text))
	}
	if took < regexTime/2 || took > 5*regexTime {
		t.Errorf("took %v; the pattern should run into the budget of %v once", took, regexTime)
	}
}
