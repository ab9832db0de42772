package store

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"sync"

	"aquifer/runtime/vfs"
)

const (
	// recordEvery is how many bytes go into a file between two lines of its journal: what a kill costs at most.
	recordEvery = 1 << 20
	// syncEvery is how many bytes go into a file between two syncs: what a power loss costs at most.
	syncEvery = 256 << 20
)

// Partial is a file that is being fetched. It may be written by several goroutines, each at a place of its own; while
// they write, what is complete from the start on is hashed.
type Partial struct {
	s      *Store
	repo   Repo
	digest Digest // names the partial, and what it must become, unless any
	size   int64
	any    bool // the content is not known before it is there
	lock   *Lock
	file   vfs.File

	mu       sync.Mutex
	journal  *journal
	have     extents
	unsynced int64

	hasher *hasher
}

// Begin opens the file of a digest for fetching, with what was fetched before; nil if the file is there already. It
// waits for another process that fetches it, and calls waiting, if not nil, when it has to. The caller calls Finish or
// Close.
func (s *Store) Begin(ctx context.Context, r Repo, d Digest, size int64, waiting func()) (*Partial, error) {
	held, err := lock(ctx, s.hub, blobLockPath(r, d), true, waiting)
	if err != nil {
		return nil, err
	}
	there, err := s.size(blobPath(r, d))
	if err == nil && there == size {
		err = s.dropPartial(r, d) // of a process that died when it had named the file
	}
	if err != nil || there == size {
		return nil, errors.Join(err, held.Release())
	}
	return s.begin(&Partial{s: s, repo: r, digest: d, size: size, lock: held})
}

// BeginAny opens a file for fetching whose digest is not known yet. key, a SHA-256, names what is being fetched: the
// same key means the same content. Finish names it by its SHA-256.
func (s *Store) BeginAny(ctx context.Context, r Repo, key Digest, size int64, waiting func()) (*Partial, error) {
	held, err := lock(ctx, s.hub, blobLockPath(r, key), true, waiting)
	if err != nil {
		return nil, err
	}
	return s.begin(&Partial{s: s, repo: r, digest: key, size: size, any: true, lock: held})
}

func (s *Store) begin(p *Partial) (*Partial, error) {
	if err := p.open(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Partial) open() error {
	fsys, head := p.s.hub, journalHead(p.digest, p.size)
	name, journalName := partialPath(p.repo, p.digest), journalPath(p.repo, p.digest)
	if err := vfs.MkdirAll(fsys, path.Dir(name)); err != nil {
		return err
	}
	text, err := vfs.ReadFile(fsys, journalName, maxJournal)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if p.file, err = fsys.Open(name, vfs.Edit); err != nil {
		return err
	}
	have, end, err := readJournal(string(text), head, p.file, p.size)
	if err != nil {
		return err
	}
	if end == 0 {
		// The old file may be longer than the new one.
		if err := errors.Join(p.file.Close(), vfs.RemoveIfThere(fsys, name)); err != nil {
			return err
		}
		if p.file, err = fsys.Open(name, vfs.Edit); err != nil {
			return err
		}
	}
	p.have = have
	if p.journal, err = openJournal(fsys, journalName, head, end); err != nil {
		return err
	}
	p.hasher = newHasher(p.file, p.digest, p.size)
	p.hasher.advance(have.prefix())
	return nil
}

// Have is how many bytes are there.
func (p *Partial) Have() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.have.bytes()
}

// Range is a part of a file: the bytes from Off up to End.
type Range struct{ Off, End int64 }

// Missing returns the parts that are not there yet, in order.
func (p *Partial) Missing() []Range {
	p.mu.Lock()
	defer p.mu.Unlock()
	var gaps []Range
	for _, e := range p.have.missing(p.size) {
		gaps = append(gaps, Range{e.off, e.end})
	}
	return gaps
}

// ReadAt reads what is there.
func (p *Partial) ReadAt(b []byte, off int64) (int, error) { return p.file.ReadAt(b, off) }

// Writer writes a part of a file from off on. The caller ends it with Flush, also after an error: what was written is
// kept.
func (p *Partial) Writer(off int64) *PartWriter { return &PartWriter{p: p, part: extent{off, off}} }

