package chat

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"

	"aquifer/runtime/grammar"
)

// Templates of our own that write calls as the real ones do, by dialect. A control token is spelled in upper case.
var dialectTemplates = map[string]string{
	"Hermes": `{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content or '') }}` +
		`{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`,
	"Llama 3": `{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}{% for m in messages %}{{ '<|' + m.role + '|>' }}` +
		`{% if m.tool_calls %}{"name": "{{ m.tool_calls[0].function.name }}", "parameters": {{ m.tool_calls[0].function.arguments | tojson }}}{% else %}{{ m.content }}{% endif %}` +
		`{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`,
	"Mistral": `{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content or '') }}` +
		`{% if m.tool_calls %}[TOOL_CALLS][{% for c in m.tool_calls %}{% if c.id | length != 9 %}{{ raise_exception('nine') }}{% endif %}{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments }}, "id": "{{ c.id }}"}{% endfor %}]{% endif %}{% endfor %}`,
	"Mistral with arguments apart": `{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content or '') }}` +
		`{% for c in m.tool_calls or [] %}[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments }}{% endfor %}{% endfor %}`,
	"Command-R": `{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content or '') }}` +
		"{% if m.tool_calls %}\nAction:\n```json\n[\n{% for c in m.tool_calls %}    {\n        \"tool_name\": \"{{ c.function.name }}\",\n        \"parameters\": {{ c.function.arguments | tojson(indent=4) }}\n    }{% endfor %}\n]```\n{% endif %}{% endfor %}",
	"Phi-4":            `{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% if m.role == 'system' and m['tools'] %}<|tool|>{{ m['tools'] }}<|/tool|>{% endif %}<|end|>{% endfor %}`,
	"default (Hermes)": `{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}`,
	"thinking": `{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content or '').split('</think>')[-1] }}` +
		`{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}{% endfor %}{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% elif enable_thinking is defined %}<think>
{% endif %}`,
}

// specials are the control tokens of the vocabulary of these tests.
var specials = []string{"[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "<|tool_call|>", "<|/tool_call|>", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>"}

