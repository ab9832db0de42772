package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// intList is the value of a flag that takes several numbers: 1,2,8, as often as wanted, and ranges as llama-bench has
// them: 1-4 (step 1), 64-512+64, 1-64*2. The first one given takes the place of the default.
type intList struct {
	values []int
	given  bool
}

var errNumbers = errors.New("must be numbers separated by commas, or ranges FIRST-LAST, FIRST-LAST+STEP, FIRST-LAST*FACTOR")

// maxListed is how many numbers a range may stand for.
const maxListed = 1000

// String returns the numbers separated by commas.
func (l *intList) String() string {
	texts := make([]string, len(l.values))
	for i, n := range l.values {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ",")
}

// Type is what --help calls the value.
func (l *intList) Type() string { return "ints" }

// Set adds numbers.
func (l *intList) Set(text string) error {
	var add []int
	for item := range strings.SplitSeq(text, ",") {
		numbers, err := parseRange(item)
		if err != nil {
			return err
		}
		add = append(add, numbers...)
	}
	if !l.given {
		l.values, l.given = nil, true
	}
	l.values = append(l.values, add...)
	return nil
}

// parseRange reads a number or a range.
func parseRange(text string) ([]int, error) {
	span, by, op := text, "1", byte('+')
	if i := strings.IndexAny(text, "+*"); i > 0 {
		span, op, by = text[:i], text[i], text[i+1:]
	}
	from, to, isRange := strings.Cut(span, "-")
	first, err := strconv.Atoi(from)
	if err != nil || !isRange && span != text {
		return nil, errNumbers
	}
	if !isRange {
		return []int{first}, nil
	}
	last, errLast := strconv.Atoi(to)
	step, errStep := strconv.Atoi(by)
	grows := step > 0 && op == '+' || step > 1 && op == '*' && first > 0
	if errLast != nil || errStep != nil || last < first || !grows {
		return nil, errNumbers
	}
	var list []int
	for n := first; n <= last; {
		if list = append(list, n); len(list) > maxListed {
			return nil, fmt.Errorf("%s stands for more than %d numbers", text, maxListed)
		}
		if op == '*' {
			n *= step
		} else {
			n += step
		}
	}
	return list, nil
}

// integers returns the numbers of a flag that takes several.
func (s settings) integers(name string) []int {
	return slices.Clone(s.set.Lookup(name).Value.(*intList).values)
}

// picked returns settings in which a flag that takes several numbers has the one.
func (s settings) picked(name string, n int) settings {
	return settings{set: s.set, pick: map[string]int{name: n}}
}
