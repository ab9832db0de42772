package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// method makes a bound method with the given parameters.
func method(name string, params []string, f func(r *run, v []Value) (Value, error)) Value {
	return &function{name, func(r *run, a args) (Value, error) {
		v, err := a.bind(name, params...)
		if err != nil {
			return nil, err
		}
		return f(r, v)
	}}
}

// stringMethod returns a method of str, or nil. The sandbox of transformers has the same ones; str.format is left out.
func stringMethod(t text, name string) Value {
	switch name {
	case "strip", "lstrip", "rstrip":
		return method(name, []string{"chars"}, func(r *run, v []Value) (Value, error) {
			cut := isSpace
			chars, err := wantText(name, v[0], text{})
			if err != nil {
				return nil, err
			}
			if v[0] != nil && chars.s != "" {
				cut = func(c rune) bool { return strings.ContainsRune(chars.s, c) }
			}
			return t.trim(cut, name != "rstrip", name != "lstrip"), r.work(len(t.s))
		})
	case "split", "rsplit":
		return method(name, []string{"sep", "maxsplit"}, func(r *run, v []Value) (Value, error) {
			return splitMethod(r, t, name, v)
		})
	case "splitlines":
		return method(name, []string{"keepends"}, func(r *run, v []Value) (Value, error) {
			return splitLines(r, t, v[0] != nil && truth(v[0]))
		})
	case "startswith", "endswith":
		return method(name, []string{"affix"}, func(r *run, v []Value) (Value, error) {
			has := strings.HasPrefix
			if name == "endswith" {
				has = strings.HasSuffix
			}
			choices := []Value{v[0]}
			if l, ok := v[0].(*list); ok && l.kind == isTuple {
				choices = l.items
			}
			for _, c := range choices {
				s, ok := c.(text)
				if !ok {
					return nil, fail("%s needs a string", name)
				}
				if err := r.work(len(s.s)); err != nil {
					return nil, err
				}
				if has(t.s, s.s) {
					return boolean(true), nil
				}
			}
			return boolean(false), nil
		})
	case "removeprefix", "removesuffix":
		return method(name, []string{"affix"}, func(r *run, v []Value) (Value, error) {
			s, err := wantText(name, v[0], text{})
			if err != nil {
				return nil, err
			}
			switch {
			case name == "removeprefix" && strings.HasPrefix(t.s, s.s):
				return t.slice(len(s.s), len(t.s)), r.work(len(t.s))
			case name == "removesuffix" && strings.HasSuffix(t.s, s.s):
				return t.slice(0, len(t.s)-len(s.s)), r.work(len(t.s))
			}
			return t, nil
		})
	case "upper", "lower", "title", "capitalize":
		return method(name, nil, func(r *run, _ []Value) (Value, error) { return changeCase(r, t, name) })
	case "find", "rfind", "count", "index":
		return method(name, []string{"sub"}, func(r *run, v []Value) (Value, error) { return search(r, t, name, v[0]) })
	case "replace":
		return method(name, []string{"old", "new", "count"}, func(r *run, v []Value) (Value, error) {
			return replaceText(r, t, v)
		})
	case "join":
		return method(name, []string{"iterable"}, func(r *run, v []Value) (Value, error) {
			all, err := items(r, v[0])
			if err != nil {
				return nil, err
			}
			parts := make([]text, len(all))
			for i, x := range all {
				var ok bool
				if parts[i], ok = x.(text); !ok {
					return nil, fail("join needs strings, not %s", describe(x))
				}
			}
			return joinTexts(r, t, parts)
		})
	case "isdigit", "isnumeric", "isdecimal", "isalpha", "isalnum", "isspace", "isupper", "islower":
		return method(name, nil, func(r *run, _ []Value) (Value, error) {
			return boolean(stringIs(name, t.s)), r.work(len(t.s))
		})
	}
	return nil
}

func splitMethod(r *run, t text, name string, v []Value) (Value, error) {
	sep, err := wantText(name, v[0], text{})
	if err != nil {
		return nil, err
	}
	limit, err := wantInt(name, v[1], -1)
	if err != nil {
		return nil, err
	}
	var parts []text
	switch _, isNone := v[0].(none); {
	case v[0] == nil || isNone:
		if name == "rsplit" && limit >= 0 {
			return nil, fail("rsplit with a limit needs a separator")
		}
		parts, err = t.fields(r, int(limit))
	case name == "rsplit" && limit >= 0:
		if parts, err = t.split(r, sep.s, -1); err == nil && int64(len(parts)) > limit+1 {
			tail := parts[int64(len(parts))-limit:]
			head := len(t.s)
			for _, p := range tail {
				head -= len(p.s) + len(sep.s)
			}
			parts = append([]text{t.slice(0, head)}, tail...)
		}
	default:
		parts, err = t.split(r, sep.s, int(limit))
	}
	return textList(parts), err
}

func textList(parts []text) *list {
	l := &list{items: make([]Value, len(parts))}
	for i, p := range parts {
		l.items[i] = p
	}
	return l
}

