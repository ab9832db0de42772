package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"github.com/spf13/cobra"

	"aquifer/runtime/store"
)

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [NAME...]",
		Short: "Check the files of models in the store against their digests",
		Long: "verify reads the files of the named models, or of all, and compares them with the digests that the hub has for\n" +
			"them. Damage is exit code 1; --repair removes what is damaged, and aquifer pull fetches it again.",
		Example: "  aquifer verify llama3.2:1b",
	}
	addKnobs(cmd, []string{"repair", "json"})
	a.completeModels(cmd, -1, stored)
	return command(cmd, 0, -1, func(s settings, args []string) error {
		ctx, stop := interruptible()
		defer stop()
		st, err := openStore(false)
		if err != nil {
			return err
		}
		defer st.Close()
		models, err := a.toVerify(st, args)
		if err != nil {
			return err
		}
		reports := []verified{}
		damaged := 0
		for _, m := range models {
			r, err := a.verify(ctx, st, m, s.boolean("repair"))
			if err != nil {
				return err
			}
			reports = append(reports, r)
			if !r.OK {
				damaged++
			}
			if !s.boolean("json") {
				if err := a.printVerified(r); err != nil {
					return err
				}
			}
		}
		if s.boolean("json") {
			if err := writeIndented(a.out, reports); err != nil {
				return err
			}
		}
		switch {
		case damaged == 0:
			return nil
		case s.boolean("repair"):
			return advise(fmt.Errorf("%s had damaged files, which were removed", plural(damaged, "model")), "pull them again")
		}
		return advise(fmt.Errorf("%s damaged", plural(damaged, "model")), "aquifer verify --repair removes what is damaged, aquifer pull fetches it again")
	})
}

// verified is what verify found of a model.
type verified struct {
	Name   string         `json:"name"`
	Commit string         `json:"commit"`
	Bytes  int64          `json:"bytes"`
	OK     bool           `json:"ok"`
	Files  []verifiedFile `json:"problems"`
}

type verifiedFile struct {
	Path    string `json:"path"`
	Problem string `json:"problem"`
	Damaged bool   `json:"damaged"` // as opposed to a file that nothing vouches for
}

func (a *app) toVerify(st *store.Store, args []string) ([]store.Snapshot, error) {
	if len(args) == 0 {
		all, err := st.All()
		return all, advise(err, "aquifer doctor looks at the store")
	}
	var models []store.Snapshot
	for _, arg := range args {
		r, err := a.refer(st, arg, defaultEndpoint())
		if err != nil {
			return nil, err
		}
		m, err := st.Find(r.repo, r.revision)
		if err != nil {
			return nil, storeError(arg, err)
		}
		models = append(models, m)
	}
	return models, nil
}

func (a *app) verify(ctx context.Context, st *store.Store, m store.Snapshot, repair bool) (verified, error) {
	r := verified{Name: m.Repo.String(), Commit: m.Commit.String(), Bytes: m.Bytes, OK: true, Files: []verifiedFile{}}
	use, err := st.Use(ctx, m.Repo)
	if err != nil {
		return r, storeError(r.Name, err)
	}
	bar := newProgress(a.err, "verifying "+r.Name, false)
	var done atomic.Int64
	found, err := st.Verify(ctx, m, func(n int64) { bar.transfer(done.Add(n), max(m.Bytes, 1)) })
	bar.end()
	if err := errors.Join(err, use.Release()); err != nil {
		if ctx.Err() != nil {
			return r, errInterrupted
		}
		return r, storeError(r.Name, err)
	}
	for _, d := range found {
		r.Files = append(r.Files, verifiedFile{d.File.Path, d.Why, d.Lost})
		r.OK = r.OK && !d.Lost
	}
	if repair && !r.OK {
		if err := st.Discard(m, found); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, storeError(r.Name, err)
		}
	}
	return r, nil
}

func (a *app) printVerified(r verified) error {
	verdict := "ok"
	if !r.OK {
		verdict = "DAMAGED"
	}
	if _, err := fmt.Fprintf(a.out, "%s  %s  %s  %.12s\n", verdict, r.Name, size(r.Bytes), r.Commit); err != nil {
		return err
	}
	for _, f := range r.Files {
		if _, err := fmt.Fprintf(a.out, "    %s: %s\n", oneLine(f.Path), f.Problem); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) pruneCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove half-fetched files and what no model needs",
		Long: "prune removes what interrupted pulls left, also those of other tools that are older than a day, and contents that\n" +
			"no model links to. Models that run or are being pulled are left alone.",
		Example: "  aquifer prune --dry-run",
	}
	addKnobs(cmd, []string{"dry-run", "json"})
	return command(cmd, 0, 0, func(s settings, _ []string) error {
		st, err := openStore(false)
		if err != nil {
			return err
		}
		defer st.Close()
		dry := s.boolean("dry-run")
		p, err := st.Prune(dry)
		if err != nil {
			return storeError("the store", err)
		}
		report := prunedFiles{Files: append([]string{}, p.Files...), Bytes: p.Bytes, Removed: !dry}
		for _, r := range p.Passed {
			report.InUse = append(report.InUse, r.String())
		}
		if s.boolean("json") {
			return writeIndented(a.out, report)
		}
		for _, name := range report.Files {
			if _, err := fmt.Fprintln(a.out, oneLine(name)); err != nil {
				return err
			}
		}
		did := "removed"
		if dry {
			did = "would remove"
		}
		a.tell("%s %s of %s", did, plural(len(report.Files), "file"), size(report.Bytes))
		for _, name := range report.InUse {
			a.tell("%s is in use and was left alone", name)
		}
		return nil
	})
}

type prunedFiles struct {
	Files   []string `json:"files"`
	Bytes   int64    `json:"bytes"`
	Removed bool     `json:"removed"`
	InUse   []string `json:"in_use,omitempty"`
}
