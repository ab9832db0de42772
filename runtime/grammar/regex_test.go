package grammar

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var regexes = []string{
	``, `a`, `abc`, `a|b|cd`, `(?:ab)*`, `a+b?c*`, `[a-c]{2,4}`, `[^a-c]`, `.`, `.*`, `(?s).*b`, `\d+(?:\.\d+)?`,
	`(?i)straße|ß|K`, `\p{Greek}+`, `[\x{100}-\x{10ffff}]+`, `\x00|\x7f|\x{80}`, `^abc$`, `^a|b$`, `^*a$$`, `(?:^a)+`,
	`a$b|c`, `(?:a|^)b(?:c|$)`, `(?:a*)*`, `(?:a|aa){3,5}`, `(?:)`, `[[:alpha:]_]\w{0,3}`, `\s+\S`, `(?:a|b)*a(?:a|b){3}`,
	`(a(b(c(d)?)?)?)?`, `x{0}`, `x{3}`, `x{2,}`, `[^\x00-\x{10FFFF}]|a`, `\Aab\z`, `(?U)a+b`, `\Qa.b\E`,
}

// randomText mixes characters of a pattern with others, so that matches are not rare.
func randomText(rng *rand.Rand, pattern string) string {
	if rng.IntN(3) == 0 {
		pattern, _, _ = strings.Cut(strings.Trim(pattern, "^$"), "?")
		return strings.ToValidUTF8(pattern[:rng.IntN(len(pattern)+1)], "")
	}
	alphabet := []rune(pattern + "abcdxyz019 \n.ßéαω水😀\x00\x7f\u0080\ud7ff\ue000\U0010ffff")
	var b strings.Builder
	for range rng.IntN(8) {
		b.WriteRune(alphabet[rng.IntN(len(alphabet))])
	}
	return b.String()
}

// TestRegexLikeGo compares with Go's regexp: whole matches, and texts that can't become one.
func TestRegexLikeGo(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	rng := rand.New(rand.NewPCG(1, 2))
	for _, pattern := range regexes {
		whole := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
		search := regexp.MustCompile(pattern)
		g := compile(t, c, Source{Kind: Regex, Text: pattern})
		quotedPattern := compile(t, c, Source{Kind: JSONSchema, Text: `{"type":"string","pattern":` + quoteJSON(pattern) + `}`})
		for range 400 {
			text := randomText(rng, pattern)
			n, end := accepts(g.NewMatcher(), text)
			want := whole.MatchString(text)
			if got := n == len(text) && end; got != want {
				t.Errorf("%q on %q: %v, want %v", pattern, text, got, want)
			}
			n, end = accepts(quotedPattern.NewMatcher(), quoteJSON(text))
			if got, want := n == len(quoteJSON(text)) && end, search.MatchString(text); got != want {
				t.Errorf("pattern %q on %q: %v, want %v", pattern, text, got, want)
			}
		}
	}
}

// TestRegexRandom is TestRegexLikeGo with random expressions, through both ways of compiling them.
func TestRegexRandom(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	rng := rand.New(rand.NewPCG(3, 4))
	var random func(depth int) string
	random = func(depth int) string {
		atoms := []string{"a", "b", "é", "[ab]", "[^a]", ".", "水|a", "\\x00"}
		if depth == 0 {
			return atoms[rng.IntN(len(atoms))]
		}
		switch sub := random(depth - 1); rng.IntN(6) {
		case 0:
			return "(?:" + sub + ")*"
		case 1:
			return "(?:" + sub + "){1,3}"
		case 2:
			return "(?:" + sub + "|" + random(depth-1) + ")"
		case 3:
			return "(?:" + sub + ")?" + random(depth-1)
		default:
			return sub + random(depth-1)
		}
	}
	matches := 0
	for range 150 {
		pattern := random(3)
		re := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
		g := compile(t, c, Source{Kind: Regex, Text: pattern})
		loops := asLoops(t, c, pattern)
		for range 60 {
			text := randomText(rng, "aabbé水")
			want := re.MatchString(text)
			for _, g := range []*Grammar{g, loops} {
				n, end := accepts(g.NewMatcher(), text)
				if got := n == len(text) && end; got != want {
					t.Fatalf("%q on %q: %v, want %v (as loops: %v)", pattern, text, got, want, g == loops)
				}
			}
			if want {
				matches++
			}
		}
	}
	if matches < 500 {
		t.Errorf("only %d matches", matches)
	}
}

// asLoops compiles an expression to rules with a terminal for each character: every part of it is a rule that is taken
// for recursive.
func asLoops(t *testing.T, c *Compiler, pattern string) *Grammar {
	t.Helper()
	e, err := parseRegex(pattern)
	if err != nil {
		t.Fatal(err)
	}
	b := newBuilder(&c.alphabet, newBudget(t.Context(), c.limits))
	l := newLowering(&gbnfGrammar{}, b, plain)
	var split func(e *expr) *expr
	split = func(e *expr) *expr {
		part := *e
		part.subs = nil
		for _, s := range e.subs {
			part.subs = append(part.subs, split(s))
		}
		r, err := b.rule("part")
		if err != nil {
			t.Fatal(err)
		}
		l.bodies, l.rules, l.recursive, l.sizes = append(l.bodies, &part), append(l.rules, r), append(l.recursive, true), append(l.sizes, 0)
		return &expr{op: exprRule, min: len(l.bodies) - 1}
	}
	root := split(e)
	for i, body := range l.bodies {
		if b.rules[l.rules[i]].start, err = l.lower(body, endOfRule); err != nil {
			t.Fatal(err)
		}
	}
	if b.rules[0].start, err = l.lower(root, endOfRule); err != nil {
		t.Fatal(err)
	}
	p, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	return &Grammar{c: c, p: p}
}

