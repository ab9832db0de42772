package apitest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite docs/clients.md")

// matrixChecks are the columns of docs/clients.md.
var matrixChecks = []string{
	"chat", "stream", "usage", "n", "logprobs", "tools: auto", "tools: required", "tools: named", "tools: none", "JSON schema", "stop", "errors", "waiting", "cancel",
}

// A matrixClient is a program in testdata/clients that runs the checks with one client library. It prints a line of JSON
// with the library's version, then one for each check.
type matrixClient struct {
	name string
	// command returns the program, or why it cannot be run here.
	command func(t *testing.T) (argv []string, skip string)
}

type matrixLine struct {
	Client, Version string
	Check           string
	OK              bool
	NA              string // why the client has no such thing
	Error           string
}

func matrixClients() []matrixClient {
	return []matrixClient{
		{"openai-python", python("openai_python.py", "openai")},
		{"LangChain (Python)", python("langchain_python.py", "langchain_openai")},
		{"openai-node", node("openai_node.mjs")},
		{"Vercel AI SDK", node("ai_sdk.mjs")},
		{"openai-go", goProgram("openai-go", "go.mod")},
		{"openai-go, older", goProgram("openai-go", "older.mod")},
		{"sashabaranov/go-openai", goProgram("go-openai", "go.mod")},
	}
}

// TestClientMatrix runs every check with every client against a real engine, prints the results as a table and compares
// it with docs/clients.md.
func TestClientMatrix(t *testing.T) {
	base, open := serveTiny(t)
	rows := map[string][]matrixLine{}
	for _, c := range matrixClients() {
		t.Run(c.name, func(t *testing.T) {
			argv, skip := c.command(t)
			if skip != "" {
				t.Skipf("SKIPPED, this client is not tested: %s", skip)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, argv[0], append(argv[1:], base, key, open)...)
			cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "PYTHONIOENCODING=utf-8", "PYTHONDONTWRITEBYTECODE=1", "AI_SDK_LOG_WARNINGS=false")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, out, &stderr)
			}
			var lines []matrixLine
			for line := range strings.Lines(string(out)) {
				var l matrixLine
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				if l.Check != "" && !l.OK && l.NA == "" {
					t.Errorf("%s: %s", l.Check, l.Error)
				}
				lines = append(lines, l)
			}
			for _, name := range matrixChecks {
				if !slices.ContainsFunc(lines, func(l matrixLine) bool { return l.Check == name }) {
					t.Errorf("%s was not checked", name)
				}
			}
			rows[c.name] = lines
		})
	}
	compareMatrix(t, rows)
}

// compareMatrix compares the rows of clients that were tested with those of the document.
func compareMatrix(t *testing.T, rows map[string][]matrixLine) {
	t.Helper()
	const path = "../../docs/clients.md"
	head := "| client | version | " + strings.Join(matrixChecks, " | ") + " |\n|---|---|" + strings.Repeat("---|", len(matrixChecks)) + "\n"
	table, written := head, map[string]string{}
	for _, c := range matrixClients() {
		lines, ok := rows[c.name]
		if !ok {
			continue
		}
		row := fmt.Sprintf("| %s | %s |", c.name, lines[0].Version)
		for _, name := range matrixChecks {
			mark := "fails"
			for _, l := range lines {
				switch {
				case l.Check != name:
				case l.NA != "":
					mark = l.NA
				case l.OK:
					mark = "passes"
				}
			}
			row += " " + mark + " |"
		}
		written[c.name] = row + "\n"
		table += row + "\n"
	}
	t.Logf("\n%s", table)
	if *update {
		if len(written) < len(matrixClients()) {
			t.Fatalf("only %d of %d clients are here: the document would lose rows", len(written), len(matrixClients()))
		}
		if err := os.WriteFile(path, []byte(matrixIntro+table+matrixOutro), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range written {
		if !strings.Contains(string(doc), row) {
			t.Errorf("%s: %s has another row; go test ./api/apitest -run ClientMatrix -update", name, path)
		}
	}
}

const matrixIntro = `# Clients

Unmodified client libraries against a real engine, each with every check. Written by the tests:
` + "`go test ./api/apitest -run ClientMatrix -update`" + ` runs the programs in ` + "`api/apitest/testdata/clients`" + `. Clients that are not installed are skipped, and named; ` + "`.ci/run`" + ` installs them.

`

const matrixOutro = `
What the checks demand:

| check | |
|---|---|
| chat | an answer with role, text, finish reason, id and model |
| stream | the same text in pieces, under one id; with the library's own helper for streams where it has one |
| usage | whole, and in the last event of a stream |
| n | three different choices, whole and as a stream |
| logprobs | each token with its three likeliest alternatives |
| tools: auto | calls, if there are any, parse and validate; the same in a stream |
| tools: required | exactly one call with parallel calls off; its result is sent back and answered; the library's own loop over tools where it has one |
| tools: named | a call of that function |
| tools: none | text |
| JSON schema | the answer is what the schema accepts, through the library's own parser where it has one |
| stop | the answer ends before the string |
| errors | 400, 401 and 404 arrive as the library's errors, with the parameter, whole and as a stream |
| waiting | a stream whose model loads for a while, behind heartbeats; one whose model then can't be loaded ends with the library's error |
| cancel | the server stops working when the client leaves |

The model of these tests has random weights: what it says is noise, so what passes is enforced and not luck.
`

func python(script, module string) func(*testing.T) ([]string, string) {
	return func(*testing.T) ([]string, string) {
		name := os.Getenv("AQUIFER_TEST_PYTHON")
		if name == "" {
			name = "python3"
		}
		path, err := exec.LookPath(name)
		if err != nil {
			return nil, err.Error()
		}
		if out, err := exec.Command(path, "-c", "import "+module).CombinedOutput(); err != nil {
			return nil, fmt.Sprintf("%s cannot import %s (AQUIFER_TEST_PYTHON names the interpreter): %s", path, module, lastLine(out))
		}
		return []string{path, filepath.Join("testdata", "clients", script)}, ""
	}
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// node runs a script with the modules of the folder in AQUIFER_TEST_NODE_MODULES, which it finds beside itself.
func node(script string) func(*testing.T) ([]string, string) {
	return func(t *testing.T) ([]string, string) {
		path, err := exec.LookPath("node")
		if err != nil {
			return nil, err.Error()
		}
		modules := os.Getenv("AQUIFER_TEST_NODE_MODULES")
		if modules == "" {
			return nil, "AQUIFER_TEST_NODE_MODULES does not name a folder with the modules of testdata/clients/node/package.json"
		}
		dir := t.TempDir()
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			return nil, err.Error()
		}
		for _, name := range []string{script, "checks.mjs"} {
			data, err := os.ReadFile(filepath.Join("testdata", "clients", "node", name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return []string{path, filepath.Join(dir, script)}, ""
	}
}

// goProgram builds the module in a folder; mod is its go.mod, or another for other versions.
func goProgram(folder, mod string) func(*testing.T) ([]string, string) {
	return func(t *testing.T) ([]string, string) {
		out := filepath.Join(t.TempDir(), "client")
		cmd := exec.Command("go", "build", "-modfile="+mod, "-o", out, ".")
		cmd.Dir = filepath.Join("testdata", "clients", folder)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		if text, err := cmd.CombinedOutput(); err != nil {
			if strings.Contains(string(text), ".go:") && !strings.Contains(string(text), "module") {
				t.Fatalf("%v\n%s", err, text)
			}
			return nil, "the module cannot be built: " + lastLine(text)
		}
		return []string{out}, ""
	}
}
