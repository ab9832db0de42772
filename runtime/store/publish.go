package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"aquifer/runtime/vfs"
)

// Publish makes a snapshot of files that are all there, and points the revision at it. The order is such that a power
// loss at any point leaves what was before, or more of the snapshot, and never a revision that points at a part of it:
// links, then our record, then the revision.
func (s *Store) Publish(ctx context.Context, r Repo, m Manifest) error {
	held, err := lock(ctx, s.hub, publishLockPath(r), true, nil)
	if err != nil {
		return err
	}
	return errors.Join(s.publish(r, m), held.Release())
}

func (s *Store) publish(r Repo, m Manifest) error {
	var copied []File
	for _, f := range publishOrder(m.Files) {
		byCopy, err := s.link(r, m.Commit, f)
		if err != nil {
			return err
		}
		if byCopy {
			copied = append(copied, f)
		}
	}
	data, err := m.encode()
	if err != nil {
		return err
	}
	if err := s.write(manifestPath(r, m.Commit), data); err != nil {
		return err
	}
	if m.Revision != m.Commit.hex {
		if err := s.write(refPath(r, m.Revision), []byte(m.Commit.hex)); err != nil {
			return err
		}
	}
	// Where there are no links a file would take its space twice.
	for _, f := range copied {
		if err := vfs.RemoveIfThere(s.hub, blobPath(r, f.Digest)); err != nil {
			return err
		}
	}
	return nil
}

// publishOrder puts the file last that tools take for the sign of a model.
func publishOrder(files []File) []File {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int {
		last := func(f File) int {
			if f.Path == configFile {
				return 1
			}
			return 0
		}
		return cmp.Compare(last(a), last(b))
	})
	return files
}

func (s *Store) write(name string, data []byte) error {
	if err := vfs.MkdirAll(s.hub, path.Dir(name)); err != nil {
		return err
	}
	return vfs.WriteFile(s.hub, name, temporary(name), data)
}

// link puts a file into a snapshot, as a link or, where there can be none, as a copy.
func (s *Store) link(r Repo, c Commit, f File) (byCopy bool, err error) {
	name, blob := filePath(r, c, f.Path), blobPath(r, f.Digest)
	if info, err := s.hub.Lstat(name); err == nil && info.Mode().IsRegular() && info.Size() == f.Size {
		return true, nil // from a pull before
	}
	size, err := s.size(blob)
	if err != nil {
		return false, err
	}
	if size != f.Size {
		return false, fmt.Errorf("%s: %w: there are %d bytes of %d", f.Path, ErrIncomplete, size, f.Size)
	}
	if err := vfs.MkdirAll(s.hub, path.Dir(name)); err != nil {
		return false, err
	}
	target := strings.Repeat("../", strings.Count(f.Path, "/")+2) + "blobs/" + f.Digest.hex
	if old, err := s.hub.Readlink(name); err == nil && old == target {
		return false, nil
	}
	temp := temporary(name)
	if err := vfs.RemoveIfThere(s.hub, temp); err != nil {
		return false, err
	}
	if err := s.hub.Symlink(target, temp); err != nil {
		byCopy = true
		if err := s.copy(blob, temp); err != nil {
			return true, errors.Join(err, vfs.RemoveIfThere(s.hub, temp))
		}
	}
	if err := s.hub.Rename(temp, name); err != nil {
		return byCopy, errors.Join(err, vfs.RemoveIfThere(s.hub, temp))
	}
	return byCopy, vfs.SyncDir(s.hub, path.Dir(name))
}

func (s *Store) copy(from, to string) error {
	in, err := s.hub.Open(from, vfs.Read)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := s.hub.Open(to, vfs.New)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(out, 0), io.NewSectionReader(in, 0, 1<<62))
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
