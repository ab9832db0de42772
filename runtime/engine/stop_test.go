package engine

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// cutAt is what stopper must do, said plainly: the text before the stop string that is complete first.
func cutAt(text string, stops []string) (string, bool) {
	for end := 1; end <= len(text); end++ {
		longest := 0
		for _, s := range stops {
			if strings.HasSuffix(text[:end], s) {
				longest = max(longest, len(s))
			}
		}
		if longest > 0 {
			return text[:end-longest], true
		}
	}
	return text, false
}

// checkStopper feeds text in pieces that cut(rest) bytes long, at characters, and compares with cutAt.
func checkStopper(t *testing.T, text string, stops []string, cut func(rest string) int) {
	t.Helper()
	want, stopped := cutAt(text, stops)
	s := stopper{stops: stops}
	var got []byte
	rest := text
	for rest != "" {
		n := min(max(cut(rest), 1), len(rest))
		for n < len(rest) && !utf8.RuneStart(rest[n]) {
			n++
		}
		var end bool
		got, end = s.push(got, rest[:n])
		rest = rest[n:]
		if !utf8.Valid(got) {
			t.Fatalf("text %q, stops %q: %q ends in a character", text, stops, got)
		}
		if !strings.HasPrefix(want, string(got)) {
			t.Fatalf("text %q, stops %q: emitted %q, want %q", text, stops, got, want)
		}
		if end {
			if !stopped || string(got) != want {
				t.Fatalf("text %q, stops %q: stopped at %q, want %q, %v", text, stops, got, want, stopped)
			}
			return
		}
		// Nothing is held that can't become a stop string.
		for held := string(s.held); held != ""; held = "" {
			start := false
			for _, stop := range stops {
				start = start || strings.HasPrefix(stop, held)
			}
			if !start {
				t.Fatalf("text %q, stops %q: held %q for nothing", text, stops, held)
			}
		}
	}
	if got = s.flush(got); stopped || string(got) != want {
		t.Fatalf("text %q, stops %q: %q at the end, want %q, %v", text, stops, got, want, stopped)
	}
}

func TestStopper(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	letters := []string{"a", "b", "é", "\n"}
	word := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(letters[rng.IntN(len(letters))])
		}
		return b.String()
	}
	for range 20000 {
		var stops []string
		for range 1 + rng.IntN(3) {
			stops = append(stops, word(1+rng.IntN(5)))
		}
		checkStopper(t, word(rng.IntN(20)), stops, func(string) int { return 1 + rng.IntN(5) })
	}
}

func FuzzStopper(f *testing.F) {
	f.Add("one two STOP three", "STOP", "WO", uint64(1))
	f.Add("aaaaab", "aaab", "b", uint64(2))
	f.Add("é€😀", "€", "\n\n", uint64(3))
	f.Fuzz(func(t *testing.T, text, a, b string, seed uint64) {
		stops := []string{a, b}
		if checkStops(stops) != nil || !utf8.ValidString(text) || len(text) > 300 {
			t.Skip()
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		checkStopper(t, text, stops, func(string) int { return 1 + rng.IntN(6) })
	})
}
