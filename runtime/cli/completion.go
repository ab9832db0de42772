package cli

import (
	"github.com/spf13/cobra"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	cmd := &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes commands, flags and models in a shell",
		Long: "completion prints a script for bash, zsh, fish or powershell that completes commands, flags and the\n" +
			"names of models.",
		Example:   "  source <(aquifer completion bash)",
		ValidArgs: shells,
	}
	return command(cmd, 1, 1, func(_ settings, args []string) error {
		root := cmd.Root()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(a.out, true)
		case "zsh":
			return root.GenZshCompletion(a.out)
		case "fish":
			return root.GenFishCompletion(a.out, true)
		case "powershell":
			return root.GenPowerShellCompletionWithDesc(a.out)
		}
		return usageErrorf("no completion for %q, only for bash, zsh, fish and powershell", args[0])
	})
}
