package chat

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"aquifer/runtime/grammar"
)

// TestFamilies takes calls apart as models of each family write them.
func TestFamilies(t *testing.T) {
	weather := CallPart{Index: 0, Name: "get_weather", Arguments: `{"city": "Z\"ü\n<b>\\", "days": 3}`}
	now := func(i int) CallPart { return CallPart{Index: i, Name: "now", Arguments: `{"list": ["]}"]}`} }
	plain := func(i int) CallPart { return CallPart{Index: i, Name: "now", Arguments: "{}"} }
	for _, tt := range []struct {
		template string
		control  bool
		answer   string
		want     Parts
	}{
		{
			"Qwen3-Coder", false, "Let me look.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nZ\"ü\n<b>\\\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
			Parts{Content: "Let me look.", Calls: []CallPart{weather, plain(1)}},
		},
		{
			"Qwen3-Coder", false, "<tool_call>\n<function=get_weather>\n<parameter=city>\n\na\n\n</parameter>\n</function>\n</tool_call>",
			Parts{Calls: []CallPart{{Name: "get_weather", Arguments: `{"city": "\na\n"}`}}},
		},
		{
			"Qwen3-Coder", false, "<tool_call>\n<function=now>\n<parameter=list>\n[\n\"]}\"]\n\n</parameter>\n</function>\n</tool_call>",
			Parts{Calls: []CallPart{{Name: "now", Arguments: "{\"list\": [\n\"]}\"]}"}}},
		},
		{"Qwen3-Coder", false, "<tool_call>\n<function=now>\n<parameter=list>\n[\"", Parts{Calls: []CallPart{{Name: "now", Arguments: `{"list": ["`}}}},
		{"Qwen3-Coder", false, "<tool_call>\n<function=get_weather>\n<parameter=city>\nBern</para", Parts{Calls: []CallPart{{Name: "get_weather", Arguments: `{"city": "Bern</para`}}}},
		{
			"Seed-OSS", false, "Hm. <seed:tool_call>\n<function=get_weather>\n<parameter=city>Z\"ü\n<b>\\</parameter>\n<parameter=days>3</parameter>\n</function>\n</seed:tool_call>",
			Parts{Content: "Hm.", Calls: []CallPart{weather}},
		},
		{
			"MiniMax-M2", false, "<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter name=\"city\">Z\"ü\n<b>\\</parameter>\n<parameter name=\"days\">3</parameter>\n</invoke>\n<invoke name=\"now\">\n<parameter name=\"list\">[\"]}\"]</parameter>\n</invoke>\n</minimax:tool_call>",
			Parts{Calls: []CallPart{weather, now(1)}},
		},
		{
			"DeepSeek V3.2", false, "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Z\"ü\n<b>\\</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"now\">\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
			Parts{Calls: []CallPart{weather, plain(1)}},
		},
		{
			"GLM-4.5", false, "Ok\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Z\"ü\n<b>\\</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n<tool_call>now</tool_call>",
			Parts{Content: "Ok", Calls: []CallPart{weather, plain(1)}},
		},
		{"GLM-4.5", false, "<tool_call>now<arg_key>list</arg_key><arg_value> [\"]}\"] </arg_value></tool_call>", Parts{Calls: []CallPart{now(0)}}},
		{
			"DeepSeek", true, "Ok\xfd\xfefunction\xffnow\n```json\n{\"list\": [\"]}\"]}\n```<｜tool▁call▁end｜>\n\xfefunction\xffnow\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
			Parts{Content: "Ok", Calls: []CallPart{now(0), plain(1)}},
		},
		{
			"DeepSeek V3.1", false, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{\"list\": [\"]}\"]}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
			Parts{Calls: []CallPart{plain(0), now(1)}},
		},
		{
			"Functionary 3.1", false, "So: <function=now>{}</function><function=now>{\"list\": [\"]}\"]}</function>",
			Parts{Content: "So:", Calls: []CallPart{plain(0), now(1)}},
		},
		{"Granite", true, "\xfb[{\"name\": \"now\", \"arguments\": {\"list\": [\"]}\"]}}, {\"name\": \"now\", \"arguments\": {}}]", Parts{Calls: []CallPart{now(0), plain(1)}}},
		{"Nemotron", false, "<TOOLCALL>[{\"name\": \"now\", \"arguments\": {}}]</TOOLCALL>", Parts{Calls: []CallPart{plain(0)}}},
		{"Apriel", false, "\n<tool_calls>[{\"name\": \"now\", \"arguments\": {}, \"id\": \"7\"}]</tool_calls>", Parts{Calls: []CallPart{plain(0)}}},
	} {
		turn, err := newFormat(t, tt.template, tt.control).Render(Conversation{Messages: []Message{{Role: "user", Content: "Hi"}}, Tools: twoTools})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			if p := readAll(turn.Reader(), rng, tt.answer); !reflect.DeepEqual(p, tt.want) {
				t.Fatalf("%s, %q:\ngot  %+v\nwant %+v", tt.template, tt.answer, p, tt.want)
			}
		}
		src, err := turn.Form(nil)
		if loose := strings.Contains(tt.answer, "[\n") || strings.Contains(tt.answer, "> ["); err != nil || loose || !strings.HasSuffix(tt.answer, ">") && !strings.HasSuffix(tt.answer, "]") {
			continue // read, but not written: cut off, or with more white space
		}
		accepts(t, *src, tt.answer)
	}
}

