package jinja

import (
	"math"
	"strconv"
	"strings"
)

// filter is `x | name(args)`.
type filter func(r *run, x Value, a args) (Value, error)

// filterNamed returns a filter, or nil. Filters of Jinja that no chat template needs are left out.
func filterNamed(name string) filter {
	switch name {
	case "tojson":
		return filterToJSON
	case "length", "count":
		return func(_ *run, x Value, a args) (Value, error) {
			if _, err := a.bind(name); err != nil {
				return nil, err
			}
			n, err := length(x)
			return integer(n), err
		}
	case "trim":
		return filterTrim
	case "string", "safe":
		return func(r *run, x Value, a args) (Value, error) {
			if _, err := a.bind(name); err != nil {
				return nil, err
			}
			t, err := toText(r, x)
			t.markup = t.markup || name == "safe"
			return t, err
		}
	case "upper", "lower", "title", "capitalize":
		return func(r *run, x Value, a args) (Value, error) {
			if _, err := a.bind(name); err != nil {
				return nil, err
			}
			t, err := toText(r, x)
			if err != nil {
				return nil, err
			}
			return changeCase(r, t, name)
		}
	case "replace":
		return func(r *run, x Value, a args) (Value, error) {
			v, err := a.bind(name, "old", "new", "count")
			if err != nil {
				return nil, err
			}
			t, err := toText(r, x)
			if err != nil {
				return nil, err
			}
			return replaceText(r, t, v)
		}
	case "escape", "e":
		return filterEscape
	case "indent":
		return filterIndent
	case "default", "d":
		return filterDefault
	case "int":
		return filterInt
	case "float":
		return filterFloat
	case "abs":
		return filterAbs
	case "round":
		return filterRound
	}
	return listFilter(name)
}

func filterToJSON(r *run, x Value, a args) (Value, error) {
	v, err := a.bind("tojson", "ensure_ascii", "indent", "separators", "sort_keys")
	if err != nil {
		return nil, err
	}
	st := &jsonStyle{item: ", ", key: ": "}
	st.asciiOnly = v[0] != nil && truth(v[0])
	st.sortedKeys = v[3] != nil && truth(v[3])
	switch in := v[1].(type) {
	case nil, none:
	case text:
		st.indent, st.indented = in.s, true
	default:
		n, err := wantInt("tojson", in, 0)
		if err != nil {
			return nil, err
		}
		if n > 64 {
			return nil, fail("tojson indent of %d is over 64", n)
		}
		st.indent, st.indented = strings.Repeat(" ", int(max(n, 0))), true
	}
	if st.indented {
		st.item = ","
	}
	switch sep := v[2].(type) {
	case nil, none:
	case *list:
		if len(sep.items) != 2 {
			return nil, fail("tojson separators must be two strings")
		}
		item, ok := sep.items[0].(text)
		key, ok2 := sep.items[1].(text)
		if !ok || !ok2 {
			return nil, fail("tojson separators must be two strings")
		}
		st.item, st.key = item.s, key.s
	default:
		return nil, fail("tojson separators must be two strings")
	}
	b := builder{run: r}
	if err := b.json(x, st, 0); err != nil {
		return nil, err
	}
	return b.text(), nil
}

func filterTrim(r *run, x Value, a args) (Value, error) {
	v, err := a.bind("trim", "chars")
	if err != nil {
		return nil, err
	}
	chars, err := wantText("trim", v[0], text{})
	if err != nil {
		return nil, err
	}
	t, err := toText(r, x)
	if err != nil {
		return nil, err
	}
	cut := isSpace
	if chars.s != "" {
		cut = func(c rune) bool { return strings.ContainsRune(chars.s, c) }
	}
	return t.trim(cut, true, true), r.work(len(t.s))
}

func filterEscape(r *run, x Value, a args) (Value, error) {
	if _, err := a.bind("escape"); err != nil {
		return nil, err
	}
	t, err := toText(r, x)
	if err != nil || t.markup {
		return t, err
	}
	return escapeHTML(r, t)
}

