package jinja

import (
	"slices"
	"strconv"
)

// Precedence, loosest first: a if b else c; or; and; not; comparisons, in; + -; ~; * / // %; **; unary - +; then
// attributes, calls, filters and tests, which bind tightest.

// parseTuple reads one expression, or a tuple when commas follow. cond allows a conditional expression at the top;
// a loop's iterable must not take the loop's own if.
func (p *parser) parseTuple(cond bool) (expr, error) {
	one := p.parseExpr
	if !cond {
		one = p.parseOr
	}
	x, err := one()
	if err != nil || !p.peek().is(tokOp, ",") {
		return x, err
	}
	items := []expr{x}
	for p.accept(tokOp, ",") {
		if t := p.peek(); t.kind == tokClose || t.is(tokOp, ")") {
			break
		}
		if x, err = one(); err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	return &listExpr{items: items, kind: isTuple}, nil
}

func (p *parser) parseExpr() (expr, error) {
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.nest-- }()
	x, err := p.parseOr()
	if err != nil {
		return nil, err
	}
	for p.accept(tokName, "if") {
		c := &condExpr{yes: x}
		if c.cond, err = p.parseOr(); err != nil {
			return nil, err
		}
		if p.accept(tokName, "else") {
			if c.no, err = p.parseExpr(); err != nil {
				return nil, err
			}
		}
		x = c
	}
	return x, nil
}

func (p *parser) parseOr() (expr, error) { return p.logical("or", p.parseAnd) }

func (p *parser) parseAnd() (expr, error) { return p.logical("and", p.parseNot) }

func (p *parser) logical(op string, operand func() (expr, error)) (expr, error) {
	x, err := operand()
	for err == nil && p.accept(tokName, op) {
		var y expr
		if y, err = operand(); err == nil {
			x = &logicExpr{and: op == "and", x: x, y: y}
		}
	}
	return x, err
}

func (p *parser) parseNot() (expr, error) {
	if !p.accept(tokName, "not") {
		return p.parseCompare()
	}
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.nest-- }()
	x, err := p.parseNot()
	return &notExpr{x}, err
}

var compareOps = []string{"==", "!=", "<", "<=", ">", ">="}

func (p *parser) parseCompare() (expr, error) {
	x, err := p.parseSum()
	if err != nil {
		return nil, err
	}
	c := &compareExpr{first: x}
	for {
		t := p.peek()
		op := ""
		switch {
		case t.kind == tokOp && slices.Contains(compareOps, t.s), t.is(tokName, "in"):
			op = t.s
			p.pos++
		case t.is(tokName, "not") && p.toks[p.pos+1].is(tokName, "in"):
			op = "not in"
			p.pos += 2
		case len(c.ops) == 0:
			return x, nil
		default:
			return c, nil
		}
		y, err := p.parseSum()
		if err != nil {
			return nil, err
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, y)
	}
}

func (p *parser) binary(operand func() (expr, error), ops ...string) (expr, error) {
	x, err := operand()
	for err == nil {
		t := p.peek()
		if t.kind != tokOp || !slices.Contains(ops, t.s) {
			break
		}
		p.pos++
		var y expr
		if y, err = operand(); err == nil {
			x = &binExpr{op: t.s, x: x, y: y}
		}
	}
	return x, err
}

func (p *parser) parseSum() (expr, error)     { return p.binary(p.parseConcat, "+", "-") }
func (p *parser) parseConcat() (expr, error)  { return p.binary(p.parseProduct, "~") }
func (p *parser) parseProduct() (expr, error) { return p.binary(p.parsePower, "*", "/", "//", "%") }
func (p *parser) parsePower() (expr, error) {
	return p.binary(func() (expr, error) { return p.parseUnary(true) }, "**")
}

