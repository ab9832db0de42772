package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"aquifer/runtime/store"
	"aquifer/runtime/store/catalogue"
	"aquifer/runtime/store/pull"
)

// reference is what an argument that names no path stands for: a model of the hub, or a GGUF file at a URL.
type reference struct {
	repo     store.Repo
	revision string // empty for the main branch
	file     string // one of several GGUF files; empty for the only one, or a folder
	url      *url.URL
	known    catalogue.Model // if it is in the catalogue
}

// String is the reference in full, as it can be given again.
func (r reference) String() string {
	text := r.repo.String()
	if r.file != "" && r.url == nil {
		text += "/" + r.file
	}
	if r.revision != "" && r.url == nil {
		text += "@" + r.revision
	}
	return text
}

// parseReference reads ORG/REPO, with /FILE.gguf and @REVISION behind it.
func parseReference(text string) (r reference, err error) {
	name, revision, has := strings.Cut(text, "@")
	if has {
		if err := store.CheckRevision(revision); err != nil {
			return r, err
		}
		r.revision = revision
	}
	parts := strings.SplitN(name, "/", 3)
	if len(parts) == 3 {
		if r.file = parts[2]; !strings.HasSuffix(r.file, ".gguf") {
			return r, fmt.Errorf("%.120q: what follows ORG/REPO/ must be a .gguf file", text)
		}
		if err := store.CheckPath(r.file); err != nil {
			return r, err
		}
	}
	r.repo, err = store.ParseRepo(strings.Join(parts[:min(len(parts), 2)], "/"))
	r.known, _ = catalogue.ByRepo(r.repo.String())
	return r, err
}

// parseURL reads the URL of a GGUF file. One of the endpoint's own is a reference to a model of it.
func parseURL(text, endpoint string) (r reference, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return r, errors.New("this URL can't be read")
	}
	if rest, ok := strings.CutPrefix(u.Scheme+"://"+u.Host+u.Path, strings.TrimRight(endpoint, "/")+"/"); ok {
		if parts := strings.SplitN(rest, "/", 5); len(parts) == 5 && (parts[2] == "resolve" || parts[2] == "blob") {
			return parseReference(strings.Join([]string{parts[0], parts[1], parts[4]}, "/") + "@" + parts[3])
		}
	}
	name, err := pull.NameOf(u)
	return reference{repo: name.Repo, revision: name.Revision, file: name.File, url: u}, err
}

// refer says what an argument stands for that names no path: the user's own names come first, then the catalogue's.
func (a *app) refer(s *store.Store, arg, endpoint string) (reference, error) {
	aliases, err := s.Aliases()
	if err != nil {
		return reference{}, err
	}
	if isURL(arg) {
		r, err := parseURL(arg, endpoint)
		return r, advise(err, "give the https URL of a .gguf file, or ORG/REPO")
	}
	if target, ok := aliases[arg]; ok {
		r, err := parseReference(target)
		return r, advise(err, "give the name again with aquifer cp --force")
	}
	m, ok, err := catalogue.Find(arg)
	if err != nil {
		return reference{}, advise(err, "aquifer list --remote shows what they are")
	}
	if ok {
		r, err := parseReference(m.Repo)
		return r, err
	}
	if !strings.Contains(arg, "/") {
		err := fmt.Errorf("no model is called %s", arg)
		var names []string
		for name := range aliases {
			names = append(names, name)
		}
		slices.Sort(names)
		if near := catalogue.Near(arg, names...); len(near) > 0 {
			return reference{}, advise(err, "did you mean %s?", strings.Join(near, " or "))
		}
		return reference{}, advise(err, "aquifer list shows those in the store, aquifer list --remote those that can be pulled; others are ORG/REPO")
	}
	r, err := parseReference(arg)
	return r, advise(err, "name a model as ORG/REPO, ORG/REPO@REVISION or ORG/REPO/FILE.gguf")
}

