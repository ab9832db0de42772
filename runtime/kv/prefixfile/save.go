package prefixfile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"aquifer/runtime/kv"
	"aquifer/runtime/vfs"
)

// Source is where the blocks come from that are saved.
type Source struct {
	Blocks  []int32 // in the order in which they are worth keeping, a beginning ahead of what follows it
	Content func(block int32) (kv.Content, bool)
	Read    func(block int32, data []byte) error
}

// Save writes the blocks to the file of their kind, in place of what it held, as many of the first ones as the limit on all
// files allows and time before ctx ends. It may take longer than that by the time that syncBytes take to reach the disk. Files of
// other kinds are removed where their room is needed. On an error the old file stays.
func (f *Folder) Save(ctx context.Context, k Kind, s Source) (Result, error) {
	start := time.Now()
	r, err := f.save(ctx, k, s)
	r.Time = time.Since(start)
	f.count(func(t *Totals) {
		t.Saved += int64(r.Blocks)
		if err != nil {
			t.Failed++
		}
	})
	if err != nil {
		err = fmt.Errorf("prefixfile: %s: %w", k.name(), err)
	}
	return r, err
}

func (f *Folder) save(ctx context.Context, k Kind, s Source) (r Result, err error) {
	r.Of = len(s.Blocks)
	if r.Of == 0 {
		return r, nil
	}
	entry := int64(entryBytes + k.Block)
	n := min(int64(r.Of), (f.limit-headerBytes)/entry)
	if n < 1 {
		return r, fmt.Errorf("a block has %d bytes, all files may have %d", k.Block, f.limit)
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := vfs.RemoveIfThere(f.fs, temporaryName); err != nil {
		return r, err
	}
	if err := f.makeRoom(k.name(), headerBytes+n*entry); err != nil {
		return r, err
	}
	s.Blocks = s.Blocks[:n]
	blocks, bytes, err := f.write(ctx, k, s)
	if err == nil && blocks > 0 {
		if err = f.fs.Rename(temporaryName, k.name()); err == nil {
			r.Blocks, r.Bytes = blocks, bytes
			_, listed := f.files() // for the counters
			return r, errors.Join(vfs.SyncDir(f.fs, "."), listed)
		}
	}
	return r, errors.Join(err, vfs.RemoveIfThere(f.fs, temporaryName))
}

// syncBytes is how much is written before the disk is waited for: what a sync behind the end of the time may still have to do.
const syncBytes = 64 << 20

// write makes the temporary file and returns how many blocks and bytes it holds.
func (f *Folder) write(ctx context.Context, k Kind, s Source) (blocks int, at int64, err error) {
	file, err := f.fs.Open(temporaryName, vfs.New)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	header := k.header()
	if _, err := file.WriteAt(header, 0); err != nil {
		return 0, 0, err
	}
	at = headerBytes
	synced := at
	entry := make([]byte, entryBytes+k.Block)
	for _, block := range s.Blocks {
		if ctx.Err() != nil {
			break
		}
		c, ok := s.Content(block)
		if !ok {
			continue
		}
		if err := s.Read(block, entry[entryBytes:]); err != nil {
			return 0, 0, err
		}
		putEntry(entry, c, header[504:])
		if _, err := file.WriteAt(entry, at); err != nil {
			return 0, 0, err
		}
		blocks++
		at += int64(len(entry))
		if at-synced >= syncBytes {
			if err := file.Sync(); err != nil {
				return 0, 0, err
			}
			synced = at
		}
	}
	return blocks, at, file.Sync()
}
