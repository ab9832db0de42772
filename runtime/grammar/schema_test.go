package grammar

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// schemaCases are instances of each keyword, in the spirit of the JSON-Schema-Test-Suite: what an answer can be and what
// it can't, without white space.
var schemaCases = []struct {
	name, schema string
	yes, no      []string
}{
	{"true", `true`, []string{`1`, `"a"`, `[{}]`, `{"a":[null]}`, `-0.5e-3`}, []string{``, `{`, `01`, `nul`, `[1,]`, `{"a"}`, `'a'`, `1 1`}},
	{"annotations", `{"title":"t","description":"d","default":1,"examples":[1],"$schema":"x","$comment":"c","$id":"i"}`, []string{`null`, `"x"`}, []string{`x`}},

	{"type null", `{"type":"null"}`, []string{`null`}, []string{`0`, `""`, `false`}},
	{"type boolean", `{"type":"boolean"}`, []string{`true`, `false`}, []string{`null`, `0`, `True`, `"true"`}},
	{"type integer", `{"type":"integer"}`, []string{`0`, `-7`, `123456789012345678`}, []string{`1.5`, `01`, `-`, `-0`, `1e3`, `"1"`, `1234567890123456789`}},
	{"type number", `{"type":"number"}`, []string{`0`, `-0.5`, `1e10`, `2.5E-3`, `3`}, []string{`.5`, `1.`, `1e`, `+1`, `NaN`, `1e100`, `Infinity`}},
	{"type string", `{"type":"string"}`, []string{`""`, `"a\"b"`, `"\u00e9\n\/"`, `"\ud83d\ude00"`, `"水"`, "\"\x7f\""}, []string{`"`, `"a`, `"\x"`, `"\ud83d"`, `"\ude00"`, `"\ud83dx"`, "\"\n\"", `'a'`, "\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\xaf\""}},
	{"type array", `{"type":"array"}`, []string{`[]`, `[1,"a",[]]`}, []string{`[`, `{}`, `[,]`}},
	{"type object", `{"type":"object"}`, []string{`{}`, `{"a":1,"b":{}}`}, []string{`[]`, `{"a":}`, `{a:1}`, `{"a":1,}`}},
	{"types", `{"type":["string","null"]}`, []string{`"a"`, `null`}, []string{`1`, `[]`, `false`}},
	{"no type", `{"type":[]}`, nil, nil},

	{"enum", `{"enum":["a","ab",1,null,[1,{"x":2}],1.50]}`, []string{`"a"`, `"ab"`, `1`, `null`, `[1,{"x":2}]`, `1.50`}, []string{`"b"`, `2`, `[1]`, `1.5`, `"A"`}},
	{"enum and type", `{"type":"string","enum":["a",1,"bb"],"maxLength":1}`, []string{`"a"`}, []string{`1`, `"bb"`}},
	{"enum escapes", `{"enum":["a\"\\\n\u0001é"]}`, []string{`"a\"\\\n\u0001é"`}, []string{`"a"`}},
	{"const", `{"const":{"a":[1]}}`, []string{`{"a":[1]}`}, []string{`{}`, `{"a":[2]}`}},
	{"const and enum", `{"const":2,"enum":[1,2.0,3]}`, []string{`2`}, []string{`1`, `3`}},

	{"properties", `{"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"string"}},"required":["b","a"]}`, []string{`{"b":1,"a":""}`}, []string{`{"a":"","b":1}`, `{"b":1}`, `{}`, `{"b":1,"a":"","c":1}`, `{"b":"1","a":""}`}},
	{"optional", `{"properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}},"required":["b"]}`, []string{`{"b":1}`, `{"a":1,"b":2}`, `{"a":1,"b":2,"c":3}`, `{"b":2,"c":3}`}, []string{`{}`, `{"a":1}`, `{"a":1,"c":3}`, `{"c":3,"b":2}`, `{"b":1,}`, `{,"b":1}`, `1`}},
	{"all optional", `{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}}}`, []string{`{}`, `{"a":null}`, `{"b":null}`, `{"a":null,"b":null}`}, []string{`{"b":null,"a":null}`, `{"a":null"b":null}`}},
	{"escaped name", `{"type":"object","properties":{"a\"\n":{"type":"null"}},"required":["a\"\n"]}`, []string{`{"a\"\n":null}`}, []string{`{}`}},
	{"additional", `{"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":{"type":"integer"}}`, []string{`{}`, `{"a":null}`, `{"b":1}`, `{"a":null,"b":1,"c":2}`, `{"aa":1,"":2}`}, []string{`{"a":1}`, `{"b":null}`, `{"b":1,"a":null}`, `{"\u0061":1}`}},
	{"additional true", `{"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":true}`, []string{`{"a":null,"b":[1]}`}, []string{`{"a":1}`}},
	{"additional false", `{"type":"object","additionalProperties":false}`, []string{`{}`}, []string{`{"a":1}`}},
	{"required only", `{"type":"object","required":["x","y"]}`, []string{`{"x":1,"y":"a"}`, `{"x":1,"y":2,"z":3}`}, []string{`{}`, `{"x":1}`}},
	{"false property", `{"type":"object","properties":{"a":false,"b":{"type":"null"}}}`, []string{`{"b":null}`, `{}`}, []string{`{"a":1}`}},
	{"names", `{"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"integer"}}`, []string{`{}`, `{"a":1,"":2}`}, []string{`{"a":"b"}`, `{1:1}`}},
	{"names by pattern", `{"propertyNames":{"pattern":"^x-","maxLength":3},"properties":{"x-y":{"type":"null"},"y":{}},"additionalProperties":{"type":"integer"}}`, []string{`{}`, `{"x-y":null,"x-":1}`, `{"x-z":1}`}, []string{`{"y":1}`, `{"x-y":1}`, `{"x-ab":1}`, `{"z":1}`, `{"x\u002d":1}`}},
	{"names by length", `{"propertyNames":{"minLength":2,"maxLength":2}}`, []string{`{}`, `{"ab":1,"水é":2}`}, []string{`{"a":1}`, `{"":1}`, `{"abc":1}`}},
	{"names listed", `{"type":"object","propertyNames":{"anyOf":[{"enum":["a",1,"b"]},{"const":"c"}]},"additionalProperties":{"type":"null"},"required":["b"]}`, []string{`{"b":null}`, `{"b":null,"a":null,"c":null}`}, []string{`{}`, `{"a":null}`, `{"b":null,"b":null}`, `{"b":null,"d":null}`, `{"b":1}`}},
	{"names, together", `{"allOf":[{"propertyNames":{"enum":["a","bb"]}},{"propertyNames":{"maxLength":1}}]}`, []string{`{"a":1}`, `{}`}, []string{`{"bb":1}`, `{"c":1}`}},
	{"no names", `{"type":"object","propertyNames":false}`, []string{`{}`}, []string{`{"a":1}`}},
	{"no string as name", `{"type":"object","propertyNames":{"type":"integer"},"properties":{"1":{}}}`, []string{`{}`}, []string{`{"1":1}`}},
	{"min properties", `{"type":"object","minProperties":1}`, nil, nil},

	{"items", `{"type":"array","items":{"type":"integer"}}`, []string{`[]`, `[1]`, `[1,2,3]`}, []string{`["a"]`, `[1,]`, `[1 2]`}},
	{"minItems", `{"type":"array","items":{"type":"integer"},"minItems":2}`, []string{`[1,2]`, `[1,2,3]`}, []string{`[]`, `[1]`}},
	{"maxItems", `{"type":"array","items":{"type":"integer"},"maxItems":2}`, []string{`[]`, `[1]`, `[1,2]`}, []string{`[1,2,3]`}},
	{"no items", `{"type":"array","maxItems":0}`, []string{`[]`}, []string{`[1]`}},
	{"many items", `{"type":"array","items":{"type":"null"},"minItems":300,"maxItems":1000000}`, []string{"[" + strings.Repeat("null,", 299) + "null]"}, []string{"[" + strings.Repeat("null,", 298) + "null]"}},
	{"one or two items", `{"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":2}`, []string{`[1]`, `[1,2]`}, []string{`[]`, `[1,2,3]`}},
	{"prefixItems", `{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"null"}}`, []string{`[]`, `[1]`, `[1,"a"]`, `[1,"a",null,null]`}, []string{`["a"]`, `[1,2]`, `[1,"a",1]`}},
	{"tuple", `{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"minItems":2,"maxItems":2}`, []string{`[1,"a"]`}, []string{`[]`, `[1]`, `[1,"a",1]`}},
	{"closed tuple", `{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false}`, []string{`[1,"a"]`, `[]`}, []string{`[1,"a",1]`}},
	{"open tuple", `{"type":"array","prefixItems":[{"type":"integer"}],"minItems":2,"maxItems":3}`, []string{`[1,"a"]`, `[1,2,[]]`}, []string{`[1]`, `[1,2,3,4]`}},
	{"unique off", `{"type":"array","items":{"type":"null"},"uniqueItems":false}`, []string{`[null,null]`}, []string{`[1]`}},

	{"minLength", `{"type":"string","minLength":2}`, []string{`"ab"`, `"水é"`, `"\u00e9\n"`, `"abc"`}, []string{`""`, `"a"`, `"水"`, `"\ud83d\ude00"`}},
	{"maxLength", `{"type":"string","maxLength":2}`, []string{`""`, `"ab"`, `"水é"`, `"\ud83d\ude00\n"`}, []string{`"abc"`, `"ab\n"`}},
	{"length", `{"type":"string","minLength":1,"maxLength":1}`, []string{`"a"`, `"\\"`, `"😀"`}, []string{`""`, `"ab"`}},
	{"no length", `{"type":"string","maxLength":0}`, []string{`""`}, []string{`"a"`, `"\n"`}},
	{"long", `{"type":"string","maxLength":100000}`, []string{`"` + strings.Repeat("水", 3000) + `"`}, []string{`"`}},
	{"pattern", `{"type":"string","pattern":"^[a-c]+$"}`, []string{`"abc"`}, []string{`""`, `"abd"`, `"xabc"`}},
	{"pattern anywhere", `{"type":"string","pattern":"b+"}`, []string{`"abc"`, `"b"`, `"\nb"`, `"水bb\""`}, []string{`""`, `"ac"`, `"\b"`}},
	{"pattern or ends", `{"type":"string","pattern":"^a|b$"}`, []string{`"ax"`, `"xb"`, `"a"`}, []string{`"xa"`, `"bx"`}},
	{"pattern impossible part", `{"type":"string","pattern":"x^a|c$d|e"}`, []string{`"e"`}, []string{`"xa"`, `"cd"`}},
	{"pattern escapes", `{"type":"string","pattern":"^[\"\\\\\\n\\u00e9]$"}`, []string{`"\""`, `"\\"`, `"\n"`, `"é"`}, []string{`"n"`, `"\u00e9"`}},
	{"pattern and length", `{"type":"string","pattern":"^a*$","minLength":2,"maxLength":3}`, []string{`"aa"`, `"aaa"`}, []string{`"a"`, `"aaaa"`, `"ab"`}},
	{"pattern large", `{"type":"string","pattern":"^[\\p{L} \"]{1,100}$"}`, []string{`"Zürich \" 水"`, `"` + strings.Repeat("é", 100) + `"`}, []string{`""`, `"a1"`, `"` + strings.Repeat("é", 101) + `"`}},
	{"pattern large anywhere", `{"type":"string","pattern":"x\\p{L}{100}"}`, []string{`"1x` + strings.Repeat("é", 100) + `"`}, []string{`""`, `"x` + strings.Repeat("é", 99) + `1"`}},
	{"date", `{"type":"string","format":"date"}`, []string{`"2024-02-29"`, `"2000-02-29"`, `"2026-11-30"`}, []string{`"2023-02-29"`, `"1900-02-29"`, `"2026-11-31"`, `"2026-13-01"`, `"2026-1-1"`, `"2026-00-10"`}},
	{"time", `{"type":"string","format":"time"}`, []string{`"10:20:30Z"`, `"23:59:59.123+05:30"`}, []string{`"24:00:00Z"`, `"10:20Z"`, `"10:20:30"`, `"10:60:30Z"`}},
	{"date-time", `{"type":"string","format":"date-time"}`, []string{`"2026-11-25T10:00:00Z"`}, []string{`"2026-11-25 10:00:00Z"`, `"2026-02-30T10:00:00Z"`}},
	{"duration", `{"type":"string","format":"duration"}`, []string{`"P1D"`, `"PT5M"`, `"P1Y2M3DT4H5M6S"`, `"P2W"`}, []string{`"P"`, `"PT"`, `"P1S"`, `"P1YT"`, `"P1Y2W"`}},
	{"uuid", `{"type":"string","format":"uuid"}`, []string{`"3f2504e0-4f89-11d3-9a0c-0305e82c3301"`}, []string{`"3f2504e04f8911d39a0c0305e82c3301"`, `"3f2504e0-4f89-11d3-9a0c-0305e82c330g"`}},
	{"email", `{"type":"string","format":"email"}`, []string{`"a.b+c@example.com"`}, []string{`"a@"`, `"@b.com"`, `"a b@c.de"`, `"a..b@c.de"`, `"a@b"`}},
	{"ipv4", `{"type":"string","format":"ipv4"}`, []string{`"127.0.0.1"`, `"255.255.255.255"`}, []string{`"256.0.0.1"`, `"1.2.3"`, `"01.2.3.4"`}},
	{"ipv6", `{"type":"string","format":"ipv6"}`, []string{`"::1"`, `"::"`, `"2001:db8::ff00:42:8329"`, `"::ffff:1.2.3.4"`, `"1:2:3:4:5:6:7:8"`}, []string{`"1:2:3:4:5:6:7"`, `":::"`, `"12345::"`, `"1:2:3:4:5:6:7:8:9"`, `"1::2::3"`}},
	{"hostname", `{"type":"string","format":"hostname"}`, []string{`"example.com"`, `"a"`, `"x-1.y"`}, []string{`"-a"`, `"a-.b"`, `"a..b"`, `"a_b"`, `""`}},
	{"uri", `{"type":"string","format":"uri"}`, []string{`"https://example.com/a?b=c#d"`, `"urn:a:b"`, `"http://[::1]:80/"`, `"mailto:a@b.c"`}, []string{`"example.com"`, `"//a"`, `"http://a b"`, `"http://a/%zz"`}},
	{"format and pattern", `{"type":"string","format":"ipv4","pattern":"^10\\."}`, []string{`"10.0.0.1"`}, []string{`"11.0.0.1"`}},

	{"minimum", `{"type":"integer","minimum":-5}`, []string{`-5`, `0`, `99`}, []string{`-6`, `-50`}},
	{"maximum", `{"type":"integer","maximum":105}`, []string{`105`, `99`, `-1000`, `7`}, []string{`106`, `200`, `1000`}},
	{"range", `{"type":"integer","minimum":8,"maximum":1203}`, []string{`8`, `9`, `10`, `99`, `100`, `1199`, `1203`}, []string{`7`, `0`, `1204`, `2000`, `-8`}},
	{"negative range", `{"type":"integer","minimum":-120,"maximum":-9}`, []string{`-9`, `-10`, `-120`}, []string{`-8`, `-121`, `9`, `0`}},
	{"exclusive", `{"type":"integer","exclusiveMinimum":1,"exclusiveMaximum":4}`, []string{`2`, `3`}, []string{`1`, `4`}},
	{"fractional bounds", `{"type":"integer","minimum":1.5,"exclusiveMaximum":3.5}`, []string{`2`, `3`}, []string{`1`, `4`}},
	{"number range", `{"type":"number","minimum":-1.25,"maximum":10.5}`, []string{`-1.25`, `-1.2`, `0`, `10.5`, `10.49`, `10.500`, `9.99`, `-0.0`}, []string{`-1.26`, `-1.251`, `10.51`, `11`, `-2`, `1e1`}},
	{"number exclusive", `{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1}`, []string{`0.1`, `0.999`, `0.00001`}, []string{`0`, `0.0`, `1`, `1.0`, `1.1`, `-0.5`}},
	{"number from exponent", `{"type":"number","minimum":1.5e2}`, []string{`150`, `150.0`, `1000`}, []string{`149.99`, `15`, `150.0000001`}},
	{"multipleOf", `{"type":"integer","multipleOf":7}`, []string{`0`, `7`, `-14`, `700`}, []string{`1`, `8`, `-15`}},
	{"multiples", `{"type":"integer","multipleOf":4,"allOf":[{"multipleOf":6}],"minimum":1}`, []string{`12`, `24`}, []string{`6`, `8`, `0`}},
	{"multipleOf number", `{"type":"number","multipleOf":5}`, []string{`5`, `10`}, []string{`5.0`, `7`}},
	{"multipleOf cents", `{"type":"number","multipleOf":0.01,"minimum":0}`, []string{`1.25`, `3`, `0.1`}, []string{`1.255`, `-1`}},

	{"anyOf", `{"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]}`, []string{`5`, `"a"`}, []string{`null`, `"ab"`}},
	{"anyOf shared start", `{"anyOf":[{"type":"object","properties":{"a":{"type":"string"},"b":{"const":1}},"required":["a","b"]},{"type":"object","properties":{"a":{"type":"string"},"c":{"const":2}},"required":["a","c"]}]}`, []string{`{"a":"x","b":1}`, `{"a":"x","c":2}`}, []string{`{"a":"x","c":1}`, `{"a":"x"}`}},
	{"anyOf beside", `{"type":"object","properties":{"a":{"type":"null"}},"anyOf":[{"required":["a"]},{"properties":{"b":{"type":"null"}},"required":["b"]}]}`, []string{`{"a":null}`, `{"b":null}`, `{"a":null,"b":null}`}, []string{`{}`}},
	{"oneOf types", `{"oneOf":[{"type":"integer"},{"type":"string"}]}`, []string{`5`, `"a"`}, []string{`null`}},
	{"oneOf tagged", `{"oneOf":[{"type":"object","properties":{"t":{"const":"a"},"x":{"type":"integer"}},"required":["t","x"]},{"type":"object","properties":{"t":{"const":"b"}},"required":["t"]}],"discriminator":{"propertyName":"t"}}`, []string{`{"t":"a","x":1}`, `{"t":"b"}`}, []string{`{"t":"a"}`, `{"t":"c"}`}},
	{"oneOf ranges", `{"oneOf":[{"type":"integer","maximum":3},{"type":"integer","exclusiveMinimum":3}]}`, []string{`3`, `4`}, []string{`"3"`}},
	{"oneOf patterns", `{"oneOf":[{"type":"string","pattern":"^a"},{"type":"string","pattern":"^b"}]}`, []string{`"ax"`, `"b"`}, []string{`"c"`}},
	{"oneOf recursive", `{"oneOf":[{"type":"object","properties":{"k":{"const":"n"},"l":{"$ref":"#"}},"required":["k","l"],"additionalProperties":false},{"type":"null"}]}`, []string{`null`, `{"k":"n","l":null}`, `{"k":"n","l":{"k":"n","l":null}}`}, []string{`{"k":"n"}`}},
	{"allOf", `{"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"string"},"a":{"minimum":3}},"required":["b"]}]}`, []string{`{"a":3,"b":""}`}, []string{`{"a":2,"b":""}`, `{"a":3}`, `{"b":"","a":3}`}},
	{"allOf types", `{"allOf":[{"type":["integer","string"]},{"type":["string","null"]}]}`, []string{`"a"`}, []string{`1`, `null`}},
	{"allOf number", `{"allOf":[{"type":"number"},{"type":"integer"},{"minimum":2},{"maximum":3}]}`, []string{`2`, `3`}, []string{`2.5`, `4`}},
	{"allOf closed", `{"allOf":[{"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":false},{"properties":{"a":true,"b":{"type":"null"}}}]}`, []string{`{}`, `{"a":null}`}, []string{`{"b":null}`}},
	{"ref", `{"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":"integer"}}}`, []string{`1`}, []string{`"a"`}},
	{"ref with siblings", `{"$ref":"#/definitions/x","maximum":5,"definitions":{"x":{"type":"integer","minimum":3}}}`, []string{`3`, `5`}, []string{`2`, `6`}},
	{"ref into properties", `{"type":"object","properties":{"a":{"type":"null"},"b":{"$ref":"#/properties/a"}},"required":["a","b"]}`, []string{`{"a":null,"b":null}`}, []string{`{"a":null,"b":1}`}},
	{"recursion", `{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["v","next"]}`, []string{`{"v":1,"next":null}`, `{"v":1,"next":{"v":2,"next":null}}`}, []string{`{"v":1}`, `{"v":1,"next":{}}`}},
	{"mutual recursion", `{"$ref":"#/$defs/a","$defs":{"a":{"type":"array","items":{"$ref":"#/$defs/b"}},"b":{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}}}}}`, []string{`[]`, `[{"a":[{}]}]`}, []string{`[[]]`}},
	{"implied type", `{"minLength":1,"minimum":5}`, []string{`"a"`, `5`}, []string{`""`, `4`}},
}