// accepts demands that a form lets an answer pass.
func accepts(t *testing.T, src grammar.Source, answer string) {
	t.Helper()
	c, err := grammar.NewCompiler(vocabularyOf(), grammar.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := c.Compile(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if m := g.NewMatcher(); m.AcceptBytes([]byte(answer)) != nil || !m.CanEnd() {
		t.Errorf("the form refuses %q", answer)
	}
}

// TestRoundTrip: what a template shows of calls is read as the same calls, in every family.
func TestRoundTrip(t *testing.T) {
	calls := []ToolCall{
		{ID: "call00001", Name: "get_weather", Arguments: `{"city":"Z\"ürich <b>\nline","days":2}`},
		{ID: "call00002", Name: "now", Arguments: `{"list":["[ARGS]"]}`},
	}
	for name := range dialectTemplates {
		list := calls
		if name == "Llama 3" {
			list = calls[:1] // it has no more
		}
		if name == "Phi-4" || name == "Command-R" || name == "Harmony" {
			continue // needs control tokens; ends with a line of its own; is not one text
		}
		f := newFormat(t, name, false)
		conv := Conversation{Tools: twoTools, Messages: []Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Calls: list}}}
		turn, err := f.Render(conv)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, said, _ := strings.Cut(text(turn.Prompt), "<|assistant|>")
		said = strings.TrimSuffix(said, "<|assistant|>")
		reader := *turn
		reader.begin = noThinking
		p := readAll(reader.Reader(), rand.New(rand.NewPCG(3, 4)), said)
		if len(p.Calls) != len(list) || strings.TrimSpace(p.Content) != "" {
			t.Errorf("%s: %q is read as %+v", name, said, p)
			continue
		}
		for i, c := range p.Calls {
			var got, want any
			if json.Unmarshal([]byte(c.Arguments), &got) != nil || json.Unmarshal([]byte(list[i].Arguments), &want) != nil ||
				!reflect.DeepEqual(got, want) || c.Name != list[i].Name {
				t.Errorf("%s: %+v, want %+v", name, c, list[i])
			}
		}
	}
}

