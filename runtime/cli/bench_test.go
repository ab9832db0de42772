package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestBench(t *testing.T) {
	dir := tinyModel(t, true)
	stdout, _ := succeed(t, "", "bench", dir, "-p", "40", "-n", "10", "-r", "2", "-d", "30", "-o", "json")
	var results []benchResult
	if err := json.Unmarshal([]byte(stdout), &results); err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].Prompt != 40 || results[0].Depth != 30 || results[1].Gen != 10 || results[1].Depth != 30 {
		t.Fatalf("%+v", results)
	}
	for _, r := range results {
		if len(r.SamplesTS) != 2 || !(r.AvgTS > 0) || !(r.StddevTS >= 0) || r.Threads < 1 || r.Params == 0 {
			t.Errorf("%+v", r)
		}
	}
	table, _ := succeed(t, "", "bench", dir, "-p", "0", "-n", "10", "-r", "1", "--no-warmup")
	if !strings.Contains(table, "| tg10 |") || strings.Contains(table, "pp") {
		t.Errorf("%s", table)
	}
	table, _ = succeed(t, "", "bench", dir, "-p", "0", "-n", "10", "-d", "20", "-r", "1")
	if !strings.Contains(table, "| tg10 @ d20 |") {
		t.Errorf("%s", table)
	}
}

// TestBenchLists: flags take lists, all combinations run, in llama-bench's order.
func TestBenchLists(t *testing.T) {
	stdout, _ := succeed(t, "", "bench", tinyModel(t, true), "-p", "8-16*2,0", "-n", "2", "-n", "3", "-d", "0,2000", "-t", "1,2", "-r", "1", "-o", "jsonl")
	var got []string
	for line := range strings.Lines(stdout) {
		var r benchResult
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(r.Threads, r.Depth, r.Prompt, r.Gen))
	}
	want := []string{
		"1 0 8 0", "1 0 16 0", "1 0 0 2", "1 0 0 3", "1 2000 8 0", "1 2000 16 0", "1 2000 0 2", "1 2000 0 3",
		"2 0 8 0", "2 0 16 0", "2 0 0 2", "2 0 0 3", "2 2000 8 0", "2 2000 16 0", "2 2000 0 2", "2 2000 0 3",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestBenchCSV(t *testing.T) {
	stdout, _ := succeed(t, "", "bench", tinyModel(t, true), "-p", "5", "-n", "4", "-r", "1", "-o", "csv")
	rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d rows, %v:\n%s", len(rows), err, stdout)
	}
	for name, want := range map[string][2]string{
		"n_prompt": {"5", "0"}, "n_gen": {"0", "4"}, "n_depth": {"0", "0"}, "model_filename": {"tiny-1x8g8", "tiny-1x8g8"},
	} {
		column := slices.Index(rows[0], name)
		if column < 0 || rows[1][column] != want[0] || rows[2][column] != want[1] {
			t.Errorf("column %s: %v", name, rows)
		}
	}
	for _, name := range []string{"avg_ts", "stddev_ts", "avg_ns", "stddev_ns", "test_time"} {
		if !slices.Contains(rows[0], name) {
			t.Errorf("no column %s in %v", name, rows[0])
		}
	}
	if slices.Contains(rows[0], "samples_ts") {
		t.Error("lists are no columns")
	}
}

// TestBenchSynthetic measures a model that is not there.
func TestBenchSynthetic(t *testing.T) {
	if testing.Short() && !slices.Contains(backendsHere(), "cpu") {
		t.Skip("takes seconds without kernels; not in -short")
	}
	stdout, stderr := succeed(t, "", "bench", "--synthetic", "smollm2-135m:2x8g8", "-p", "4", "-n", "2", "-r", "1", "-o", "json")
	var results []benchResult
	if err := json.Unmarshal([]byte(stdout), &results); err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].Params != 134515008 || results[0].Type != "llama 2x8g8" || !(results[1].AvgTS > 0) {
		t.Errorf("%+v", results)
	}
	if !strings.HasPrefix(stderr, "aquifer: smollm2-135m-2x8g8, 2x8g8, ") || strings.Contains(stderr, "small model") {
		t.Errorf("%s", stderr)
	}
	for args, want := range map[string]string{
		"--synthetic gpt-2:2x8g8":             "no shape",
		"--synthetic llama-2-7b:q4":           "KxBgG",
		"--synthetic llama-2-7b:2x8g8 ./mine": "two models",
		"--plan-only -o csv":                  "no CSV",
	} {
		code, stdout, stderr := invoke(t, "", append([]string{"bench", "-m", ""}, strings.Fields(args)...)...)
		if strings.Contains(stderr, "carries none") {
			continue // a build without an embedded model cannot come as far as the output
		}
		checkFailure(t, stdout, stderr)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, stderr lacks %q: %s", args, code, want, stderr)
		}
	}
}

// TestPlanOnly: what a model takes is said before anything is allocated, and the exit code says whether there is that
// much.
func TestPlanOnly(t *testing.T) {
	for _, tt := range []struct {
		args    string
		weights float64 // bytes at least
		context int
	}{
		{"--synthetic llama-2-7b:2x8g8", 2.02e9, 513},
		{"--synthetic llama-2-7b:2x8g8 --head file", 2.14e9, 513},
		{"--synthetic llama-2-7b:2x8g8 --precision exact", 2.14e9, 513},
		{"--synthetic llama-2-70b:1x16g8 -c 4096", 18.5e9, 4096},
		{"--synthetic llama-3.1-70b:f16 -c 131072 --kv f32", 141e9, 131072},
	} {
		code, stdout, stderr := invoke(t, "", append([]string{"bench", "--plan-only", "-o", "json"}, strings.Fields(tt.args)...)...)
		var p planned
		if err := json.Unmarshal([]byte(stdout), &p); err != nil {
			t.Fatalf("%s: %v: %s", tt.args, err, stderr)
		}
		if float64(p.Weights) < tt.weights || float64(p.Weights) > 1.05*tt.weights || p.Context != tt.context ||
			p.Total != p.Weights+p.KV+p.Scratch || p.KV < int64(tt.context) {
			t.Errorf("%s: %+v", tt.args, p)
		}
		lacks := p.Available > 0 && p.Total > p.Available
		switch {
		case p.Fits && (code != 0 || lacks):
			t.Errorf("%s: exit %d: %+v", tt.args, code, p)
		case !p.Fits && (code != 1 || !strings.Contains(stderr, fmt.Sprint((p.Total+1<<20-1)>>20, " MiB")) || !strings.Contains(stderr, "available")):
			t.Errorf("%s: exit %d, %s: %+v", tt.args, code, stderr, p)
		}
	}
	stdout, _ := succeed(t, "", "bench", tinyModel(t, true), "--plan-only")
	for _, want := range []string{"tiny-1x8g8: llama 1x8g8", "\nweights ", "\nKV cache ", "\nscratch ", "\ntotal "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it lacks %q:\n%s", want, stdout)
		}
	}
	for fits, want := range map[bool]string{true: "(it fits)", false: "(it does not fit)"} {
		var b bytes.Buffer
		if err := (planned{Available: 1, Fits: fits}).print(&b); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%q, %v", b.String(), err)
		}
	}
}
