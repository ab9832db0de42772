package jinja

// applyTest decides `x is name(args)`.
func applyTest(r *run, name string, x Value, a args) (bool, error) {
	if len(a.names) > 0 {
		return false, fail("test %q takes no named arguments", name)
	}
	switch name {
	case "eq", "equalto", "sameas", "ne", "lt", "lessthan", "le", "gt", "greaterthan", "ge", "in", "divisibleby":
		if len(a.pos) != 1 {
			return false, fail("test %q needs one argument", name)
		}
		return testWith(r, name, x, a.pos[0])
	}
	if len(a.pos) != 0 {
		return false, fail("test %q takes no argument", name)
	}
	switch name {
	case "defined":
		_, no := x.(undefined)
		return !no, nil
	case "undefined":
		_, ok := x.(undefined)
		return ok, nil
	case "none":
		_, ok := x.(none)
		return ok, nil
	case "boolean":
		_, ok := x.(boolean)
		return ok, nil
	case "true", "false":
		b, ok := x.(boolean)
		return ok && bool(b) == (name == "true"), nil
	case "integer":
		_, ok := x.(integer)
		return ok, nil
	case "float":
		_, ok := x.(float)
		return ok, nil
	case "number":
		_, ok := number(x)
		return ok, nil
	case "string":
		_, ok := x.(text)
		return ok, nil
	case "mapping":
		_, ok := x.(*dict)
		return ok, nil
	case "callable":
		_, ok := x.(*function)
		return ok, nil
	case "iterable":
		switch x.(type) {
		case undefined, text, *dict, *list:
			return true, nil
		}
		return false, nil
	case "sequence":
		switch x := x.(type) {
		case undefined, text, *dict:
			return true, nil
		case *list:
			return x.kind != isGenerator, nil
		}
		return false, nil
	case "odd", "even":
		n, ok := asInt(x)
		if !ok {
			return false, fail("test %q needs an integer, not %s", name, describe(x))
		}
		return (n%2 != 0) == (name == "odd"), nil
	case "upper", "lower":
		t, err := toText(r, x)
		if err != nil {
			return false, err
		}
		return stringIs("is"+name, t.s), r.work(len(t.s))
	}
	return false, fail("test %q is not supported", name)
}

func testWith(r *run, name string, x, y Value) (bool, error) {
	switch name {
	case "sameas":
		if x.typeName() != y.typeName() {
			return false, nil
		}
		return equal(r, x, y, 0)
	case "divisibleby":
		n, ok := asInt(x)
		m, ok2 := asInt(y)
		if !ok || !ok2 || m == 0 {
			return false, fail("test %q needs integers other than zero", name)
		}
		return n%m == 0, nil
	}
	ops := map[string]string{
		"eq": "==", "equalto": "==", "ne": "!=", "lt": "<", "lessthan": "<", "le": "<=", "gt": ">", "greaterthan": ">",
		"ge": ">=", "in": "in",
	}
	return compare(r, ops[name], x, y)
}
