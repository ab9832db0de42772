package jinja

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile templates try to crash the process, to run for ever, to use up its memory, or to reach what lies outside
// the interpreter. Each must end with an error of the given kind; whatever says that a quick and small result is fine too.
const whatever Kind = 255

func hostileTemplates() map[string]struct {
	src  string
	kind Kind
} {
	type h = struct {
		src  string
		kind Kind
	}
	deep := func(open, mid, end string, n int) string {
		return strings.Repeat(open, n) + mid + strings.Repeat(end, n)
	}
	return map[string]h{
		"range":                  {"{% for i in range(1000000000) %}{% endfor %}", Limit},
		"range to the end":       {"{{ range(9223372036854775807) | length }}", Limit},
		"range at the end":       {"{{ range(9223372036854775806, 9223372036854775807, 5) | list }}", whatever},
		"range down":             {"{{ range(-9223372036854775800, -9223372036854775807, -5) | list }}", whatever},
		"nested range":           {"{% for a in range(5000) %}{% for b in range(5000) %}{% endfor %}{% endfor %}", Limit},
		"deep loops":             {deep("{% for a in range(99) %}", "x", "{% endfor %}", 20), Limit},
		"output":                 {"{% for a in range(100000) %}{{ 'x' * 1000 }}{% endfor %}", Limit},
		"literal text":           {"{% for a in range(100000) %}" + strings.Repeat("x", 1000) + "{% endfor %}", Limit},
		"repeat":                 {"{{ 'x' * 700000000000 }}", Limit},
		"repeat to overflow":     {"{{ 'xx' * 9223372036854775807 }}", Limit},
		"repeat list":            {"{{ [1] * 9223372036854775807 }}", Limit},
		"repeat list twice":      {"{{ [[1] * 1000000] * 1000000 }}", Limit},
		"repeat nothing":         {"{{ '' * 9223372036854775807 }}", whatever},
		"doubling":               {"{% set n = namespace(x='x') %}{% for a in range(64) %}{% set n.x = n.x ~ n.x %}{% endfor %}", Limit},
		"doubling by join":       {"{% set n = namespace(x='x') %}{% for a in range(64) %}{% set n.x = [n.x, n.x] | join %}{% endfor %}", Limit},
		"doubling by replace":    {"{% set n = namespace(x='xx') %}{% for a in range(64) %}{% set n.x = n.x | replace('x', n.x) %}{% endfor %}", Limit},
		"doubling lists":         {"{% set n = namespace(x=[1]) %}{% for a in range(64) %}{% set n.x = n.x + n.x %}{% endfor %}", Limit},
		"doubling in a block":    {"{% set n = namespace(x='x') %}{% for a in range(64) %}{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}{% endfor %}", Limit},
		"shared lists printed":   {"{% set n = namespace(x=[1]) %}{% for a in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}", Limit},
		"shared lists as JSON":   {"{% set n = namespace(x=[1]) %}{% for a in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}", Limit},
		"shared lists compared":  {"{% set n = namespace(x=[1], y=[1]) %}{% for a in range(60) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}", Limit},
		"shared lists ordered":   {"{% set n = namespace(x=[1], y=[1]) %}{% for a in range(60) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x < n.y }}", Limit},
		"self in namespace":      {"{% set n = namespace() %}{% set n.a = n %}{{ n }}", Limit},
		"self in list":           {"{% set n = namespace() %}{% set n.a = [n] %}{{ n.a }}{{ n.a == n.a }}", Limit},
		"self as JSON":           {"{% set n = namespace() %}{% set n.a = [n] %}{{ n.a | tojson }}", Runtime},
		"self compared":          {"{% set n = namespace() %}{% set m = namespace() %}{% set n.a = [m] %}{% set m.a = [n] %}{{ n.a == m.a }}{{ n == m }}", whatever},
		"macro recursion":        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", Limit},
		"mutual recursion":       {"{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}", Limit},
		"macro as argument":      {"{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}", Limit},
		"caller as argument":     {"{% macro b(g) %}{{ g(g) }}{% endmacro %}{% macro a() %}{{ b(caller) }}{% endmacro %}{% call(f) a() %}{{ f(f) }}{% endcall %}", Limit},
		"recursion by default":   {"{% macro f(x=f()) %}{% endmacro %}{{ f() }}", Limit},
		"branching recursion":    {"{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(40) }}", Limit},
		"parentheses":            {"{{ " + deep("(", "1", ")", 100000) + " }}", Syntax},
		"brackets":               {"{{ " + deep("[", "1", "]", 100000) + " }}", Syntax},
		"braces":                 {"{{ " + deep("{1:", "1", "}", 100000) + " }}", Syntax},
		"minus":                  {"{{ " + strings.Repeat("-", 100000) + "1 }}", Syntax},
		"not":                    {"{{ " + strings.Repeat("not ", 100000) + "1 }}", Syntax},
		"inline if":              {"{{ " + strings.Repeat("1 if 0 else ", 50000) + "1 }}", Syntax},
		"long sum":               {"{{ 1" + strings.Repeat("+1", 400000) + " }}", Syntax},
		"long sum within bounds": {"{{ 1" + strings.Repeat("+1", 4000) + " }}", whatever},
		"long power":             {"{{ 2" + strings.Repeat("**2", 400) + " }}", Runtime},
		"big power":              {"{{ 10 ** 9223372036854775807 }}", Runtime},
		"power of one":           {"{{ 1 ** 9223372036854775807 }}{{ (-1) ** 9223372036854775807 }}{{ 0 ** 9223372036854775807 }}", whatever},
		"long chain":             {"{{ x" + strings.Repeat(".a", 400000) + " }}", Syntax},
		"long filters":           {"{{ 1" + strings.Repeat("|string", 100000) + " }}", Syntax},
		"nested blocks":          {deep("{% if 1 %}", "", "{% endif %}", 40000), Syntax},
		"too big":                {strings.Repeat(" ", MaxSource+1), Syntax},
		"overflow":               {"{{ 9223372036854775807 + 1 }}", Runtime},
		"underflow":              {"{{ -9223372036854775807 - 2 }}", Runtime},
		"multiplied":             {"{{ 4294967296 * 4294967296 }}", Runtime},
		"least":                  {"{{ -(-9223372036854775807 - 1) }}", Runtime},
		"least divided":          {"{{ (-9223372036854775807 - 1) // -1 }}", Runtime},
		"least absolute":         {"{{ (-9223372036854775807 - 1) | abs }}", Runtime},
		"literal":                {"{{ 99999999999999999999 }}", Syntax},
		"infinite int":           {"{{ 1e308 * 10 | int }}{{ (1e308 * 10) | int }}{{ (1e308 * 10 - 1e308 * 10) | int }}", whatever},
		"indent":                 {"{{ 'a\\nb' | indent(1000000000) }}", Runtime},
		"json indent":            {"{{ [1] | tojson(indent=1000000000) }}", Runtime},
		"json indent text":       {"{% set i = 'x' * 1000000 %}{{ [[[[[[1, 2, 3]]]]]] | tojson(indent=i) }}", Limit},
		"batch":                  {"{{ [1] | batch(9223372036854775807, 0) | list }}", Limit},
		"batch without filling":  {"{{ [1] | batch(9223372036854775807) | list }}", whatever},
		"slices":                 {"{{ 'abc'[-9223372036854775807:9223372036854775807:9223372036854775807] }}{{ [1][9223372036854775807] }}", whatever},
		"negative step":          {"{{ 'abc'[9223372036854775807::-9223372036854775807] }}{{ 'aé'[::-1] }}", whatever},
		"step 0":                 {"{{ 'é'[::0] }}", Runtime},
		"round":                  {"{{ 1.5 | round(1000) }}", Runtime},
		"split into many":        {"{% set x = 'a,' * 1000000 %}{{ x.split(',') | length }}", Limit},
		"characters":             {"{% set x = 'a' * 8000000 %}{% for c in x %}{% endfor %}", Limit},
		"slow search":            {"{% set x = 'a' * 4000000 %}{% for i in range(100000) %}{{ 'b' in x }}{% endfor %}", Limit},
		"slow compare":           {"{% set x = 'a' * 4000000 %}{% set y = x ~ '' %}{% for i in range(100000) %}{{ x == y }}{% endfor %}", Limit},
		"slow case":              {"{% set x = 'a' * 4000000 %}{% for i in range(100000) %}{% set y = x | upper %}{% endfor %}", Limit},
		"slow sort":              {"{% for i in range(100000) %}{% set y = range(1000) | sort(reverse=true) %}{% endfor %}", Limit},
		"class":                  {"{{ ''.__class__.__mro__[1].__subclasses__() }}", Runtime},
		"globals":                {"{{ range.__globals__['os'].system('id') }}", Runtime},
		"init":                   {"{{ namespace.__init__.__globals__.os.popen('id').read() }}", Runtime},
		"include":                {"{% include '/etc/passwd' %}", Syntax},
		"import":                 {"{% import '/etc/passwd' as x %}", Syntax},
		"extends":                {"{% extends '/etc/passwd' %}", Syntax},
		"mutation":               {"{% set l = [] %}{{ l.append(l) }}", Runtime},
		"mutated message":        {"{{ d.update({'x': 1}) }}", Runtime},
		"pop":                    {"{{ d.pop('x') }}", Runtime},
		"recursive loop":         {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", Syntax},
		"attribute path":         {"{{ [1] | map(attribute='" + strings.Repeat("a.", 100000) + "') | list }}", Runtime},
		"bad attribute":          {"{{ [1] | map(attribute=none) | list }}{{ [1] | map }}", Runtime},
		"unhashable":             {"{{ {[]: 1} }}", Runtime},
		"no arguments":           {"{{ range() }}", Runtime},
		"cycler without":         {"{{ cycler() }}", Runtime},
		"strftime":               {"{{ strftime_now('%') }}", Runtime},
		"strftime argument":      {"{{ strftime_now(5) }}", Runtime},
		"NUL":                    {"\x00{{ '\x00' }}", whatever},
		"bad UTF-8":              {"\xff{{ '\xfe\xff' | upper | tojson }}{{ '\xff'[0] }}{% for c in '\xff\xfe' %}{{ c }}{% endfor %}", whatever},
		"bad UTF-8 in a tag":     {"{{ \xff }}", Syntax},
		"open string":            {"{{ '", Syntax},
		"open string escape":     {"{{ '\\", Syntax},
		"open escape":            {"{{ '\\u12", Syntax},
		"surrogate":              {"{{ '\\ud800' }}", Syntax},
		"open comment":           {"{#", Syntax},
		"open raw":               {"{% raw %}{{", Syntax},
		"only braces":            {"{", whatever},
		"wrong closer":           {"{{ (1] }}", Syntax},
	}
}

func TestHostile(t *testing.T) {
	cases := hostileTemplates()
	if len(cases) < 80 {
		t.Errorf("only %d cases", len(cases))
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			got, err := renderString(c.src, snippetVars())
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			var e *Error
			switch {
			case err == nil && c.kind != whatever:
				t.Errorf("rendered %q", got[:min(len(got), 100)])
			case err != nil && !errors.As(err, &e):
				t.Errorf("error of type %T: %v", err, err)
			case err != nil && c.kind != whatever && e.Kind != c.kind:
				t.Errorf("error of kind %d, want %d: %v", e.Kind, c.kind, err)
			}
			// The deadline of 250 ms stops what the other budgets let through; the rest is for a busy machine.
			if took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			if churn := after.TotalAlloc - before.TotalAlloc; churn > 400<<20 {
				t.Errorf("allocated %d MiB", churn>>20)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	render := func(src string, l Limits) error {
		tpl, err := Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tpl.Render(context.Background(), nil, Options{Limits: l})
		return err
	}
	isLimit := func(err error) bool {
		var e *Error
		return errors.As(err, &e) && e.Kind == Limit
	}
	for _, tt := range []struct {
		name, src string
		at        Limits // just enough
		below     Limits // one too few
	}{
		{"output", "{{ 'x' * 100 }}", Limits{Output: 100}, Limits{Output: 99}},
		{"output of text", strings.Repeat("x", 100), Limits{Output: 100}, Limits{Output: 99}},
		{"built", "{% set x = 'a' ~ 'b' %}", Limits{Built: 2}, Limits{Built: 1}},
		{"depth", "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(9) }}", Limits{Depth: 10}, Limits{Depth: 9}},
		{"steps", "{{ 1 }}", Limits{Steps: 4}, Limits{Steps: 1}},
	} {
		if err := render(tt.src, tt.at); err != nil {
			t.Errorf("%s: at the limit: %v", tt.name, err)
		}
		if err := render(tt.src, tt.below); !isLimit(err) {
			t.Errorf("%s: over the limit: %v", tt.name, err)
		}
	}
	if err := render("{% for i in range(100000) %}{% endfor %}", Limits{Time: 1}); !isLimit(err) {
		t.Errorf("deadline: %v", err)
	}
	tpl, err := Compile("{% for i in range(100000) %}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tpl.Render(ctx, nil, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestTrust checks operation by operation that untrusted bytes stay marked; « » encloses them.
func TestTrust(t *testing.T) {
	for src, want := range map[string]string{
		"<{{ u }}>":                                                    "<«ab,Cd»>",
		"{{ '<' ~ u ~ '>' ~ t }}":                                      "<«ab,Cd»>tt",
		"{{ u[1:3] }}{{ t[1:] }}":                                      "«b,»t",
		"{{ (t ~ u)[1:4] }}":                                           "t«ab»",
		"{{ (t ~ u)[0] }}{{ (t ~ u)[2] }}":                             "t«a»",
		"{{ (t ~ u)[::-1] }}":                                          "«dC,ba»tt",
		"{{ (t ~ u).split(',') | join('|') }}":                         "tt«ab»|«Cd»",
		"{{ (t ~ ' ' ~ u).split() | join('|') }}":                      "tt|«ab,Cd»",
		"{{ (' ' ~ u ~ ' ') | trim }}":                                 "«ab,Cd»",
		"{{ (t ~ u).strip('t') }}":                                     "«ab,Cd»",
		"{{ (t ~ u).replace(',', t) }}":                                "tt«ab»tt«Cd»",
		"{{ (t ~ '-' ~ t).replace('-', u) }}":                          "tt«ab,Cd»tt",
		"{{ (t ~ u).replace('b,C', '') }}":                             "tt«ad»",
		"{{ (t ~ u) | upper }}":                                        "«TTAB,CD»",
		"{{ t | upper }}":                                              "TT",
		"{{ u | title }}{{ u | capitalize }}":                          "«Ab,CdAb,cd»",
		"{{ [t, u] }}":                                                 "['tt', «'ab,Cd'»]",
		"{{ {t: u} | tojson }}":                                        `{"tt": «"ab,Cd"»}`,
		"{{ {u: t} | tojson(indent=1) }}":                              "{\n «\"ab,Cd\"»: \"tt\"\n}",
		"{{ u * 2 }}{{ t * 2 }}":                                       "«ab,Cdab,Cd»tttt",
		"{% set x %}{{ t }}{{ u }}{% endset %}{{ x }}":                 "tt«ab,Cd»",
		"{% filter replace(',', '.') %}{{ t }}{{ u }}{% endfilter %}":  "tt«ab».«Cd»",
		"{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(u) }}":            "[«ab,Cd»]",
		"{% for c in u %}{{ c }}-{% endfor %}":                         "«a»-«b»-«,»-«C»-«d»-",
		"{{ ('<' ~ u) | e }}":                                          "«&lt;ab,Cd»",
		"{{ (t ~ '\\n' ~ u) | indent(2) }}":                            "tt\n  «ab,Cd»",
		"{{ u | list | join }}{{ u | reverse }}":                       "«ab,CddC,ba»",
		"{{ [u, t] | sort | join(' ') }}":                              "«ab,Cd» tt",
		"{{ {'ab,Cd': '<ok>'}[u] }}":                                   "<ok>",
		"{% set n = namespace(x=u) %}{% set n.x = n.x ~ t %}{{ n.x }}": "«ab,Cd»tt",
		"{{ u ~ u }}":                                                  "«ab,Cdab,Cd»",
		"{{ strftime_now(u) }}":                                        "«ab,Cd»",
		"{{ '' | replace('', u) }}":                                    "«ab,Cd»",
		"{{ [u] | map('lower') | first }}":                             "«ab,cd»",
		"{{ u.splitlines()[0] }}{{ t.join([u, u]) }}":                  "«ab,Cdab,Cd»tt«ab,Cd»",
		"{{ u | string }}{{ u | safe }}{{ '<' + u | safe }}":           "«ab,Cdab,Cd»&lt;«ab,Cd»",
		"{{ u.removeprefix('ab') }}{{ (t ~ u).removesuffix('d') }}{{ dict(a=u).a }}{{ [u] | max }}{{u}}": "«,Cd»tt«ab,Cab,Cdab,Cdab,Cd»",
	} {
		tpl, err := Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		spans, err := tpl.Render(context.Background(), map[string]Value{"u": Untrusted("ab,Cd"), "t": String("tt")}, Options{Now: fixedNow})
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		var b strings.Builder
		for _, s := range spans {
			if s.Trusted {
				b.WriteString(s.Text)
			} else {
				b.WriteString("«" + s.Text + "»")
			}
		}
		if b.String() != want {
			t.Errorf("%s:\ngot  %s\nwant %s", src, b.String(), want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, c := range hostileTemplates() {
		if len(c.src) < 500 {
			f.Add(c.src)
		}
	}
	f.Add("{% for m in rows if m.v is gt 1 %}{{- m | tojson(indent=2) }}{% else %}{% endfor %}{{ words|map('upper')|unique|batch(2)|list }}")
	f.Fuzz(func(t *testing.T, src string) {
		tpl, err := Compile(src)
		if err == nil {
			_, err = tpl.Render(context.Background(), snippetVars(), Options{Now: fixedNow, Limits: Limits{Steps: 20_000, Built: 1 << 20, Output: 1 << 18}})
		}
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("error of type %T: %v", err, err)
		}
	})
}
