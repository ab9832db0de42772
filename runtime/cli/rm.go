package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"aquifer/runtime/store"
)

func (a *app) rmCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rm NAME...",
		Short: "Remove models from the store",
		Long: "rm removes models, or with ORG/REPO@REVISION one revision of a model. A name of your own, made with aquifer cp,\n" +
			"is removed alone: the model stays. A model that runs or is being pulled is refused.",
		Example: "  aquifer rm llama3.2:1b",
	}
	addKnobs(cmd, []string{"json"})
	a.completeModels(cmd, -1, stored)
	return command(cmd, 1, -1, func(s settings, args []string) error {
		ctx, stop := interruptible()
		defer stop()
		st, err := openStore(false)
		if err != nil {
			return err
		}
		defer st.Close()
		removed := []removedModel{}
		for _, arg := range args {
			r, err := a.removeAlias(ctx, st, arg)
			if errors.Is(err, fs.ErrNotExist) {
				r, err = a.remove(ctx, st, arg)
			}
			if err != nil {
				return storeError(arg, err)
			}
			removed = append(removed, r)
			if r.Repo == "" {
				a.tell("removed the name %s; the model stays", arg)
			} else {
				a.tell("removed %s: %s freed", arg, size(r.Bytes))
			}
		}
		if s.boolean("json") {
			return writeIndented(a.out, removed)
		}
		return nil
	})
}

// removedModel is what rm has removed: a name alone, or a model with the names that stood for it.
type removedModel struct {
	Name    string   `json:"name"`
	Repo    string   `json:"repo,omitempty"`
	Bytes   int64    `json:"bytes"`
	Aliases []string `json:"aliases,omitempty"`
}

func (a *app) removeAlias(ctx context.Context, st *store.Store, name string) (removedModel, error) {
	aliases, err := st.Aliases()
	if err != nil {
		return removedModel{}, err
	}
	if _, ok := aliases[name]; !ok {
		return removedModel{}, fs.ErrNotExist
	}
	err = st.ChangeAliases(ctx, func(m map[string]string) error {
		delete(m, name)
		return nil
	})
	return removedModel{Name: name}, err
}

func (a *app) remove(ctx context.Context, st *store.Store, arg string) (removedModel, error) {
	r, err := a.refer(st, arg, defaultEndpoint())
	if err != nil {
		return removedModel{}, err
	}
	done := removedModel{Name: arg, Repo: r.repo.String()}
	if r.file != "" && r.url == nil {
		return done, usageErrorf("%s: rm removes whole models; name %s", arg, r.repo)
	}
	if r.revision != "" {
		m, err := st.Find(r.repo, r.revision)
		if err != nil {
			return done, err
		}
		if done.Bytes, err = st.RemoveSnapshot(m); err != nil {
			return done, err
		}
		if left, err := st.Snapshots(r.repo); err != nil || len(left) > 0 {
			return done, err
		}
	}
	freed, err := st.Remove(r.repo)
	if done.Bytes += freed; err != nil {
		return done, err
	}
	// Names for what is not there any more.
	aliases, err := st.Aliases()
	if err != nil {
		return done, err
	}
	for name, target := range aliases {
		if to, err := parseReference(target); err == nil && to.repo == r.repo {
			done.Aliases = append(done.Aliases, name)
		}
	}
	if len(done.Aliases) == 0 {
		return done, nil
	}
	return done, st.ChangeAliases(ctx, func(m map[string]string) error {
		for _, name := range done.Aliases {
			delete(m, name)
		}
		return nil
	})
}

func (a *app) cpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cp NAME ALIAS",
		Short: "Give a model in the store a name of your own",
		Long: "cp makes ALIAS another name for a model; nothing is copied. It is a short one, of lower-case letters, digits,\n" +
			"dots, - and _, with at most one colon; aquifer rm ALIAS removes it.",
		Example: "  aquifer cp ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf tiny",
	}
	addKnobs(cmd, []string{"force", "json"})
	a.completeModels(cmd, 1, stored)
	return command(cmd, 2, 2, func(s settings, args []string) error {
		ctx, stop := interruptible()
		defer stop()
		st, err := openStore(true)
		if err != nil {
			return err
		}
		defer st.Close()
		from, alias := args[0], args[1]
		r, err := a.refer(st, from, defaultEndpoint())
		if err != nil {
			return err
		}
		if _, err := st.Find(r.repo, r.revision); err != nil {
			return storeError(from, err)
		}
		if err := store.CheckAlias(alias); err != nil {
			return usageError{err}
		}
		if r.url != nil {
			r.url, r.file = nil, ""
		}
		err = st.ChangeAliases(ctx, func(m map[string]string) error {
			if old, ok := m[alias]; ok && !s.boolean("force") {
				return advise(fmt.Errorf("%s is a name of %s already", alias, old), "choose another one, or replace it with --force")
			}
			m[alias] = r.String()
			return nil
		})
		if err != nil {
			return storeError(alias, err)
		}
		a.tell("%s stands for %s; try it: aquifer run %s \"Hello\"", alias, r, alias)
		if s.boolean("json") {
			return writeIndented(a.out, map[string]string{"alias": alias, "model": r.String()})
		}
		return nil
	})
}
