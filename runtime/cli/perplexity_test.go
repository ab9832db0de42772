package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aquifer/models/modeltest"
)

// perplexityOf runs perplexity on text from stdin.
func perplexityOf(t *testing.T, text string, args ...string) measured {
	t.Helper()
	stdout, _ := succeed(t, text, append([]string{"perplexity", "--json", "--file", "-"}, args...)...)
	var m measured
	if err := json.Unmarshal([]byte(stdout), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// nllsOf computes what perplexity averages, token by token from debug logits. A token of the tiny model is a byte.
func nllsOf(t *testing.T, dir, text string, window int, bos string) []float64 {
	t.Helper()
	var ids []string
	if bos != "" {
		ids = append(ids, bos)
	}
	for _, b := range []byte(text) {
		ids = append(ids, fmt.Sprint(b))
	}
	var nlls []float64
	for ; len(ids) >= window; ids = ids[window:] {
		w := slices.Clone(ids[:window])
		if bos != "" {
			w[0] = bos
		}
		for i := window / 2; i < window; i++ {
			logits := logitsOf(t, dir, "--backend", "ref", "--tokens", strings.Join(w[:i], ","))
			var sum float64
			for _, x := range logits {
				sum += math.Exp(x)
			}
			var id int
			if _, err := fmt.Sscan(w[i], &id); err != nil {
				t.Fatal(err)
			}
			nlls = append(nlls, math.Log(sum)-logits[id])
		}
	}
	return nlls
}

func TestPerplexity(t *testing.T) {
	dir := tinyModel(t, true)
	withBOS := tinyModel(t, true)
	var config map[string]any
	data, err := os.ReadFile(filepath.Join(withBOS, "config.json"))
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	config["bos_token_id"] = 258
	writeJSON(t, filepath.Join(withBOS, "config.json"), config)

	const text = "A text with <|im_end|> in it."
	for _, tt := range []struct {
		dir, args, bos string
		window, count  int // count as the text allows, before --windows
	}{
		{dir, "--window 7", "", 7, 4},
		{dir, "--window 8 --windows 2", "", 8, 3},
		{dir, "--window 29 --bos no", "", 29, 1},
		{dir, "--window 20 --step 1", "", 20, 1},
		{dir, "--window 20 --step 7", "", 20, 1},
		{withBOS, "--window 10", "", 10, 2}, // its tokenizer adds none
		{withBOS, "--window 10 --bos yes", "258", 10, 3},
	} {
		want := nllsOf(t, tt.dir, text, tt.window, tt.bos)
		if strings.Contains(tt.args, "--windows 2") {
			want = want[:2*(tt.window-tt.window/2)]
		} else if len(want) != tt.count*(tt.window-tt.window/2) {
			t.Fatalf("%s: %d tokens for the comparison", tt.args, len(want))
		}
		mean, dev := meanStddev(want)
		for _, backend := range backendsHere() {
			got := perplexityOf(t, text, append([]string{tt.dir, "--backend", backend}, strings.Fields(tt.args)...)...)
			if !(math.Abs(got.MeanNLL-mean) < 1e-4) || !(math.Abs(got.Perplexity-math.Exp(mean)) < 1e-4*math.Exp(mean)) {
				t.Errorf("%s on %s: perplexity %v, mean %v; want %v, %v", tt.args, backend, got.Perplexity, got.MeanNLL, math.Exp(mean), mean)
			}
			if se := got.Perplexity * dev / math.Sqrt(float64(len(want))); !(math.Abs(got.StdErr-se) < 1e-3*se) {
				t.Errorf("%s: standard error %v, want %v", tt.args, got.StdErr, se)
			}
			for i, sigmas := range []float64{-1.96, 1.96} {
				if want := mean + sigmas*dev/math.Sqrt(float64(len(want))); !(math.Abs(math.Log(got.Interval[i])-want) < 1e-3) {
					t.Errorf("%s: bound %d is %v, want exp %v", tt.args, i, got.Interval[i], want)
				}
			}
			if got.Tokens != len(want) || got.Windows != got.Wanted || got.Window != tt.window || got.BOS != (tt.bos != "") || got.KV != "f32" || got.Backend != backend {
				t.Errorf("%s: %+v", tt.args, got)
			}
		}
	}
}

func TestPerplexityText(t *testing.T) {
	dir, file := tinyModel(t, true), filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(strings.Repeat("abcdefg ", 8)), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := succeed(t, "", "perplexity", dir, "-f", file, "--window", "16")
	if !strings.HasPrefix(stdout, "perplexity ") || !strings.Contains(stdout, "\n32 tokens scored in 4 windows of 16 without BOS, ") {
		t.Errorf("%s", stdout)
	}
	if !strings.Contains(stderr, "aquifer: perplexity: 50 %, ") {
		t.Errorf("no progress: %s", stderr)
	}
	for args, want := range map[string]string{
		"--window 65":    "the text has 64 tokens, a window 65",
		"--window 70000": "the model has 65536 positions",
		"--bos yes":      "no BOS",
		"--window 3":     "must be 4 to",
	} {
		code, stdout, stderr := invoke(t, "", append([]string{"perplexity", dir, "-f", file}, strings.Fields(args)...)...)
		checkFailure(t, stdout, stderr)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, stderr lacks %q: %s", args, code, want, stderr)
		}
	}
}

// TestPerplexityInterrupt stops a measurement: what was measured is printed, and the exit code says that it was not all.
func TestPerplexityInterrupt(t *testing.T) {
	cmd := process("perplexity", tinyModel(t, true), "-f", "-", "--window", "4", "--backend", "ref")
	cmd.Stdin = strings.NewReader(strings.Repeat("some text ", 4_000))
	var stdout, stderr lockedBuffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(stderr.String(), "25 %"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no progress: %s", stderr.String())
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Skipf("this system cannot interrupt a process: %v", err)
	}
	if code := exitCode(t, cmd); code != exitInterrupt {
		t.Errorf("exit %d, want %d", code, exitInterrupt)
	}
	if text := stdout.String(); !strings.HasPrefix(text, "perplexity ") || !strings.Contains(text, " in the first ") {
		t.Errorf("stdout %q, stderr %s", text, stderr.String())
	}
}

func TestSpread(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{1, 2, 3, 1000} {
		var s spread
		var list []float64
		for range n {
			x := 1e3 + r.NormFloat64()
			list = append(list, x)
			s.add(x)
		}
		mean, dev := meanStddev(list)
		if want := dev / math.Sqrt(float64(n)); !(math.Abs(s.mean-mean) < 1e-9) || !(math.Abs(s.standardError()-want) < 1e-9) {
			t.Errorf("of %d: %v ± %v, want %v ± %v", n, s.mean, s.standardError(), mean, want)
		}
	}
}

// TestPerplexityReal measures the first windows of a real text with a real model. The value is this program's own, from
// the run whose result over 40 windows, 21.2632, agrees with the reference implementation's 21.2631 (golden.json of the
// checkpoint); all of them would take a tenth of the tests' time.
func TestPerplexityReal(t *testing.T) {
	const want, tokens, tolerance = 19.4399, 4 * 256, 1e-3
	if testing.Short() {
		t.Skip("a real model; not in -short")
	}
	if !slices.Contains(backendsHere(), "cpu") {
		t.Skip("too slow without kernels")
	}
	dir := filepath.Join(modeltest.SmolLM2(t), "smollm2-135m-instruct-aqlm-4x8g8")
	text := modeltest.SharedFile(t, "data", "wikitext-2-test.txt.xz")
	got := perplexityOf(t, string(text), dir, "--windows", "4")
	if got.Tokens != tokens || !(math.Abs(got.Perplexity/want-1) <= tolerance) {
		t.Errorf("%v over %d tokens, want %v over %d", got.Perplexity, got.Tokens, want, tokens)
	}
}
