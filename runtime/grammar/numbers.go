package grammar

import (
	"math/big"
	"strconv"
	"strings"
)

// Numbers of answers have at most this many digits before and behind the point, see jsonDecimal.
const (
	wholeDigits    = 18
	fractionDigits = 17
	largestWhole   = 999_999_999_999_999_999

	// Where their value is checked, by a bound or multipleOf, they have no more digits than a float64 tells apart: most
	// validators compare these.
	exactDigits = 15
	exactWhole  = 999_999_999_999_999
)

func digit(lo, hi byte) *expr { return class(rune(lo), rune(hi)) }
func digits() *expr           { return repeat(digit('0', '9'), 0, -1) }

// wholeRange returns the expression for the numbers lo..hi without a sign and leading zeros.
func wholeRange(lo, hi uint64) *expr {
	out := alt()
	for lo <= hi {
		s := strconv.FormatUint(lo, 10)
		last := strings.Repeat("9", len(s)) // of the numbers with as many digits
		n, err := strconv.ParseUint(last, 10, 64)
		if err != nil || n >= hi {
			out.subs = append(out.subs, sameLength(s, strconv.FormatUint(hi, 10)))
			break
		}
		out.subs = append(out.subs, sameLength(s, last))
		lo = n + 1
	}
	return out
}

// sameLength returns the expression for the digits a..b, which are equally many.
func sameLength(a, b string) *expr {
	if a == b {
		return text(a)
	}
	if strings.Trim(a, "0") == "" && strings.Trim(b, "9") == "" {
		return repeat(digit('0', '9'), len(a), len(a))
	}
	if a[0] == b[0] {
		return cat(text(a[:1]), sameLength(a[1:], b[1:]))
	}
	rest := len(a) - 1
	nines, zeros := strings.Repeat("9", rest), strings.Repeat("0", rest)
	out := alt(cat(text(a[:1]), sameLength(a[1:], nines)), cat(text(b[:1]), sameLength(zeros, b[1:])))
	if a[0]+1 < b[0] {
		out.subs = append(out.subs, cat(digit(a[0]+1, b[0]-1), repeat(digit('0', '9'), rest, rest)))
	}
	return out
}

// integerRange returns the expression for the whole numbers lo..hi.
func integerRange(lo, hi int64) *expr {
	out := alt()
	if lo < 0 {
		out.subs = append(out.subs, cat(text("-"), wholeRange(uint64(max(1, -hi)), uint64(-lo))))
	}
	if hi >= 0 {
		out.subs = append(out.subs, wholeRange(uint64(max(0, lo)), uint64(hi)))
	}
	return out
}

// wholeBounds returns the least and the greatest whole number of a shape; lo > hi if there is none.
func (s *shape) wholeBounds() (lo, hi int64) {
	clamp := func(x *big.Int) int64 {
		switch {
		case !x.IsInt64() && x.Sign() < 0:
			return -largestWhole - 1
		case !x.IsInt64():
			return largestWhole + 1
		}
		return min(max(x.Int64(), -largestWhole-1), largestWhole+1)
	}
	lo, hi = -largestWhole, largestWhole
	if r := s.low.at; r != nil {
		floor := new(big.Int).Div(r.Num(), r.Denom()) // rounds down: the denominator is positive
		if !r.IsInt() || s.low.exclusive {
			floor.Add(floor, big.NewInt(1))
		}
		lo = max(lo, clamp(floor))
	}
	if r := s.high.at; r != nil {
		floor := new(big.Int).Div(r.Num(), r.Denom())
		if r.IsInt() && s.high.exclusive {
			floor.Sub(floor, big.NewInt(1))
		}
		hi = min(hi, clamp(floor))
	}
	return lo, hi
}