func TestRegexRefused(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	for pattern, cause := range map[string]error{
		`(?=a)`: ErrUnsupported, `(?!a)b`: ErrUnsupported, `(?<=a)b`: ErrUnsupported, `\ba`: ErrUnsupported, `a\B`: ErrUnsupported,
		`(?m)^a`: ErrUnsupported, `(?m)a$`: ErrUnsupported, `(a)\1`: ErrInvalid, `(`: ErrInvalid, `[b-a]`: ErrInvalid, `*`: ErrInvalid,
		"\xff": ErrInvalid, `a{1001}`: ErrLimit, `(?:a{1000}){1000}`: ErrLimit, `[^\x00-\x{10FFFF}]`: ErrUnsatisfiable, `a^b`: ErrUnsatisfiable,
	} {
		_, err := c.Compile(t.Context(), Source{Kind: Regex, Text: pattern})
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, cause) {
			t.Errorf("%q: %v, want %v", pattern, err, cause)
		}
	}
}

// TestUTF8Sequences compares with utf8.EncodeRune over every character.
func TestUTF8Sequences(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	ranges := [][2]rune{{0, unicode.MaxRune}, {0, 0}, {0x7f, 0x80}, {0x7ff, 0x800}, {0xd7ff, 0xe000}, {0xd800, 0xdfff}, {0xffff, 0x10000}, {5, 4}}
	for range 40 {
		lo, hi := rng.Int32N(unicode.MaxRune+1), rng.Int32N(unicode.MaxRune+1)
		ranges = append(ranges, [2]rune{min(lo, hi), max(lo, hi)})
	}
	for _, r := range ranges {
		var seqs [][]byteRange
		utf8Sequences(r[0], r[1], func(s []byteRange) { seqs = append(seqs, s) })
		count := 0
		for _, s := range seqs {
			n := 1
			for _, b := range s {
				n *= int(b.hi) - int(b.lo) + 1
			}
			count += n
		}
		want := 0
		for c := rune(0); c <= unicode.MaxRune; c++ {
			if c < r[0] || c > r[1] || !utf8.ValidRune(c) {
				continue
			}
			want++
			if c&0xff != 0 && c > r[0] && c < r[1] && rng.IntN(50) > 0 {
				continue // samples, and all near a border
			}
			enc := []byte(string(c))
			found := 0
			for _, s := range seqs {
				ok := len(s) == len(enc)
				for i := range enc {
					ok = ok && enc[i] >= s[i].lo && enc[i] <= s[i].hi
				}
				if ok {
					found++
				}
			}
			if found != 1 {
				t.Fatalf("%x..%x: %x is in %d sequences", r[0], r[1], c, found)
			}
		}
		if count != want {
			t.Errorf("%x..%x: %d encodings, want %d", r[0], r[1], count, want)
		}
	}
}

// TestStringUTF8: whatever state a string is in, only bytes of valid UTF-8 can follow.
func TestStringUTF8(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	for _, src := range []Source{
		{Kind: JSONValue},
		{Kind: JSONSchema, Text: `{"type":"string","minLength":1,"maxLength":5}`},
		{Kind: JSONSchema, Text: `{"type":"string","pattern":"^[^a]*$"}`},
		{Kind: Regex, Text: `"[^"\x00-\x1f\\]*"`},
		{Kind: GBNF, Text: `root ::= "\"" [^"\\\x00-\x1f]* "\""`},
	} {
		g := compile(t, c, src)
		for a := range 256 {
			for b := range 256 {
				for _, rest := range []string{"", "\x80", "\xbf\xbf"} {
					text := string([]byte{byte(a), byte(b)}) + rest
					n, end := accepts(g.NewMatcher(), `"`+text+`"`)
					if n == len(text)+2 && end && !utf8.ValidString(text) {
						t.Fatalf("%v: %q accepted", src, text)
					}
					if rest == "\xbf\xbf" && a >= 0xf0 && utf8.ValidString(text) && n < len(text)+2 {
						t.Fatalf("%v: %q refused after %d bytes", src, text, n)
					}
				}
			}
		}
	}
}

// FuzzRegex: no pattern makes the compiler panic or run long, and what it accepts is what Go's regexp matches.
func FuzzRegex(f *testing.F) {
	for _, p := range regexes {
		f.Add(p, "abc")
	}
	f.Add(`(?:a|b)*a(?:a|b){18}`, "aaaa")
	f.Add(strings.Repeat("(", 300)+strings.Repeat(")*", 300), "")
	c := newCompiler(f, byteVocabulary(), Options{Limits: Limits{Steps: 1_000_000}})
	f.Fuzz(func(t *testing.T, pattern, text string) {
		g, err := c.Compile(t.Context(), Source{Kind: Regex, Text: pattern})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%q: error of type %T", pattern, err)
			}
			return
		}
		n, end := accepts(g.NewMatcher(), text)
		if re, err := syntax.Parse(pattern, syntax.Perl); err != nil || strings.Contains(re.String(), "(?m:") {
			return
		}
		re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
		if err != nil { // a pattern that closes the group
			return
		}
		if got, want := n == len(text) && end, re.MatchString(text); got != want && utf8.ValidString(text) {
			t.Fatalf("%q on %q: %v, want %v", pattern, text, got, want)
		}
	})
}