func newFormat(t testing.TB, name string, control bool) *Format {
	t.Helper()
	f, err := New(Source{Template: dialectTemplates[name], Token: func(text string) (known, isControl bool) {
		return slices.Contains(specials, text), slices.Contains(specials, text) && control
	}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// twoTools have arguments that are awkward to frame: brackets, quotes and marks in strings.
var twoTools = []Tool{
	{
		Name:       "get_weather",
		Definition: `{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":9}},"required":["city"]}}}`,
		Parameters: `{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":9}},"required":["city"],"additionalProperties":false}`,
	},
	{
		Name:       "now",
		Definition: `{"type":"function","function":{"name":"now"}}`,
		Parameters: `{"type":"object","properties":{"list":{"type":"array","items":{"$ref":"#/$defs/e"},"maxItems":3}},"$defs":{"e":{"enum":["]}","\"</tool_call>","[ARGS]"]}}}`,
	},
}

// vocabularyOf has the bytes, those of control tokens, some words of answers, and an end.
func vocabularyOf() grammar.Vocabulary {
	v := grammar.Vocabulary{}
	for b := range 256 {
		if b < FirstControl || b < FirstControl+len(specials) {
			v.Tokens = append(v.Tokens, []byte{byte(b)})
		}
	}
	for _, s := range []string{`{"`, `"}`, `": "`, "<seed:tool", "<tool", "_call>", "</tool_call>", "]```", "get_weather", "Action:", " ```json", "\n", "</think>", "<think>", "\n</parameter>", "</parameter>", "</function>", "</arg_value>", "<｜tool▁call", "s▁begin｜>", "</tool_calls>", "]</TOOLCALL>", "<seed:tool", "</seed:tool_call>", "</minimax:tool_call>", "</invoke>", "</｜DSML｜parameter>", "</｜DSML｜invoke>", "<｜DSML｜tool", "</｜DSML｜tool_calls>", "<|end|><|start|>assistant", "<|channel|>", "<|message|>", "final", "analysis", "<|channel|>commentary to=functions."} {
		v.Tokens = append(v.Tokens, []byte(s))
	}
	v.Ends = []int32{int32(len(v.Tokens))}
	v.Tokens = append(v.Tokens, nil)
	return v
}

// closersOfAll are tokens that bring an answer nearer to its end, whatever its form.
var closersOfAll = []string{
	"</think>", "\xf8", "\xf9", "\xfa", "\xfb", "\xfc", "\xfd", "\xfe", "\xff", "<tool", "_call>", "</tool_call>", "Action:", " ```json", "]```", `"`, "}", "]", "{",
}

// draw writes an answer of a form with random tokens, behind a given begin.
func draw(t *testing.T, rng *rand.Rand, c *grammar.Compiler, v grammar.Vocabulary, src grammar.Source, begin string, most int, closers ...string) (text string, ended bool) {
	t.Helper()
	g, err := c.Compile(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	m, mask := g.NewMatcher(), make([]uint32, c.MaskWords())
	if text = begin; m.AcceptBytes([]byte(begin)) != nil {
		t.Fatalf("%q is refused", begin)
	}
	for i := range most {
		if err := m.Mask(mask); err != nil {
			t.Fatalf("after %q: %v", text, err)
		}
		var ids []int32
		for id := range v.Tokens {
			if mask[id>>5]>>(id&31)&1 != 0 {
				ids = append(ids, int32(id))
			}
		}
		id := ids[rng.IntN(len(ids))]
		switch end := v.Ends[0]; {
		case m.CanEnd() && (m.Done() || i > most/4 || rng.IntN(20) == 0):
			return text, true
		case i > most/8: // come to an end: marks, then what closes
			var closing []int32
			for _, id := range ids {
				if text := string(v.Tokens[id]); slices.Contains(closers, text) || slices.Contains(closersOfAll, text) {
					closing = append(closing, id)
				}
			}
			if len(closing) > 0 && rng.IntN(4) > 0 {
				id = closing[rng.IntN(len(closing))]
			}
			fallthrough
		default:
			if id == end {
				return text, true
			}
		}
		if err := m.Accept(id); err != nil {
			t.Fatal(err)
		}
		text += string(v.Tokens[id])
	}
	return text, false
}

// readAll reads an answer in pieces of random length.
func readAll(r Reader, rng *rand.Rand, text string) (p Parts) {
	add := func(q Parts) {
		p.Reasoning += q.Reasoning
		p.Content += q.Content
		for _, c := range q.Calls {
			if c.Name == "" && len(p.Calls) > 0 && p.Calls[len(p.Calls)-1].Index == c.Index {
				p.Calls[len(p.Calls)-1].Arguments += c.Arguments
			} else {
				p.Calls = append(p.Calls, c)
			}
		}
	}
	for text != "" {
		n := 1
		for n < len(text) && (text[n]&0xC0 == 0x80 || rng.IntN(4) > 0) {
			n++
		}
		add(r.Push(text[:n]))
		text = text[n:]
	}
	add(r.Flush())
	return p
}

// checkCalls demands that every call is of one of the tools and has arguments that its schema accepts.
func checkCalls(t *testing.T, answer string, calls []CallPart) {
	t.Helper()
	for i, c := range calls {
		at := slices.IndexFunc(twoTools, func(tool Tool) bool { return tool.Name == c.Name })
		if at < 0 || c.Index != i {
			t.Fatalf("%q: call %d is %+v", answer, i, c)
		}
		var s jsonschema.Schema
		if err := json.Unmarshal([]byte(twoTools[at].Parameters), &s); err != nil {
			t.Fatal(err)
		}
		resolved, err := s.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal([]byte(c.Arguments), &v); err != nil {
			t.Fatalf("%q: arguments %q: %v", answer, c.Arguments, err)
		}
		if err := resolved.Validate(v); err != nil {
			t.Fatalf("%q: arguments %q: %v", answer, c.Arguments, err)
		}
	}
}

// TestDrawnAnswers draws answers of every dialect at random and takes them apart: calls are valid, marks are in no text,
// and the cuts between pieces do not matter.
func TestDrawnAnswers(t *testing.T) {
	draws := 60
	if testing.Short() {
		draws = 12
	}
	v := vocabularyOf()
	c, err := grammar.NewCompiler(v, grammar.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name := range dialectTemplates {
		for _, control := range []bool{true, false} {
			for _, choice := range []Choice{{}, {Must: true}, {Must: true, Single: true, Names: []string{"now"}}} {
				t.Run(fmt.Sprintf("%s/%v/%+v", name, control, choice), func(t *testing.T) {
					f := newFormat(t, name, control)
					if name != "thinking" && f.Tools() != name && !(name == "Phi-4" && !control) {
						t.Fatalf("the dialect is taken for %s", f.Tools())
					}
					turn, err := f.Render(Conversation{Messages: []Message{{Role: "user", Content: "Hi"}}, Tools: twoTools, Choice: choice})
					if err != nil {
						t.Fatal(err)
					}
					src, err := turn.Form(nil)
					if err != nil {
						t.Fatal(err)
					}
					rng := rand.New(rand.NewPCG(7, 8))
					ended, called := 0, 0
					for range draws {
						begin := ""
						if !choice.Must && rng.IntN(2) == 0 { // which random text would not come to
							switch begin = "Sure. <think> "; turn.dialect.form {
							case bare:
								begin = `{"name":`
							case channelled:
								begin = turn.dialect.open[0]
							default:
								begin += turn.dialect.open[rng.IntN(len(turn.dialect.open))]
							}
						}
						var closers []string
						if turn.dialect.form == tagged {
							closers = []string{"\n</parameter>", "</parameter>", "</arg_value>", "</function>", "</invoke>", "</｜DSML｜parameter>", "</｜DSML｜invoke>"}
						}
						if turn.channels != nil {
							closers = []string{"<|end|><|start|>assistant"}
						}
						text, ok := draw(t, rng, c, v, *src, begin, 900, closers...)
						p := readAll(turn.Reader(), rng, text)
						if q := readAll(turn.Reader(), rng, text); !reflect.DeepEqual(p, q) {
							t.Fatalf("%q depends on cuts:\n%+v\n%+v", text, p, q)
						}
						if turn.dialect.form != bare && strings.Contains(p.Content, turn.dialect.open[0]) {
							t.Fatalf("a mark in %q", p.Content)
						}
						if !utf8.ValidString(p.Content) || !utf8.ValidString(p.Reasoning) {
							t.Fatalf("not UTF-8: %+v", p)
						}
						if !ok {
							continue
						}
						ended++
						checkCalls(t, text, p.Calls)
						if called += len(p.Calls); choice.Must && (len(p.Calls) == 0 || p.Content != "") || choice.Single && len(p.Calls) != 1 {
							t.Fatalf("%q: %+v", text, p)
						}
					}
					if ended < draws/6 || called < draws/6 { // some think on until they are cut
						t.Errorf("%d answers ended, %d calls", ended, called)
					}
				})
			}
		}
	}
}
