package store

import (
	"errors"
	"io/fs"
	"path"

	"aquifer/runtime/vfs"
)

// Remove removes a model, all of it, and returns the bytes that this frees. It is ErrInUse while somebody runs or pulls
// it, and fs.ErrNotExist if it is not there. What a power loss leaves of it has no revision.
func (s *Store) Remove(r Repo) (freed int64, err error) {
	if there, err := s.exists(r.dir()); err != nil || !there {
		return 0, errors.Join(err, fs.ErrNotExist)
	}
	held, err := tryLock(s.hub, useLockPath(r), true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	freed, err = s.sizeBelow(path.Join(r.dir(), "blobs"))
	if err != nil {
		return 0, err
	}
	copies, err := s.sizeBelow(path.Join(r.dir(), "snapshots"))
	if err != nil {
		return 0, err
	}
	for _, name := range []string{"refs", "aquifer", "snapshots", "."} {
		if err := vfs.RemoveAll(s.hub, path.Join(r.dir(), name)); err != nil {
			return 0, err
		}
		if err := vfs.SyncDir(s.hub, path.Dir(path.Join(r.dir(), name))); err != nil {
			return 0, err
		}
	}
	return freed + copies, nil
}

// RemoveSnapshot removes a model as of one commit, and what no other commit of it needs, and returns the bytes that
// this frees. It is ErrInUse while somebody runs or pulls the model.
func (s *Store) RemoveSnapshot(m Snapshot) (freed int64, err error) {
	held, err := tryLock(s.hub, useLockPath(m.Repo), true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	refs, err := s.refs(m.Repo)
	if err != nil {
		return 0, err
	}
	for _, revision := range refs.of(m.Commit) {
		if err := vfs.RemoveIfThere(s.hub, refPath(m.Repo, revision)); err != nil {
			return 0, err
		}
		if err := vfs.SyncDir(s.hub, path.Dir(refPath(m.Repo, revision))); err != nil {
			return 0, err
		}
	}
	if freed, err = s.sizeBelow(snapshotPath(m.Repo, m.Commit)); err != nil {
		return 0, err
	}
	for _, name := range []string{manifestPath(m.Repo, m.Commit), snapshotPath(m.Repo, m.Commit)} {
		if err := vfs.RemoveAll(s.hub, name); err != nil {
			return 0, err
		}
	}
	var p Pruned
	err = s.prune(m.Repo, &p, false)
	return freed + p.Bytes, err
}

// sizeBelow adds up the regular files below a folder; links count nothing.
func (s *Store) sizeBelow(dir string) (int64, error) {
	entries, err := vfs.ReadDir(s.hub, dir)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		switch {
		case e.IsDir():
			n, err := s.sizeBelow(path.Join(dir, e.Name()))
			if err != nil {
				return 0, err
			}
			sum += n
		case info.Mode().IsRegular():
			sum += info.Size()
		}
	}
	return sum, nil
}
