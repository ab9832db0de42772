package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// writeResults prints structs: as JSON in an array or one a line, as CSV with the JSON's names above its columns, or the
// way that markdown does.
func writeResults[T any](w io.Writer, format string, results []T, markdown func(io.Writer, []T) error) error {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(results)
	case "jsonl":
		enc := json.NewEncoder(w)
		for _, r := range results {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		return writeCSV(w, results)
	}
	return markdown(w, results)
}

// writeCSV leaves out lists, such as single samples, which are no column.
func writeCSV[T any](w io.Writer, results []T) error {
	out := csv.NewWriter(w)
	row := func(cell func(f reflect.StructField, i int) string) error {
		var cells []string
		t := reflect.TypeFor[T]()
		for i := range t.NumField() {
			if f := t.Field(i); f.Type.Kind() != reflect.Slice {
				cells = append(cells, cell(f, i))
			}
		}
		return out.Write(cells)
	}
	if err := row(func(f reflect.StructField, _ int) string { return f.Tag.Get("json") }); err != nil {
		return err
	}
	for _, r := range results {
		v := reflect.ValueOf(r)
		err := row(func(_ reflect.StructField, i int) string {
			if at, ok := v.Field(i).Interface().(time.Time); ok {
				return at.Format(time.RFC3339)
			}
			return fmt.Sprint(v.Field(i))
		})
		if err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func printBench(w io.Writer, results []benchResult) error {
	var b strings.Builder
	b.WriteString("| model | size | params | backend | precision | threads | test | t/s |\n")
	b.WriteString("| --- | ---: | ---: | --- | --- | ---: | ---: | ---: |\n")
	for _, r := range results {
		test := fmt.Sprintf("pp%d", r.Prompt)
		if r.Gen > 0 {
			test = fmt.Sprintf("tg%d", r.Gen)
		}
		if r.Depth > 0 {
			test += fmt.Sprintf(" @ d%d", r.Depth)
		}
		fmt.Fprintf(&b, "| %s %s | %s | %.1f M | %s %s | %s | %d | %s | %.2f ± %.2f |\n", oneLine(r.Model), r.Type, size(r.Size),
			float64(r.Params)/1e6, r.Backend, r.Level, r.Precision, r.Threads, test, r.AvgTS, r.StddevTS)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