// wholeTerm returns the terminal for the whole numbers of a shape.
func (s *schemas) wholeTerm(sh *shape) (int32, error) {
	lo, hi := sh.wholeBounds()
	if len(sh.multiples) > 0 {
		lo, hi = max(lo, -exactWhole), min(hi, exactWhole)
	}
	if lo == -largestWhole && hi == largestWhole && len(sh.multiples) == 0 {
		return s.b.pattern(jsonInteger)
	}
	key := "whole:" + strconv.FormatInt(lo, 10) + ":" + strconv.FormatInt(hi, 10)
	for _, m := range sh.multiples {
		key += ":" + m.text
	}
	return s.b.terminal(key, func() (terminal, error) {
		if lo > hi {
			return terminal{dfa: &dfa{}}, nil
		}
		d, err := s.b.dfa(integerRange(lo, hi), plain)
		for _, m := range sh.multiples {
			if err != nil {
				break
			}
			r, err := parseNumber(m.text)
			if err != nil {
				return terminal{}, err
			}
			// A whole number is a multiple of p/q in lowest terms if it is one of p.
			if !r.Num().IsInt64() || r.Num().Int64() > int64(s.b.budget.States/2) {
				return terminal{}, m.parent.keyword("multipleOf", ErrLimit, "is supported up to %d", s.b.budget.States/2)
			}
			multiples, err := s.multiples(int(r.Num().Int64()))
			if err == nil {
				d, err = intersect(d, multiples, s.b.budget)
			}
			if err != nil {
				return terminal{}, placed(err, m)
			}
		}
		return terminal{dfa: d}, err
	})
}

// multiples returns the automaton of the multiples of m: a sign, and digits whose states are remainders.
func (s *schemas) multiples(m int) (*dfa, error) {
	const start, signed, remainder = 0, 1, 2
	d := &dfa{width: 12} // the digits, the sign, all other bytes
	for i := range d.classes {
		switch c := byte(i); {
		case c >= '0' && c <= '9':
			d.classes[i] = c - '0'
		case c == '-':
			d.classes[i] = 10
		default:
			d.classes[i] = 11
		}
	}
	row := func(before int, sign int32) {
		for c := range 10 {
			d.next = append(d.next, int32(remainder+(10*before+c)%m))
		}
		d.next = append(d.next, sign, -1)
	}
	row(0, signed)
	row(0, -1)
	d.accepts = append(d.accepts, false, false)
	for r := range m {
		row(r, -1)
		d.accepts = append(d.accepts, r == 0)
	}
	return d.trim(s.b.budget)
}

// isMultiple reports whether r is a multiple of the number m.
func isMultiple(r *big.Rat, m *value) (bool, error) {
	d, err := parseNumber(m.text)
	if err != nil {
		return false, err
	}
	return new(big.Rat).Quo(r, d).IsInt(), nil
}

// numberTerm returns the terminal for the numbers of a shape.
func (s *schemas) numberTerm(sh *shape) (int32, error) {
	whole, places := sh.precision()
	for _, m := range sh.multiples {
		r, err := parseNumber(m.text)
		if err != nil {
			return 0, err
		}
		if r.IsInt() {
			return s.wholeTerm(sh) // multiples of a whole number are whole
		}
		n, exact := r.FloatPrec()
		if !exact || r.Num().Cmp(big.NewInt(1)) != 0 || !strings.HasSuffix(r.FloatString(n), "1") || n > fractionDigits {
			return 0, m.parent.keyword("multipleOf", ErrUnsupported, "of numbers is supported for whole numbers and 0.1, 0.01, ...")
		}
		places = min(places, n)
	}
	if sh.low.at == nil && sh.high.at == nil && len(sh.multiples) == 0 {
		return s.b.pattern(jsonNumber)
	}
	key := "number:" + strconv.Itoa(whole) + "." + strconv.Itoa(places)
	for _, b := range []bound{sh.low, sh.high} {
		if b.at != nil {
			key += ":" + b.at.RatString() + strconv.FormatBool(b.exclusive)
		}
		key += ";"
	}
	return s.b.terminal(key, func() (terminal, error) {
		e := cat(optional(text("-")), alt(text("0"), cat(digit('1', '9'), repeat(digit('0', '9'), 0, whole-1))))
		if places > 0 {
			e.subs = append(e.subs, optional(cat(text("."), repeat(digit('0', '9'), 1, places))))
		}
		d, err := s.b.dfa(e, plain)
		for i, b := range []bound{sh.low, sh.high} {
			if b.at == nil || err != nil {
				continue
			}
			e, err := b.expr(i == 1)
			if err != nil {
				return terminal{}, err
			}
			limit, err := s.b.dfa(e, plain)
			if err == nil {
				d, err = intersect(d, limit, s.b.budget)
			}
			if err != nil {
				return terminal{}, err
			}
		}
		return terminal{dfa: d}, err
	})
}

