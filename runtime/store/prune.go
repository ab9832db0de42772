package store

import (
	"errors"
	"path"
	"strings"
	"time"

	"aquifer/runtime/vfs"
)

// Pruned is what Prune found, and removed unless it was only asked to look.
type Pruned struct {
	Files  []string // paths inside the cache
	Bytes  int64
	Passed []Repo // models that somebody runs or pulls: nothing of theirs was looked at
}

// othersAge is how old the half-fetched files of other tools must be before they count as left behind.
const othersAge = 24 * time.Hour

// Prune removes what no snapshot needs: half-fetched files, and contents that nothing links to. dry only looks.
func (s *Store) Prune(dry bool) (Pruned, error) {
	var p Pruned
	repos, err := s.Repos()
	if err != nil {
		return p, err
	}
	for _, r := range repos {
		held, err := tryLock(s.hub, useLockPath(r), true)
		if errors.Is(err, ErrInUse) {
			p.Passed = append(p.Passed, r)
			continue
		}
		if err != nil {
			return p, err
		}
		if err := errors.Join(s.prune(r, &p, dry), held.Release()); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (s *Store) prune(r Repo, p *Pruned, dry bool) error {
	linked, err := s.linked(r)
	if err != nil {
		return err
	}
	dir := path.Join(r.dir(), "blobs")
	entries, err := vfs.ReadDir(s.hub, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.IsDir() || linked[e.Name()] {
			continue
		}
		base, _, _ := strings.Cut(e.Name(), ".")
		d, err := ParseDigest(base)
		if err != nil {
			continue // nothing that we or the other tools make
		}
		if strings.HasSuffix(e.Name(), ".incomplete") && !strings.HasSuffix(e.Name(), partialSuffix) && time.Since(info.ModTime()) < othersAge {
			continue
		}
		// Another tool holds this lock from the first byte until the link is made.
		held, err := tryLock(s.hub, blobLockPath(r, d), true)
		if errors.Is(err, ErrInUse) {
			continue
		}
		if err != nil {
			return err
		}
		p.Files = append(p.Files, path.Join(dir, e.Name()))
		if info.Mode().IsRegular() {
			p.Bytes += info.Size()
		}
		if !dry {
			err = vfs.RemoveIfThere(s.hub, path.Join(dir, e.Name()))
		}
		if err := errors.Join(err, held.Release()); err != nil {
			return err
		}
	}
	return s.pruneTemporary(r.dir(), p, dry)
}

// pruneTemporary removes files that a process was about to give their names when it died.
func (s *Store) pruneTemporary(dir string, p *Pruned, dry bool) error {
	entries, err := vfs.ReadDir(s.hub, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case e.IsDir():
			err = s.pruneTemporary(name, p, dry)
		case strings.HasSuffix(name, temporarySuffix):
			p.Files = append(p.Files, name)
			if info, infoErr := e.Info(); infoErr == nil && info.Mode().IsRegular() {
				p.Bytes += info.Size()
			}
			if !dry {
				err = vfs.RemoveIfThere(s.hub, name)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// linked returns the names in blobs that the snapshots of a model link to.
func (s *Store) linked(r Repo) (map[string]bool, error) {
	names := map[string]bool{}
	root := path.Join(r.dir(), "snapshots")
	entries, err := vfs.ReadDir(s.hub, root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		files, err := s.walk(r, path.Join(root, e.Name()), "")
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if target, err := s.hub.Readlink(path.Join(root, e.Name(), f.Path)); err == nil {
				names[path.Base(target)] = true
			}
		}
	}
	return names, nil
}
