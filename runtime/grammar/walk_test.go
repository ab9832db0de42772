package grammar

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// finish draws tokens uniformly from the mask for n tokens, then tokens that come to an end, until the answer ends. It
// gives up after 4n tokens, as max_tokens would.
func finish(t *testing.T, rng *rand.Rand, m *Matcher, n int) (text string, ended bool) {
	t.Helper()
	c := m.g.c
	mask := make([]uint32, c.MaskWords())
	var all, ids []int32
	for i := range 4 * n {
		if err := m.Mask(mask); err != nil {
			t.Fatalf("after %q: %v", text, err)
		}
		all = tokensOf(all[:0], mask)
		ids = append(ids[:0], all...)
		if i >= n {
			best := 100
			for _, id := range all {
				r := rank(c.tokens[id])
				if r < best {
					ids, best = ids[:0], r
				}
				if r == best {
					ids = append(ids, id)
				}
			}
		}
		id := ids[rng.IntN(len(ids))]
		if end := m.CanEnd(); end != slices.ContainsFunc(c.ends, func(e int32) bool { return mask[e>>5]>>(e&31)&1 != 0 }) {
			t.Fatalf("after %q: can end %v, the mask says otherwise", text, end)
		} else if end && (i >= n || rng.IntN(3) == 0) {
			id = c.ends[rng.IntN(len(c.ends))]
		}
		if err := m.Accept(id); err != nil {
			t.Fatalf("after %q: token %d of the mask: %v", text, id, err)
		}
		if slices.Contains(c.ends, id) {
			return text, true
		}
		text += string(c.tokens[id])
	}
	return text, false
}

// rank orders tokens by how soon they bring JSON to an end.
func rank(tok []byte) int {
	if len(tok) == 0 {
		return 99
	}
	kinds := []string{`"`, "}]", "tfn0123456789-:", ",", "abcdefghijklmnopqrstuvwxyz.@+/TZP_ABCDEFGHIJKLMNOQRSUVWXY", "{[", ""}
	for i, k := range kinds {
		if strings.IndexByte(k, tok[0]) >= 0 {
			return 10*i + min(len(tok), 9)
		}
	}
	return 90
}

