package jinja

import (
	"slices"
	"strings"
)

// listFilter returns a filter that works on a sequence or mapping, or nil.
func listFilter(name string) filter {
	switch name {
	case "items":
		return filterItems
	case "dictsort":
		return filterDictSort
	case "join":
		return filterJoin
	case "list":
		return func(r *run, x Value, a args) (Value, error) {
			if _, err := a.bind(name); err != nil {
				return nil, err
			}
			all, err := items(r, x)
			return &list{items: all}, err
		}
	case "first", "last":
		return func(r *run, x Value, a args) (Value, error) {
			if _, err := a.bind(name); err != nil {
				return nil, err
			}
			all, err := items(r, x)
			if err != nil {
				return nil, err
			}
			if len(all) == 0 {
				return undefined{name + " item of an empty sequence"}, nil
			}
			if name == "first" {
				return all[0], nil
			}
			return all[len(all)-1], nil
		}
	case "reverse":
		return filterReverse
	case "sort":
		return filterSort
	case "unique":
		return filterUnique
	case "min", "max":
		return func(r *run, x Value, a args) (Value, error) { return extreme(r, x, a, name) }
	case "sum":
		return filterSum
	case "batch":
		return filterBatch
	case "map":
		return filterMap
	case "select", "reject":
		return func(r *run, x Value, a args) (Value, error) { return filterSelect(r, x, a, name == "select", false) }
	case "selectattr", "rejectattr":
		return func(r *run, x Value, a args) (Value, error) { return filterSelect(r, x, a, name == "selectattr", true) }
	}
	return nil
}

func filterItems(r *run, x Value, a args) (Value, error) {
	if _, err := a.bind("items"); err != nil {
		return nil, err
	}
	switch x := x.(type) {
	case undefined:
		return &list{kind: isGenerator}, nil
	case *dict:
		l, err := x.pairs(r)
		if err != nil {
			return nil, err
		}
		l.kind = isGenerator
		return l, nil
	}
	return nil, fail("items needs a mapping, not %s", describe(x))
}

func filterDictSort(r *run, x Value, a args) (Value, error) {
	v, err := a.bind("dictsort", "case_sensitive", "by", "reverse")
	if err != nil {
		return nil, err
	}
	d, ok := x.(*dict)
	if !ok {
		return nil, fail("dictsort needs a mapping, not %s", describe(x))
	}
	by, err := wantText("dictsort", v[1], str("key"))
	if err != nil {
		return nil, err
	}
	keys := d.keys
	if by.s == "value" {
		keys = d.vals
	} else if by.s != "key" {
		return nil, fail("dictsort sorts by key or value")
	}
	pairs, err := d.pairs(r)
	if err != nil {
		return nil, err
	}
	if keys, err = foldCase(r, keys, v[0]); err != nil {
		return nil, err
	}
	perm, err := sortValues(r, keys, v[2] != nil && truth(v[2]))
	if err != nil {
		return nil, err
	}
	return &list{items: permute(pairs.items, perm)}, nil
}

// foldCase lowers string keys for comparison unless sensitive is given and true.
func foldCase(r *run, keys []Value, sensitive Value) ([]Value, error) {
	if sensitive != nil && truth(sensitive) {
		return keys, nil
	}
	if err := r.allocList(len(keys)); err != nil {
		return nil, err
	}
	out := slices.Clone(keys)
	for i, k := range out {
		if t, ok := k.(text); ok {
			if err := r.alloc(len(t.s)); err != nil {
				return nil, err
			}
			out[i] = str(strings.ToLower(t.s))
		}
	}
	return out, nil
}