// TestFields: values of all kinds are what their schemas accept, whether they stand there as they are or as JSON.
func TestFields(t *testing.T) {
	const schema = `{"type":"object","$defs":{"d":{"enum":["x",1]}},"required":["text","short","other"],"additionalProperties":false,"properties":{
		"text":{"type":"string","description":"any"},"kind":{"type":"string","enum":["a b","c\nd"]},"fixed":{"type":"string","const":"</b>"},
		"short":{"type":"string","maxLength":3},"number":{"type":"number"},"either":{"type":["string","null"]},"ref":{"$ref":"#/$defs/d"},
		"object":{"type":"object","properties":{"a":{"type":"boolean"}},"required":["a"],"additionalProperties":false},"never":false,"other":{"enum":[true,"<"]}}}`
	tool := Tool{Name: "f", Parameters: schema, Definition: `{"type":"function","function":{"name":"f","parameters":` + schema + `}}`}
	var s jsonschema.Schema
	if err := json.Unmarshal([]byte(schema), &s); err != nil {
		t.Fatal(err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := vocabularyOf()
	c, err := grammar.NewCompiler(v, grammar.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Qwen3-Coder", "GLM-4.5", "MiniMax-M2", "DeepSeek V3.2"} {
		turn, err := newFormat(t, name, false).Render(Conversation{
			Messages: []Message{{Role: "user", Content: "Hi"}}, Tools: []Tool{tool}, Choice: Choice{Must: true, Single: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		raw := ""
		for _, f := range turn.fields["f"] {
			if f.raw {
				raw += f.name + " "
			}
		}
		if raw != "text kind fixed " {
			t.Errorf("%s: %sstand as they are", name, raw)
		}
		src, err := turn.Form(nil)
		if err != nil {
			t.Fatal(err)
		}
		rng, ended, seen := rand.New(rand.NewPCG(5, 6)), 0, map[string]bool{}
		for range 60 {
			answer, ok := draw(t, rng, c, v, *src, "", 1500, "\n</parameter>", "</parameter>", "</arg_value>", "</function>", "</invoke>", "</｜DSML｜parameter>", "</｜DSML｜invoke>")
			if !ok {
				continue
			}
			ended++
			p := readAll(turn.Reader(), rng, answer)
			if len(p.Calls) != 1 {
				t.Fatalf("%q: %+v", answer, p)
			}
			var value map[string]any
			if err := json.Unmarshal([]byte(p.Calls[0].Arguments), &value); err != nil {
				t.Fatalf("%q: %q: %v", answer, p.Calls[0].Arguments, err)
			}
			if err := resolved.Validate(value); err != nil {
				t.Fatalf("%q: %q: %v", answer, p.Calls[0].Arguments, err)
			}
			for key := range value {
				seen[key] = true
			}
		}
		if ended < 10 || len(seen) < 9 {
			t.Errorf("%s: %d answers ended, with %v", name, ended, seen)
		}
	}
}

// TestFieldsRefused: schemas that are no plain list of arguments.
func TestFieldsRefused(t *testing.T) {
	for schema, says := range map[string]string{
		`{"type":"object","anyOf":[{}]}`:              "'anyOf' speaks of all",
		`{"$ref":"#/$defs/a"}`:                        "'$ref' speaks of all",
		`{"type":["object","null"]}`:                  "'type' must be object",
		`{"type":"object","minProperties":1}`:         "'minProperties'",
		`{"properties":{"a>b":{}}}`:                   `"a>b" cannot be a name`,
		`{"properties":{"a":false},"required":["a"]}`: "accepts nothing",
		`{"properties":[]}`:                           "'properties' has the wrong form",
		`{"properties":{},"required":["a\"b"]}`:       "cannot be a name",
		`true`:                                        "no object",
	} {
		tool := Tool{Name: "f", Parameters: schema, Definition: `{"type":"function","function":{"name":"f"}}`}
		f := newFormat(t, "Qwen3-Coder", false)
		_, err := f.Render(Conversation{Messages: []Message{{Role: "user", Content: "Hi"}}, Tools: []Tool{tool}})
		e, ok := err.(*Error)
		if !ok || e.Param != "tools" || !strings.Contains(e.Msg, says) || !strings.Contains(e.Msg, `"f"`) {
			t.Errorf("%s: %v, want %s", schema, err, says)
		}
		// One that is not offered does not matter.
		if _, err := f.Render(Conversation{
			Messages: []Message{{Role: "user", Content: "Hi"}}, Tools: append([]Tool{tool}, twoTools...), Choice: Choice{Names: []string{"now"}},
		}); err != nil {
			t.Errorf("%s, not offered: %v", schema, err)
		}
	}
	if list, e := fieldsOf(Tool{Name: "f"}, &tags{}); e != nil || list != nil {
		t.Errorf("no parameters: %v, %v", list, e)
	}
	list, e := fieldsOf(Tool{Name: "f", Parameters: `{"properties":{"b":true,"a":{"type":"string"}},"required":["c"]}`}, &tags{})
	want := []field{{name: "b", schema: "true"}, {name: "a", schema: `{"type":"string"}`, raw: true}, {name: "c", schema: "{}", required: true}}
	if e != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("%+v, %v", list, e)
	}
}
