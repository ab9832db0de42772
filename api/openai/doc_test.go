package openai

import (
	"fmt"
	"strings"
)

// FieldNames lists the table's fields for tests outside the package.
func FieldNames() []string {
	var names []string
	for _, f := range chatFields() {
		names = append(names, f.name)
	}
	return names
}

// Idle lists the fields whose accepted values change nothing.
func Idle() map[string]bool {
	names := map[string]bool{}
	for _, t := range treatments() {
		for _, f := range t.fields {
			names[f.name] = t.title == noEffect || t.title == nothing
		}
	}
	return names
}

// FieldsDoc writes the table of fields as Markdown.
func FieldsDoc() []byte {
	var b strings.Builder
	b.WriteString("# Fields of a chat completion request\n\n" +
		"Generated from the tables in `api/openai/fields.go`; `go test ./api/openai -run TestFieldsDoc -update` rewrites it. Every field\n" +
		"of OpenAI's specification stands here. Any other value than those listed is refused with 400 and the field's name in\n" +
		"`param`, and so is a field that does not exist, unless the server runs with `--unknown-fields=ignore`. `null` is the same\n" +
		"as leaving a field out. The steps of sampling run in this order: logit_bias, penalties, DRY, top_n_sigma, top_k, typical_p,\n" +
		"top_p, min_p, XTC, temperature (llama.cpp's default).\n")
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	for _, t := range treatments() {
		fmt.Fprintf(&b, "\n## %s\n\n| field | values | |\n|---|---|---|\n", t.title)
		for _, f := range t.fields {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.name, cell(f.values), cell(f.note))
		}
	}
	fmt.Fprintf(&b, "\n## Messages\n\n"+
		"| field | |\n|---|---|\n"+
		"| `role` | system, developer (system where the template does not know it), user, assistant, tool; function is refused |\n"+
		"| `content` | a string, or parts of the type text, which are joined by line breaks; an assistant's may be refusal parts. Images, audio and files are refused. null only beside `tool_calls` or `refusal` |\n"+
		"| `name` | given to the template, most of which do not read it; of a tool message, by default the function's |\n"+
		"| `tool_calls` | of an assistant: `id`, `type` function, `function` with `name` and `arguments`, a JSON object in a string; `index` is left out |\n"+
		"| `tool_call_id` | of a tool message: the id of a call in the assistant's message before it |\n"+
		"| `refusal` | of an assistant, in place of `content` |\n"+
		"| `reasoning_content`, `reasoning` | of an assistant: given to the template, which may leave it out |\n"+
		"| `annotations` | without effect |\n"+
		"| `audio`, `function_call` | null only |\n\n"+
		"A last message of the assistant's without `tool_calls` is continued: the answer holds what follows it. Where a template shows no\n"+
		"system messages (Gemma, the first Mistral), a first one goes in front of what the user says.\n")
	return []byte(b.String())
}
