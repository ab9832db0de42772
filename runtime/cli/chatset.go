package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// option is something that /set changes. Its name, range and help are those of the flag.
type option struct {
	name string
	get  func(*ask) string
	set  func(q *ask, value string) error
}

// options lists all of them.
func options() []option {
	return []option{
		whole("max-tokens", func(q *ask) *int { return &q.maxTokens }),
		fraction("temperature", func(q *ask) *float32 { return &q.sampling.Temperature }),
		fraction("top-p", func(q *ask) *float32 { return &q.sampling.TopP }),
		whole("top-k", func(q *ask) *int { return &q.sampling.TopK }),
		fraction("min-p", func(q *ask) *float32 { return &q.sampling.MinP }),
		fraction("repeat-penalty", func(q *ask) *float32 { return &q.sampling.RepeatPenalty }),
		{
			"seed", func(q *ask) string { return strconv.FormatUint(q.sampling.Seed, 10) },
			func(q *ask, value string) (err error) {
				q.sampling.Seed, err = strconv.ParseUint(value, 10, 63)
				return err
			},
		},
		{
			"stop", func(q *ask) string {
				var list []string
				for _, s := range q.stop {
					list = append(list, strconv.Quote(s))
				}
				return strings.Join(list, ", ")
			},
			func(q *ask, value string) error {
				q.stop = nil
				if value != "" {
					q.stop = []string{value}
				}
				return nil
			},
		},
		{
			"no-wordwrap", func(q *ask) string { return strconv.FormatBool(q.noWrap) },
			func(q *ask, value string) (err error) {
				q.noWrap, err = strconv.ParseBool(value)
				return err
			},
		},
		{
			"stats", func(q *ask) string { return strconv.FormatBool(q.stats) },
			func(q *ask, value string) (err error) {
				q.stats, err = strconv.ParseBool(value)
				return err
			},
		},
	}
}

func whole(name string, field func(*ask) *int) option {
	return option{
		name, func(q *ask) string { return strconv.Itoa(*field(q)) },
		func(q *ask, value string) (err error) {
			*field(q), err = strconv.Atoi(value)
			return err
		},
	}
}

func fraction(name string, field func(*ask) *float32) option {
	return option{
		name, func(q *ask) string { return strconv.FormatFloat(float64(*field(q)), 'g', -1, 32) },
		func(q *ask, value string) error {
			x, err := strconv.ParseFloat(value, 32)
			*field(q) = float32(x)
			return err
		},
	}
}

// change sets an option. A value may be quoted, as Go does it: only so can it be empty, or have line breaks.
func (q *ask) change(name, value string) error {
	all := options()
	i := slices.IndexFunc(all, func(o option) bool { return o.name == name })
	if i < 0 {
		return fmt.Errorf("nothing is called %.40s; /set lists what can be set", name)
	}
	if strings.HasPrefix(value, `"`) {
		text, err := strconv.Unquote(value)
		if err != nil {
			return fmt.Errorf("%s: %.40s has no end, or an escape that does not exist", name, value)
		}
		value = text
	}
	k := findKnob(name)
	if err := k.check(value); err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	changed := *q
	if err := all[i].set(&changed, value); err != nil {
		return fmt.Errorf("%s: %.40q is no value; %s", name, value, k.help)
	}
	*q = changed
	return nil
}

// printOptions lists them with their values.
func printOptions(w io.Writer, q *ask) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, o := range options() {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", o.name, printable(o.get(q)), findKnob(o.name).help)
	}
	return table.Flush()
}
