package cli

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"aquifer/api/openai"
	"aquifer/models/checkpoint"
	"aquifer/models/embedded"
	"aquifer/runtime/store"
)

// offer is a model that a server offers.
type offer struct {
	id      string
	aliases []string
	path    string     // empty for the embedded model
	repo    store.Repo // whose lock keeps the path from being removed; the zero Repo for a path of the user's
	created time.Time
}

func (o offer) listing() openai.Listing {
	return openai.Listing{ID: o.id, Aliases: o.aliases, Created: o.created}
}

// embeddedOffer is the model inside the executable; ok is false if it carries none.
func embeddedOffer() (o offer, ok bool) {
	_, _, name, ok := embedded.Open()
	return offer{id: name}, ok
}

// storedOffers lists the models of the store that this program runs, those that changed last first.
func storedOffers(st *store.Store) ([]offer, error) {
	list, err := listed(st)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b listedModel) int { return b.Modified.Compare(a.Modified) })
	var offers []offer
	for _, m := range list {
		if m.Problem == "" {
			offers = append(offers, m.offers()...)
		}
	}
	return offers, nil
}

// offers are the models in a snapshot: one, or several GGUF files.
func (l listedModel) offers() []offer {
	repo, err := store.ParseRepo(l.Repo)
	if err != nil {
		return nil // not of a name that can be asked for
	}
	plain := offer{id: l.Name, aliases: slices.Clone(l.Aliases), path: l.Path, repo: repo, created: l.Modified}
	if full := l.fullName(); full != l.Name {
		plain.aliases = append(plain.aliases, full)
	}
	if l.folder {
		return []offer{plain}
	}
	if len(l.files) == 1 {
		plain.path = filepath.Join(l.Path, filepath.FromSlash(l.files[0]))
		return []offer{plain}
	}
	var offers []offer
	for _, file := range l.files {
		id := l.Repo + "/" + file + strings.TrimPrefix(l.fullName(), l.Repo)
		offers = append(offers, offer{id: id, path: filepath.Join(l.Path, filepath.FromSlash(file)), repo: repo, created: l.Modified})
	}
	return offers
}

// storedOffer finds the model of the store that a client's name stands for. Only names count, never paths or URLs.
func (a *app) storedOffer(st *store.Store, name string) (offer, error) {
	if isURL(name) {
		return offer{}, openai.ErrNoModel
	}
	r, err := a.refer(st, name, defaultEndpoint())
	if err != nil {
		return offer{}, openai.ErrNoModel
	}
	m, err := st.Find(r.repo, r.revision)
	if errors.Is(err, fs.ErrNotExist) {
		return offer{}, openai.ErrNoModel
	}
	if err != nil {
		return offer{}, err
	}
	aliases, err := st.Aliases()
	if err != nil {
		return offer{}, err
	}
	l := describeStored(m, aliases)
	if l.Problem != "" {
		return offer{}, &openai.PublicError{Msg: "it is incomplete in the store: " + l.Problem}
	}
	if r.file != "" && m.Holds(r.file) && !slices.Contains(l.files, r.file) {
		l.Unsupported = unsupportedGGUF(filepath.Join(l.Path, filepath.FromSlash(r.file)))
	}
	if l.Unsupported != "" {
		return offer{}, openai.Invalid(404, "model_not_found", "model", "this model is in the store, but not supported: %s", l.Unsupported)
	}
	offers := l.offers()
	switch {
	case r.file != "":
		offers = slices.DeleteFunc(offers, func(o offer) bool { return o.path != filepath.Join(l.Path, filepath.FromSlash(r.file)) })
	case len(offers) > 1:
		return offer{}, openai.Invalid(400, "model_ambiguous", "model", "the model has several files; name one: %s", offerNames(offers))
	}
	if len(offers) == 0 {
		return offer{}, openai.ErrNoModel
	}
	return offers[0], nil
}

func offerNames(offers []offer) string {
	var list []string
	for _, o := range offers {
		list = append(list, o.id)
	}
	return strings.Join(list, ", ")
}

// pinnedOffer is a model that the command line names, by a name or a path, and that is at the path.
func (a *app) pinnedOffer(arg, path string) offer {
	o := offer{id: checkpoint.NameOf(path), path: path, created: modified(path)}
	if isDir(arg) || isFile(arg) || isURL(arg) {
		return o
	}
	st, err := openStore(false)
	if err != nil {
		return o
	}
	defer st.Close()
	named, err := a.storedOffer(st, arg)
	if err != nil {
		return o // which tells what is wrong with it when it is loaded
	}
	if named.id != o.id {
		named.aliases = append(named.aliases, o.id)
	}
	return named
}
