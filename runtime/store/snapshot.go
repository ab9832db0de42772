package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"aquifer/runtime/vfs"
)

// Names that make a folder a model.
const (
	configFile  = "config.json"
	singleFile  = "model.safetensors"
	indexFile   = "model.safetensors.index.json"
	ggufSuffix  = ".gguf"
	maxIndex    = 64 << 20
	maxSnapshot = 10_000 // files that are looked at
)

// Snapshot is a model as of one commit.
type Snapshot struct {
	Repo      Repo
	Commit    Commit
	Revisions []string // branches and tags that point at it, sorted
	Path      string   // its folder, a path of the machine
	Files     []SnapshotFile
	Bytes     int64 // of its files
	Modified  time.Time
	Pulled    bool   // by us: then our record says what belongs to it
	Source    string // where we pulled it from
	Broken    string // why it can't be run; empty if it can
}

// SnapshotFile is a file of a snapshot as it is on the disk.
type SnapshotFile struct {
	Path   string
	Size   int64  // -1 if its content is not there
	Digest Digest // what its content should be; the zero Digest if nothing says so
}

// GGUF returns the paths of the snapshot's GGUF files inside it.
func (m Snapshot) GGUF() []string {
	var names []string
	for _, f := range m.Files {
		if strings.HasSuffix(f.Path, ggufSuffix) {
			names = append(names, f.Path)
		}
	}
	return names
}

// Holds reports whether the snapshot is a checkpoint folder, as opposed to GGUF files.
func (m Snapshot) Holds(name string) bool {
	return slices.ContainsFunc(m.Files, func(f SnapshotFile) bool { return f.Path == name && f.Size >= 0 })
}

// Snapshot describes a model as of one commit; fs.ErrNotExist if it is not there.
func (s *Store) Snapshot(r Repo, c Commit) (Snapshot, error) {
	m := Snapshot{Repo: r, Commit: c, Path: s.path(snapshotPath(r, c))}
	info, err := s.hub.Lstat(snapshotPath(r, c))
	if err != nil {
		return m, err
	}
	if !info.IsDir() {
		return m, fmt.Errorf("%s is not a folder, which a snapshot must be", s.path(snapshotPath(r, c)))
	}
	m.Modified = info.ModTime()
	if m.Files, err = s.walk(r, snapshotPath(r, c), ""); err != nil {
		return m, err
	}
	for _, f := range m.Files {
		m.Bytes += max(f.Size, 0)
	}
	record, ok, err := s.manifest(r, c)
	if err != nil {
		return m, err
	}
	if m.Pulled = ok; ok {
		m.Source = record.Source
		m.addDigests(record.Files)
	}
	m.Broken, err = s.broken(m, record.Files)
	return m, err
}

// addDigests takes the digests of copies from our record; links say them themselves.
func (m *Snapshot) addDigests(files []File) {
	for i, f := range m.Files {
		j := slices.IndexFunc(files, func(x File) bool { return x.Path == f.Path })
		if j >= 0 && f.Digest == (Digest{}) {
			m.Files[i].Digest = files[j].Digest
		}
	}
}

// walk lists the files of a snapshot below a folder of it.
func (s *Store) walk(r Repo, root, below string) ([]SnapshotFile, error) {
	entries, err := vfs.ReadDir(s.hub, path.Join(root, below))
	if err != nil {
		return nil, err
	}
	var files []SnapshotFile
	for _, e := range entries {
		name := path.Join(below, e.Name())
		if strings.HasSuffix(name, temporarySuffix) || strings.Count(name, "/") >= maxPathDepth {
			continue
		}
		if e.IsDir() {
			more, err := s.walk(r, root, name)
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
			continue
		}
		f := SnapshotFile{Path: name}
		if f.Size, err = s.size(path.Join(root, name)); err != nil {
			f.Size = -1 // a link to somewhere else, or something that is no file
		}
		if target, err := s.hub.Readlink(path.Join(root, name)); err == nil {
			// What is no digest is the link of somebody else, whose content nothing names.
			f.Digest, _ = ParseDigest(path.Base(target))
		}
		if files = append(files, f); len(files) > maxSnapshot {
			return nil, fmt.Errorf("%s has more than %d files, which no model has", s.path(root), maxSnapshot)
		}
	}
	return files, nil
}