// escapeHTML makes markup of a plain string.
func escapeHTML(r *run, t text) (text, error) {
	var err error
	for _, p := range [][2]string{{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {`"`, "&#34;"}} {
		if t, err = t.replace(r, str(p[0]), t.derived(p[1]), -1); err != nil {
			return text{}, err
		}
	}
	t.markup = true
	return t, nil
}

// filterIndent indents every line but the first, and leaves empty lines alone unless blank is set.
func filterIndent(r *run, x Value, a args) (Value, error) {
	v, err := a.bind("indent", "width", "first", "blank")
	if err != nil {
		return nil, err
	}
	pad := text{}
	if w, ok := v[0].(text); ok {
		pad = w
	} else {
		n, err := wantInt("indent", v[0], 4)
		if err != nil {
			return nil, err
		}
		if n > 1024 {
			return nil, fail("indent of %d is over 1024", n)
		}
		pad = str(strings.Repeat(" ", int(max(n, 0))))
	}
	first := v[1] != nil && truth(v[1])
	blank := v[2] != nil && truth(v[2])
	t, err := toText(r, x)
	if err != nil {
		return nil, err
	}
	lines, err := t.split(r, "\n", -1)
	if err != nil {
		return nil, err
	}
	b := builder{run: r}
	for i, line := range lines {
		if i > 0 {
			if err := b.add(str("\n")); err != nil {
				return nil, err
			}
		}
		if i == 0 && first || i > 0 && (blank || line.s != "") {
			if err := b.add(pad); err != nil {
				return nil, err
			}
		}
		if err := b.add(line); err != nil {
			return nil, err
		}
	}
	return b.text(), nil
}

func filterDefault(_ *run, x Value, a args) (Value, error) {
	v, err := a.bind("default", "default_value", "boolean")
	if err != nil {
		return nil, err
	}
	_, missing := x.(undefined)
	if missing || v[1] != nil && truth(v[1]) && !truth(x) {
		if v[0] == nil {
			return text{}, nil
		}
		return v[0], nil
	}
	return x, nil
}

func filterInt(_ *run, x Value, a args) (Value, error) {
	v, err := a.bind("int", "default", "base")
	if err != nil {
		return nil, err
	}
	def := v[0]
	if def == nil {
		def = integer(0)
	}
	base, err := wantInt("int", v[1], 10)
	if err != nil || base < 2 || base > 36 {
		return nil, fail("int needs a base from 2 to 36")
	}
	switch x := x.(type) {
	case boolean, integer:
		n, _ := asInt(x)
		return integer(n), nil
	case float:
		if n, ok := toInt64(float64(x)); ok {
			return integer(n), nil
		}
	case text:
		s := strings.ReplaceAll(strings.TrimFunc(x.s, isSpace), "_", "")
		if n, err := strconv.ParseInt(s, int(base), 64); err == nil {
			return integer(n), nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && base == 10 {
			if n, ok := toInt64(f); ok {
				return integer(n), nil
			}
		}
	}
	return def, nil
}

func filterFloat(_ *run, x Value, a args) (Value, error) {
	v, err := a.bind("float", "default")
	if err != nil {
		return nil, err
	}
	if f, ok := number(x); ok {
		return float(f), nil
	}
	if t, ok := x.(text); ok {
		if f, err := strconv.ParseFloat(strings.TrimFunc(t.s, isSpace), 64); err == nil {
			return float(f), nil
		}
	}
	if v[0] != nil {
		return v[0], nil
	}
	return float(0), nil
}

func filterAbs(_ *run, x Value, a args) (Value, error) {
	if _, err := a.bind("abs"); err != nil {
		return nil, err
	}
	if n, ok := asInt(x); ok && n != math.MinInt64 {
		return integer(max(n, -n)), nil
	}
	if f, ok := x.(float); ok {
		return float(math.Abs(float64(f))), nil
	}
	return nil, fail("abs needs a number, not %s", describe(x))
}

func filterRound(_ *run, x Value, a args) (Value, error) {
	v, err := a.bind("round", "precision", "method")
	if err != nil {
		return nil, err
	}
	digits, err := wantInt("round", v[0], 0)
	if err != nil || digits < -15 || digits > 15 {
		return nil, fail("round needs a precision from -15 to 15")
	}
	how, err := wantText("round", v[1], str("common"))
	if err != nil {
		return nil, err
	}
	f, ok := number(x)
	if !ok {
		return nil, fail("round needs a number, not %s", describe(x))
	}
	if n, ok := asInt(x); ok && how.s == "common" && digits >= 0 {
		return integer(n), nil
	}
	scale := math.Pow10(int(digits))
	round := map[string]func(float64) float64{"common": math.RoundToEven, "ceil": math.Ceil, "floor": math.Floor}[how.s]
	if round == nil {
		return nil, fail("round method must be common, ceil or floor")
	}
	return float(round(f*scale) / scale), nil
}
