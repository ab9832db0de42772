package grammar

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// hostileSources try to make the compiler or a matcher run for ever or take all memory. Each must end in an error of a
// limit, or be harmless.
func hostileSources() map[string]Source {
	schema := func(s string) Source { return Source{Kind: JSONSchema, Text: s} }
	gbnf := func(s string) Source { return Source{Kind: GBNF, Text: s} }
	regex := func(s string) Source { return Source{Kind: Regex, Text: s} }
	list := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.ReplaceAll(format, "@", fmt.Sprint(i)))
		}
		return b.String()
	}
	chain := func(n int, last, format string) string { // @ is the number of a link, ~ of the next
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.NewReplacer("@", fmt.Sprint(i), "~", fmt.Sprint(i+1)).Replace(format))
		}
		return b.String() + strings.ReplaceAll(last, "@", fmt.Sprint(n))
	}
	doubled := "root ::= r0\n" + chain(60, "r@ ::= \"a\"\n", "r@ ::= r~ r~\n")
	return map[string]Source{
		"deep arrays":           schema(strings.Repeat(`{"items":`, 50000)),
		"deep objects":          schema(strings.Repeat(`{"properties":{"a":`, 50) + `{}` + strings.Repeat(`}}`, 50)),
		"deep JSON":             schema(strings.Repeat(`[`, 200000)),
		"many values":           schema(`{"enum":[` + list(70000, "1") + `]}`),
		"huge enum":             schema(`{"enum":[` + list(8000, `"value number @ of the enum"`) + `]}`),
		"huge enums multiplied": schema(`{"allOf":[{"enum":[` + list(8000, `@`) + `]},{"enum":[` + list(8000, `@.0`) + `]}]}`),
		"enum of long numbers":  schema(`{"type":"integer","enum":[` + list(400, strings.Repeat("9", 300)+"@") + `]}`),
		"huge choice":           {Kind: Choice, Choices: strings.Split(list(20000, "choice @"), ",")},
		"long choice":           {Kind: Choice, Choices: []string{strings.Repeat("x", 250000)}},
		"many properties":       schema(`{"type":"object","properties":{` + list(5000, `"p@":{"type":"string"}`) + `}}`),
		"excluded names":        schema(`{"type":"object","properties":{` + list(3000, `"property @":{}`) + `},"additionalProperties":{}}`),
		"enum and pattern":      schema(`{"type":"string","enum":[` + list(7000, `"aaaaaaaaaaaaaaaaaaaaaa@"`) + `],"pattern":"^(?:a?b?){300}a{300}$"}`),
		"long enum and pattern": schema(`{"type":"string","enum":["` + strings.Repeat("a", 200000) + `"],"pattern":"(a|b)*a(a|b){400}c"}`),
		"names and pattern":     schema(`{"propertyNames":{"pattern":"^(?:a?b?){300}a{300}$"},"properties":{` + list(5000, `"aaaaaaaaaaaaaaaaa@":{}`) + `},"additionalProperties":{}}`),
		"names listed":          schema(`{"propertyNames":{"allOf":[{"enum":[` + list(8000, `"@"`) + `]},{"enum":[` + list(8000, `"@"`) + `]}]}}`),
		"many names":            schema(`{"anyOf":[` + list(300, `{"propertyNames":{"pattern":"^x.{1,90}y{@}$"}}`) + `]}`),
		"crossed anyOf":         schema(`{"allOf":[` + list(12, `{"anyOf":[{"minLength":@},{"maxLength":@},{"minimum":@}]}`) + `]}`),
		"nested anyOf":          schema(strings.Repeat(`{"anyOf":[{"type":"integer"},`, 30) + `{}` + strings.Repeat(`]}`, 30)),
		"oneOf quadratic":       schema(`{"oneOf":[` + list(800, `{"type":"object","properties":{"k":{"const":@}},"required":["k"]}`) + `]}`),
		"ref loop":              schema(`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`),
		"allOf loop":            schema(`{"$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"}]}},"$ref":"#/$defs/a"}`),
		"ref chain":             schema(`{"$ref":"#/$defs/0","$defs":{` + chain(3000, `"@":{}`, `"@":{"$ref":"#/$defs/~"},`) + `}}`),
		"ref doubling":          schema(`{"$ref":"#/$defs/0","$defs":{` + chain(40, `"@":{"minLength":1}`, `"@":{"anyOf":[{"$ref":"#/$defs/~"},{"$ref":"#/$defs/~"}]},`) + `}}`),
		"object doubling":       schema(`{"$ref":"#/$defs/0","$defs":{` + chain(40, `"@":{"type":"null"}`, `"@":{"type":"object","properties":{"a":{"$ref":"#/$defs/~"},"b":{"$ref":"#/$defs/~"}},"required":["a","b"]},`) + `}}`),
		"merged recursion":      schema(`{"$defs":{"a":{"properties":{"x":{"allOf":[{"$ref":"#/$defs/b"},{"$ref":"#/$defs/a"}]}}},"b":{"properties":{"x":{"allOf":[{"$ref":"#/$defs/c"},{"$ref":"#"}]}}},"c":{"properties":{"x":{"$ref":"#/$defs/a"}}}},"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"},{"$ref":"#/$defs/c"}]}`),
		"long pointer":          schema(`{"$ref":"#` + strings.Repeat("/a", 100000) + `"}`),
		"big lengths":           schema(`{"type":"string","minLength":1000000000}`),
		"big pattern lengths":   schema(`{"type":"string","pattern":"a.*b","minLength":1999,"maxLength":2000}`),
		"many patterns":         schema(`{"type":"string","allOf":[` + list(40, `{"pattern":"a.{@}b"}`) + `]}`),
		"pattern lookbehind":    schema(`{"type":"string","pattern":"(a|b)*a(a|b){200}"}`),
		"patterns of properties": schema(`{"type":"object","properties":{` +
			list(300, `"p@":{"type":"string","pattern":"^\\p{L}{1,40}[a-z]{2,9}x?$"}`) + `}}`),
		"big multiples":     schema(`{"type":"integer","allOf":[{"multipleOf":4999},{"multipleOf":4993},{"multipleOf":4987}]}`),
		"big items":         schema(`{"type":"array","items":{"type":"array","items":{},"minItems":1000000},"minItems":1000000}`),
		"nested items":      schema(strings.Repeat(`{"type":"array","maxItems":1000,"items":`, 40) + `{}` + strings.Repeat(`}`, 40)),
		"bound digits":      schema(`{"type":"number","minimum":0.` + strings.Repeat("1", 100000) + `}`),
		"required many":     schema(`{"type":"object","required":[` + list(9000, `"r@"`) + `]}`),
		"merged properties": schema(`{"allOf":[{"properties":{` + list(4000, `"a@":{}`) + `}},{"properties":{` + list(4000, `"b@":{}`) + `}}]}`),

		"regex blow-up":        regex(`(?:a|b)*a(?:a|b){40}`),
		"regex counted":        regex(`(?:[a-z]{1,1000}){1,1000}`),
		"regex counted nested": regex(`(?:(?:a?){30}){30}a{900}`),
		"regex optional":       regex(strings.Repeat("a?", 5000) + strings.Repeat("a", 5000)),
		"regex stars":          regex(strings.Repeat("(?:", 200) + "a" + strings.Repeat("*)*", 200)),
		"regex classes":        regex(strings.Repeat(`\p{L}`, 900)),
		"regex class choice":   regex(`(?:\p{L}|\p{Lu}|[^\p{Ll}]){20,40}x`),
		"regex alternatives":   regex(strings.Repeat("(?:a|b|ab)", 2000)),
		"regex long":           regex(strings.Repeat("ab", 100000)),
		"regex deep":           regex(strings.Repeat("(", 100000)),
		"regex fold":           regex("(?i)" + strings.Repeat("k", 50000)),

		"gbnf parentheses":   gbnf("root ::= " + strings.Repeat("(", 100000)),
		"gbnf repetition":    gbnf(`root ::= "a"{1000}{1000}{1000}`),
		"gbnf optional":      gbnf(`root ::= ((("a"?){0,1000}){0,1000}){0,1000}`),
		"gbnf stars":         gbnf(`root ::= "a"` + strings.Repeat("*", 5000)),
		"gbnf doubling":      gbnf(doubled),
		"gbnf chain":         gbnf("root ::= r0\n" + chain(8000, "r@ ::= \"a\"\n", "r@ ::= r~\n")),
		"gbnf backward":      gbnf(chain(8000, "r@ ::= \"a\"\nroot ::= r0\n", "r@ ::= r~ | \"x\" r~\n")),
		"gbnf empty chain":   gbnf("root ::= r0 \"a\"\n" + chain(3000, "r@ ::= \"\"\n", "r@ ::= r~ r~ r~\n")),
		"gbnf left":          gbnf("root ::= r0\n" + chain(3000, "r@ ::= r0\n", "r@ ::= \"\"? r~\n")),
		"gbnf ambiguous":     gbnf(`root ::= "a" root root | "a" root | "a" | ""`),
		"gbnf ambiguous two": gbnf("root ::= s\ns ::= \"a\" s s | b\nb ::= \"a\" b \"a\" | \"a\" s | \"a\""),
		"gbnf alternatives":  gbnf("root ::= " + strings.Repeat("\"abc\" root | ", 8000) + "\"x\""),
		"gbnf counted":       gbnf("root ::= (a | b)*\na ::= \"x\"{0,100000} root \"y\"?\nb ::= (\"x\" root?){0,100000}"),
		"gbnf many rules":    gbnf("root ::= \"a\"\n" + chain(12000, "", "a@ ::= \"x\"\n")),
		"gbnf wide":          gbnf("root ::= (" + strings.Repeat("[a-z]* | ", 5000) + "\"x\" root)*"),
		"gbnf terminals":     gbnf("root ::= \"!\" | root2\nroot2 ::= " + strings.Repeat("[a-z]+ root \"-\" | ", 2000) + "\"x\""),
	}
}

