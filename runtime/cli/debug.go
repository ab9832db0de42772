package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) debugCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "debug",
		Short:   "Instruments for fidelity checks and bug reports",
		Long:    "debug holds the instruments of fidelity checks and bug reports.",
		Example: "  aquifer debug plan ./Llama-3.2-1B-Instruct-AQLM",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageErrorf("unknown command debug %s; aquifer debug --help lists them", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.AddCommand(a.logitsCommand(), a.planCommand())
	return cmd
}

func (a *app) logitsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "logits [MODEL] --tokens IDS",
		Short: "Print the logits behind a list of tokens",
		Long: "logits runs the tokens as they are, without BOS, and prints the logits of the last position over the whole\n" +
			"vocabulary: one a line, or {\"logits\": [...]}. Keys and values are cached as F32 and products\n" +
			"exact unless --kv and --precision say otherwise.",
		Example: "  aquifer debug logits ./model --tokens 1,2,3 --backend ref --json",
	}
	a.completeModels(cmd, 1, stored)
	addKnobs(cmd, []string{"tokens", "json"}, deviceKnobs)
	return command(cmd, 0, 1, func(s settings, args []string) error {
		s.measureExactly()
		ids, err := parseIDs(s.str("tokens"), 1<<31-1)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return usageErrorf("no tokens; give ids, as in --tokens 1,2,3")
		}
		return a.logits(s, argument(args), ids)
	})
}

// argument is the only argument, or "" for the embedded model.
func argument(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (a *app) logits(s settings, path string, ids []int32) error {
	ctx, stop := interruptible()
	defer stop()
	sess, err := a.load(ctx, s, path, loadOptions{context: len(ids), maxSeqs: 1, fixedSteps: true, tokensOnly: true})
	if err != nil {
		return err
	}
	defer sess.close()
	if err := checkIDs(ids, sess.model.Vocab); err != nil {
		return err
	}
	logits, err := sess.engine.Logits(ctx, ids)
	if err != nil {
		return adviseRequest(ctx, err)
	}
	if s.boolean("json") {
		err := json.NewEncoder(a.out).Encode(map[string][]float32{"logits": logits})
		return advise(err, "without --json NaN and infinities can be printed")
	}
	var b strings.Builder
	for id, x := range logits {
		fmt.Fprintf(&b, "%d\t%v\n", id, x)
	}
	_, err = fmt.Fprint(a.out, b.String())
	return err
}

func (a *app) planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "plan [MODEL]",
		Short:   "Print the plan of a model",
		Long:    "plan prints what a model is to a backend: its weights, buffers and ops.",
		Example: "  aquifer debug plan ./Llama-3.2-1B-Instruct-AQLM",
	}
	return command(cmd, 0, 1, func(_ settings, args []string) error {
		ck, err := a.openCheckpoint(argument(args))
		if err != nil {
			return err
		}
		defer ck.Close()
		m, err := buildModel(ck)
		if err != nil {
			return err
		}
		return m.Plan.Dump(textOutput(a.out))
	})
}