// knownName reports whether an argument is a name that the user gave, or one of the catalogue, or of a model in the store.
func (a *app) knownName(arg string) bool {
	if strings.ContainsAny(arg, " \t\n") {
		return false
	}
	if isURL(arg) {
		return strings.HasSuffix(arg, ".gguf")
	}
	// A prompt begins with a capital letter more often than a name does.
	if _, ok, _ := catalogue.Find(arg); ok && arg == strings.ToLower(arg) {
		return true
	}
	s, err := openStore(false)
	if err != nil {
		return false
	}
	defer s.Close()
	if aliases, err := s.Aliases(); err == nil && aliases[arg] != "" {
		return true
	}
	if !strings.Contains(arg, "/") {
		return false
	}
	r, err := parseReference(arg)
	if err != nil {
		return false
	}
	if r.known.Name != "" {
		return true
	}
	_, err = s.Find(r.repo, r.revision)
	return err == nil
}

// missingError says that a model is not in the store, or not all of it.
type missingError struct {
	ref reference
	arg string
	why string // what it lacks; empty if all of it is missing
}

func (e *missingError) Error() string {
	if e.why != "" {
		return fmt.Sprintf("%s is incomplete in the store: %s", e.arg, e.why)
	}
	return fmt.Sprintf("%s is not in the store", e.arg)
}

// locate turns an argument into the path of a model: a path as it is, a name into where the store has it, which is kept
// from being removed until the program ends.
func (a *app) locate(arg string) (string, error) {
	path, err := a.find(arg, defaultEndpoint())
	if missing := (*missingError)(nil); errors.As(err, &missing) {
		return "", advise(err, "aquifer pull %s fetches it", arg)
	}
	return path, err
}

func (a *app) find(arg, endpoint string) (string, error) {
	if arg == "" || isDir(arg) || isFile(arg) {
		return arg, nil
	}
	if spelledAsPath(arg) && !hubName.MatchString(arg) {
		return "", notFound(arg)
	}
	s, err := openStore(false)
	if err != nil {
		return "", err
	}
	defer s.Close()
	r, err := a.refer(s, arg, endpoint)
	if err != nil {
		return "", err
	}
	m, err := s.Find(r.repo, r.revision)
	if errors.Is(err, fs.ErrNotExist) {
		return "", &missingError{ref: r, arg: arg}
	}
	if err != nil {
		return "", advise(err, "aquifer doctor looks at the store")
	}
	path, why, err := pathIn(m, r.file)
	if err != nil {
		return "", advise(err, "name one, as in %s/%s", r.repo, m.GGUF()[0])
	}
	if why != "" {
		return "", &missingError{ref: r, arg: arg, why: why}
	}
	lock, err := s.Use(context.Background(), r.repo)
	if err != nil {
		return "", advise(fmt.Errorf("%s: %w", arg, err), "somebody is removing it")
	}
	a.held = append(a.held, lock)
	return path, nil
}

// pathIn is the path of a model in a snapshot, or what the snapshot lacks of it.
func pathIn(m store.Snapshot, file string) (path, why string, err error) {
	ggufs := m.GGUF()
	switch {
	case file != "" && !m.Holds(file):
		return "", file + " is missing", nil
	case file != "":
		return filepath.Join(m.Path, filepath.FromSlash(file)), "", nil
	case m.Broken != "":
		return "", m.Broken, nil
	case isFolder(m):
		return m.Path, "", nil
	case len(ggufs) == 1:
		return filepath.Join(m.Path, filepath.FromSlash(ggufs[0])), "", nil
	}
	return "", "", fmt.Errorf("%s has several GGUF files: %s", m.Repo, strings.Join(ggufs, ", "))
}

// isFolder reports whether a snapshot is a checkpoint folder, as opposed to GGUF files.
func isFolder(m store.Snapshot) bool {
	return m.Holds("config.json") && (m.Holds("model.safetensors") || m.Holds("model.safetensors.index.json"))
}
