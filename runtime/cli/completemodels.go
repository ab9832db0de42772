package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"aquifer/runtime/store/catalogue"
)

// names says which names a command's arguments can be completed to.
type names int

const (
	stored    names = iota // models in the store, and files
	published              // the catalogue's
)

// completeModels lets shells complete the first n arguments of a command, all of them if n < 0.
func (a *app) completeModels(cmd *cobra.Command, n int, which names) {
	complete := func(_ *cobra.Command, args []string, begin string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if n >= 0 && len(args) >= n {
			return nil, cobra.ShellCompDirectiveDefault
		}
		list := modelNames(which)
		list = slices.DeleteFunc(list, func(c cobra.Completion) bool {
			return !strings.HasPrefix(c, begin) || slices.Contains(args, strings.SplitN(c, "\t", 2)[0])
		})
		if which == stored {
			return list, cobra.ShellCompDirectiveDefault // or a folder, or a file
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.ValidArgsFunction = complete
}

// modelNames lists names with what they stand for behind a tab.
func modelNames(which names) []cobra.Completion {
	var list []cobra.Completion
	if which == published {
		for _, m := range catalogue.All() {
			list = append(list, cobra.CompletionWithDesc(m.Name, size(m.Size)+", "+m.Scheme))
		}
		return list
	}
	s, err := openStore(false)
	if err != nil {
		return nil
	}
	defer s.Close()
	models, err := listed(s)
	if err != nil {
		return nil
	}
	for _, m := range models {
		if m.Problem != "" || m.Unsupported != "" {
			continue
		}
		for _, name := range append([]string{m.Name}, m.Aliases...) {
			list = append(list, cobra.CompletionWithDesc(name, size(m.Bytes)))
		}
	}
	return list
}
