package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// toText is Python's str().
func toText(r *run, v Value) (text, error) {
	switch v := v.(type) {
	case undefined:
		return text{}, nil
	case text:
		return v, nil
	}
	b := builder{run: r}
	if err := b.repr(v, 0); err != nil {
		return text{}, err
	}
	return b.text(), nil
}

// repr appends Python's repr().
func (b *builder) repr(v Value, depth int) error {
	if depth > b.run.lim.Depth {
		return limitError("template prints a value nested more than %d deep", b.run.lim.Depth)
	}
	switch v := v.(type) {
	case undefined:
		return b.add(str("Undefined"))
	case none:
		return b.add(str("None"))
	case boolean:
		if v {
			return b.add(str("True"))
		}
		return b.add(str("False"))
	case integer:
		return b.add(str(strconv.FormatInt(int64(v), 10)))
	case float:
		return b.add(str(formatFloat(float64(v))))
	case text:
		return b.add(v.derived(quotePython(v.s)))
	case *list:
		return b.reprList(v, depth)
	case *dict:
		return b.reprDict(v, depth)
	case *namespace:
		if err := b.add(str("<Namespace ")); err != nil {
			return err
		}
		if err := b.reprDict(v.attrs, depth+1); err != nil {
			return err
		}
		return b.add(str(">"))
	case *function:
		return b.add(str("<function " + v.name + ">"))
	}
	return b.add(str("<" + v.typeName() + ">"))
}

func (b *builder) reprList(l *list, depth int) error {
	open, end := "[", "]"
	switch {
	case l.kind == isGenerator:
		return b.add(str("<generator>"))
	case l.kind == isTuple && len(l.items) == 1:
		open, end = "(", ",)"
	case l.kind == isTuple:
		open, end = "(", ")"
	}
	if err := b.add(str(open)); err != nil {
		return err
	}
	for i, x := range l.items {
		if i > 0 {
			if err := b.add(str(", ")); err != nil {
				return err
			}
		}
		if err := b.repr(x, depth+1); err != nil {
			return err
		}
	}
	return b.add(str(end))
}

func (b *builder) reprDict(d *dict, depth int) error {
	if err := b.add(str("{")); err != nil {
		return err
	}
	for i, k := range d.keys {
		if i > 0 {
			if err := b.add(str(", ")); err != nil {
				return err
			}
		}
		if err := b.repr(k, depth+1); err != nil {
			return err
		}
		if err := b.add(str(": ")); err != nil {
			return err
		}
		if err := b.repr(d.vals[i], depth+1); err != nil {
			return err
		}
	}
	return b.add(str("}"))
}

// quotePython quotes as repr does: single quotes unless the text has some and no double ones.
func quotePython(s string) string {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteByte(quote)
	for _, c := range s {
		switch {
		case c == rune(quote) || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c < 0x80 || unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	b.WriteByte(quote)
	return b.String()
}

// formatFloat is Python's repr of a float: the shortest text that reads back, exponents outside [1e-4, 1e16).
func formatFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// jsonStyle is how json.dumps was asked to write.
type jsonStyle struct {
	item, key  string // separators
	indent     string // of one level; used when indented
	indented   bool
	asciiOnly  bool
	sortedKeys bool
}

// json appends what json.dumps writes for v.
func (b *builder) json(v Value, st *jsonStyle, depth int) error {
	if depth > b.run.lim.Depth {
		return limitError("template writes JSON nested more than %d deep", b.run.lim.Depth)
	}
	switch v := v.(type) {
	case none:
		return b.add(str("null"))
	case boolean:
		return b.add(str(strconv.FormatBool(bool(v))))
	case integer:
		return b.add(str(strconv.FormatInt(int64(v), 10)))
	case float:
		return b.add(str(jsonFloat(float64(v))))
	case text:
		return b.add(v.derived(quoteJSON(v.s, st.asciiOnly)))
	case *list:
		if v.kind == isGenerator {
			break
		}
		return b.jsonSeq("[", "]", len(v.items), st, depth, func(i int) error {
			return b.json(v.items[i], st, depth+1)
		})
	case *dict:
		keys, vals, err := v.jsonEntries(b.run, st)
		if err != nil {
			return err
		}
		return b.jsonSeq("{", "}", len(keys), st, depth, func(i int) error {
			if err := b.add(keys[i].derived(quoteJSON(keys[i].s, st.asciiOnly))); err != nil {
				return err
			}
			if err := b.add(str(st.key)); err != nil {
				return err
			}
			return b.json(vals[i], st, depth+1)
		})
	}
	return fail("%s cannot be written as JSON", describe(v))
}

func (b *builder) jsonSeq(open, end string, n int, st *jsonStyle, depth int, item func(int) error) error {
	if err := b.add(str(open)); err != nil {
		return err
	}
	for i := range n {
		if i > 0 {
			if err := b.add(str(st.item)); err != nil {
				return err
			}
		}
		if err := b.newline(st, depth+1); err != nil {
			return err
		}
		if err := item(i); err != nil {
			return err
		}
	}
	if n > 0 {
		if err := b.newline(st, depth); err != nil {
			return err
		}
	}
	return b.add(str(end))
}

func (b *builder) newline(st *jsonStyle, depth int) error {
	if !st.indented {
		return nil
	}
	if err := b.add(str("\n")); err != nil {
		return err
	}
	for range depth {
		if err := b.add(str(st.indent)); err != nil {
			return err
		}
	}
	return nil
}

// jsonEntries returns the entries with their keys as JSON spells them.
func (d *dict) jsonEntries(r *run, st *jsonStyle) ([]text, []Value, error) {
	if err := r.allocList(2 * len(d.keys)); err != nil {
		return nil, nil, err
	}
	keys := make([]text, len(d.keys))
	for i, k := range d.keys {
		switch k := k.(type) {
		case text:
			keys[i] = k
		case none:
			keys[i] = str("null")
		case boolean:
			keys[i] = str(strconv.FormatBool(bool(k)))
		case integer:
			keys[i] = str(strconv.FormatInt(int64(k), 10))
		case float:
			keys[i] = str(jsonFloat(float64(k)))
		}
	}
	vals := d.vals
	if st.sortedKeys {
		perm := sortedBy(len(keys), func(i, j int) int { return strings.Compare(keys[i].s, keys[j].s) })
		keys, vals = permute(keys, perm), permute(vals, perm)
	}
	return keys, vals, nil
}

func jsonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return formatFloat(f)
}

// quoteJSON escapes what json.dumps escapes and nothing else.
func quoteJSON(s string, asciiOnly bool) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\b':
			b.WriteString(`\b`)
		case c == '\f':
			b.WriteString(`\f`)
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		case c < utf8.RuneSelf && (c != 0x7f || !asciiOnly), c >= utf8.RuneSelf && !asciiOnly:
			b.WriteRune(c)
		case c > 0xffff:
			c -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
