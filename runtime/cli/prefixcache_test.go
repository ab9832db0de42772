package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// prompted is an answer to askLong.
type prompted struct {
	Text           string
	Prompt, Cached int
}

// askLong asks a server for an answer to a prompt of some 400 tokens, which are bytes, as a client of the key.
func askLong(t *testing.T, base, model, key, more string) prompted {
	t.Helper()
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"max_tokens":20,"temperature":1,"seed":3%s}`,
		model, strings.Repeat("All work and no play. ", 17), more)
	req, err := http.NewRequestWithContext(t.Context(), "POST", base+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			Prompt  int `json:"prompt_tokens"`
			Details struct {
				Cached int `json:"cached_tokens"`
			} `json:"prompt_tokens_details"`
		}
	}
	decode(t, resp, &a)
	if resp.StatusCode != 200 || len(a.Choices) != 1 || a.Usage.Prompt < 380 {
		t.Fatalf("status %d: %+v", resp.StatusCode, a)
	}
	return prompted{a.Choices[0].Message.Content, a.Usage.Prompt, a.Usage.Details.Cached}
}

// stop ends a server as a user does.
func stop(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a system that sends interrupts to another process; Windows does not")
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd); code != 0 {
		t.Errorf("the server ends with %d", code)
	}
}

// TestPrefixCache: over a restart the same client's prompt is found again, and answers are what they were without; no other
// client, model or way to run it finds anything, and a damaged file is news and nothing else.
func TestPrefixCache(t *testing.T) {
	dir, cache := tinyModel(t, false), filepath.Join(t.TempDir(), "cache")
	other := tinyModel(t, false)
	weights := filepath.Join(other, "model.safetensors")
	data, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(weights, data, 0o600); err != nil {
		t.Fatal(err)
	}
	serve := func(model string, args ...string) (string, *exec.Cmd, *lockedBuffer) {
		t.Helper()
		return startServer(t, append([]string{model, "--context", "1000", "--parallel", "2", "--precision", "exact"}, args...)...)
	}
	base, cmd, _ := serve(dir)
	want := askLong(t, base, "tiny-1x8g8", "me", "")
	stop(t, cmd)
	if want.Cached != 0 {
		t.Fatalf("%+v", want)
	}
	full := (want.Prompt - 1) / 32 * 32 // what can be found: full blocks, and a token is left to run
	serving := []struct {
		name, model, key string
		args             []string
		cached           int
		says             string // of what is restored
	}{
		{"first", dir, "me", nil, 0, ""},
		{"restarted", dir, "me", nil, full, "restored 384 tokens of earlier prompts for tiny-1x8g8"},
		{"another client", dir, "you", nil, 0, "restored"},
		{"another type", dir, "me", []string{"--kv", "f32"}, 0, ""},
		{"another model", other, "me", nil, 0, ""},
		{"other threads", dir, "me", []string{"--threads", "1", "--parallel", "1"}, full, "restored 768 tokens"},
	}
	for _, tt := range serving {
		base, cmd, stderr := serve(tt.model, append([]string{"--prefix-cache", cache}, tt.args...)...)
		got := askLong(t, base, "tiny-1x8g8", tt.key, "")
		if got.Cached != tt.cached || got.Prompt != want.Prompt {
			t.Errorf("%s: %+v, want %d cached", tt.name, got, tt.cached)
		}
		if tt.model == dir && got.Text != want.Text && tt.name != "another type" {
			t.Errorf("%s: %q, without the cache %q", tt.name, got.Text, want.Text)
		}
		if again := askLong(t, base, "tiny-1x8g8", tt.key, ""); again.Cached != full || again.Text != got.Text {
			t.Errorf("%s, asked again: %+v after %+v", tt.name, again, got)
		}
		stop(t, cmd)
		if log := stderr.String(); !strings.Contains(log, tt.says) || strings.Contains(log, "restored") != (tt.says != "") ||
			strings.Contains(log, "saved") != (tt.cached == 0) { // what is there already is not written again
			t.Errorf("%s: stderr %s", tt.name, log)
		}
	}
	files, err := filepath.Glob(filepath.Join(cache, "*.prefix"))
	if err != nil || len(files) != 3 { // of two types and two models
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || os.PathSeparator == '/' && info.Mode().Perm() != 0o600 || os.Truncate(file, info.Size()/3) != nil {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	base, cmd, stderr := serve(dir, "--prefix-cache", cache)
	got := askLong(t, base, "tiny-1x8g8", "you", "") // whose prompt is the first in the file
	if got.Text != want.Text || got.Cached >= full || got.Cached == 0 {
		t.Errorf("with a file that is cut: %+v, want %+v", got, want)
	}
	checkPrefixMetrics(t, base, got.Cached/32)
	stop(t, cmd)
	if !strings.Contains(stderr.String(), "in the middle of block") {
		t.Errorf("stderr %s", stderr)
	}
}

// checkPrefixMetrics wants at least so many restored blocks in the server's figures, one failure, and the size of the files.
func checkPrefixMetrics(t *testing.T, base string, least int) {
	t.Helper()
	resp, err := http.Get(base + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	figure := func(name string) (n float64) {
		_, rest, ok := strings.Cut(string(text), "\n"+name+" ")
		if _, err := fmt.Sscan(rest, &n); !ok || err != nil {
			t.Errorf("no figure %s", name)
		}
		return n
	}
	if n := figure(`aquifer_prefix_cache_blocks_total{action="restored"}`); n < float64(least) {
		t.Errorf("%v blocks restored, at least %d", n, least)
	}
	if n := figure("aquifer_prefix_cache_failures_total"); n != 1 {
		t.Errorf("%v failures", n)
	}
	if n := figure("aquifer_prefix_cache_bytes"); n < 1000 {
		t.Errorf("files of %v bytes", n)
	}
}

// TestPrefixCacheUnloaded: a model that is let go and loaded again knows what it knew.
func TestPrefixCacheUnloaded(t *testing.T) {
	hubWithTiny(t)
	succeed(t, "", "pull", "org/tiny")
	base, cmd, stderr := startServer(t, "--context", "1000", "--precision", "exact", "--prefix-cache", t.TempDir())
	first := askLong(t, base, "org/tiny", "me", `,"keep_alive":0`)
	waitLoaded(t, base)
	second := askLong(t, base, "org/tiny", "me", "")
	if second.Cached == 0 || second.Text != first.Text {
		t.Errorf("%+v, then %+v", first, second)
	}
	stop(t, cmd)
	if log := stderr.String(); strings.Count(log, "saved") != 1 || strings.Count(log, "restored") != 1 {
		t.Errorf("stderr %s", log)
	}
}

// TestRunPrefixCache: run keeps what it ran for its next time.
func TestRunPrefixCache(t *testing.T) {
	hubWithTiny(t) // for doctor
	dir, cache, prompt := tinyModel(t, true), t.TempDir(), strings.Repeat("once upon a time ", 20)
	args := []string{"run", dir, "--temperature", "0", "--max-tokens", "9", "--stats", "--precision", "exact", prompt}
	want, _ := succeed(t, "", args...)
	t.Setenv("AQUIFER_PREFIX_CACHE", cache)
	for i, says := range []string{"prompt 3", "of them cached"} {
		got, stderr := succeed(t, "", args...)
		if got != want || !strings.Contains(stderr, says) || strings.Contains(stderr, "cached") != (i == 1) {
			t.Errorf("run %d: %q, want %q; %s", i, got, want, stderr)
		}
	}
	checkDoctorPrefixes(t, cache)
	code, _, stderr := invoke(t, "", append(args, "--prefix-cache-size", "much")...)
	if code != exitUsage || !strings.Contains(stderr, `--prefix-cache-size is "much"`) {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if err := os.WriteFile(filepath.Join(cache, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = invoke(t, "", append(args, "--prefix-cache", filepath.Join(cache, "file"))...)
	if code != exitFailure || !strings.Contains(stderr, "--prefix-cache needs a folder") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// checkDoctorPrefixes wants doctor to know the one file, and to say so of one that is none.
func checkDoctorPrefixes(t *testing.T, cache string) {
	t.Helper()
	d := asJSON[diagnosis](t, "doctor")
	if d.Prefixes == nil || len(d.Prefixes.Files) != 1 || !strings.HasPrefix(d.Prefixes.Files[0].Note, "tiny-1x8g8 1x8g8, KV f16, exact, ") ||
		d.Prefixes.Bytes != d.Prefixes.Files[0].Bytes || d.Prefixes.Bytes < 10000 {
		t.Errorf("%+v", d.Prefixes)
	}
	if err := os.WriteFile(filepath.Join(cache, "x.prefix"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _ := succeed(t, "", "doctor")
	for _, want := range []string{"2 files", "tiny-1x8g8 1x8g8, KV f16", "x.prefix: of no use: it is no file of prefixes"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in %s", want, stdout)
		}
	}
	missing := filepath.Join(cache, "missing")
	if stdout, _ := succeed(t, "", "doctor", "--prefix-cache", missing); !strings.Contains(stdout, "does not exist yet") {
		t.Errorf("stdout %s", stdout)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("doctor makes the folder")
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"4GB": 4e9, "4gb": 4e9, "8GiB": 8 << 30, "500MB": 5e8, "1.5 GB": 15e8, "1000000": 1e6, "2000000B": 2e6, "3000kB": 3e6, "1TiB": 1 << 40,
		"": 0, "4": 0, "4G": 0, "GB": 0, "-4GB": 0, "4 GB B": 0, "1e9": 0, "2000TB": 0, "0GB": 0, "4,5GB": 0, "٤GB": 0, "999999": 0,
	} {
		if got, err := parseSize(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
	}
}
