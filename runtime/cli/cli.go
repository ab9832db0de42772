// Package cli is the command line of aquifer. It owns the flags and environment variables (knobs.go is the one table
// of both), the terminal, signals and exit codes, and it wires the other packages together: every backend and the
// embedded model are named here. Nothing imports it except main.
package cli

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"aquifer/runtime/store"
)

// version is set by build.sh.
var version = "dev"

// app is one invocation: its streams, shared by all commands, and the locks that it holds until it ends.
type app struct {
	in       io.Reader
	out, err io.Writer
	held     []*store.Lock
}

// Main runs the command line and returns the exit code: 0, 1 for a failure, 2 for a mistake in the command line, 130
// when the user interrupted it. A failure is one line on stderr.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{in: stdin, out: stdout, err: stderr}
	root := a.root()
	root.SetArgs(args)
	err := root.Execute()
	for _, lock := range a.held {
		err = errors.Join(err, lock.Release())
	}
	return a.report(err)
}

func (a *app) report(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errInterrupted):
		return exitInterrupt
	case errors.As(err, &usage):
		fmt.Fprintf(a.err, "aquifer: %s\n", oneLine(err.Error()))
		return exitUsage
	}
	fmt.Fprintf(a.err, "aquifer: %s\n", oneLine(err.Error()))
	return exitFailure
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "aquifer",
		Short: "Run AQLM-compressed language models",
		Long: "aquifer runs language models compressed with AQLM on this machine and answers OpenAI clients.\n" +
			"Models are checkpoints as published on Hugging Face, which it pulls by name, or GGUF files; it carries a small one.",
		Example:       `  aquifer run "Why is the sky blue?"`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs, // so that an unknown command reaches RunE
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			next := "aquifer --help lists the commands"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				next = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return usageErrorf("unknown command %q; %s", args[0], next)
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetVersionTemplate(fmt.Sprintf("aquifer {{.Version}} (%s, %s/%s)\n", runtime.Version(), runtime.GOOS, runtime.GOARCH))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageErrorf("%w; see %s --help", err, cmd.CommandPath())
	})
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.AddCommand(
		a.runCommand(), a.serveCommand(), a.psCommand(), a.pullCommand(), a.listCommand(), a.rmCommand(), a.cpCommand(), a.verifyCommand(),
		a.pruneCommand(), a.showCommand(), a.convertCommand(), a.benchCommand(), a.perplexityCommand(),
		a.doctorCommand(), a.tokenizeCommand(), a.debugCommand(), a.completionCommand(),
	)
	return root
}

// command completes a command: usage errors for wrong arguments, checked flags before its body.
func command(cmd *cobra.Command, minArgs, maxArgs int, run func(s settings, args []string) error) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) < minArgs || maxArgs >= 0 && len(args) > maxArgs {
			return usageErrorf("%d arguments; usage: %s", len(args), cmd.UseLine())
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := readKnobs(cmd.Flags())
		if err != nil {
			return err
		}
		return run(s, args)
	}
	return cmd
}