// PartWriter writes a part of a file.
type PartWriter struct {
	p    *Partial
	part extent // written and not yet in the journal
	sum  uint32
}

// errTooLong says that somebody sends more bytes than the file has.
var errTooLong = errors.New("more bytes than the file has")

func (w *PartWriter) Write(b []byte) (int, error) {
	if int64(len(b)) > w.p.size-w.part.end {
		return 0, errTooLong
	}
	n, err := w.p.file.WriteAt(b, w.part.end)
	w.sum = crc32.Update(w.sum, castagnoli, b[:n])
	w.part.end += int64(n)
	if err == nil && w.part.end-w.part.off >= recordEvery {
		err = w.Flush()
	}
	return n, err
}

// Flush notes in the journal what was written.
func (w *PartWriter) Flush() error {
	if w.part.off == w.part.end {
		return nil
	}
	err := w.p.record(w.part, w.sum)
	w.part.off, w.sum = w.part.end, 0
	return err
}

func (p *Partial) record(e extent, sum uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.journal.append(journalLine(e, sum)); err != nil {
		return err
	}
	p.have = p.have.add(e)
	p.hasher.advance(p.have.prefix())
	if p.unsynced += e.end - e.off; p.unsynced < syncEvery {
		return nil
	}
	p.unsynced = 0
	return errors.Join(p.file.Sync(), p.journal.file.Sync())
}

// Finish verifies the complete file and gives it its name, its digest, so that it is there, whole and right, or not at all. The
// partial is closed then. A file with another content is a *HashError, and what was fetched of it is dropped.
func (p *Partial) Finish(ctx context.Context) (Digest, error) {
	if gaps := p.Missing(); len(gaps) > 0 {
		return Digest{}, errors.Join(io.ErrUnexpectedEOF, p.Close())
	}
	got, err := p.hasher.wait(ctx, p.size)
	if err == nil && got != p.digest && !p.any {
		return got, errors.Join(&HashError{What: p.digest.String(), Want: p.digest, Got: got}, p.Drop())
	}
	if err == nil {
		err = p.file.Sync()
	}
	if err != nil {
		return Digest{}, errors.Join(err, p.Close())
	}
	// Windows renames no open file.
	p.hasher.stop()
	err = errors.Join(p.file.Close(), p.journal.file.Close())
	p.file, p.journal = nil, nil
	if err == nil {
		err = p.s.hub.Rename(partialPath(p.repo, p.digest), blobPath(p.repo, got))
	}
	if err == nil {
		err = vfs.SyncDir(p.s.hub, path.Dir(blobPath(p.repo, got)))
	}
	if err == nil {
		err = vfs.RemoveIfThere(p.s.hub, journalPath(p.repo, p.digest))
	}
	return got, errors.Join(err, p.Close())
}

// Drop forgets what was fetched, and closes the partial.
func (p *Partial) Drop() error {
	err := p.closeFiles()
	return errors.Join(err, p.s.dropPartial(p.repo, p.digest), p.lock.Release())
}

// Close closes the partial and keeps what was fetched.
func (p *Partial) Close() error { return errors.Join(p.closeFiles(), p.lock.Release()) }

func (p *Partial) closeFiles() error {
	if p.hasher != nil {
		p.hasher.stop()
	}
	var errs []error
	if p.file != nil {
		errs = append(errs, p.file.Close())
	}
	if p.journal != nil {
		errs = append(errs, p.journal.file.Close())
	}
	p.file, p.journal = nil, nil
	return errors.Join(errs...)
}

// dropPartial removes the files that a file is fetched into. The journal goes first: without it the other is nothing.
func (s *Store) dropPartial(r Repo, d Digest) error {
	return errors.Join(vfs.RemoveIfThere(s.hub, journalPath(r, d)), vfs.RemoveIfThere(s.hub, partialPath(r, d)))
}

// Fetched is how many bytes of a file need not be fetched, as far as can be told without reading them.
func (s *Store) Fetched(r Repo, d Digest, size int64) (int64, error) {
	there, err := s.size(blobPath(r, d))
	if err != nil || there == size {
		return max(there, 0), err
	}
	text, err := vfs.ReadFile(s.hub, journalPath(r, d), maxJournal)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	have, _, err := readJournal(string(text), journalHead(d, size), nil, size)
	return have.bytes(), err
}
