"""Renders small templates with jinja2 as transformers sets it up, for TestSnippets."""
import datetime
import json
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception
env.globals["strftime_now"] = lambda f: datetime.datetime(2026, 11, 23, 12, 0, 0).strftime(f)

VARS = {
    "s": "Hello, Wörld <b>&",
    "e": "",
    "n": 7,
    "f": 2.5,
    "yes": True,
    "nil": None,
    "l": [3, 1, 2],
    "words": ["b", "A", "c", "b"],
    "d": {"x": 1, "y": "two", "z": [None, 1.0, True, {"k": "v\n\"'"}]},
    "rows": [{"name": "u", "v": 2}, {"name": "t", "v": 1}, {"v": 3}],
}

SNIPPETS = r"""
a{{ s }}b
{{ e }}|{{ n }}|{{ f }}|{{ yes }}|{{ nil }}|{{ missing }}|{{ l }}|{{ d }}
{{ 1 + 2 * 3 - 4 // 3 % 2 ** 2 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 1e3 }} {{ 1.5e-7 }} {{ 1e16 }} {{ 123456789012345.0 }} {{ 0.1 + 0.2 }} {{ 1_000 }} {{ 100000.0 * 1e12 }}
{{ -n }} {{ +n }} {{ - 3 | abs }} {{ -3 | string }}
{{ 1 / 0 }}
{{ 'a' ~ 1 ~ none ~ true ~ 1.0 }}
{{ 'a' + 'b' 'c' }}
{{ 'a' + 1 }}
{{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ [1] * 2 }} {{ 'x' * 0 }} {{ 'x' * -1 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 'a' == 1 }}
{{ 'a' < 1 }}
{{ not yes }} {{ not e }} {{ yes and n }} {{ e or 'x' }} {{ e and x.y }} {{ not not yes }} {{ not yes == false }}
{{ 'ell' in s }} {{ 'x' in d }} {{ 3 in l }} {{ 9 not in l }} {{ not 3 in l }} {{ 'a' in missing }}
{{ 1 in s }}
{{ 1 in none }}
{{ 'y' if n > 5 else 'n' }}{{ 'y' if n > 50 }}{{ 'a' if e else 'b' if n else 'c' }}
{{ l[0] }} {{ l[-1] }} {{ l[9] }} {{ s[1] }} {{ s[-1] }} {{ d['x'] }} {{ d.y }} {{ d['nope'] }} {{ d.z[3].k }} {{ d.z.1 }}
{{ missing.x }}
{{ missing['x'] }}
{{ d.nope.x }}
{{ nil.x }}
{{ nil.x.y }}
{{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ l[5:] }} {{ s[7:12] }} {{ s[::-1] }} {{ s[-3:] }} {{ s[100:] }} {{ s[3:1] }} {{ 'abcdef'[4:1:-2] }}
{{ l[::0] }}
{{ (1, 2) }} {{ (1,) }} {{ () }} {{ [1, 'a', none] }} {{ {'a': 1, 2: 'b', none: 3} }} {{ 1, 2 }}
{{ {'a': 1, 'a': 2} }} {{ {1: 'a', 1.0: 'b', true: 'c'} }} {{ {'a': {'b': {}}} }}
{{ {[1]: 2} }}
{{ "it's" }} {{ ["it's", 'say "hi"', 'both \' and "', 'tab\tnl\n', 'back\\slash', 'Ünï', '\x07'] }}
{{ 'a\u00e9\x41\n\101\q' }}|
{{ s.upper() }} {{ s.lower() }} {{ 'hello wORLD'.title() }} {{ 'hELLO'.capitalize() }} {{ "they're bill's".title() }}
{{ '  x '.strip() }}|{{ '  x '.lstrip() }}|{{ '  x '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.lstrip('ab') }}|{{ '\u00a0x\u2003'.strip() }}|
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b  c '.split(none, 1) }} {{ ''.split(',') }} {{ ''.split() }} {{ 'abc'.split('x')[-1] }}
{{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb'.splitlines(true) }}
{{ s.startswith('Hell') }} {{ s.endswith('&') }} {{ s.startswith(('x', 'H')) }} {{ s.find('W') }} {{ s.find('zz') }} {{ 'abab'.count('ab') }} {{ 'abab'.rfind('ab') }}
{{ 'aXbXc'.replace('X', '-') }} {{ 'aXbXc'.replace('X', '-', 1) }} {{ 'abc'.replace('', '.') }} {{ 'aaa' | replace('a', 'b', 2) }}
{{ ', '.join(words) }} {{ 'x.y'.removeprefix('x.') }} {{ 'x.y'.removesuffix('.y') }}
{{ ', '.join(l) }}
{{ '12'.isdigit() }} {{ 'a1'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' \t'.isspace() }} {{ 'AB'.isupper() }} {{ 'ab1'.islower() }} {{ ''.isdigit() }}
{{ s.nope }}{{ s.nope is defined }}
{{ s.nope() }}
{{ d.get('x') }} {{ d.get('q') }} {{ d.get('q', 5) }} {{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list | length }}
{{ l.append(4) }}
{{ d.update({'a': 1}) }}
{{ l.index(1) }} {{ words.count('b') }}
{{ s | length }} {{ l | length }} {{ d | count }} {{ missing | length }} {{ [] | length }}
{{ nil | length }}
{{ 5 | length }}
{{ '  a b ' | trim }}|{{ 'xax' | trim('x') }}|{{ nil | trim }}|{{ missing | trim }}|{{ 5 | trim }}
{{ s | upper }} {{ s | lower }} {{ 'hello-wORLD (foo)' | title }} {{ 'hELLO wORLD' | capitalize }}
{{ missing | default('x') }} {{ e | default('x') }} {{ e | default('x', true) }} {{ nil | d('x') }} {{ missing | default }}|
{{ l | join('-') }} {{ l | join }} {{ rows | join(', ', attribute='v') }} {{ 'abc' | join('.') }}
{{ l | sort }} {{ l | sort(reverse=true) }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ rows | sort(attribute='v') | map(attribute='v') | list }}
{{ words | unique | list }} {{ words | unique(true) | list }}
{{ l | first }} {{ l | last }} {{ 'abc' | first }} {{ [] | first }}|{{ l | min }} {{ l | max }} {{ l | sum }} {{ rows | sum(attribute='v') }} {{ 'abc' | last }}
{{ l | reverse | list }} {{ 'abc' | reverse }} {{ 'abc' | list }} {{ d | list }}
{{ rows | map(attribute='name') | list }} {{ rows | map(attribute='name', default='-') | list }} {{ words | map('upper') | join }} {{ rows | map(attribute='v') | map('string') | join('+') }}
{{ l | select('odd') | list }} {{ l | reject('odd') | list }} {{ l | select('gt', 1) | list }} {{ [0, 1, '', 'a'] | select | list }} {{ rows | selectattr('name') | list }} {{ rows | selectattr('v', 'eq', 3) | list }} {{ rows | rejectattr('v', 'lt', 3) | map(attribute='v') | list }} {{ rows | selectattr('name', 'defined') | list | length }}
{{ nil | select | list }} {{ nil | map('upper') | list }}
{{ nil | list }}
{{ missing | list }} {{ missing | first }}|
{{ d | dictsort }} {{ d | items | list }} {{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'A': 2} | dictsort(true) }} {{ {'b': 1, 'A': 2} | dictsort(false, 'value') }} {{ {'b': 1, 'A': 2} | dictsort(reverse=true) }}
{{ nil | items | list }}
{{ l | batch(2) | list }} {{ l | batch(2, 0) | list }}
{{ '12' | int }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ 3.9 | int }} {{ '3.9' | int }} {{ 'ff' | int(0, 16) }} {{ '1.5' | float }} {{ 'x' | float }} {{ true | int }} {{ nil | int }}
{{ -3 | abs }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.567 | round(2) }} {{ 2.1 | round(0, 'ceil') }} {{ 2.9 | round(method='floor') }} {{ 7 | round }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(2, blank=true) }}|{{ 'a\nb' | indent('> ') }}
{{ s | escape }} {{ s | e }} {{ s | safe }} {{ '<' | safe + '<' }} {{ '<' + '>' | escape }} {{ '<a>' | e | e }}
{{ d | tojson }}
{{ d | tojson(indent=2) }}
{{ d | tojson(sort_keys=true, separators=(',', ':')) }} {{ s | tojson(ensure_ascii=true) }} {{ [] | tojson(indent=1) }} {{ {} | tojson }} {{ 1e20 | tojson }} {{ '\x7f\x01/\u2028' | tojson }} {{ (1, 2) | tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ '😀' | tojson(true) }}
{{ missing | tojson }}
{{ l | map('string') | tojson }}
{{ l | nope }}
{{ l is nope }}
{{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is number }} {{ f is float }} {{ n is integer }} {{ yes is boolean }} {{ yes is true }} {{ yes is false }} {{ n is true }} {{ yes is integer }} {{ yes is number }}
{{ nil is none }} {{ nil is not none }} {{ missing is none }} {{ missing is defined }} {{ missing is undefined }} {{ nil is defined }} {{ d.q is defined }}
{{ s is string }} {{ l is string }} {{ d is mapping }} {{ l is mapping }} {{ l is sequence }} {{ d is sequence }} {{ s is sequence }} {{ s is iterable }} {{ n is iterable }} {{ nil is iterable }} {{ l is iterable }} {{ l | map('string') is sequence }} {{ range is callable }} {{ missing is iterable }} {{ missing is sequence }}
{{ n is eq 7 }} {{ n is ne(7) }} {{ n is gt 3 }} {{ n is in [7] }} {{ n is sameas 7 }} {{ 'AB' is upper }} {{ 'ab' is lower }} {{ n is not odd and yes }} {{ n is equalto 7 or x.y }}
{% if n > 5 %}big{% elif n > 3 %}mid{% else %}small{% endif %}{% if e %}x{% else %}y{% endif %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ x }};{% endfor %}
{% for x in [] %}x{% else %}none{% endfor %}{% for x in missing %}x{% else %}none{% endfor %}
{% for x in nil %}x{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in 'añ' %}[{{ c }}]{% endfor %}
{% for a, b in l %}{% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{% else %}-{% endfor %}{% for x in l if x > 9 %}{{ x }}{% else %}-{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for x in range(3) %}{% for y in range(2) %}{{ x }}{{ y }}{{ loop.index }} {% endfor %}{{ loop.index }}{% endfor %}{{ range(5, 1, -2) | list }} {{ range(1, 3) | list }}
{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y is defined }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{% if yes %}{% set q = 5 %}{% endif %}{{ q }}
{% set d.x = 5 %}
{% set x %}a{{ n }}b{% endset %}{{ x | upper }}{% set y | upper | trim %} q {% endset %}{{ y }}|
{% filter upper | replace('A', 'x') %}aba{{ s }}{% endfilter %}
{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c=4) }} {{ m() }}|
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro f(x) %}{{ x }}{% if x > 0 %}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% macro m() %}{{ later }}{% endmacro %}{% set later = 'seen' %}{{ m() }}
{% macro wrap() %}<{{ caller() }}>{% endmacro %}{% call wrap() %}in{{ n }}{% endcall %}{% macro each(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) each(l) %}[{{ i }}]{% endcall %}
{% generation %}{{ s }}{% endgeneration %}
{% raw %}{{ not }} {% if %}{% endraw %}|{% raw -%}  x  {%- endraw %}|
{{ raise_exception('no ' ~ n) }}
{{ strftime_now('%d %b %Y %H:%M %B %A %y %j %-d %%') }}
{{ cycler('a', 'b').next() }} {% set j = joiner(', ') %}{{ j() }}x{{ j() }}y{{ j() }}z {{ dict(a=1) }} {{ dict({'b': 2}, a=1) }}
{# comment #}a{#- c -#} b {# {{ x }} #}c
a  {%- if yes -%}  b  {%- endif -%}  c{{- ' d ' -}}  e
{% include 'x' %}
{% extends 'x' %}
{% import 'x' as y %}
{% block a %}{% endblock %}
{% if yes %}
{% endif
{{ 'x
{{ (1 }}
{{ [1, 2 }}
{{ a b }}
{{ }}
{{ 1 + }}
{{ . }}
{{ a.. }}
{{ l | }}
{{ l is }}
{% for %}{% endfor %}
{% for x %}{% endfor %}
{% set 1 = 2 %}
{% set true = 2 %}
{% endif %}
{% break %}
{{ $ }}
{{ a ? b }}
{{ '' if }}
{{ ''.__class__ }}
{{ ''.__class__.__mro__ }}
{{ range.__globals__['x'] }}
{{ l.__init__.__globals__ }}
""".strip("\n").split("\n")

