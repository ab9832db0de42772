package cli

import (
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// small are flags that keep bench --kernels short.
var small = []string{"bench", "--kernels", "--shapes", "64x64", "--backend", "ref", "-t", "1,2", "-b", "1,3", "-r", "2"}

func TestBenchKernels(t *testing.T) {
	stdout, _ := succeed(t, "", append(small, "--encodings", "2x8g8,f16", "-o", "json")...)
	var results []kernelResult
	if err := json.Unmarshal([]byte(stdout), &results); err != nil {
		t.Fatal(err)
	}
	if len(results) != 12 { // two numbers of threads and of tokens; two precisions of 2x8g8, one of f16
		t.Fatalf("%d results: %s", len(results), stdout)
	}
	for _, r := range results {
		if r.Rows != 64 || r.Cols != 64 || r.Backend != "ref" || r.Level != "go" || !(r.Gaussian < 1e-6) || !(r.Outliers < 1e-6) || len(r.SamplesNs) != 2 ||
			!(r.GWeights > 0) || !(r.GFLOP > r.GWeights) || !(r.OfRead > 0) || !(r.ReadGB > 0) || r.Kernel == "" || r.MedianNs < r.BestNs {
			t.Errorf("%+v", r)
		}
	}
	stdout, _ = succeed(t, "", append(small, "--encodings", "2x8g8", "--precision", "fast", "-o", "csv")...)
	rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if err != nil || len(rows) != 5 || !slices.Contains(rows[0], "read_percent") || slices.Contains(rows[0], "samples_ns") {
		t.Errorf("%v\n%s", err, stdout)
	}
	stdout, _ = succeed(t, "", append(small, "--encodings", "q8_0")...)
	if !strings.Contains(stdout, " | 64x64 | exact | 2 | 3 | ") || strings.Count(stdout, "\n") != 6 {
		t.Errorf("%s", stdout)
	}
}

// TestBenchKernelCases: what flags leave open.
func TestBenchKernelCases(t *testing.T) {
	if !slices.Contains(backendsHere(), "cpu") {
		t.Skip("no cpu backend here")
	}
	stdout, _ := succeed(t, "", "bench", "--kernels", "--shapes", "64x64", "--encodings", "2x8g8", "-b", "1", "-r", "1", "-o", "json")
	var results []kernelResult
	if err := json.Unmarshal([]byte(stdout), &results); err != nil {
		t.Fatal(err)
	}
	for _, l := range diagnose().Levels {
		if l.OK != slices.ContainsFunc(results, func(r kernelResult) bool { return r.Level == l.Name && r.Threads == 1 }) {
			t.Errorf("level %s: %s", l.Name, stdout)
		}
	}
}

func TestBenchKernelsRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"--encodings q4_0":           "q4_0",
		"--shapes 64":                "ROWSxCOLS",
		"--shapes 64x64x":            "ROWSxCOLS",
		"--shapes 64x65":             "columns",
		"--shapes 0x8":               "out of range",
		"--synthetic llama-2-7b:f16": "no model",
		"-b 0":                       "must be 1",
		"--plan-only":                "no model",
	} {
		code, stdout, stderr := invoke(t, "", append([]string{"bench", "--kernels"}, strings.Fields(args)...)...)
		checkFailure(t, stdout, stderr)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, stderr lacks %q: %s", args, code, want, stderr)
		}
	}
}
