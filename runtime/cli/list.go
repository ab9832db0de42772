package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"aquifer/runtime/store"
	"aquifer/runtime/store/catalogue"
)

func (a *app) listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the models in the store, or those that can be pulled",
		Long: "list shows the models in the store, also those that other tools put there, with the names that they can be\n" +
			"given by. With --remote it shows the published AQLM models instead: how large they are, what memory they take\n" +
			"with a context of 2048 tokens, and whether this machine has that now.",
		Example: "  aquifer list\n  aquifer list --remote",
	}
	addKnobs(cmd, []string{"remote", "json"})
	return command(cmd, 0, 0, func(s settings, _ []string) error {
		st, err := openStore(false)
		if err != nil {
			return err
		}
		defer st.Close()
		models, err := listed(st)
		if err != nil {
			return advise(err, "aquifer doctor looks at the store")
		}
		if s.boolean("remote") {
			return a.listRemote(s, models)
		}
		if s.boolean("json") {
			return writeIndented(a.out, models)
		}
		return printModels(a.out, st.Dir(), models)
	})
}

// listedModel is a model in the store.
type listedModel struct {
	Name      string    `json:"name"`              // the shortest that it can be given by
	Aliases   []string  `json:"aliases,omitempty"` // the user's own names
	Repo      string    `json:"repo"`
	Revisions []string  `json:"revisions"`
	Commit    string    `json:"commit"`
	Path      string    `json:"path"`
	Bytes     int64     `json:"bytes"`
	Modified  time.Time `json:"modified"`
	Pulled    bool      `json:"pulled"` // by aquifer, as opposed to another tool
	Source    string    `json:"source,omitempty"`
	Problem   string    `json:"problem,omitempty"` // what it lacks
	// Unsupported says why it can't be run although it is complete.
	Unsupported string `json:"unsupported,omitempty"`

	folder bool     // it is a checkpoint folder that can be run
	files  []string // its GGUF files that can
}

// fullName is the name in full: ORG/REPO, with the revision unless that is the main branch.
func (l listedModel) fullName() string {
	if strings.HasPrefix(l.Name, l.Repo) {
		return l.Name
	}
	return l.Repo
}

func listed(st *store.Store) ([]listedModel, error) {
	all, err := st.All()
	if err != nil {
		return nil, err
	}
	aliases, err := st.Aliases()
	if err != nil {
		return nil, err
	}
	models := []listedModel{}
	for _, m := range all {
		models = append(models, describeStored(m, aliases))
	}
	return models, nil
}

// describeStored says what there is to say about a snapshot, with the names that stand for it.
func describeStored(m store.Snapshot, aliases map[string]string) listedModel {
	l := listedModel{
		Name: m.Repo.String(), Repo: m.Repo.String(), Revisions: append([]string{}, m.Revisions...), Commit: m.Commit.String(),
		Path: m.Path, Bytes: m.Bytes, Modified: m.Modified.UTC().Truncate(time.Second), Pulled: m.Pulled, Source: m.Source, Problem: m.Broken,
		folder: isFolder(m), files: m.GGUF(),
	}
	isMain := slices.Contains(m.Revisions, store.MainRevision)
	if known, ok := catalogue.ByRepo(l.Repo); ok && isMain {
		l.Name = known.Name
	}
	if !isMain && len(m.Revisions) > 0 {
		l.Name += "@" + m.Revisions[0]
	} else if !isMain {
		l.Name += "@" + l.Commit
	}
	for name, target := range aliases {
		r, err := parseReference(target)
		if err != nil || r.repo != m.Repo {
			continue
		}
		if r.revision == "" && isMain || slices.Contains(m.Revisions, r.revision) || r.revision == l.Commit {
			l.Aliases = append(l.Aliases, name)
		}
	}
	slices.Sort(l.Aliases)
	l.keepSupported()
	return l
}

func printModels(w io.Writer, dir string, models []listedModel) error {
	if len(models) == 0 {
		_, err := fmt.Fprintf(w, "no models in %s; aquifer list --remote shows what can be pulled\n", oneLine(dir))
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSIZE\tCHANGED\tALSO")
	for _, m := range models {
		also := m.Aliases
		if full := m.fullName(); full != m.Name {
			also = append(slices.Clone(also), full)
		}
		text := strings.Join(also, ", ")
		if m.Problem != "" {
			text = strings.TrimPrefix(text+"; incomplete: "+m.Problem, "; ")
		}
		if m.Unsupported != "" {
			text = strings.TrimPrefix(text+"; unsupported: "+m.Unsupported, "; ")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", oneLine(m.Name), size(m.Bytes), m.Modified.Local().Format("2006-01-02 15:04"), oneLine(text))
	}
	return table.Flush()
}

// remoteModel is a published model.
type remoteModel struct {
	Name    string  `json:"name"`
	Repo    string  `json:"repo"`
	Arch    string  `json:"architecture"`
	Scheme  string  `json:"scheme"`
	Bits    float64 `json:"bits_per_weight"`
	Bytes   int64   `json:"bytes"`
	Memory  int64   `json:"memory_bytes"`
	License string  `json:"license"`
	Chat    bool    `json:"chat"`
	Tuned   bool    `json:"pv_tuned"`
	Fits    *bool   `json:"fits,omitempty"` // absent where the system does not say what memory is free
	Stored  bool    `json:"stored"`
}

func (a *app) listRemote(s settings, stored []listedModel) error {
	_, available := memory()
	var models []remoteModel
	for _, m := range catalogue.All() {
		r := remoteModel{
			Name: m.Name, Repo: m.Repo, Arch: m.Arch, Scheme: m.Scheme, Bits: m.Bits, Bytes: m.Size, Memory: m.Memory, License: m.License,
			Chat: m.Chat, Tuned: m.Tuned,
			Stored: slices.ContainsFunc(stored, func(l listedModel) bool { return l.Repo == m.Repo && l.Problem == "" }),
		}
		if available > 0 {
			fits := m.Memory <= available
			r.Fits = &fits
		}
		models = append(models, r)
	}
	if s.boolean("json") {
		return writeIndented(a.out, models)
	}
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSCHEME\tBITS\tSIZE\tMEMORY\tFITS\tFOR\tLICENCE")
	for _, m := range models {
		fits := "?"
		switch {
		case m.Stored:
			fits = "is here"
		case m.Fits != nil && *m.Fits:
			fits = "yes"
		case m.Fits != nil:
			fits = "no"
		}
		use := "text"
		if m.Chat {
			use = "chat"
		}
		fmt.Fprintf(table, "%s\t%s\t%.2f\t%s\t%s\t%s\t%s\t%s\n", m.Name, m.Scheme, m.Bits, size(m.Bytes), size(m.Memory), fits, use, m.License)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if available > 0 {
		a.tell("%s of memory are free now; aquifer pull NAME fetches a model", size(available))
	}
	return nil
}