func compact(schema string) Source { return Source{Kind: JSONSchema, Text: schema, Compact: true} }

// TestSchemaInstances feeds the instances byte by byte, and in random tokens of a made-up vocabulary.
func TestSchemaInstances(t *testing.T) {
	c := newCompiler(t, madeUp(4, 3000), Options{})
	texts := byText(c)
	rng := rand.New(rand.NewPCG(3, 3))
	for _, tt := range schemaCases {
		if len(tt.yes)+len(tt.no) == 0 {
			continue
		}
		for _, src := range []Source{compact(tt.schema), {Kind: JSONSchema, Text: tt.schema}} {
			g, err := c.Compile(context.Background(), src)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			for _, x := range tt.yes {
				if n, end := accepts(g.NewMatcher(), x); n < len(x) || !end {
					t.Errorf("%s: %.80s: refused after %d bytes (end %v)", tt.name, x, n, end)
				}
			}
			for _, x := range tt.no {
				if n, end := accepts(g.NewMatcher(), x); n == len(x) && end {
					t.Errorf("%s: %.80s: accepted", tt.name, x)
				}
			}
			for _, x := range append(tt.yes[:len(tt.yes):len(tt.yes)], tt.no...) {
				want, end := accepts(g.NewMatcher(), x)
				for range 3 {
					m := g.NewMatcher()
					ids, n := randomTokens(rng, c, texts, x), 0
					for _, id := range ids {
						if m.Accept(id) != nil {
							break
						}
						n += len(c.tokens[id])
					}
					if n > want || (n == len(x)) != (want == len(x)) || n == len(x) && m.CanEnd() != end {
						t.Errorf("%s: %.80s in tokens %v: %d bytes, end %v; in bytes %d, %v", tt.name, x, ids, n, m.CanEnd(), want, end)
					}
				}
			}
		}
	}
}