// precision returns how many digits numbers of a shape have before and behind the point, at most.
func (s *shape) precision() (whole, places int) {
	whole = 9
	if s.low.at != nil && s.high.at != nil {
		whole = 1
	}
	for _, b := range []bound{s.low, s.high} {
		if b.at != nil {
			whole = max(whole, len(new(big.Rat).Abs(b.at).FloatString(0))) // rounded: may have a digit more
		}
	}
	whole = min(whole, wholeDigits)
	return whole, max(0, exactDigits-whole)
}

// expr returns the expression for the decimal numbers at least, or at most, a bound.
func (b bound) expr(atMost bool) (*expr, error) {
	places, exact := b.at.FloatPrec()
	if !exact || places > fractionDigits {
		return nil, overLimit("a bound for numbers has more than %d digits behind the point", fractionDigits)
	}
	whole, fraction, _ := strings.Cut(new(big.Rat).Abs(b.at).FloatString(places), ".")
	fraction = strings.TrimRight(fraction, "0")
	far := decimal{whole, fraction, b.exclusive}
	unsigned := cat(digits(), optional(cat(text("."), digits())))
	switch negative := b.at.Sign() < 0; {
	case negative && atMost:
		return cat(text("-"), far.atLeast()), nil
	case negative:
		return alt(unsigned, cat(text("-"), far.atMost())), nil
	case atMost:
		return alt(cat(text("-"), unsigned), far.atMost()), nil
	}
	return far.atLeast(), nil
}

// decimal is a number without a sign as a bound; fraction has no zeros at its end.
type decimal struct {
	whole, fraction string
	exclusive       bool
}

func (d decimal) atLeast() *expr {
	out := alt()
	if len(d.whole) > wholeDigits {
		return out
	}
	n, err := strconv.ParseUint(d.whole, 10, 64)
	if err != nil {
		return out
	}
	if n < largestWhole {
		out.subs = append(out.subs, cat(wholeRange(n+1, largestWhole), optional(cat(text("."), digits()))))
	}
	rest := cat(text("."), moreThan(d.fraction, d.exclusive))
	if d.fraction == "" && !d.exclusive {
		rest = optional(rest)
	}
	out.subs = append(out.subs, cat(text(d.whole), rest))
	return out
}

// moreThan returns the expression for digits behind a point that are at least, or if exclusive more than, f.
func moreThan(f string, exclusive bool) *expr {
	if f == "" {
		if exclusive {
			return cat(digits(), digit('1', '9'), digits())
		}
		return digits()
	}
	out := alt(cat(text(f[:1]), moreThan(f[1:], exclusive)))
	if f[0] < '9' {
		out.subs = append(out.subs, cat(digit(f[0]+1, '9'), digits()))
	}
	return out
}

func (d decimal) atMost() *expr {
	any := optional(cat(text("."), digits()))
	n, err := strconv.ParseUint(d.whole, 10, 64)
	if len(d.whole) > wholeDigits || err != nil {
		return cat(digits(), any)
	}
	out := alt()
	if n > 0 {
		out.subs = append(out.subs, cat(wholeRange(0, n-1), any))
	}
	rest := cat(text("."), lessThan(d.fraction, d.exclusive))
	if d.fraction != "" || !d.exclusive {
		rest = optional(rest)
	}
	out.subs = append(out.subs, cat(text(d.whole), rest))
	return out
}

// lessThan returns the expression for digits behind a point that are at most, or if exclusive less than, f.
func lessThan(f string, exclusive bool) *expr {
	if f == "" {
		if exclusive {
			return &expr{op: exprNone}
		}
		return repeat(text("0"), 0, -1)
	}
	same := lessThan(f[1:], exclusive)
	if len(f) > 1 {
		same = optional(same) // digits are missing: less
	}
	out := alt(cat(text(f[:1]), same))
	if f[0] > '0' {
		out.subs = append(out.subs, cat(digit('0', f[0]-1), digits()))
	}
	return out
}