func TestHostile(t *testing.T) {
	vocabulary := madeUp(15, 3000)
	tight := newCompiler(t, vocabulary, Options{})
	tight.limits.Time = 250 * time.Millisecond
	names := make([]string, 0)
	sources := hostileSources()
	for name := range sources {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) < 55 {
		t.Errorf("only %d sources", len(names))
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			g, err := tight.Compile(t.Context(), sources[name])
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			var e *Error
			if err != nil && (!errors.As(err, &e) || len(e.Error()) > 2000) {
				t.Errorf("error of type %T: %.200v", err, err)
			}
			// The limit is 250 ms; the rest is for a busy machine.
			if took > 2*time.Second {
				t.Errorf("took %s: %v", took, err)
			}
			if made := after.TotalAlloc - before.TotalAlloc; made > 400<<20 {
				t.Errorf("allocated %d MiB", made>>20)
			}
			t.Logf("%s, %d KiB allocated: %.150v", took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>10, err)
			if err == nil {
				follow(t, g)
			}
		})
	}
}

// follow draws random tokens; a call ends in bounded time and memory, with ErrLimit at worst.
func follow(t *testing.T, g *Grammar) {
	rng := rand.New(rand.NewPCG(1, 1))
	m, mask := g.NewMatcher(), make([]uint32, g.c.MaskWords())
	worst := time.Duration(0)
	for range 300 {
		start := time.Now()
		err := m.Mask(mask)
		worst = max(worst, time.Since(start))
		if err == nil {
			ids := tokensOf(nil, mask)
			err = m.Accept(ids[rng.IntN(len(ids))])
		}
		if errors.Is(err, ErrLimit) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Done() {
			break
		}
	}
	if worst > 5*time.Second {
		t.Errorf("a mask took %s", worst)
	}
	if size := m.arena.size(); size > 6*arenaSize {
		t.Errorf("arena of %d KiB", size>>10)
	}
}