func TestSchemaRefused(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	for _, tt := range []struct {
		schema, path, keyword string
		cause                 error
	}{
		{`{"type":"array","uniqueItems":true}`, "", "uniqueItems", ErrUnsupported},
		{`{"type":"object","properties":{"a/b":{"not":{}}}}`, "/properties/a~1b", "not", ErrUnsupported},
		{`{"type":"object","patternProperties":{}}`, "", "patternProperties", ErrUnsupported},
		{`{"type":"object","minProperties":1}`, "", "minProperties", ErrUnsupported},
		{`{"propertyNames":{"anyOf":[{"pattern":"a"},{"maxLength":3}]}}`, "", "propertyNames", ErrUnsupported},
		{`{"propertyNames":{"maxLength":5000}}`, "", "propertyNames", ErrLimit},
		{`{"propertyNames":{"format":"regex"}}`, "/propertyNames", "format", ErrUnsupported},
		{`{"propertyNames":1}`, "/propertyNames", "", ErrInvalid},
		{`{"propertyNames":{"pattern":"^a$"},"required":["b"],"type":"object"}`, "", "", ErrUnsatisfiable},
		{`{"if":{},"then":{}}`, "", "if", ErrUnsupported},
		{`{"type":"array","items":{"contains":{}}}`, "/items", "contains", ErrUnsupported},
		{`{"$defs":{"a":{"nullable":true}},"$ref":"#/$defs/a"}`, "/$defs/a", "nullable", ErrUnsupported},
		{`{"type":"string","format":"regex"}`, "", "format", ErrUnsupported},
		{`{"type":"string","pattern":"(?=a)"}`, "", "pattern", ErrUnsupported},
		{`{"type":"string","pattern":"\\bx"}`, "", "pattern", ErrUnsupported},
		{`{"type":"string","pattern":"("}`, "", "pattern", ErrInvalid},
		{`{"type":"strin"}`, "", "type", ErrInvalid},
		{`{"type":1}`, "", "type", ErrInvalid},
		{`{"enum":1}`, "", "enum", ErrInvalid},
		{`{"minLength":-1}`, "", "minLength", ErrInvalid},
		{`{"minLength":1.5}`, "", "minLength", ErrInvalid},
		{`{"minimum":"1"}`, "", "minimum", ErrInvalid},
		{`{"exclusiveMinimum":true}`, "", "exclusiveMinimum", ErrInvalid},
		{`{"maximum":1e999999999}`, "", "maximum", ErrLimit},
		{`{"multipleOf":0}`, "", "multipleOf", ErrInvalid},
		{`{"type":"number","multipleOf":0.3}`, "", "multipleOf", ErrUnsupported},
		{`{"type":"integer","multipleOf":1000000007}`, "", "multipleOf", ErrLimit},
		{`{"required":"a"}`, "", "required", ErrInvalid},
		{`{"required":[1]}`, "", "required", ErrInvalid},
		{`{"properties":[]}`, "", "properties", ErrInvalid},
		{`{"items":[{}]}`, "", "items", ErrUnsupported},
		{`{"prefixItems":{}}`, "", "prefixItems", ErrInvalid},
		{`{"anyOf":[]}`, "", "anyOf", ErrInvalid},
		{`{"anyOf":[{"oneOf":[{"type":"integer"},{"type":"number"}]}]}`, "/anyOf/0", "oneOf", ErrUnsupported},
		{`{"oneOf":[{"properties":{"a":{"type":"null"}}},{"type":"string"}]}`, "", "oneOf", ErrUnsupported},
		{`{"$ref":"https://example.com/x"}`, "", "$ref", ErrUnsupported},
		{`{"$ref":"#anchor"}`, "", "$ref", ErrUnsupported},
		{`{"$ref":"#/nowhere"}`, "", "$ref", ErrInvalid},
		{`{"$ref":"#"}`, "", "$ref", ErrInvalid},
		{`{"anyOf":[{"$ref":"#"},{"type":"null"}]}`, "", "$ref", ErrInvalid},
		{`{"properties":{"a":{"$id":"x"}}}`, "/properties/a", "$id", ErrUnsupported},
		{`{"properties":{"a":1}}`, "/properties/a", "", ErrInvalid},
		{`{"enum":[{"a":1}],"properties":{"a":{"type":"null"}}}`, "", "", ErrUnsupported},
		{`[]`, "", "", ErrInvalid},
		{`{"type":"object",}`, "", "", ErrInvalid},
		{`{"type":"object","type":"string"}`, "", "", ErrInvalid},
		{``, "", "", ErrInvalid},
		{`false`, "", "", ErrUnsatisfiable},
		{`{"type":[]}`, "", "", ErrUnsatisfiable},
		{`{"enum":[]}`, "", "", ErrUnsatisfiable},
		{`{"allOf":[{"type":"string"},{"type":"integer"}]}`, "", "", ErrUnsatisfiable},
		{`{"type":"integer","minimum":5,"maximum":4}`, "", "", ErrUnsatisfiable},
		{`{"type":"integer","minimum":1,"maximum":6,"multipleOf":7}`, "", "", ErrUnsatisfiable},
		{`{"type":"string","minLength":3,"maxLength":2}`, "", "", ErrUnsatisfiable},
		{`{"type":"string","pattern":"^a$","minLength":2}`, "", "", ErrUnsatisfiable},
		{`{"type":"array","minItems":2,"maxItems":1}`, "", "", ErrUnsatisfiable},
		{`{"type":"array","items":false,"minItems":1}`, "", "", ErrUnsatisfiable},
		{`{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}`, "", "", ErrUnsatisfiable},
		{`{"type":"object","required":["a"],"additionalProperties":false}`, "", "", ErrUnsatisfiable},
	} {
		_, err := c.Compile(context.Background(), compact(tt.schema))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v of type %T", tt.schema, err, err)
			continue
		}
		if !errors.Is(e, tt.cause) || e.Keyword != tt.keyword || e.Path != tt.path {
			t.Errorf("%s: %q at %q: %v (%v), want %q at %q, %v", tt.schema, e.Keyword, e.Path, e, e.Err, tt.keyword, tt.path, tt.cause)
		}
		if tt.keyword != "" && !strings.Contains(e.Error(), `"`+tt.keyword+`" at "#`+tt.path+`"`) {
			t.Errorf("%s: the message does not say where: %v", tt.schema, e)
		}
	}
}

