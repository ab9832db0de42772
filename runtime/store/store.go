// Package store keeps models on disk in the layout of the Hugging Face cache, so that those which other tools fetched
// are found here and ours are found by them. It owns the paths inside that folder, its locks, half-fetched files, and
// the names that users give to models. It imports runtime/vfs only and knows no network: runtime/store/pull fills it.
//
//	models--ORG--NAME/blobs/DIGEST                  the files, by content
//	models--ORG--NAME/blobs/DIGEST.aquifer.*        a file that is being fetched, and what of it is there
//	models--ORG--NAME/snapshots/COMMIT/PATH         links to them
//	models--ORG--NAME/refs/REVISION                 a commit
//	models--ORG--NAME/aquifer/COMMIT.json           what we pulled, our index
//	.locks/models--ORG--NAME/DIGEST.lock            who fetches a file; the other tools' lock as well
//	.locks/models--ORG--NAME/aquifer.lock           who uses or changes the model
package store

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"

	"aquifer/runtime/vfs"
)

// Errors that callers branch on. That a model is not there is fs.ErrNotExist.
var (
	ErrInUse      = errors.New("in use by another aquifer")
	ErrIncomplete = errors.New("incomplete")
)

// Config says where a store is. The zero values of the file systems stand for the folders of the machine.
type Config struct {
	Hub string // folder of the cache, as the other tools name it in HF_HUB_CACHE
	Own string // folder of what only we keep: the aliases

	HubFS, OwnFS vfs.FS
	Free         func() (int64, error) // bytes that can be written; nil asks the machine
}

// Store is an opened store. It may be used from several goroutines, and beside other processes.
type Store struct {
	cfg   Config
	hub   vfs.FS
	own   vfs.FS
	close []func() error
}

// Open opens a store. One that does not exist is made if make says so, else it is an empty one.
func Open(cfg Config, make bool) (*Store, error) {
	s := &Store{cfg: cfg}
	var err error
	if s.hub, err = s.open(cfg.HubFS, cfg.Hub, make); err == nil {
		s.own, err = s.open(cfg.OwnFS, cfg.Own, make)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(given vfs.FS, dir string, make bool) (vfs.FS, error) {
	if given != nil {
		return given, nil
	}
	d, err := vfs.OpenDir(dir, make)
	if errors.Is(err, fs.ErrNotExist) && !make {
		return vfs.NewMem(), nil
	}
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, d.Close)
	return d, nil
}

// Close closes the store; locks and files of it stay open.
func (s *Store) Close() error {
	var errs []error
	for _, c := range s.close {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// Dir is the folder of the cache.
func (s *Store) Dir() string { return s.cfg.Hub }

// Free returns the bytes that can still be written to the store.
func (s *Store) Free() (int64, error) {
	if s.cfg.Free != nil {
		return s.cfg.Free()
	}
	return vfs.Free(s.cfg.Hub)
}

// path turns a name inside the cache into a path of the machine.
func (s *Store) path(name string) string { return filepath.Join(s.cfg.Hub, filepath.FromSlash(name)) }

// exists reports whether a name is taken, by a dangling link too.
func (s *Store) exists(name string) (bool, error) {
	_, err := s.hub.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// size returns the size of a regular file behind a name, following links; -1 if there is none.
func (s *Store) size(name string) (int64, error) {
	f, err := s.hub.Open(name, vfs.Read)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1, err
	}
	return info.Size(), nil
}

// temporary is the name under which the content of another file of the folder is prepared. Only the holder of the
// lock that covers the name uses it.
func temporary(name string) string {
	return path.Join(path.Dir(name), "."+path.Base(name)+temporarySuffix)
}

const temporarySuffix = ".aquifer-tmp"