// parseUnary reads signs. Filters and tests apply to the signed value, not to the operand of the sign.
func (p *parser) parseUnary(filters bool) (expr, error) {
	var x expr
	var err error
	if t := p.peek(); t.is(tokOp, "-") || t.is(tokOp, "+") {
		p.pos++
		if err := p.deeper(); err != nil {
			return nil, err
		}
		x, err = p.parseUnary(false)
		p.nest--
		x = &signExpr{x: x, minus: t.s == "-"}
	} else {
		x, err = p.parsePrimary()
	}
	if err == nil {
		x, err = p.parsePostfix(x)
	}
	if err == nil && filters {
		x, err = p.parseFiltersAndTests(x)
	}
	return x, err
}

func isConstant(name string) bool {
	switch name {
	case "true", "True", "false", "False", "none", "None":
		return true
	}
	return false
}

func (p *parser) parsePrimary() (expr, error) {
	t := p.next()
	switch t.kind {
	case tokName:
		switch t.s {
		case "true", "True":
			return constExpr{boolean(true)}, nil
		case "false", "False":
			return constExpr{boolean(false)}, nil
		case "none", "None":
			return constExpr{none{}}, nil
		}
		return &nameExpr{t.s}, nil
	case tokString:
		s := t.s
		for p.peek().kind == tokString { // adjacent literals are one
			s += p.next().s
		}
		return constExpr{str(s)}, nil
	case tokInt:
		n, err := strconv.ParseInt(t.s, 10, 64)
		if err != nil {
			return nil, p.fail("integer %s is out of range", t.s)
		}
		return constExpr{integer(n)}, nil
	case tokFloat:
		f, err := strconv.ParseFloat(t.s, 64)
		if err != nil {
			return nil, p.fail("number %s is out of range", t.s)
		}
		return constExpr{float(f)}, nil
	case tokOp:
		switch t.s {
		case "(":
			if p.accept(tokOp, ")") {
				return &listExpr{kind: isTuple}, nil
			}
			x, err := p.parseTuple(true)
			if err != nil {
				return nil, err
			}
			return x, p.expect(tokOp, ")")
		case "[":
			items, err := p.parseItems("]")
			return &listExpr{items: items}, err
		case "{":
			return p.parseDict()
		}
	}
	return nil, p.fail("expected an expression, found %s", t.describe())
}