// randomSchema writes a schema with every kind of keyword. Inside it #/$defs/node is an object.
func randomSchema(rng *rand.Rand, depth int) string {
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	if depth == 0 {
		return pick(`{"type":"boolean"}`, `{"type":"null"}`, `{"type":"integer"}`, `{"const":"x"}`, `{"type":"string","maxLength":3}`)
	}
	sub := func() string { return randomSchema(rng, depth-1) }
	switch rng.IntN(16) {
	case 0:
		return pick(`{"type":"string"}`, `{"type":"number"}`, `{"type":"integer"}`, `{"type":["string","null"]}`)
	case 1:
		return fmt.Sprintf(`{"type":"string","minLength":%d,"maxLength":%d}`, rng.IntN(3), 3+rng.IntN(20))
	case 2:
		return fmt.Sprintf(`{"type":"string","pattern":%q}`, pick(`^[A-Z][a-z]+$`, `^\d{3}-\d{4}$`, `^(a|bc)*$`, `^[^0-9]{2,5}$`, `^"?\\?\n?$`, `[xyz]`, `^é|水+$`))
	case 3:
		return fmt.Sprintf(`{"type":"string","format":%q}`, pick("date", "time", "date-time", "uuid", "email", "ipv4", "ipv6", "hostname", "uri", "duration"))
	case 4:
		lo := rng.IntN(2000) - 1000
		return fmt.Sprintf(`{"type":"integer","minimum":%d,"maximum":%d}`, lo, lo+rng.IntN(3000))
	case 5:
		return fmt.Sprintf(`{"type":"integer","multipleOf":%d,"exclusiveMinimum":%d}`, 1+rng.IntN(50), rng.IntN(100)-50)
	case 6:
		lo := rng.Float64()*20 - 10
		return fmt.Sprintf(`{"type":"number","minimum":%.3f,"exclusiveMaximum":%.2f}`, lo, lo+0.1+rng.Float64()*30)
	case 7:
		return pick(`{"enum":["a","b\n","\"",1,2.50,null,true,[1,{"a":2}]]}`, `{"const":{"k":[]}}`, `{"type":"string","enum":["red","green"]}`)
	case 8:
		lo := rng.IntN(3)
		return fmt.Sprintf(`{"type":"array","items":%s,"minItems":%d,"maxItems":%d}`, sub(), lo, lo+rng.IntN(4))
	case 9:
		return fmt.Sprintf(`{"type":"array","prefixItems":[%s,%s],"items":%s}`, sub(), sub(), pick("false", sub()))
	case 10:
		return fmt.Sprintf(`{"anyOf":[%s,%s]}`, sub(), sub())
	case 11:
		return fmt.Sprintf(`{"allOf":[{"type":"object","properties":{"p":%s},"required":["p"]},{"properties":{"q":%s}}]}`, sub(), sub())
	case 12:
		return `{"$ref":"#/$defs/node"}`
	case 13:
		return fmt.Sprintf(`{"type":"object","properties":{"a":%s},"additionalProperties":%s}`, sub(), sub())
	case 14:
		return fmt.Sprintf(`{"oneOf":[{"type":"object","properties":{"t":{"const":1},"v":%s},"required":["t","v"]},{"type":"object","properties":{"t":{"const":2}},"required":["t"]},{"type":"array","items":%s}]}`, sub(), sub())
	}
	return fmt.Sprintf(`{"type":"object","properties":{"a":%s,"b\"":%s,"c":%s},"required":[%s],"additionalProperties":false}`, sub(), sub(), sub(), pick(``, `"c"`, `"a","b\""`, `"b\"","c"`))
}

// formatValid checks a string without the expressions of this package; what it has no checker for it lets pass.
func formatValid(format, s string) bool {
	var err error
	switch format {
	case "date":
		_, err = time.Parse(time.DateOnly, s)
	case "date-time":
		_, err = time.Parse(time.RFC3339, s)
	case "time":
		_, err = time.Parse("15:04:05Z07:00", s)
	case "ipv4", "ipv6":
		var a netip.Addr
		a, err = netip.ParseAddr(s)
		return err == nil && a.Is4() == (format == "ipv4")
	case "email":
		_, err = mail.ParseAddress(s)
	case "uri":
		var u *url.URL
		u, err = url.Parse(s)
		return err == nil && u.IsAbs()
	}
	return err == nil
}

var formatString = regexp.MustCompile(`"format":"([a-z0-9-]+)"`)

// checkAnswer checks a finished answer against its schema with a validator that isn't ours.
func checkAnswer(t *testing.T, schema, text string) {
	t.Helper()
	var s jsonschema.Schema
	if err := json.Unmarshal([]byte(schema), &s); err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %q: %v", schema, text, err)
	}
	if err := resolved.Validate(v); err != nil {
		t.Fatalf("%s: %q: %v", schema, text, err)
	}
	if f := formatString.FindStringSubmatch(schema); f != nil && schema == `{"type":"string",`+f[0]+`}` && !formatValid(f[1], v.(string)) {
		t.Fatalf("%s: %q: not of the format", schema, text)
	}
}

