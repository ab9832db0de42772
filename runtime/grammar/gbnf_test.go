package grammar

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// gbnfJSON is JSON in GBNF, written for this test.
const gbnfJSON = `# any JSON value
root   ::= value
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws ( member ("," ws member)* )? "}" ws
member ::= string ":" ws value ws
array  ::= "[" ws ( value ws ("," ws value ws)* )? "]"
string ::= "\"" char* "\""
char   ::= [^"\\\x00-\x1F\x7F] | "\\" ( ["\\/bfnrt] | "u" hex{4} )
hex    ::= [0-9a-fA-F]
number ::= "-"? ( "0" | [1-9] [0-9]{0,15} ) ( "." [0-9]+ )? ( [eE] [-+]? [0-9]{1,2} )?
ws     ::= [ \t\n]{0,2}
`

func TestGBNF(t *testing.T) {
	c := newCompiler(t, madeUp(8, 1500), Options{})
	texts := byText(c)
	rng := rand.New(rand.NewPCG(8, 8))
	long := func(s string, n int) string { return strings.Repeat(s, n) }
	for _, tt := range []struct {
		name, src string
		yes, no   []string
	}{
		{"literal", `root ::= "ab\n\"\\\x41é\u6c34\U0001F600"`, []string{"ab\n\"\\Aé水😀"}, []string{"", "ab"}},
		{"class", `root ::= [a-c\]\-^é-ü]+`, []string{"abc", "]", "-", "^", "éü"}, []string{"", "d", "\\", "ý"}},
		{"dash last", `root ::= [a-]+`, []string{"a-"}, []string{"b"}},
		{"negated", `root ::= [^a-c\n]`, []string{"d", "水", "\x00"}, []string{"a", "\n", "dd", "\xff"}},
		{"any", `root ::= . .`, []string{"ab", "水\n"}, []string{"a", "abc"}},
		{"alternatives", "root ::= \"a\" |\n \"b\" | # comment\n\n \"c\"\n", []string{"a", "b", "c"}, []string{"", "ab"}},
		{"nested lines", "root ::= (\n \"a\"\n |\n \"b\" \"c\"\n )\n", []string{"a", "bc"}, []string{"b"}},
		{"empty", `root ::= ""`, []string{""}, []string{"a"}},
		{"empty alternative", `root ::= "a" | `, []string{"", "a"}, []string{"b"}},
		{"repetition", `root ::= "a"* "b"+ "c"? "d"{2} "e"{1,} "f"{1,2}`, []string{"bddef", "aabbcddeeff"}, []string{"addef", "bdef", "bdddef", "bddefff"}},
		{"repeated literal", `root ::= "ab"{2} ("x" "y")*`, []string{"abab", "ababxyxy"}, []string{"abb", "ababx"}},
		{"double repetition", `root ::= ("a"?)* ("b"*)+`, []string{"", "aab", "bb"}, []string{"ba"}},
		{"large repetition", `root ::= "a"{1000}{2}`, []string{long("a", 2000)}, []string{long("a", 1999), long("a", 2001)}},
		{"huge repetition", `root ::= ([ab]{1000}){1000} "c"`, nil, []string{"", "c", "abc"}},
		{"rules", "root ::= a-b1\na-b1 ::= x_y x_y\nx_y ::= \"1\"", []string{"11"}, []string{"1"}},
		{"palindromes", `root ::= "a" root "a" | "b" root "b" | ""`, []string{"", "aa", "abba", long("a", 100)}, []string{"a", "ab"}},
		{"balanced", `root ::= ("(" root ")")*`, []string{"", "()", "(())()", long("(", 60) + long(")", 60)}, []string{"(", ")", "())"}},
		{"ambiguous", `root ::= "a" | "a" root "a" | "aa" root | root2
root2 ::= "a" root2 | "b"`, []string{"a", "aaa", "aab", "ab", "b", "aaaa" + "b"}, []string{"", "ba"}},
		{"shared stacks", `root ::= s "!"
s ::= "a" s "b" | "a" s "c" | ""`, []string{"!", "ab!", "aaabcb!", long("a", 50) + long("bc", 25) + "!"}, []string{"aab!", "abb!"}},
		{"arithmetic", `root ::= term ([-+*/] term)*
term ::= [0-9]+ | "(" root ")"`, []string{"1+2*(3-4)", "((1))"}, []string{"1+", "(1", "()"}},
		{"right recursion", "root ::= \"x\" root | \"y\"", []string{long("x", 3000) + "y"}, []string{"x", "yx"}},
		{"empty loops", `root ::= ((("a"?)? | ""){2,3})* "b"`, []string{"b", "aab"}, []string{"a"}},
		{"empty rules", "root ::= e e \"a\" e\ne ::= \"x\"? f\nf ::= \"\" | \"y\" root", []string{"a", "xxax", "yaa"}, []string{"x"}},
		{"json", gbnfJSON, []string{`{"a":[1,2.5,{"b":null}],"c":"\u00e9"}`, `[]`, "{\n \"a\": 1}"}, []string{`{`, `{"a"}`, "[\n\n\n]"}},
		{"unused rule", "root ::= \"a\"\nb ::= c\nc ::= b", []string{"a"}, []string{"b"}},
	} {
		g, err := c.Compile(t.Context(), Source{Kind: GBNF, Text: tt.src})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for _, x := range tt.yes {
			if n, end := accepts(g.NewMatcher(), x); n < len(x) || !end {
				t.Errorf("%s: %.60q refused after %d bytes (end %v)", tt.name, x, n, end)
			}
			m := g.NewMatcher()
			for _, id := range randomTokens(rng, c, texts, x) {
				if err := m.Accept(id); err != nil {
					t.Errorf("%s: %.60q: token %q: %v", tt.name, x, c.tokens[id], err)
					break
				}
			}
			if !m.CanEnd() {
				t.Errorf("%s: %.60q in tokens can't end", tt.name, x)
			}
		}
		for _, x := range tt.no {
			if n, end := accepts(g.NewMatcher(), x); n == len(x) && end {
				t.Errorf("%s: %.60q accepted", tt.name, x)
			}
		}
	}
}