// parseItems reads expressions up to the closing bracket.
func (p *parser) parseItems(end string) ([]expr, error) {
	var items []expr
	for !p.accept(tokOp, end) {
		if len(items) > 0 {
			if err := p.expect(tokOp, ","); err != nil {
				return nil, err
			}
			if p.accept(tokOp, end) {
				break
			}
		}
		x, err := p.parseExpr()
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	return items, nil
}

func (p *parser) parseDict() (expr, error) {
	d := &dictExpr{}
	for !p.accept(tokOp, "}") {
		if len(d.keys) > 0 {
			if err := p.expect(tokOp, ","); err != nil {
				return nil, err
			}
			if p.accept(tokOp, "}") {
				break
			}
		}
		k, err := p.parseExpr()
		if err != nil {
			return nil, err
		}
		if err := p.expect(tokOp, ":"); err != nil {
			return nil, err
		}
		v, err := p.parseExpr()
		if err != nil {
			return nil, err
		}
		d.keys, d.vals = append(d.keys, k), append(d.vals, v)
	}
	return d, nil
}

// parsePostfix reads .name, [index], [from:to:step] and (args).
func (p *parser) parsePostfix(x expr) (expr, error) {
	for {
		switch t := p.peek(); {
		case t.is(tokOp, "."):
			p.pos++
			name := p.next()
			switch name.kind {
			case tokName:
				x = &attrExpr{x, name.s}
			case tokInt:
				n, err := strconv.ParseInt(name.s, 10, 64)
				if err != nil {
					return nil, p.fail("integer %s is out of range", name.s)
				}
				x = &indexExpr{x, constExpr{integer(n)}}
			default:
				return nil, p.fail("expected a name after '.', found %s", name.describe())
			}
		case t.is(tokOp, "["):
			p.pos++
			var err error
			if x, err = p.parseSubscript(x); err != nil {
				return nil, err
			}
		case t.is(tokOp, "("):
			call, err := p.parseArgs(x)
			if err != nil {
				return nil, err
			}
			x = call
		default:
			return x, nil
		}
	}
}

func (p *parser) parseSubscript(x expr) (expr, error) {
	var parts [3]expr
	n := 0
	slice := false
	for !p.accept(tokOp, "]") {
		if p.accept(tokOp, ":") {
			slice = true
			if n++; n > 2 {
				return nil, p.fail("too many ':' in a slice")
			}
			continue
		}
		if parts[n] != nil {
			return nil, p.fail("expected ']', found %s", p.peek().describe())
		}
		var err error
		if parts[n], err = p.parseExpr(); err != nil {
			return nil, err
		}
	}
	if slice {
		return &sliceExpr{x: x, from: parts[0], to: parts[1], step: parts[2]}, nil
	}
	if parts[0] == nil {
		return nil, p.fail("expected an index")
	}
	return &indexExpr{x, parts[0]}, nil
}

// parseArgs reads a call's arguments.
func (p *parser) parseArgs(fn expr) (*callExpr, error) {
	c := &callExpr{fn: fn}
	if err := p.expect(tokOp, "("); err != nil {
		return nil, err
	}
	for n := 0; !p.accept(tokOp, ")"); n++ {
		if n > 0 {
			if err := p.expect(tokOp, ","); err != nil {
				return nil, err
			}
			if p.accept(tokOp, ")") {
				break
			}
		}
		if t := p.peek(); t.is(tokOp, "*") || t.is(tokOp, "**") {
			return nil, p.fail("%s arguments are not supported", t.s)
		}
		name := ""
		if p.peek().kind == tokName && p.toks[p.pos+1].is(tokOp, "=") {
			name = p.next().s
			p.pos++
		}
		x, err := p.parseExpr()
		if err != nil {
			return nil, err
		}
		if name == "" {
			if len(c.names) > 0 {
				return nil, p.fail("positional argument after a named one")
			}
			c.args = append(c.args, x)
			continue
		}
		c.names, c.named = append(c.names, name), append(c.named, x)
	}
	return c, nil
}

func (p *parser) parseFiltersAndTests(x expr) (expr, error) {
	for {
		var err error
		switch t := p.peek(); {
		case t.is(tokOp, "|"):
			p.pos++
			x, err = p.parseFilter(x)
		case t.is(tokName, "is"):
			p.pos++
			x, err = p.parseTest(x)
		case t.is(tokOp, "("):
			x, err = p.parseArgs(x)
		default:
			return x, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// parseFilter reads name or name(args); the bar is consumed already.
func (p *parser) parseFilter(x expr) (expr, error) {
	t := p.next()
	if t.kind != tokName {
		return nil, p.fail("expected a filter name, found %s", t.describe())
	}
	c := &callExpr{}
	if p.peek().is(tokOp, "(") {
		var err error
		if c, err = p.parseArgs(nil); err != nil {
			return nil, err
		}
	}
	return &filterExpr{x: x, name: t.s, args: c}, nil
}

// parseTest reads [not] name, name(args) or name arg.
func (p *parser) parseTest(x expr) (expr, error) {
	not := p.accept(tokName, "not")
	t := p.next()
	if t.kind != tokName {
		return nil, p.fail("expected a test name, found %s", t.describe())
	}
	c := &callExpr{}
	var err error
	switch arg := p.peek(); {
	case arg.is(tokOp, "("):
		c, err = p.parseArgs(nil)
	case arg.kind == tokString, arg.kind == tokInt, arg.kind == tokFloat, arg.is(tokOp, "["), arg.is(tokOp, "{"),
		arg.kind == tokName && !slices.Contains([]string{"else", "or", "and", "if", "in", "is", "not", "recursive"}, arg.s):
		var a expr
		if a, err = p.parsePrimary(); err == nil {
			a, err = p.parsePostfix(a)
		}
		c.args = []expr{a}
	}
	return &testExpr{x: x, name: t.s, args: c, not: not}, err
}