// walkSchemas checks that answers to random schemas that end parse and validate, and that most end.
func walkSchemas(t *testing.T, c *Compiler, seed uint64, schemas, walks int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 11))
	ended, refused := 0, 0
	for range schemas {
		node := `{"type":"object","properties":{"v":` + randomSchema(rng, 0) + `,"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v"]}`
		body := randomSchema(rng, 3)
		schema := body[:len(body)-1] + `,"$defs":{"node":` + node + `}}`
		if rng.IntN(8) == 0 { // leaves alone, so that formats are checked
			schema = randomSchema(rng, 1)
			if strings.Contains(schema, "$defs") {
				continue
			}
		}
		g, err := c.Compile(t.Context(), Source{Kind: JSONSchema, Text: schema, Compact: rng.IntN(2) == 0})
		if err != nil {
			refused++
			if strings.Contains(err.Error(), "over the limit") {
				t.Errorf("%s: %v", schema, err)
			}
			continue
		}
		for range walks {
			text, ok := finish(t, rng, g.NewMatcher(), 2+rng.IntN(40))
			if ok {
				ended++
				checkAnswer(t, schema, text)
			}
		}
	}
	total := (schemas - refused) * walks
	t.Logf("%d schemas, %d refused; %d of %d answers ended", schemas, refused, ended, total)
	if refused > schemas/10 || ended < total*9/10 {
		t.Errorf("too few answers: %d schemas of %d refused, %d answers of %d ended", refused, schemas, ended, total)
	}
}

func TestRandomSchemas(t *testing.T) {
	for i, v := range []Vocabulary{byteVocabulary(), madeUp(5, 500), withoutBytes(madeUp(6, 3000), "\x00\x01\xc0\xf3\xf4\xffQ")} {
		walkSchemas(t, newCompiler(t, v, Options{}), uint64(i), 250, 6)
	}
}

func TestRandomSchemasReal(t *testing.T) {
	for i, name := range []string{"llama3_1", "mistral_v3"} { // byte-level, and SentencePiece with bytes
		t.Run(name, func(t *testing.T) {
			walkSchemas(t, realCompiler(t, name), uint64(i)+10, 60, 6)
		})
	}
}

// TestRandomJSON is the same for JSON mode, at depths where the stack runs out.
func TestRandomJSON(t *testing.T) {
	for _, stack := range []int{4, 9, 128} {
		c := newCompiler(t, madeUp(7, 800), Options{Limits: Limits{Stack: stack}})
		for kind := JSONObject; kind <= JSONValue; kind++ {
			g := compile(t, c, Source{Kind: kind})
			rng := rand.New(rand.NewPCG(uint64(stack), uint64(kind)))
			ended := 0
			for range 300 {
				text, ok := finish(t, rng, g.NewMatcher(), 60)
				if !ok {
					continue
				}
				ended++
				var v any
				if err := json.Unmarshal([]byte(text), &v); err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				if _, object := v.(map[string]any); kind == JSONObject && !object {
					t.Fatalf("%q is no object", text)
				}
			}
			if ended < 270 {
				t.Errorf("stack %d: %d answers of 300 ended", stack, ended)
			}
		}
	}
}

// TestStackLimit: what nests deeper than the stack is not offered, and what was begun can be completed.
func TestStackLimit(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{Limits: Limits{Stack: 12}})
	g := compile(t, c, Source{Kind: JSONValue})
	m := g.NewMatcher()
	n, _ := accepts(m, strings.Repeat("[", 100))
	if n < 3 || n > 12 {
		t.Fatalf("%d levels in a stack of 12", n)
	}
	if k, end := accepts(m, strings.Repeat("]", n)); k != n || !end {
		t.Errorf("%d levels can't be closed: %d bytes, end %v", n, k, end)
	}
	if _, err := c.Compile(t.Context(), Source{Kind: JSONSchema, Text: strings.Repeat(`{"type":"array","minItems":1,"items":`, 14) + `{}` + strings.Repeat(`}`, 14)}); err == nil {
		t.Error("a schema that needs more than the stack was compiled")
	}
	// A list written as recursion takes no stack.
	list := compile(t, c, Source{Kind: GBNF, Text: "root ::= \"a\" root | \"b\""})
	if k, end := accepts(list.NewMatcher(), strings.Repeat("a", 5000)+"b"); k != 5001 || !end {
		t.Errorf("list: %d bytes, end %v", k, end)
	}
}