// TestGBNFAnswers: answers to the JSON grammar parse.
func TestGBNFAnswers(t *testing.T) {
	c := newCompiler(t, madeUp(9, 1500), Options{})
	g := compile(t, c, Source{Kind: GBNF, Text: gbnfJSON})
	rng := rand.New(rand.NewPCG(9, 9))
	ended := 0
	for range 300 {
		text, ok := finish(t, rng, g.NewMatcher(), 50)
		if ok {
			ended++
			if !json.Valid([]byte(text)) {
				t.Errorf("%q is not JSON", text)
			}
		}
	}
	if ended < 250 {
		t.Errorf("%d answers of 300 ended", ended)
	}
}

func TestGBNFRefused(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	for _, tt := range []struct {
		src, path string
		cause     error
	}{
		{"", "", ErrInvalid},
		{"a ::= \"b\"", "", ErrInvalid},
		{"root ::= nothing", "1:10", ErrInvalid},
		{"root ::= \"a\"\nroot ::= \"b\"", "2:1", ErrInvalid},
		{"root = \"a\"", "1:6", ErrInvalid},
		{"root ::= \"a", "1:12", ErrInvalid},
		{"root ::= [a", "1:12", ErrInvalid},
		{"root ::= (\"a\"", "1:14", ErrInvalid},
		{"root ::= \"a\" )", "1:14", ErrInvalid},
		{"root ::= *", "1:10", ErrInvalid},
		{"root ::= \"\\q\"", "1:13", ErrInvalid},
		{"root ::= \"\\x4\"", "1:13", ErrInvalid},
		{"root ::= \"\\uD800\"", "1:13", ErrInvalid},
		{"root ::= \"\\U00110000\"", "1:13", ErrInvalid},
		{"root ::= [z-a]", "1:14", ErrInvalid},
		{"root ::= \"a\"{3,2}", "1:17", ErrInvalid},
		{"root ::= \"a\"{,2}", "1:14", ErrInvalid},
		{"root ::= \"a\"{99999999}", "1:22", ErrLimit},
		{"root ::= <think>", "1:10", ErrUnsupported},
		{"root ::= \"é\" <[5]>", "1:14", ErrUnsupported},
		{"\xff", "", ErrInvalid},
		{"root ::= root \"a\" | \"b\"", "", ErrUnsupported},
		{"root ::= a\na ::= b \"x\" | \"y\"\nb ::= \"\"? a", "", ErrUnsupported},
		{"root ::= (root)* \"a\"", "", ErrUnsupported},
		{"root ::= \"a\" root", "", ErrUnsatisfiable},
		{"root ::= []", "", ErrUnsatisfiable},
		{strings.Repeat("(", 10) + "root", "1:1", ErrInvalid},
		{"root ::= " + strings.Repeat("(", 100) + "\"a\"" + strings.Repeat(")", 100), "1:74", ErrLimit},
	} {
		_, err := c.Compile(t.Context(), Source{Kind: GBNF, Text: tt.src})
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, tt.cause) || e.Path != tt.path {
			t.Errorf("%.40q: %v (%+v), want %v at %s", tt.src, err, e, tt.cause, tt.path)
		}
	}
	_, err := c.Compile(t.Context(), Source{Kind: GBNF, Text: "root ::= x\nx ::= x"})
	if err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("the left-recursive rule is not named: %v", err)
	}
}

// FuzzGBNF: no grammar makes the compiler or a matcher panic or run long, and a state always has a token.
func FuzzGBNF(f *testing.F) {
	f.Add(gbnfJSON, uint64(1))
	f.Add("root ::= (\"a\"?)* \"b\"{2,3} | [^\\n]", uint64(2))
	f.Add("root ::= s \"!\"\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"\"", uint64(3))
	f.Add("root ::= e e \"a\" e\ne ::= \"x\"? f\nf ::= \"\" | \"y\" root", uint64(4))
	f.Add("root ::= ([ab]{1000}){1000} \"c\"", uint64(5))
	c := newCompiler(f, madeUp(10, 100), Options{Limits: Limits{Steps: 1_000_000}})
	f.Fuzz(func(t *testing.T, src string, seed uint64) {
		drive(t, c, Source{Kind: GBNF, Text: src}, seed)
	})
}

// drive compiles a source and follows a random answer.
func drive(t *testing.T, c *Compiler, src Source, seed uint64) {
	g, err := c.Compile(context.Background(), src)
	var e *Error
	if err != nil {
		if !errors.As(err, &e) {
			t.Fatalf("error of type %T: %v", err, err)
		}
		return
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	m := g.NewMatcher()
	mask := make([]uint32, c.MaskWords())
	for range 30 {
		if err := m.Mask(mask); err != nil {
			if !errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
			return
		}
		ids := tokensOf(nil, mask)
		if len(ids) == 0 {
			t.Fatal("no token can follow")
		}
		if err := m.Accept(ids[rng.IntN(len(ids))]); err != nil && !errors.Is(err, ErrLimit) {
			t.Fatal(err)
		}
		if m.Done() {
			return
		}
	}
}
