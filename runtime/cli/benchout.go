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

// writeBench prints results as a Markdown table, as JSON, or as CSV with the JSON's names above its columns.
func writeBench(w io.Writer, format string, results []benchResult) error {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(results)
	case "csv":
		return csvBench(w, results)
	}
	return printBench(w, results)
}

// csvBench leaves out the single samples, which are no column.
func csvBench(w io.Writer, results []benchResult) error {
	out := csv.NewWriter(w)
	row := func(cell func(f reflect.StructField, i int) string) error {
		var cells []string
		t := reflect.TypeFor[benchResult]()
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
