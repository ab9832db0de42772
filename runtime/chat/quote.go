package chat

import "fmt"

// quote returns the JSON form of a text.
func quote(text string) string { return `"` + escape(text) + `"` }

// escape returns what stands between the quotes of a text's JSON form. It works on bytes, so that a text can be written
// piece by piece, wherever it was cut.
func escape(text string) string {
	out := make([]byte, 0, len(text))
	for i := range len(text) {
		switch b := text[i]; {
		case b == '"' || b == '\\':
			out = append(out, '\\', b)
		case b == '\n':
			out = append(out, `\n`...)
		case b == '\t':
			out = append(out, `\t`...)
		case b < ' ':
			out = fmt.Appendf(out, `\u%04x`, b)
		default:
			out = append(out, b)
		}
	}
	return string(out)
}
