// Package grammartest writes random JSON Schemas and checks answers against them, for tests of constrained output. It imports
// nothing of ours, so that what it checks with is not what is being tested.
package grammartest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// Document returns a schema that runtime/grammar supports, most of them with recursion.
func Document(rng *rand.Rand) string {
	for {
		if rng.IntN(8) == 0 { // leaves alone, so that formats are checked
			if leaf := schema(rng, 1); !strings.Contains(leaf, "$defs") {
				return leaf
			}
			continue
		}
		return withNode(rng, schema(rng, 3))
	}
}

// Arguments returns a schema of an object, as the arguments of a tool have.
func Arguments(rng *rand.Rand) string {
	properties := fmt.Sprintf(`"a":%s,"b":%s`, schema(rng, 2), schema(rng, 1))
	return withNode(rng, `{"type":"object","properties":{`+properties+`},"required":["b"],"additionalProperties":false}`)
}

// withNode adds the object that schemas refer to.
func withNode(rng *rand.Rand, body string) string {
	node := `{"type":"object","properties":{"v":` + schema(rng, 0) + `,"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v"]}`
	return body[:len(body)-1] + `,"$defs":{"node":` + node + `}}`
}

// schema writes a schema with every kind of keyword. Inside it #/$defs/node is an object.
func schema(rng *rand.Rand, depth int) string {
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	if depth == 0 {
		return pick(`{"type":"boolean"}`, `{"type":"null"}`, `{"type":"integer"}`, `{"const":"x"}`, `{"type":"string","maxLength":3}`)
	}
	sub := func() string { return schema(rng, depth-1) }
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

// Validate checks a finished answer against its schema.
func Validate(schema, text string) error {
	var s jsonschema.Schema
	if err := json.Unmarshal([]byte(schema), &s); err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return fmt.Errorf("%s: %q: %w", schema, text, err)
	}
	if err := resolved.Validate(v); err != nil {
		return fmt.Errorf("%s: %q: %w", schema, text, err)
	}
	if f := formatString.FindStringSubmatch(schema); f != nil && schema == `{"type":"string",`+f[0]+`}` && !formatValid(f[1], v.(string)) {
		return fmt.Errorf("%s: %q: not of the format", schema, text)
	}
	return nil
}
