package store

import (
	"path"
	"slices"
	"strings"

	"aquifer/runtime/vfs"
)

// refMap holds what the branches and tags of a model point at.
type refMap map[string]Commit

// of returns the names that point at a commit, sorted.
func (m refMap) of(c Commit) []string {
	var names []string
	for name, commit := range m {
		if commit == c {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// refs reads the refs of a model. Whatever is none is passed over.
func (s *Store) refs(r Repo) (refMap, error) {
	m := refMap{}
	return m, s.readRefs(r, "", m)
}

func (s *Store) readRefs(r Repo, below string, m refMap) error {
	dir := path.Join(r.dir(), "refs", below)
	entries, err := vfs.ReadDir(s.hub, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(below, e.Name())
		if CheckRevision(name) != nil {
			continue
		}
		if e.IsDir() {
			if err := s.readRefs(r, name, m); err != nil {
				return err
			}
			continue
		}
		text, err := vfs.ReadFile(s.hub, path.Join(dir, e.Name()), 200)
		if err != nil {
			continue
		}
		if c, err := ParseCommit(strings.TrimSpace(string(text))); err == nil {
			m[name] = c
		}
	}
	return nil
}