func splitLines(r *run, t text, keep bool) (Value, error) {
	var parts []text
	for pos := 0; pos < len(t.s); {
		if err := r.allocList(1); err != nil {
			return nil, err
		}
		n := strings.IndexAny(t.s[pos:], "\n\r")
		if n < 0 {
			parts = append(parts, t.slice(pos, len(t.s)))
			break
		}
		end := pos + n + 1
		if strings.HasPrefix(t.s[pos+n:], "\r\n") {
			end++
		}
		if keep {
			parts = append(parts, t.slice(pos, end))
		} else {
			parts = append(parts, t.slice(pos, pos+n))
		}
		pos = end
	}
	return textList(parts), r.work(len(t.s))
}

// changeCase cannot follow single bytes, so a partly untrusted text becomes untrusted.
func changeCase(r *run, t text, how string) (Value, error) {
	if err := r.alloc(len(t.s)); err != nil {
		return nil, err
	}
	switch how {
	case "upper":
		return t.derived(strings.ToUpper(t.s)), nil
	case "lower":
		return t.derived(strings.ToLower(t.s)), nil
	}
	start := true
	s := strings.Map(func(c rune) rune {
		up := start
		start = how == "title" && !unicode.IsLetter(c)
		if up {
			return unicode.ToTitle(c)
		}
		return unicode.ToLower(c)
	}, t.s)
	return t.derived(s), nil
}

func search(r *run, t text, how string, v Value) (Value, error) {
	s, ok := v.(text)
	if !ok {
		return nil, fail("%s needs a string", how)
	}
	if err := r.work(len(t.s) + len(s.s)); err != nil {
		return nil, err
	}
	var at int
	switch how {
	case "count":
		return integer(strings.Count(t.s, s.s)), nil
	case "rfind":
		at = strings.LastIndex(t.s, s.s)
	default:
		at = strings.Index(t.s, s.s)
	}
	if at < 0 {
		if how == "index" {
			return nil, fail("substring not found")
		}
		return integer(-1), nil
	}
	return integer(utf8.RuneCountInString(t.s[:at])), nil
}

// replaceText takes old, new and count.
func replaceText(r *run, t text, v []Value) (Value, error) {
	if v[0] == nil || v[1] == nil {
		return nil, fail("replace needs two strings")
	}
	old, err := toText(r, v[0])
	if err != nil {
		return nil, err
	}
	by, err := toText(r, v[1])
	if err != nil {
		return nil, err
	}
	count, err := wantInt("replace", v[2], -1)
	if err != nil {
		return nil, err
	}
	return t.replace(r, old, by, int(max(count, -1)))
}

func stringIs(what, s string) bool {
	if s == "" {
		return false
	}
	if what == "isupper" {
		return strings.ToUpper(s) == s && strings.ToLower(s) != s
	}
	if what == "islower" {
		return strings.ToLower(s) == s && strings.ToUpper(s) != s
	}
	for _, c := range s {
		ok := false
		switch what {
		case "isdecimal":
			ok = unicode.Is(unicode.Nd, c)
		case "isdigit", "isnumeric":
			ok = unicode.IsNumber(c)
		case "isalpha":
			ok = unicode.IsLetter(c)
		case "isalnum":
			ok = unicode.IsLetter(c) || unicode.IsNumber(c)
		case "isspace":
			ok = isSpace(c)
		}
		if !ok {
			return false
		}
	}
	return true
}

// dictMethod returns a method of dict, or nil. Those that change it are not offered: the sandbox forbids them.
func dictMethod(d *dict, name string) Value {
	switch name {
	case "get":
		return method(name, []string{"key", "default"}, func(_ *run, v []Value) (Value, error) {
			if v[0] == nil {
				return nil, fail("get needs a key")
			}
			if x, ok := d.get(v[0]); ok {
				return x, nil
			}
			if v[1] == nil {
				return none{}, nil
			}
			return v[1], nil
		})
	case "items":
		return method(name, nil, func(r *run, _ []Value) (Value, error) { return d.pairs(r) })
	case "keys":
		return method(name, nil, func(*run, []Value) (Value, error) { return &list{items: d.keys}, nil })
	case "values":
		return method(name, nil, func(*run, []Value) (Value, error) { return &list{items: d.vals}, nil })
	}
	return nil
}

func (d *dict) pairs(r *run) (*list, error) {
	if err := r.allocList(3 * len(d.keys)); err != nil {
		return nil, err
	}
	l := &list{items: make([]Value, len(d.keys))}
	for i, k := range d.keys {
		l.items[i] = &list{items: []Value{k, d.vals[i]}, kind: isTuple}
	}
	return l, nil
}

// listMethod returns a method of list, or nil.
func listMethod(l *list, name string) Value {
	if l.kind == isGenerator {
		return nil
	}
	switch name {
	case "index", "count":
		return method(name, []string{"value"}, func(r *run, v []Value) (Value, error) {
			if v[0] == nil {
				return nil, fail("%s needs a value", name)
			}
			n := 0
			for i, x := range l.items {
				eq, err := equal(r, x, v[0], 0)
				if err != nil {
					return nil, err
				}
				if eq && name == "index" {
					return integer(i), nil
				}
				if eq {
					n++
				}
			}
			if name == "index" {
				return nil, fail("value is not in the list")
			}
			return integer(n), nil
		})
	}
	return nil
}