BLOCKS = [
    "a\n{% if yes %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%+ if yes %}\nb\n{% endif +%}\nc",
    "  {% if yes %}x{% endif %}  \n  {{ n }}  \n  {# c #}\n  y",
    "{{ n }}\n\n{{ n }}\n\n",
    "{%- if yes %}\n\n  x\n{%- endif %}\n\ny",
    "{% for x in l %}\n- {{ x }}\n{% endfor %}\nend\n",
    "a {{- ' b' }} \n {{ 'c' -}} \n d",
    "{{ n }} {% if yes %} x {% endif %} y",
    "\r\na\r\n{% if yes %}\r\nb\rc{% endif %}\r\n",
    "{% set x = {\n 'a': 1,\n 'b': [1,\n 2,],\n} %}\n{{ x }}",
    "{#\n multi\n line #}\n  text {#- x #}\n  {#+ y #}\nz",
    "x\n\t {% set a = 1 %}\t\ny",
    "{{ {'a': {'b': 1}}.a.b }}{{ {'a': {}}}}",
    "{{ '}}' }}{{ \"%}\" }}{% if '%}' %}x{% endif %}",
    "{% if yes -%}\n\n a\n{%- else -%} b {%- endif %}\n\n\n",
    "   \n   {% if yes %}   \n   x   \n   {% endif %}   \n   ",
    "{% raw %}\n  {{ x }}\n  {% endraw %}\n  y",
]

out = []
for src in SNIPPETS + BLOCKS:
    try:
        out.append({"src": src, "ok": env.from_string(src).render(**VARS)})
    except Exception as err:  # whatever Python raises, we have to refuse
        out.append({"src": src, "err": f"{type(err).__name__}: {err}"})
json.dump(out, sys.stdout, ensure_ascii=False, indent=0)
sys.stdout.write("\n")
