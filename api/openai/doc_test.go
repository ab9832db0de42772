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
		"`role` is system, developer, user or assistant. `content` is a string or an array of parts of the type text, which are joined\n"+
		"by line breaks. `name`, `refusal`, `audio`, `function_call` and `tool_call_id` are accepted as null, `tool_calls` and\n"+
		"`annotations` as null or empty: clients copy them from answers. Images, audio, files and tool messages are refused.\n")
	return []byte(b.String())
}
