package main

import (
	"bytes"
	"flag"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// These tests keep the repository in the shape its documents describe. They look at sources, not at behaviour.

var update = flag.Bool("update", false, "rewrite .ci/deps.txt")

// sources returns the slash-separated paths of the files with one of the given extensions, without build outputs.
func sources(t *testing.T, exts ...string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p == ".git" || p == "bin" || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if slices.Contains(exts, filepath.Ext(p)) {
			paths = append(paths, filepath.ToSlash(p))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no %v files found", exts)
	}
	return paths
}

func isTest(p string) bool { return strings.HasSuffix(p, "_test.go") }

func TestPackageDocs(t *testing.T) {
	docs := map[string][]string{} // files with a package comment, by directory
	for _, p := range sources(t, ".go") {
		if isTest(p) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(p)
		if f.Doc != nil {
			docs[dir] = append(docs[dir], p)
		} else if docs[dir] == nil {
			docs[dir] = []string{}
		}
	}
	for dir, files := range docs {
		if len(files) != 1 {
			t.Errorf("%s: %d package comments %v, want one", dir, len(files), files)
		}
	}
}

// imports lists, for each package pattern, which of our packages its non-test files may import. A pattern that ends
// in "/..." covers the package and everything below it; the longest match counts. Every package may import the
// packages of its own pattern.
var imports = map[string][]string{
	".":                 {"runtime/cli"},
	"gguf":              {},
	"gguf/safetensors":  {},
	"gguf/ggml":         {"gguf", "runtime/half"},
	"tokenizer/...":     {},
	"models/...":        {"gguf/...", "tokenizer", "runtime/plan", "runtime/half"},
	"models/embedded":   {},
	"models/goldentest": {"models/...", "backends", "runtime/plan"}, // for tests only
	"backends/...":      {"runtime/plan", "runtime/half"},
	"runtime/plan":      {},
	"runtime/half":      {},
	"runtime/vfs":       {},
	"runtime/store/...": {"runtime/store", "runtime/vfs"},
	"runtime/store":     {"runtime/vfs"},
	"runtime/sample":    {},
	"runtime/grammar":   {},

	"runtime/grammar/grammartest": {}, // for tests only
	"runtime/kv":                  {"runtime/plan"},
	"runtime/kv/prefixfile":       {"runtime/kv", "runtime/vfs"},
	"runtime/sched":               {"runtime/kv"},
	"runtime/chat/...":            {"tokenizer", "runtime/grammar"},
	"runtime/engine":              {"models", "models/checkpoint", "backends", "tokenizer", "runtime/plan", "runtime/sched", "runtime/kv/...", "runtime/sample", "runtime/chat", "runtime/grammar"},
	"runtime/host":                {},
	"api/...":                     {"runtime/engine", "runtime/host", "runtime/kv/prefixfile"},
	"runtime/cli":                 {"api/...", "backends/...", "gguf/...", "models/...", "tokenizer", "runtime/plan", "runtime/sample", "runtime/chat", "runtime/engine", "runtime/host", "runtime/kv/prefixfile", "runtime/store/..."},
}

func matches(pattern, pkg string) bool {
	root, below := strings.CutSuffix(pattern, "/...")
	return pkg == root || below && strings.HasPrefix(pkg, root+"/")
}

func TestImportDirection(t *testing.T) {
	for _, p := range sources(t, ".go") {
		if isTest(p) {
			continue
		}
		pkg, rule := path.Dir(p), ""
		for pattern := range imports {
			if matches(pattern, pkg) && len(pattern) > len(rule) {
				rule = pattern
			}
		}
		if rule == "" {
			t.Errorf("%s: package %s has no import rule", p, pkg)
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			ours, ok := strings.CutPrefix(name, "aquifer/")
			allowed := append([]string{rule}, imports[rule]...)
			if ok && !slices.ContainsFunc(allowed, func(a string) bool { return matches(a, ours) }) {
				t.Errorf("%s imports %s; %s may import %v", p, ours, pkg, imports[rule])
			}
		}
	}
}

func TestFileBudget(t *testing.T) {
	const warn, fail = 600, 1000
	for _, p := range sources(t, ".go", ".c", ".h", ".sh") {
		base := path.Base(p)
		if strings.HasPrefix(base, "zz_") || strings.Contains(base, "_tables.") {
			continue
		}
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		switch n := bytes.Count(data, []byte("\n")); {
		case n > fail:
			t.Errorf("%s has %d lines, at most %d", p, n, fail)
		case n > warn:
			t.Logf("%s has %d lines, aim for %d: is it still one thing?", p, n, warn)
		}
	}
}

func TestKnobBudget(t *testing.T) {
	const table = "runtime/cli/knobs.go"
	environment := regexp.MustCompile(`\bos\.(Getenv|LookupEnv|Environ|ExpandEnv)\b`)
	flags := regexp.MustCompile(`^\s*(import )?"flag"$|\.(Persistent)?Flags\(\)\.(Bool|Int|Uint|Float|String|Duration|Var)\w*\(`)
	inTable := 0
	for _, p := range sources(t, ".go", ".c", ".h") {
		if isTest(p) {
			continue
		}
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(data), "\n") {
			bad := environment.MatchString(line) || flags.MatchString(line)
			if path.Ext(p) != ".go" {
				bad = strings.Contains(line, "getenv")
			}
			switch {
			case bad && p == table:
				inTable++
			case bad:
				t.Errorf("%s:%d: flags and environment belong in %s: %s", p, i+1, table, strings.TrimSpace(line))
			}
		}
	}
	if inTable == 0 {
		t.Errorf("%s reads no environment: the patterns of this test find nothing", table)
	}
}