// TestWhiteSpace: between the parts of JSON there may be one space or one line break with indentation, and nowhere a
// run of white space without end.
func TestWhiteSpace(t *testing.T) {
	c := newCompiler(t, byteVocabulary(), Options{})
	schema := `{"type":"object","properties":{"a":{"type":"array","items":{"type":"integer"}},"b":{"type":"null"}}}`
	g := compile(t, c, Source{Kind: JSONSchema, Text: schema})
	for _, x := range []string{
		`{"a":[1,2],"b":null}`, `{"a": [1, 2], "b": null}`, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": null\n}",
		"{\n\t\"a\": [],\n\t\"b\": null\n}", `{ "a": [ 1 ] }`, `{ }`, "{\n" + strings.Repeat(" ", 40) + `"b":null}`,
	} {
		if n, end := accepts(g.NewMatcher(), x); n < len(x) || !end {
			t.Errorf("%q: refused after %d bytes", x, n)
		}
	}
	for _, x := range []string{
		` {}`, `{} `, `{"a" :[]}`, `{"a":  []}`, `{"a":[1 ,2]}`, "{\r\n}", "{\n\n}", `{  }`, "{\n" + strings.Repeat(" ", 41) + `"b":null}`,
	} {
		if n, end := accepts(g.NewMatcher(), x); n == len(x) && end {
			t.Errorf("%q: accepted", x)
		}
	}
	if n, _ := accepts(compile(t, c, compact(schema)).NewMatcher(), `{"a": `); n != 5 {
		t.Errorf("compact: %d bytes, want 5", n)
	}
	for _, kind := range []Kind{JSONObject, JSONValue} {
		for _, prefix := range []string{`{`, `{"a":`, `{"a":[`, `{"a":[1`, `{"a":1,`} {
			m := compile(t, c, Source{Kind: kind}).NewMatcher()
			if n, _ := accepts(m, prefix); n < len(prefix) {
				t.Fatalf("%q: refused", prefix)
			}
			if n, _ := accepts(m, "\n"+strings.Repeat("\t ", 1000)); n > 41 {
				t.Errorf("after %q: %d bytes of white space", prefix, n)
			}
		}
	}
}