// broken says why a snapshot can't be run: a file that our record or the index of its weights names is missing, or
// there are no weights that we read.
func (s *Store) broken(m Snapshot, record []File) (string, error) {
	for _, f := range record {
		i := slices.IndexFunc(m.Files, func(x SnapshotFile) bool { return x.Path == f.Path })
		if i < 0 || m.Files[i].Size < 0 {
			return f.Path + " is missing", nil
		}
		if m.Files[i].Size != f.Size {
			return fmt.Sprintf("%s has %d bytes, must have %d", f.Path, m.Files[i].Size, f.Size), nil
		}
	}
	switch {
	case m.Holds(configFile) && m.Holds(singleFile), len(m.GGUF()) > 0:
		return "", nil
	case !m.Holds(configFile):
		return "no config.json and no GGUF file", nil
	case !m.Holds(indexFile):
		return "no safetensors weights", nil
	}
	text, err := vfs.ReadFile(s.hub, filePath(m.Repo, m.Commit, indexFile), maxIndex)
	if err != nil {
		return "", err
	}
	shards, err := Shards(text)
	if err != nil {
		return indexFile + " can't be read", nil
	}
	for _, name := range shards {
		if !m.Holds(name) {
			return name + " is missing", nil
		}
	}
	return "", nil
}

// Shards returns the files that an index of weights names, sorted.
func Shards(index []byte) ([]string, error) {
	var in struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(index, &in); err != nil {
		return nil, fmt.Errorf("%s: %w", indexFile, err)
	}
	var names []string
	for _, name := range in.WeightMap {
		names = append(names, name)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return nil, fmt.Errorf("%s: names no files", indexFile)
	}
	for _, name := range names {
		if err := CheckPath(name); err != nil {
			return nil, fmt.Errorf("%s: %w", indexFile, err)
		}
	}
	return names, nil
}

// Find returns the snapshot that a revision of a model points at; fs.ErrNotExist if there is none. Without a revision
// it is the one of the main branch, or else the newest that is complete, or else the newest.
func (s *Store) Find(r Repo, revision string) (Snapshot, error) {
	refs, err := s.refs(r)
	if err != nil {
		return Snapshot{}, err
	}
	c, ok := refs[revision]
	if revision == "" {
		c, ok = refs[MainRevision]
	}
	if !ok && revision != "" {
		if c, err = ParseCommit(revision); err != nil {
			return Snapshot{}, fmt.Errorf("%s@%s: %w", r, revision, fs.ErrNotExist)
		}
		ok = true
	}
	if ok {
		m, err := s.Snapshot(r, c)
		m.Revisions = refs.of(c)
		return m, err
	}
	all, err := s.Snapshots(r)
	if err != nil {
		return Snapshot{}, err
	}
	if len(all) == 0 {
		return Snapshot{}, fmt.Errorf("%s: %w", r, fs.ErrNotExist)
	}
	return slices.MaxFunc(all, func(a, b Snapshot) int {
		if whole, other := a.Broken == "", b.Broken == ""; whole != other {
			if whole {
				return 1
			}
			return -1
		}
		return a.Modified.Compare(b.Modified)
	}), nil
}

// Snapshots describes all snapshots of a model.
func (s *Store) Snapshots(r Repo) ([]Snapshot, error) {
	refs, err := s.refs(r)
	if err != nil {
		return nil, err
	}
	entries, err := vfs.ReadDir(s.hub, path.Join(r.dir(), "snapshots"))
	if err != nil {
		return nil, err
	}
	var all []Snapshot
	for _, e := range entries {
		c, err := ParseCommit(e.Name())
		if err != nil || !e.IsDir() {
			continue
		}
		m, err := s.Snapshot(r, c)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		m.Revisions = refs.of(c)
		all = append(all, m)
	}
	return all, nil
}

// Repos lists the models that the store knows, complete or not, sorted.
func (s *Store) Repos() ([]Repo, error) {
	entries, err := vfs.ReadDir(s.hub, ".")
	if err != nil {
		return nil, err
	}
	var repos []Repo
	for _, e := range entries {
		if r, ok := repoOfDir(e.Name()); ok && e.IsDir() {
			repos = append(repos, r)
		}
	}
	return repos, nil
}

// All describes every snapshot of every model.
func (s *Store) All() ([]Snapshot, error) {
	repos, err := s.Repos()
	if err != nil {
		return nil, err
	}
	var all []Snapshot
	for _, r := range repos {
		more, err := s.Snapshots(r)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}
