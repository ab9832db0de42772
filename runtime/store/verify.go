package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"aquifer/runtime/vfs"
)

// Damage is a file of a snapshot that is not what it should be.
type Damage struct {
	File SnapshotFile
	Why  string
	Lost bool // the content itself is wrong or missing, as opposed to nothing saying what it should be
}

// Verify reads the files of a snapshot and compares their contents with their digests. progress, if not nil, is called
// with the number of bytes read since the last call. The caller holds a lock of Use.
func (s *Store) Verify(ctx context.Context, m Snapshot, progress func(n int64)) ([]Damage, error) {
	var found []Damage
	for _, f := range m.Files {
		why, lost, err := s.verify(ctx, m, f, progress)
		if err != nil {
			return found, err
		}
		if why != "" {
			found = append(found, Damage{f, why, lost})
		}
	}
	return found, nil
}

func (s *Store) verify(ctx context.Context, m Snapshot, f SnapshotFile, progress func(int64)) (why string, lost bool, err error) {
	if f.Size < 0 {
		return "its content is missing", true, nil
	}
	if f.Digest == (Digest{}) {
		return "nothing says what its content should be", false, nil
	}
	file, err := s.hub.Open(filePath(m.Repo, m.Commit, f.Path), vfs.Read)
	if errors.Is(err, fs.ErrNotExist) {
		return "its content is missing", true, nil
	}
	if err != nil {
		return "", false, err
	}
	defer file.Close()
	sum := f.Digest.Hash(f.Size)
	in := &watched{io.NewSectionReader(file, 0, f.Size), ctx, progress}
	n, err := io.CopyBuffer(sum, in, make([]byte, 1<<20))
	if ctx.Err() != nil {
		return "", false, context.Cause(ctx)
	}
	if err != nil {
		return fmt.Sprintf("it can't be read: %v", err), true, nil
	}
	if n != f.Size || DigestOf(sum) != f.Digest {
		return "its content has changed", true, nil
	}
	return "", false, nil
}

// watched is a reader that a context ends and that counts.
type watched struct {
	r        io.Reader
	ctx      context.Context
	progress func(int64)
}

func (w *watched) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(b)
	if w.progress != nil {
		w.progress(int64(n))
	}
	return n, err
}

// Discard removes the content of damaged files, so that the next pull fetches it again. It is ErrInUse while somebody
// uses the model.
func (s *Store) Discard(m Snapshot, damaged []Damage) error {
	held, err := tryLock(s.hub, useLockPath(m.Repo), true)
	if err != nil {
		return err
	}
	for _, d := range damaged {
		if !d.Lost || d.File.Digest == (Digest{}) {
			continue
		}
		err = errors.Join(err, vfs.RemoveIfThere(s.hub, blobPath(m.Repo, d.File.Digest)))
		name := filePath(m.Repo, m.Commit, d.File.Path)
		if info, statErr := s.hub.Lstat(name); statErr == nil && info.Mode().IsRegular() {
			err = errors.Join(err, vfs.RemoveIfThere(s.hub, name))
		}
	}
	return errors.Join(err, held.Release())
}
