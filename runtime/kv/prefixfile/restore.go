package prefixfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"aquifer/runtime/kv"
	"aquifer/runtime/vfs"
)

// Result says what became of saving or restoring.
type Result struct {
	Blocks  int // that were saved, or taken by who restores
	Of      int // of how many
	Damaged int // that were to be restored
	Bytes   int64
	Time    time.Duration
}

// ErrFull is returned by a function that takes blocks and has no more room.
var ErrFull = errors.New("prefixfile: no more room")

// Restore reads the blocks of a kind, in the order in which they were saved, until put returns ErrFull, ctx ends or there are no
// more. put says whether it has taken the block; its data is valid during the call only. A block whose checksum is wrong is
// left out. Without a file nothing is restored, and that is no error; an error says why the file, or the rest of it, was of no use.
func (f *Folder) Restore(ctx context.Context, k Kind, put func(c kv.Content, data []byte) (bool, error)) (Result, error) {
	start := time.Now()
	r, err := f.restore(ctx, k, put)
	r.Time = time.Since(start)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	f.count(func(t *Totals) {
		t.Restored += int64(r.Blocks)
		t.Damaged += int64(r.Damaged)
		if err != nil {
			t.Failed++
		}
	})
	if err != nil {
		err = fmt.Errorf("prefixfile: %s: %w", k.name(), err)
	}
	return r, err
}

func (f *Folder) restore(ctx context.Context, k Kind, put func(kv.Content, []byte) (bool, error)) (r Result, err error) {
	file, err := f.fs.Open(k.name(), vfs.Read)
	if err != nil {
		return r, err
	}
	defer file.Close()
	header, err := readHeader(file)
	if err != nil {
		return r, err
	}
	stated, err := parseHeader(header)
	switch {
	case err != nil:
		return r, err
	case stated.Identity != k.Identity || stated.Block != k.Block:
		return r, errKind
	}
	info, err := file.Stat()
	if err != nil {
		return r, err
	}
	entry := make([]byte, entryBytes+k.Block)
	body := info.Size() - headerBytes
	r.Of = int(body / int64(len(entry)))
	err = r.entries(ctx, file, header[504:], entry, put)
	if err == nil && body%int64(len(entry)) != 0 {
		err = fmt.Errorf("it ends in the middle of block %d", r.Of+1)
	}
	return r, err
}

// entries reads r.Of entries into the buffer, one at a time.
func (r *Result) entries(ctx context.Context, file io.ReaderAt, seed, entry []byte, put func(kv.Content, []byte) (bool, error)) error {
	for i := range r.Of {
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d blocks were restored: %w", r.Blocks, r.Of, context.Cause(ctx))
		}
		if n, err := file.ReadAt(entry, headerBytes+int64(i)*int64(len(entry))); n < len(entry) {
			return err // the file has become shorter, at the least
		}
		c, ok := parseEntry(entry, seed)
		if !ok {
			r.Damaged++
			continue
		}
		taken, err := put(c, entry[entryBytes:])
		switch {
		case errors.Is(err, ErrFull):
			return nil
		case err != nil:
			return err
		case taken:
			r.Blocks++
			r.Bytes += int64(len(entry))
		}
	}
	return nil
}
