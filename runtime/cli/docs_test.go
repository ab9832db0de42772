package cli

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite FLAGS.md and golden files")

// writeFlags writes the table of all flags and environment variables as Markdown. A test keeps FLAGS.md equal to it.
func writeFlags(w io.Writer) error {
	users := map[string][]string{} // commands by flag
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			users[f.Name] = append(users[f.Name], strings.TrimPrefix(cmd.CommandPath(), "aquifer "))
		})
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit((&app{}).root())

	var b strings.Builder
	b.WriteString("# Flags\n\nGenerated from the table in `knobs.go`; `go test ./runtime/cli -run TestFlagsDoc -update` rewrites it.\n\n" +
		"| flag | variable | default | range | meaning | commands |\n|---|---|---|---|---|---|\n")
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	for _, k := range knobs {
		flag := "`--" + k.name + "`"
		if k.short != "" {
			flag += " `-" + k.short + "`"
		}
		env, def := "", k.defText
		if k.env != "" {
			env = "`" + k.env + "`"
		}
		if s := strings.Trim(fmt.Sprint(k.def), "[]"); def == "" && s != "false" {
			def = s
		}
		help := k.help
		if k.listIn != "" {
			help += "; " + k.listIn + " takes several"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n",
			flag, env, cell(def), cell(k.rangeText()), cell(help), strings.Join(users[k.name], ", "))
	}
	b.WriteString("\nVariables without a flag:\n\n| variable | meaning |\n|---|---|\n")
	for _, v := range variables {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.name, cell(v.help))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func TestFlagsDoc(t *testing.T) {
	var b bytes.Buffer
	if err := writeFlags(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "FLAGS.md", b.Bytes())
}

// golden compares with a file, or rewrites it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says; rewrite it with -update and look at the difference. Now:\n%s", path, got)
	}
}

// commands returns every command of the program.
func commands() []*cobra.Command {
	var all []*cobra.Command
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		all = append(all, cmd)
		for _, sub := range cmd.Commands() {
			if !sub.Hidden {
				visit(sub)
			}
		}
	}
	visit((&app{}).root())
	return all
}

func TestHelp(t *testing.T) {
	var b bytes.Buffer
	for _, cmd := range commands() {
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		code, stdout, stderr := invoke(t, "", args...)
		if code != 0 || stderr != "" {
			t.Errorf("%v: exit %d, stderr %q", args, code, stderr)
		}
		fmt.Fprintf(&b, "$ %s --help\n%s\n", cmd.CommandPath(), stdout)
	}
	golden(t, "testdata/help.txt", b.Bytes())
}

// TestExamples checks that every command has an example and that its commands and flags exist.
func TestExamples(t *testing.T) {
	for _, cmd := range commands() {
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			_, line, ok := strings.Cut(line, "aquifer ")
			if !ok {
				t.Errorf("%s: example without aquifer: %q", cmd.CommandPath(), line)
				continue
			}
			root := (&app{}).root()
			found, rest, err := root.Find(strings.Fields(line))
			if err != nil || found == root {
				t.Errorf("%s: example %q names no command (%v)", cmd.CommandPath(), line, err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
			}
		}
	}
}

func TestKnobs(t *testing.T) {
	used := map[string]bool{}
	for _, cmd := range commands() {
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && f.Name != "version" {
				used[f.Name] = true
			}
		})
	}
	seen := map[string]bool{}
	for _, k := range knobs {
		if seen[k.name] {
			t.Errorf("%s stands in the table twice", k.name)
		}
		seen[k.name] = true
		if !used[k.name] {
			t.Errorf("no command has --%s", k.name)
		}
		set := pflag.NewFlagSet("", pflag.ContinueOnError)
		k.addTo(set, "")
		f := set.Lookup(k.name)
		if f == nil {
			t.Errorf("--%s: no flag for a default of type %T", k.name, k.def)
			continue
		}
		if err := k.check(f.DefValue); err != nil && k.defText == "" {
			t.Errorf("--%s: its default %v", k.name, err)
		}
		if k.help == "" {
			t.Errorf("--%s has no help", k.name)
		}
	}
	for name := range used {
		if !seen[name] {
			t.Errorf("--%s does not stand in the table", name)
		}
	}
}
