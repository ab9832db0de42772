package grammar

import "strconv"

// The lexical forms of JSON, as regular expressions. What they leave out of JSON is left out on purpose:
//   - numbers have at most 18 digits before and 17 behind the point and two in the exponent. Every integer fits 64
//     bits and every number a float64; parsers refuse larger ones.
//   - half a surrogate pair is no character, so \ud83d needs its \ude00.
//   - white space is one space, or one line break with at most 40 spaces or tabs of indentation, and only where
//     pretty-printers put it: an answer that consists of spaces is impossible.
const (
	hexDigit = `[0-9a-fA-F]`
	jsonChar = `(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u(?:[0-9abcefABCEF]` + hexDigit + `{3}|[dD][0-7]` + hexDigit +
		`{2}|[dD][89abAB]` + hexDigit + `{2}\\u[dD][c-fC-F]` + hexDigit + `{2})))`
	jsonString   = `"` + jsonChar + `*"`
	jsonInteger  = `0|-?[1-9][0-9]{0,17}`
	jsonDecimal  = `-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?`
	jsonNumber   = jsonDecimal + `(?:[eE][+-]?[0-9]{1,2})?`
	jsonLiterals = `true|false|null`
)

// spacing is the white space of an answer's JSON.
type spacing struct{ gap, colon string }

func newSpacing(compact bool) spacing {
	if compact {
		return spacing{colon: ":"}
	}
	return spacing{gap: `(?: |\n[ \t]{0,40})?`, colon: ": ?"}
}

// pattern returns the terminal for a regular expression of ours.
func (b *builder) pattern(re string) (int32, error) {
	return b.terminal("re:"+re, func() (terminal, error) {
		if d := b.standard[re]; d != nil {
			return terminal{dfa: d}, nil
		}
		e, err := parseRegex(re)
		if err != nil {
			return terminal{}, err
		}
		d, err := b.dfa(e, plain)
		return terminal{dfa: d}, err
	})
}

// readPattern reads what a regular expression of ours matches.
func (b *builder) readPattern(re string, next int32) (int32, error) {
	t, err := b.pattern(re)
	if err != nil {
		return 0, err
	}
	return b.read(t, next)
}

// countedString returns the terminal for JSON strings of lo to hi characters.
func (b *builder) countedString(lo, hi int) (int32, error) {
	if lo == 0 && hi < 0 {
		return b.pattern(jsonString)
	}
	whole, err := b.pattern(jsonString)
	if err != nil {
		return 0, err
	}
	d := b.terms[whole].dfa
	return b.terminal("string:"+strconv.Itoa(lo)+":"+strconv.Itoa(hi), func() (terminal, error) {
		if d.states() == 0 || hi >= 0 && lo > hi {
			return terminal{dfa: &dfa{}}, nil
		}
		return terminal{dfa: d, counted: true, body: d.step(0, '"'), min: int32(lo), max: int32(hi)}, nil
	})
}

// jsonRules makes the rules of unconstrained JSON.
type jsonRules struct {
	b             *builder
	space         spacing
	value, object int32 // rules; 0 until made
}

// anyValue returns the rule for any JSON value.
func (j *jsonRules) anyValue() (int32, error) {
	if j.value > 0 {
		return j.value, nil
	}
	b := j.b
	var err error
	if j.value, err = b.rule("any JSON value"); err != nil {
		return 0, err
	}
	object, err := j.anyObject()
	if err != nil {
		return 0, err
	}
	var alts []int32
	for _, re := range []string{jsonString, jsonNumber, jsonLiterals} {
		p, err := b.readPattern(re, endOfRule)
		if err != nil {
			return 0, err
		}
		alts = append(alts, p)
	}
	call, err := b.call(object, endOfRule)
	if err != nil {
		return 0, err
	}
	array, err := j.array(nil, j.value, 0, -1, endOfRule)
	if err != nil {
		return 0, err
	}
	b.rules[j.value].start, err = b.alt(append(alts, call, array)...)
	return j.value, err
}

// anyObject returns the rule for any JSON object.
func (j *jsonRules) anyObject() (int32, error) {
	if j.object > 0 {
		return j.object, nil
	}
	var err error
	if j.object, err = j.b.rule("any JSON object"); err != nil {
		return 0, err
	}
	value, err := j.anyValue()
	if err != nil {
		return 0, err
	}
	key, err := j.b.pattern(jsonString)
	if err != nil {
		return 0, err
	}
	j.b.rules[j.object].start, err = j.members(nil, &member{key: key, value: value}, endOfRule)
	return j.object, err
}

