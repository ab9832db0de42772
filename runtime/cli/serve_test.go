package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// lockedBuffer collects what a process writes while a test looks at it.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// startServer runs aquifer serve on a free port and returns its base address once it answers.
func startServer(t *testing.T, args ...string) (base string, cmd *exec.Cmd, stderr *lockedBuffer) {
	t.Helper()
	where, cmd, stderr := startServing(t, append([]string{"--addr", "127.0.0.1:0"}, args...)...)
	m := regexp.MustCompile(`^(http://[0-9.:]+)/v1`).FindStringSubmatch(where)
	if m == nil {
		t.Fatalf("the server answers at %q", where)
	}
	return m[1], cmd, stderr
}

// startServing runs aquifer serve until it says where it answers, and returns the line from there on.
func startServing(t *testing.T, args ...string) (where string, cmd *exec.Cmd, stderr *lockedBuffer) {
	t.Helper()
	stderr = &lockedBuffer{}
	cmd = process(append([]string{"serve"}, args...)...)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	says := regexp.MustCompile(`answers at (.*)\n`)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := says.FindStringSubmatch(stderr.String()); m != nil {
			return m[1], cmd, stderr
		}
	}
	t.Fatalf("the server does not start: %s", stderr)
	return "", nil, nil
}

// openStream asks for an answer in pieces and waits until it begins. The rest returns the last event, which is
// data: [DONE] if the answer is whole.
func openStream(t *testing.T, base, body string) (rest func() string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", base+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() {
		t.Fatal("no answer begins")
	}
	return func() (last string) {
		for lines.Scan() {
			if lines.Text() != "" {
				last = lines.Text()
			}
		}
		if err := lines.Err(); err != nil {
			t.Errorf("reading the answer: %v", err)
		}
		return last
	}
}

// get fetches a JSON document.
func get(t *testing.T, method, url, body string, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	decode(t, resp, into)
	return resp.StatusCode
}

// decode reads the JSON document of an answer.
func decode(t *testing.T, resp *http.Response, into any) {
	t.Helper()
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v: %s", resp.Request.URL, err, data)
	}
}

func TestServe(t *testing.T) {
	base, cmd, stderr := startServer(t, tinyModel(t, false), "--parallel", "2", "--context", "60000")
	var health struct{ Status string }
	if code := get(t, "GET", base+"/health", "", &health); code != 200 || health.Status != "ok" {
		t.Errorf("health: %d %+v", code, health)
	}
	var models struct{ Data []struct{ ID string } }
	get(t, "GET", base+"/v1/models", "", &models)
	if len(models.Data) != 1 || models.Data[0].ID != "tiny-1x8g8" {
		t.Fatalf("models: %+v", models)
	}
	const ask = `{"model":"tiny-1x8g8","messages":[{"role":"user","content":"hello"}],"max_tokens":12,"seed":5}`
	var first, second struct {
		Choices []struct {
			Message      struct{ Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage struct {
			Completion int `json:"completion_tokens"`
		}
	}
	if code := get(t, "POST", base+"/v1/chat/completions", ask, &first); code != 200 {
		t.Fatalf("chat: %d", code)
	}
	if len(first.Choices) != 1 || first.Choices[0].FinishReason != "length" || first.Usage.Completion != 12 {
		t.Fatalf("%+v", first)
	}
	// A seed makes an answer repeatable.
	get(t, "POST", base+"/v1/chat/completions", ask, &second)
	if first.Choices[0].Message.Content != second.Choices[0].Message.Content {
		t.Errorf("%q and %q", first.Choices[0].Message.Content, second.Choices[0].Message.Content)
	}
	if runtime.GOOS == "windows" {
		t.Skip("the rest of this test needs Unix signals")
	}

	// A running answer is finished before the server ends.
	rest := openStream(t, base, `{"model":"tiny-1x8g8","messages":[{"role":"user","content":"x"}],"max_tokens":300,"stream":true}`)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if last := rest(); last != "data: [DONE]" {
		t.Errorf("the answer was cut: it ends with %q", last)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server ends with %v: %s", err, stderr)
	}
}

// TestServeUnknownFields: one server refuses a field that does not exist, the other does not.
func TestServeUnknownFields(t *testing.T) {
	const ask = `{"model":"tiny-1x8g8","messages":[{"role":"user","content":"hello"}],"max_tokens":2,"made_up":1}`
	for value, want := range map[string]int{"refuse": 400, "ignore": 200} {
		base, _, _ := startServer(t, tinyModel(t, false), "--unknown-fields", value, "--context", "100")
		var answer any
		if code := get(t, "POST", base+"/v1/chat/completions", ask, &answer); code != want {
			t.Errorf("%s: status %d: %v", value, code, answer)
		}
	}
}

func TestServeRefuses(t *testing.T) {
	dir := tinyModel(t, true)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	t.Setenv("AQUIFER_API_KEY", "")
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"port in use", []string{dir, "--addr", taken.Addr().String()}, 1, []string{taken.Addr().String(), "--addr"}},
		{"open to others", []string{dir, "--addr", "0.0.0.0:0"}, 1, []string{"API key", "AQUIFER_API_KEY"}},
		{"no such address", []string{dir, "--addr", "127.0.0.1:99999"}, 1, []string{"99999"}},
		{"no such model", []string{dir + "x", "--addr", "127.0.0.1:0"}, 1, []string{dir + "x"}},
		{"no such speculation", []string{"--addr", "127.0.0.1:0", "--speculate", "0"}, 2, []string{"--speculate", "off"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := invoke(t, "", append([]string{"serve"}, test.args...)...)
			checkFailure(t, stdout, stderr)
			if code != test.code {
				t.Errorf("exit %d", code)
			}
			for _, want := range test.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr lacks %q: %s", want, stderr)
				}
			}
		})
	}
}
