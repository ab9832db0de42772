package jinja

import (
	"fmt"
	"slices"
)

// maxNesting bounds blocks inside blocks, and brackets and prefix operators inside expressions.
const maxNesting = 64

// parser builds the statements; parse_expr.go holds its expression half.
type parser struct {
	toks  []token
	pos   int
	nest  int
	loops int // for blocks around the current statement, within the current macro
}

func (p *parser) peek() token { return p.toks[p.pos] }

func (p *parser) next() token {
	t := p.toks[p.pos]
	if t.kind != tokEOF {
		p.pos++
	}
	return t
}

func (p *parser) fail(format string, a ...any) error {
	return &Error{Kind: Syntax, Line: p.peek().line, Msg: fmt.Sprintf(format, a...)}
}

func (t token) is(kind tokenKind, s string) bool { return t.kind == kind && t.s == s }

func (t token) describe() string {
	switch t.kind {
	case tokEOF:
		return "the end of the template"
	case tokText:
		return "template text"
	case tokClose:
		return "the end of the tag"
	}
	return fmt.Sprintf("%q", t.s)
}

func (p *parser) accept(kind tokenKind, s string) bool {
	if p.peek().is(kind, s) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(kind tokenKind, s string) error {
	if !p.accept(kind, s) {
		return p.fail("expected %q, found %s", s, p.peek().describe())
	}
	return nil
}

func (p *parser) deeper() error {
	if p.nest++; p.nest > maxNesting {
		return p.fail("nested more than %d deep", maxNesting)
	}
	return nil
}

func (p *parser) parseTemplate() ([]stmt, error) {
	body, _, err := p.parseBody()
	return body, err
}

// parseBody reads statements up to one of the closing tags and returns that tag's name, its keyword consumed. Without
// closing tags it reads to the end.
func (p *parser) parseBody(end ...string) ([]stmt, string, error) {
	if err := p.deeper(); err != nil {
		return nil, "", err
	}
	defer func() { p.nest-- }()
	var body []stmt
	for {
		t := p.next()
		switch t.kind {
		case tokEOF:
			if len(end) > 0 {
				return nil, "", p.fail("expected %q, found the end of the template", end[len(end)-1])
			}
			return body, "", nil
		case tokText:
			body = append(body, &textStmt{at{t.line}, str(t.s)})
		case tokExprOpen:
			x, err := p.parseTuple(true)
			if err != nil {
				return nil, "", err
			}
			if err := p.expect(tokClose, "}}"); err != nil {
				return nil, "", err
			}
			body = append(body, &printStmt{at{t.line}, x})
		case tokStmtOpen:
			name := p.next()
			if name.kind != tokName {
				return nil, "", p.fail("expected a tag name, found %s", name.describe())
			}
			if slices.Contains(end, name.s) {
				return body, name.s, nil
			}
			st, err := p.parseStatement(name)
			if err != nil {
				return nil, "", err
			}
			body = append(body, st)
		default:
			return nil, "", p.fail("unexpected %s", t.describe())
		}
	}
}

// block reads the rest of the opening tag and the body up to the given closing tags.
func (p *parser) block(end ...string) ([]stmt, string, error) {
	if err := p.closeTag(); err != nil {
		return nil, "", err
	}
	return p.parseBody(end...)
}

func (p *parser) closeTag() error { return p.expect(tokClose, "%}") }

func (p *parser) parseStatement(name token) (stmt, error) {
	pos := at{name.line}
	switch name.s {
	case "if":
		return p.parseIf(pos)
	case "for":
		return p.parseFor(pos)
	case "set":
		return p.parseSet(pos)
	case "macro":
		return p.parseMacro(pos)
	case "call":
		return p.parseCall(pos)
	case "filter":
		return p.parseFilterBlock(pos)
	case "with":
		return p.parseWith(pos)
	case "generation": // marks the assistant's part for training; it renders as its body
		body, _, err := p.block("endgeneration")
		if err != nil {
			return nil, err
		}
		return &groupStmt{pos, body}, p.closeTag()
	case "break", "continue":
		if p.loops == 0 {
			return nil, p.fail("%q outside a loop", name.s)
		}
		fl := flowBreak
		if name.s == "continue" {
			fl = flowContinue
		}
		return &jumpStmt{pos, fl}, p.closeTag()
	}
	return nil, p.fail("tag %q is not supported", name.s)
}

func (p *parser) parseIf(pos at) (stmt, error) {
	st := &ifStmt{at: pos}
	for {
		cond, err := p.parseTuple(false)
		if err != nil {
			return nil, err
		}
		body, end, err := p.block("elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		st.conds, st.bodies = append(st.conds, cond), append(st.bodies, body)
		switch end {
		case "endif":
			return st, p.closeTag()
		case "else":
			body, _, err := p.block("endif")
			if err != nil {
				return nil, err
			}
			st.bodies = append(st.bodies, body)
			return st, p.closeTag()
		}
	}
}

func (p *parser) parseFor(pos at) (stmt, error) {
	st := &forStmt{at: pos}
	var err error
	if st.targets, err = p.parseTargets(); err != nil {
		return nil, err
	}
	if err := p.expect(tokName, "in"); err != nil {
		return nil, err
	}
	if st.iter, err = p.parseTuple(false); err != nil {
		return nil, err
	}
	if p.accept(tokName, "if") {
		if st.filter, err = p.parseExpr(); err != nil {
			return nil, err
		}
	}
	if p.peek().is(tokName, "recursive") {
		return nil, p.fail("recursive loops are not supported")
	}
	p.loops++
	body, end, err := p.block("else", "endfor")
	p.loops--
	if err != nil {
		return nil, err
	}
	st.body = body
	if end == "else" {
		if st.orElse, _, err = p.block("endfor"); err != nil {
			return nil, err
		}
	}
	return st, p.closeTag()
}

// parseTargets reads NAME or NAME, NAME, ... with optional parentheses.
func (p *parser) parseTargets() ([]string, error) {
	paren := p.accept(tokOp, "(")
	var names []string
	for {
		t := p.next()
		if t.kind != tokName || isConstant(t.s) {
			return nil, p.fail("cannot assign to %s", t.describe())
		}
		names = append(names, t.s)
		if !p.accept(tokOp, ",") {
			break
		}
		if p.peek().kind != tokName {
			break
		}
	}
	if paren {
		return names, p.expect(tokOp, ")")
	}
	return names, nil
}

func (p *parser) parseSet(pos at) (stmt, error) {
	st := &setStmt{at: pos}
	var err error
	if st.targets, err = p.parseTargets(); err != nil {
		return nil, err
	}
	if p.accept(tokOp, ".") {
		t := p.next()
		if t.kind != tokName || len(st.targets) != 1 {
			return nil, p.fail("cannot assign to %s", t.describe())
		}
		st.attr = t.s
	}
	if p.accept(tokOp, "=") {
		if st.value, err = p.parseTuple(true); err != nil {
			return nil, err
		}
		return st, p.closeTag()
	}
	if len(st.targets) != 1 {
		return nil, p.fail("expected %q, found %s", "=", p.peek().describe())
	}
	if st.filters, err = p.parseFilterChain(); err != nil {
		return nil, err
	}
	if st.body, _, err = p.block("endset"); err != nil {
		return nil, err
	}
	return st, p.closeTag()
}

// parseFilterChain reads `| name(args) | ...` applied to the text of a block.
func (p *parser) parseFilterChain() (expr, error) {
	var x expr = blockText{}
	for p.accept(tokOp, "|") {
		f, err := p.parseFilter(x)
		if err != nil {
			return nil, err
		}
		x = f
	}
	return x, nil
}

// params reads (name, name=default, ...).
func (p *parser) params() ([]param, error) {
	if err := p.expect(tokOp, "("); err != nil {
		return nil, err
	}
	var out []param
	for !p.accept(tokOp, ")") {
		if len(out) > 0 {
			if err := p.expect(tokOp, ","); err != nil {
				return nil, err
			}
			if p.accept(tokOp, ")") {
				break
			}
		}
		t := p.next()
		if t.kind != tokName || isConstant(t.s) {
			return nil, p.fail("expected a parameter name, found %s", t.describe())
		}
		q := param{name: t.s}
		if p.accept(tokOp, "=") {
			var err error
			if q.def, err = p.parseExpr(); err != nil {
				return nil, err
			}
		}
		out = append(out, q)
	}
	return out, nil
}

// macroBody reads the body of a macro or call block: loops outside do not reach into it.
func (p *parser) macroBody(end string) ([]stmt, error) {
	loops := p.loops
	p.loops = 0
	body, _, err := p.block(end)
	p.loops = loops
	if err != nil {
		return nil, err
	}
	return body, p.closeTag()
}

func (p *parser) parseMacro(pos at) (stmt, error) {
	t := p.next()
	if t.kind != tokName {
		return nil, p.fail("expected a macro name, found %s", t.describe())
	}
	st := &macroStmt{at: pos, name: t.s}
	var err error
	if st.params, err = p.params(); err != nil {
		return nil, err
	}
	st.body, err = p.macroBody("endmacro")
	return st, err
}

func (p *parser) parseCall(pos at) (stmt, error) {
	st := &callStmt{at: pos}
	var err error
	if p.peek().is(tokOp, "(") {
		if st.params, err = p.params(); err != nil {
			return nil, err
		}
	}
	x, err := p.parseExpr()
	if err != nil {
		return nil, err
	}
	call, ok := x.(*callExpr)
	if !ok {
		return nil, p.fail("a call block needs a call")
	}
	st.call = call
	st.body, err = p.macroBody("endcall")
	return st, err
}

func (p *parser) parseFilterBlock(pos at) (stmt, error) {
	f, err := p.parseFilter(blockText{})
	if err != nil {
		return nil, err
	}
	var x expr = f
	for p.accept(tokOp, "|") {
		if x, err = p.parseFilter(x); err != nil {
			return nil, err
		}
	}
	body, _, err := p.block("endfilter")
	if err != nil {
		return nil, err
	}
	return &filterStmt{pos, x, body}, p.closeTag()
}

func (p *parser) parseWith(pos at) (stmt, error) {
	st := &withStmt{at: pos}
	for p.peek().kind != tokClose {
		if len(st.names) > 0 {
			if err := p.expect(tokOp, ","); err != nil {
				return nil, err
			}
		}
		t := p.next()
		if t.kind != tokName || isConstant(t.s) {
			return nil, p.fail("cannot assign to %s", t.describe())
		}
		if err := p.expect(tokOp, "="); err != nil {
			return nil, err
		}
		x, err := p.parseExpr()
		if err != nil {
			return nil, err
		}
		st.names, st.values = append(st.names, t.s), append(st.values, x)
	}
	body, _, err := p.block("endwith")
	if err != nil {
		return nil, err
	}
	st.body = body
	return st, p.closeTag()
}