// A member is a property of an object: the terminal of its key and the rule of its value.
type member struct {
	key, value int32
	required   bool
}

// members builds an object with the given properties in their order, then any number of others.
func (j *jsonRules) members(props []member, others *member, next int32) (int32, error) {
	b := j.b
	last, err := b.readPattern(j.space.gap+`}`, next) // behind a property
	if err != nil {
		return 0, err
	}
	first, err := b.readText("}", next) // in an object without any so far
	if err != nil {
		return 0, err
	}
	// one builds a property, in front of it a comma if it isn't the first.
	one := func(m *member, comma bool, next int32) (int32, error) {
		p, err := b.call(m.value, next)
		if err == nil {
			p, err = b.readPattern(j.space.colon, p)
		}
		if err == nil {
			p, err = b.read(m.key, p)
		}
		if err == nil && comma {
			p, err = b.readPattern(","+j.space.gap, p)
		}
		return p, err
	}
	if others != nil {
		more, err := b.rule("property")
		if err != nil {
			return 0, err
		}
		if b.rules[more].start, err = one(others, true, endOfRule); err != nil {
			return 0, err
		}
		if last, err = b.loop(more, 0, -1, last); err != nil {
			return 0, err
		}
		p, err := one(others, false, last)
		if err != nil {
			return 0, err
		}
		if first, err = b.alt(p, first); err != nil {
			return 0, err
		}
	}
	for i := len(props) - 1; i >= 0; i-- {
		m := &props[i]
		asFirst, err := one(m, false, last)
		if err != nil {
			return 0, err
		}
		later, err := one(m, true, last)
		if err != nil {
			return 0, err
		}
		if m.required {
			first, last = asFirst, later
			continue
		}
		if first, err = b.alt(asFirst, first); err != nil {
			return 0, err
		}
		if last, err = b.alt(later, last); err != nil {
			return 0, err
		}
	}
	return b.readPattern(`\{`+j.space.gap, first)
}

// array builds an array: values of the rules in prefix, then of rest (-1 for none); lo to hi of all, hi < 0 for no limit.
func (j *jsonRules) array(prefix []int32, rest int32, lo, hi int, next int32) (int32, error) {
	b := j.b
	empty, err := b.readText("]", next)
	if err != nil {
		return 0, err
	}
	last, err := b.readPattern(j.space.gap+`\]`, next)
	if err != nil {
		return 0, err
	}
	if rest < 0 && (hi < 0 || hi > len(prefix)) {
		hi = len(prefix)
	}
	if hi >= 0 && len(prefix) > hi {
		prefix = prefix[:hi]
	}
	comma := func(value, next int32) (int32, error) {
		p, err := b.call(value, next)
		if err != nil {
			return 0, err
		}
		return b.readPattern(","+j.space.gap, p)
	}
	if len(prefix) == 0 && hi != 0 {
		prefix = []int32{rest}
	}
	tail := last // what follows after all of prefix
	if more := hi - len(prefix); rest >= 0 && (hi < 0 || more > 0) {
		item, err := b.rule("item")
		if err != nil {
			return 0, err
		}
		if b.rules[item].start, err = comma(rest, endOfRule); err != nil {
			return 0, err
		}
		if hi < 0 {
			more = -1
		}
		if tail, err = b.loop(item, max(0, lo-len(prefix)), more, last); err != nil {
			return 0, err
		}
	} else if lo > len(prefix) {
		if tail, err = b.alt(); err != nil { // nothing is that long
			return 0, err
		}
	}
	for k := len(prefix) - 1; k >= 0; k-- {
		if k > 0 {
			if tail, err = comma(prefix[k], tail); err == nil && k >= lo {
				tail, err = b.alt(tail, last)
			}
		} else if tail, err = b.call(prefix[k], tail); err == nil && lo == 0 {
			tail, err = b.alt(tail, empty)
		}
		if err != nil {
			return 0, err
		}
	}
	if len(prefix) == 0 {
		if tail = empty; lo > 0 {
			if tail, err = b.alt(); err != nil {
				return 0, err
			}
		}
	}
	return b.readPattern(`\[`+j.space.gap, tail)
}
