package apitest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"aquifer/runtime/grammar/grammartest"
)

// generations is how many answers TestGenerations asks for; AQUIFER_TEST_GENERATIONS says otherwise (./build.sh
// generations).
const generations = 200

// TestGenerations: whatever a random model writes at temperature 1.5, every answer to a random schema parses and validates, and
// so do the arguments of every call of random tools, unless it is cut and says so. Half of the requests are of each kind.
func TestGenerations(t *testing.T) {
	most := generations
	if s := os.Getenv("AQUIFER_TEST_GENERATIONS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("AQUIFER_TEST_GENERATIONS is %q, must be a number", s)
		}
		most = n
	}
	all := ask(t, tinyTemplate, most, 1)
	if all.answers < most/8 || all.calls < most/8 || all.refused > most/10 {
		t.Error("too few answers of each kind to say anything")
	}
}

// TestGenerationsOfForms does the same with tools, for models that write calls in other ways.
func TestGenerationsOfForms(t *testing.T) {
	const begin = `{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content or '' }}`
	for name, template := range map[string]string{
		"Qwen3-Coder": begin + "{% for c in m.tool_calls or [] %}<tool_call>\n<function={{ c.function.name }}>\n{% for k, v in c.function.arguments | items %}<parameter={{ k }}>\n{{ v }}\n</parameter>\n{% endfor %}</function>\n</tool_call>{% endfor %}{% endfor %}",
		"GLM-4.5":     begin + "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }}{% for k, v in c.function.arguments | items %}<arg_key>{{ k }}</arg_key><arg_value>{{ v }}</arg_value>{% endfor %}</tool_call>{% endfor %}{% endfor %}",
		"DeepSeek":    begin + "{% if m.tool_calls %}<｜tool▁calls▁begin｜>{% for c in m.tool_calls %}<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ c.function.name }}\n```json\n{{ c.function.arguments }}\n```<｜tool▁call▁end｜>{% endfor %}<｜tool▁calls▁end｜>{% endif %}{% endfor %}",
		"Harmony": "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}{% if m.tool_calls %}<|start|>assistant to=functions.{{ m.tool_calls[0].function.name }}<|channel|>commentary json<|message|>{{ m.tool_calls[0].function.arguments | tojson }}" +
			"{% elif m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}{% endif %}<|end|>{% endfor %}<|start|>assistant",
	} {
		t.Run(name, func(t *testing.T) {
			const most = generations / 2
			if all := ask(t, template, most, 2); all.answers > 0 || all.calls < most/8 || all.refused > most/4 {
				t.Error("too few calls to say anything, or others")
			}
		})
	}
}

// ask sends requests to a model with a template; kinds is 1 for both kinds by turns, 2 for those with tools.
func ask(t *testing.T, template string, most, kinds int) (all tally) {
	t.Helper()
	base, _ := serveTinyAs(t, template)
	const workers = 8
	counts := make([]tally, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 15))
			for i := w; i < most; i += workers {
				counts[w].ask(t, rng, base, i*kinds+kinds-1)
			}
		})
	}
	wg.Wait()
	for _, c := range counts {
		all.answers += c.answers
		all.calls += c.calls
		all.cut += c.cut
		all.refused += c.refused
		all.wrong += c.wrong
	}
	t.Logf("%d requests at temperature 1.5: %d answers parse and validate, %d answers are calls that do, %d were cut, %d schemas were refused, %d answers are wrong",
		most, all.answers, all.calls, all.cut, all.refused, all.wrong)
	return all
}

// tally counts what came of requests.
type tally struct{ answers, calls, cut, refused, wrong int }

type tinyAnswer struct {
	Choices []struct {
		FinishReason string `json:"finish_reason"`
		Message      struct {
			Content *string
			Calls   []struct {
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
	}
	Error struct{ Message, Param string }
}

// ask sends a request, alternately with a schema and with tools that must be called.
func (c *tally) ask(t *testing.T, rng *rand.Rand, base string, i int) {
	// Without the bias towards quotes and brackets strings would hardly end: this model knows nothing.
	body := fmt.Sprintf(`{"model":"tiny","temperature":1.5,"top_p":1,"seed":%d,"max_tokens":400,"logit_bias":{"34":6,"93":5,"125":5},"messages":[{"role":"user","content":"%d"}],`, i, rng.Uint64())
	schemas := map[string]string{"": grammartest.Document(rng)}
	if withTools := i%2 == 1; withTools {
		schemas = map[string]string{}
		var tools []string
		for n := range 1 + rng.IntN(3) {
			name := fmt.Sprintf("tool_%d", n)
			schemas[name] = grammartest.Arguments(rng)
			tools = append(tools, `{"type":"function","function":{"name":"`+name+`","parameters":`+schemas[name]+`}}`)
		}
		body += fmt.Sprintf(`"tool_choice":"required","parallel_tool_calls":%v,"tools":[%s]}`, rng.IntN(2) == 0, strings.Join(tools, ","))
	} else {
		body += `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":` + schemas[""] + `}}}`
	}
	answer, err := postTiny(base, body)
	if err != nil {
		c.wrong++
		t.Error(err)
		return
	}
	if answer.Error.Message != "" {
		if c.refused++; !strings.Contains(answer.Error.Message, "cannot be enforced") {
			c.wrong++
			t.Errorf("%s: %s", body, answer.Error.Message)
		}
		return
	}
	choice := answer.Choices[0]
	wrong := func(err error) {
		c.wrong++
		t.Errorf("%s:\n%+v: %v", body, choice, err)
	}
	switch choice.FinishReason {
	case "length":
		c.cut++
	case "stop":
		c.answers++
		if choice.Message.Content == nil || len(choice.Message.Calls) > 0 {
			wrong(nil)
		} else if err := grammartest.Validate(schemas[""], *choice.Message.Content); err != nil {
			wrong(err)
		}
	case "tool_calls":
		c.calls++
		for _, call := range choice.Message.Calls {
			if schema, ok := schemas[call.Function.Name]; !ok {
				wrong(nil)
			} else if err := grammartest.Validate(schema, call.Function.Arguments); err != nil {
				wrong(err)
			}
		}
	default:
		wrong(nil)
	}
}

func postTiny(base, body string) (a tinyAnswer, err error) {
	req, err := http.NewRequest(http.MethodPost, base+"/chat/completions", strings.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("%d %s: %w", resp.StatusCode, data, err)
	}
	return a, nil
}