// attributePath reads a.b.0 of a value.
func attributePath(r *run, x Value, path Value) (Value, error) {
	if n, ok := asInt(path); ok {
		return subscript(r, x, integer(n))
	}
	t, ok := path.(text)
	if !ok {
		return nil, fail("attribute must be a string, not %s", describe(path))
	}
	for _, part := range strings.Split(t.s, ".") {
		key := Value(str(part))
		if n, err := filterInt(r, str(part), args{pos: []Value{none{}}}); err == nil {
			if i, ok := n.(integer); ok {
				key = i
			}
		}
		var err error
		if x, err = subscript(r, x, key); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// attributes reads a path of every element; without a path the elements themselves are returned.
func attributes(r *run, all []Value, path Value) ([]Value, error) {
	switch path.(type) {
	case nil, none:
		return all, nil
	}
	if err := r.allocList(len(all)); err != nil {
		return nil, err
	}
	out := make([]Value, len(all))
	for i, x := range all {
		var err error
		if out[i], err = attributePath(r, x, path); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func filterJoin(r *run, x Value, a args) (Value, error) {
	v, err := a.bind("join", "d", "attribute")
	if err != nil {
		return nil, err
	}
	sep, err := wantText("join", v[0], text{})
	if err != nil {
		return nil, err
	}
	all, err := items(r, x)
	if err != nil {
		return nil, err
	}
	if all, err = attributes(r, all, v[1]); err != nil {
		return nil, err
	}
	parts := make([]text, len(all))
	for i, x := range all {
		if parts[i], err = toText(r, x); err != nil {
			return nil, err
		}
	}
	return joinTexts(r, sep, parts)
}

func filterReverse(r *run, x Value, a args) (Value, error) {
	if _, err := a.bind("reverse"); err != nil {
		return nil, err
	}
	all, err := items(r, x)
	if err != nil {
		return nil, err
	}
	if err := r.allocList(len(all)); err != nil {
		return nil, err
	}
	all = slices.Clone(all)
	slices.Reverse(all)
	if _, ok := x.(text); ok {
		parts := make([]text, len(all))
		for i, v := range all {
			parts[i] = v.(text)
		}
		return concat(r, parts...)
	}
	return &list{items: all, kind: isGenerator}, nil
}

func filterSort(r *run, x Value, a args) (Value, error) {
	v, err := a.bind("sort", "reverse", "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	all, err := items(r, x)
	if err != nil {
		return nil, err
	}
	keys, err := attributes(r, all, v[2])
	if err != nil {
		return nil, err
	}
	if err := r.allocList(len(all)); err != nil {
		return nil, err
	}
	if keys, err = foldCase(r, keys, v[1]); err != nil {
		return nil, err
	}
	perm, err := sortValues(r, keys, v[0] != nil && truth(v[0]))
	if err != nil {
		return nil, err
	}
	return &list{items: permute(all, perm)}, nil
}

func filterUnique(r *run, x Value, a args) (Value, error) {
	v, err := a.bind("unique", "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	all, err := items(r, x)
	if err != nil {
		return nil, err
	}
	keys, err := attributes(r, all, v[1])
	if err != nil {
		return nil, err
	}
	if keys, err = foldCase(r, keys, v[0]); err != nil {
		return nil, err
	}
	seen := make(map[dictKey]bool)
	var out []Value
	for i, k := range keys {
		id, err := keyOf(k)
		if err != nil {
			return nil, err
		}
		if !seen[id] {
			if err := r.allocList(2); err != nil {
				return nil, err
			}
			seen[id] = true
			out = append(out, all[i])
		}
	}
	return &list{items: out, kind: isGenerator}, nil
}

func extreme(r *run, x Value, a args, name string) (Value, error) {
	v, err := a.bind(name, "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	all, err := items(r, x)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return undefined{name + " of an empty sequence"}, nil
	}
	keys, err := attributes(r, all, v[1])
	if err != nil {
		return nil, err
	}
	if keys, err = foldCase(r, keys, v[0]); err != nil {
		return nil, err
	}
	best := 0
	for i := range keys {
		c, err := order(r, keys[i], keys[best], 0)
		if err != nil {
			return nil, err
		}
		if name == "max" && c > 0 || name == "min" && c < 0 {
			best = i
		}
	}
	return all[best], nil
}

func filterSum(r *run, x Value, a args) (Value, error) {
	v, err := a.bind("sum", "attribute", "start")
	if err != nil {
		return nil, err
	}
	all, err := items(r, x)
	if err != nil {
		return nil, err
	}
	if all, err = attributes(r, all, v[0]); err != nil {
		return nil, err
	}
	total := v[1]
	if total == nil {
		total = integer(0)
	}
	for _, x := range all {
		sum, ok, err := arith("+", total, x)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fail("sum needs numbers, not %s", describe(x))
		}
		total = sum
	}
	return total, r.step(len(all))
}

func filterBatch(r *run, x Value, a args) (Value, error) {
	v, err := a.bind("batch", "linecount", "fill_with")
	if err != nil {
		return nil, err
	}
	n, err := wantInt("batch", v[0], 0)
	if err != nil || n < 1 {
		return nil, fail("batch needs a size of at least 1")
	}
	all, err := items(r, x)
	if err != nil {
		return nil, err
	}
	if err := r.allocList(2 * len(all)); err != nil {
		return nil, err
	}
	var out []Value
	for chunk := range slices.Chunk(all, int(min(n, int64(len(all)+1)))) {
		l := &list{items: slices.Clone(chunk)}
		if v[1] != nil {
			if err := r.allocList(int(min(n, int64(r.lim.Built)))); err != nil {
				return nil, err
			}
			for int64(len(l.items)) < n {
				l.items = append(l.items, v[1])
			}
		}
		out = append(out, l)
	}
	return &list{items: out, kind: isGenerator}, nil
}

// itemsIfAny lists the elements of a sequence; Jinja's map and select take any false value for an empty one.
func itemsIfAny(r *run, x Value) ([]Value, error) {
	if !truth(x) {
		return nil, nil
	}
	return items(r, x)
}

// filterMap is map("filter", args...) or map(attribute="path", default=...).
func filterMap(r *run, x Value, a args) (Value, error) {
	all, err := itemsIfAny(r, x)
	if err != nil {
		return nil, err
	}
	if err := r.allocList(len(all)); err != nil {
		return nil, err
	}
	out := make([]Value, len(all))
	if len(a.pos) == 0 {
		v, err := a.bind("map", "", "attribute", "default")
		if err != nil {
			return nil, err
		}
		for i, x := range all {
			if out[i], err = attributePath(r, x, v[1]); err != nil {
				return nil, err
			}
			if _, missing := out[i].(undefined); missing && v[2] != nil {
				out[i] = v[2]
			}
		}
		return &list{items: out, kind: isGenerator}, nil
	}
	name, ok := a.pos[0].(text)
	if !ok {
		return nil, fail("map needs a filter name")
	}
	rest := args{pos: a.pos[1:], names: a.names, named: a.named}
	for i, x := range all {
		if out[i], err = applyFilter(r, name.s, x, rest); err != nil {
			return nil, err
		}
	}
	return &list{items: out, kind: isGenerator}, nil
}

// filterSelect is select, reject (test) and selectattr, rejectattr (attribute, test). Without a test truth decides.
func filterSelect(r *run, x Value, a args, keep, byAttr bool) (Value, error) {
	all, err := itemsIfAny(r, x)
	if err != nil {
		return nil, err
	}
	if len(a.names) > 0 || byAttr && len(a.pos) == 0 {
		return nil, fail("select filters need positional arguments")
	}
	keys, pos := all, a.pos
	if byAttr {
		if keys, err = attributes(r, all, pos[0]); err != nil {
			return nil, err
		}
		pos = pos[1:]
	}
	var out []Value
	for i, k := range keys {
		ok := truth(k)
		if len(pos) > 0 {
			name, isText := pos[0].(text)
			if !isText {
				return nil, fail("a test name must be a string")
			}
			if ok, err = applyTest(r, name.s, k, args{pos: pos[1:]}); err != nil {
				return nil, err
			}
		}
		if err := r.allocList(1); err != nil {
			return nil, err
		}
		if ok == keep {
			out = append(out, all[i])
		}
	}
	return &list{items: out, kind: isGenerator}, nil
}
