package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aquifer/runtime/store"
	"aquifer/runtime/store/hub"
	"aquifer/runtime/store/pull"
)

func (a *app) pullCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pull NAME...",
		Short: "Fetch models from Hugging Face into the store",
		Long: "pull fetches what aquifer needs of a model, verifies it, and puts it where other tools of Hugging Face find it\n" +
			"too. NAME is one that aquifer list --remote shows, ORG/REPO or ORG/REPO@REVISION, ORG/REPO/FILE.gguf, or the\n" +
			"https URL of a GGUF file. What is there already is not fetched again; a pull that was interrupted goes on where\n" +
			"it stopped.",
		Example: "  aquifer pull llama3.2:1b\n" +
			"  aquifer pull ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf@main\n" +
			"  HF_TOKEN=hf_... aquifer pull org/gated-model --bandwidth 10",
	}
	addKnobs(cmd, hubKnobs, []string{"json"})
	a.completeModels(cmd, -1, published)
	return command(cmd, 1, -1, func(s settings, args []string) error {
		ctx, stop := interruptible()
		defer stop()
		st, err := openStore(true)
		if err != nil {
			return err
		}
		defer st.Close()
		pulled := []pulledModel{}
		for _, arg := range args {
			r, err := a.refer(st, arg, s.str("endpoint"))
			if err != nil {
				return err
			}
			p, err := a.pull(ctx, s, st, r, arg)
			if err != nil {
				return err
			}
			pulled = append(pulled, p)
		}
		if s.boolean("json") {
			return writeIndented(a.out, pulled)
		}
		return nil
	})
}

// pulledModel is the result of a pull.
type pulledModel struct {
	Name     string  `json:"name"` // as it was given
	Repo     string  `json:"repo"`
	Revision string  `json:"revision"`
	Commit   string  `json:"commit"`
	Path     string  `json:"path"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
}

// pull fetches one model and says so.
func (a *app) pull(ctx context.Context, s settings, st *store.Store, r reference, arg string) (pulledModel, error) {
	c, err := openHub(s)
	if err != nil {
		return pulledModel{}, err
	}
	defer c.Close()
	bar := newProgress(a.err, "pulling "+arg, true)
	p := &pull.Puller{Store: st, Hub: c, Options: pull.Options{Progress: bar.transfer, Tell: bar.tell}}
	if s.has("connections") {
		p.Connections = s.integer("connections")
	}
	start := time.Now()
	var m store.Snapshot
	if r.url != nil {
		m, err = p.URL(ctx, r.url)
	} else {
		m, err = p.Pull(ctx, pull.Request{Repo: r.repo, Revision: r.revision, File: r.file})
	}
	bar.end()
	if ctx.Err() != nil {
		a.tell("interrupted; what was fetched is kept: pull again to go on")
		return pulledModel{}, errInterrupted
	}
	if err != nil {
		return pulledModel{}, a.advisePull(err, c, r)
	}
	took := time.Since(start)
	a.tell("pulled %s: %s in %s; try it: aquifer run %s \"Hello\"", arg, size(m.Bytes), took.Round(100*time.Millisecond), arg)
	revision := r.revision
	if revision == "" {
		revision = store.MainRevision
	}
	path, _, err := pathIn(m, r.file)
	if err != nil || path == "" {
		path = m.Path
	}
	return pulledModel{arg, r.repo.String(), revision, m.Commit.String(), path, m.Bytes, took.Seconds()}, nil
}

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// pullIfMissing is locateOrPull for a command that has no context yet.
func (a *app) pullIfMissing(s settings, arg string) (string, error) {
	ctx, stop := interruptible()
	defer stop()
	return a.locateOrPull(ctx, s, arg)
}

// locateOrPull turns an argument into the path of a model, and pulls one that is not in the store if the user agrees.
func (a *app) locateOrPull(ctx context.Context, s settings, arg string) (string, error) {
	path, err := a.find(arg, s.str("endpoint"))
	missing := (*missingError)(nil)
	if !errors.As(err, &missing) {
		return path, err
	}
	if !s.boolean("yes") {
		if err := a.askToPull(ctx, missing); err != nil {
			return "", err
		}
	}
	st, err := openStore(true)
	if err != nil {
		return "", err
	}
	defer st.Close()
	if _, err := a.pull(ctx, s, st, missing.ref, arg); err != nil {
		return "", err
	}
	return a.find(arg, s.str("endpoint"))
}

// askToPull asks the user, on a terminal, whether a model is to be fetched.
func (a *app) askToPull(ctx context.Context, m *missingError) error {
	if _, ok := terminal(a.in); !ok {
		return advise(m, "aquifer pull %s fetches it, and so does --yes", m.arg)
	}
	what := []string{m.ref.String()}
	if k := m.ref.known; k.Name != "" {
		what = append(what, size(k.Size), "licence "+k.License)
	}
	fmt.Fprintf(a.err, "aquifer: %s. Pull it (%s)? [Y/n] ", oneLine(m.Error()), oneLine(strings.Join(what, ", ")))
	answers := make(chan string, 1)
	go func() { answers <- strings.ToLower(strings.TrimSpace(readLine(a.in))) }()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.err)
		return errInterrupted
	case answer := <-answers:
		if answer == "" || answer == "y" || answer == "yes" {
			return nil
		}
	}
	return advise(m, "nothing was fetched")
}

// readLine reads a line and nothing behind it, which may be for the chat; "no" if there is none.
func readLine(r io.Reader) string {
	var line []byte
	for one := make([]byte, 1); len(line) < 1000; {
		n, err := r.Read(one)
		if n == 1 && one[0] == '\n' {
			return string(line)
		}
		if line = append(line, one[:n]...); err != nil {
			break
		}
	}
	return "no"
}

// advisePull says what to do about a pull that failed.
func (a *app) advisePull(err error, c *hub.Client, r reference) error {
	var (
		space   *pull.SpaceError
		choice  *pull.ChoiceError
		weights *pull.WeightsError
		content *pull.ContentError
		hash    *store.HashError
	)
	switch {
	case errors.As(err, &space):
		return advise(err, "make room, or set HF_HUB_CACHE to a folder on a larger disk; aquifer prune removes what nothing needs")
	case errors.As(err, &choice):
		return advise(err, "name the file behind the model")
	case errors.As(err, &weights):
		return advise(err, "aquifer list --remote shows models that run")
	case errors.As(err, &content), errors.As(err, &hash):
		return advise(err, "the hub, or something on the way, sends wrong data: try later, or another --endpoint")
	case errors.Is(err, store.ErrInUse):
		return storeError(r.String(), err)
	}
	return adviseHub(err, c, r.repo)
}