// goTool runs the go command for one platform, so that the answer is the same everywhere.
func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

func TestDeps(t *testing.T) {
	const file = ".ci/deps.txt"
	list := goTool(t, "list", "-deps", "-tags", "nomsgpack", "-f", `{{if not .Standard}}{{.ImportPath}}{{end}}`, ".")
	var deps []string
	for p := range strings.FieldsSeq(list) {
		if p != "aquifer" && !strings.HasPrefix(p, "aquifer/") {
			deps = append(deps, p)
		}
	}
	slices.Sort(deps)
	got := strings.Join(deps, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Fields(string(want))
	for _, d := range deps {
		if !slices.Contains(old, d) {
			t.Errorf("the binary now contains %s", d)
		}
	}
	for _, d := range old {
		if !slices.Contains(deps, d) {
			t.Errorf("the binary no longer contains %s", d)
		}
	}
	if t.Failed() {
		t.Logf("if that is wanted: go test . -run TestDeps -update")
	}
}

func TestModuleFile(t *testing.T) {
	for _, file := range []string{"go.mod", ".ci/tools.mod", ".ci/release.mod"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(data), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "replace") || strings.Contains(line, "=>") {
				t.Errorf("%s:%d: no replacements: %s", file, i+1, line)
			}
		}
	}
}

// TestReadme checks the promises of README.md that a machine can check.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if n := strings.Count(text, "\n"); n > 200 {
		t.Errorf("README.md has %d lines, at most 200", n)
	}
	for _, command := range []string{`./build.sh run "Why is the sky blue?"`, "./build.sh test"} {
		if !strings.Contains(text, command) {
			t.Errorf("README.md lacks %s", command)
		}
	}
	dirs := map[string]bool{}
	for _, p := range sources(t, ".go") {
		if dir := path.Dir(p); dir != "." {
			dirs[dir] = true
		}
	}
	for dir := range dirs {
		if !strings.Contains(text, "`"+dir+"`") {
			t.Errorf("README.md: the folder map lacks `%s`", dir)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z/0-9]+)` \\|").FindAllStringSubmatch(text, -1) {
		if info, err := os.Stat(m[1]); err != nil || !info.IsDir() {
			t.Errorf("README.md: the folder map names %s, which does not exist", m[1])
		}
	}
}

func TestTreeClean(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary; not in -short")
	}
	if runtime.GOOS == "windows" {
		t.Skip("build.sh needs a Unix shell")
	}
	status := func() string {
		out, err := exec.Command("git", "status", "--porcelain").Output()
		if err != nil {
			t.Skipf("no git work tree to compare: %v", err)
		}
		return string(out)
	}
	before := status()
	if out, err := exec.Command("./build.sh", "build").CombinedOutput(); err != nil {
		t.Fatalf("./build.sh build: %v\n%s", err, out)
	}
	if after := status(); after != before {
		t.Errorf("building changed the tree:\nbefore:\n%s\nafter:\n%s", before, after)
	}
}