func TestLimits(t *testing.T) {
	compileWith := func(l Limits, src Source) error {
		_, err := newCompiler(t, byteVocabulary(), Options{Limits: l}).Compile(t.Context(), src)
		return err
	}
	regex := Source{Kind: Regex, Text: "abcdefgh"}
	nested := Source{Kind: JSONSchema, Compact: true, Text: `{"items":{"items":{"type":"null"}},"minItems":1,"type":"array"}`}
	for _, tt := range []struct {
		name      string
		src       Source
		at, below Limits
	}{
		{"source", regex, Limits{Source: 8}, Limits{Source: 7}},
		{"choices", Source{Kind: Choice, Choices: []string{"ab", "c"}}, Limits{Source: 5}, Limits{Source: 4}},
		{"states", regex, Limits{States: 9}, Limits{States: 8}},
		{"depth", nested, Limits{Depth: 3}, Limits{Depth: 2}},
		{"rules", Source{Kind: GBNF, Text: `root ::= "a" root | "b"`}, Limits{Rules: 6}, Limits{Rules: 5}},
		{"stack", nested, Limits{Stack: 2}, Limits{Stack: 1}},
		{"steps", regex, Limits{Steps: 5000}, Limits{Steps: 20}},
		{"memory", regex, Limits{Memory: 8 << 10}, Limits{Memory: 1 << 9}},
	} {
		// Where rules and loops can take the place of an automaton, fewer states are enough.
		if err := compileWith(tt.at, tt.src); err != nil {
			t.Errorf("%s: at the limit: %v", tt.name, err)
		}
		if err := compileWith(tt.below, tt.src); !errors.Is(err, ErrLimit) && tt.name != "states" {
			t.Errorf("%s: over the limit: %v", tt.name, err)
		}
	}
	if err := compileWith(Limits{Time: 1}, Source{Kind: JSONValue}); !errors.Is(err, ErrLimit) {
		t.Errorf("time: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newCompiler(t, byteVocabulary(), Options{})
	if _, err := c.Compile(ctx, Source{Kind: JSONValue}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCaches: equal sources are compiled once, and what is kept stays within its bounds.
func TestCaches(t *testing.T) {
	c := newCompiler(t, madeUp(16, 300), Options{Grammars: 3 * (arenaSize + 64<<10), Masks: 50 << 10})
	a := compile(t, c, Source{Kind: Regex, Text: "a[b-y]*"})
	if compile(t, c, Source{Kind: Regex, Text: "a[b-y]*"}) != a {
		t.Error("compiled twice")
	}
	for i, other := range []Source{
		{Kind: GBNF, Text: "root ::= \"a\""},
		{Kind: Choice, Choices: []string{"a", "b"}},
		{Kind: Choice, Choices: []string{"ab"}},
		{Kind: JSONValue},
		{Kind: JSONValue, Compact: true},
		{Kind: JSONObject},
	} {
		g := compile(t, c, other)
		if g == a {
			t.Errorf("source %d has the grammar of another", i)
		}
		walk(t, rand.New(rand.NewPCG(1, 1)), g.NewMatcher(), 40, nil)
		if c.grammars.used > c.grammars.limit || c.masks.cache.used > c.masks.cache.limit || len(c.grammars.entries) > 3 {
			t.Errorf("%d grammars in %d bytes, masks in %d", len(c.grammars.entries), c.grammars.used, c.masks.cache.used)
		}
	}
	if compile(t, c, Source{Kind: Regex, Text: "a[b-y]*"}) == a {
		t.Error("a grammar that was not used stayed")
	}
}

// FuzzSchema: no schema makes the compiler or a matcher panic or run long, and a state always has a token.
func FuzzSchema(f *testing.F) {
	for i, tt := range schemaCases {
		f.Add(tt.schema, uint64(i))
	}
	c := newCompiler(f, madeUp(17, 100), Options{Limits: Limits{Steps: 1_000_000}})
	f.Fuzz(func(t *testing.T, schema string, seed uint64) {
		drive(t, c, Source{Kind: JSONSchema, Text: schema, Compact: seed&1 == 0}, seed)
	})
}
