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
	// Damaged says that the file that is there is known to be: it is written anew also if it seems to hold all blocks.
	Damaged bool
}

// Save writes the blocks to the file of their kind, as many of the first ones as the limit on all files allows and time before
// ctx ends; it may take longer by the time that syncBytes take to reach the disk. Files of other kinds are removed where their room
// is needed. The file does not come to hold fewer blocks than before, if there is room and time: what it held besides stays
// behind those that are saved. Where these are what it holds first already nothing is written, and the Result counts none. On an
// error the old file stays.
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
	s.Blocks = s.Blocks[:n]
	unlock, err := f.lock(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := vfs.RemoveIfThere(f.fs, temporaryName); err != nil {
		return r, err
	}
	before, err := f.openEarlier(k)
	if err != nil {
		return r, err
	}
	if !s.Damaged && before.holds(s) {
		return r, errors.Join(before.close(), f.touch(k))
	}
	room, err := f.makeRoom(k.name(), headerBytes+n*entry)
	if err != nil {
		return r, errors.Join(err, before.close())
	}
	w := writer{kind: k, header: k.header(), entry: make([]byte, entry), written: map[kv.Hash]bool{}}
	err = errors.Join(w.write(ctx, f.fs, s, before, room), before.close())
	if err == nil && w.blocks > 0 {
		if err = f.fs.Rename(temporaryName, k.name()); err == nil {
			r.Blocks, r.Bytes = w.blocks, w.at
			_, listed := f.files() // for the counters
			return r, errors.Join(vfs.SyncDir(f.fs, "."), listed)
		}
	}
	return r, errors.Join(err, vfs.RemoveIfThere(f.fs, temporaryName))
}

// touch makes a file count as written just now: it writes what is there.
func (f *Folder) touch(k Kind) error {
	file, err := f.fs.Open(k.name(), vfs.Edit)
	if err != nil {
		return err
	}
	_, err = file.WriteAt([]byte(magic), 0)
	return errors.Join(err, file.Close())
}

// syncBytes is how much is written before the disk is waited for: what a sync behind the end of the time may still have to do.
const syncBytes = 64 << 20

// writer writes the temporary file.
type writer struct {
	kind       Kind
	header     []byte
	entry      []byte // buffer
	file       vfs.File
	at, synced int64
	blocks     int // of the Source
	written    map[kv.Hash]bool
}

// write writes the blocks and, as long as there is room for their bytes, what the file held before besides.
func (w *writer) write(ctx context.Context, fsys vfs.FS, s Source, before *earlier, room int64) (err error) {
	if w.file, err = fsys.Open(temporaryName, vfs.New); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.file.Close()) }()
	if _, err := w.file.WriteAt(w.header, 0); err != nil {
		return err
	}
	w.at = headerBytes
	for _, block := range s.Blocks {
		if ctx.Err() != nil {
			break
		}
		c, ok := s.Content(block)
		if !ok {
			continue
		}
		if err := s.Read(block, w.entry[entryBytes:]); err != nil {
			return err
		}
		if err := w.add(c); err != nil {
			return err
		}
		w.blocks++
	}
	if w.blocks > 0 {
		if err := w.carry(ctx, before, room); err != nil {
			return err
		}
	}
	return w.file.Sync()
}

// carry writes what the file held before besides, until it holds as many blocks as then.
func (w *writer) carry(ctx context.Context, before *earlier, room int64) error {
	for i := range before.len() {
		room -= int64(len(w.entry))
		if room < 0 || len(w.written) >= before.len() || ctx.Err() != nil {
			break
		}
		if w.written[before.hashes[i]] {
			room += int64(len(w.entry))
			continue
		}
		c, ok, err := before.read(i, w.entry)
		if err != nil {
			return err
		}
		if ok {
			if err := w.add(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// add writes an entry whose bytes are in the buffer.
func (w *writer) add(c kv.Content) error {
	putEntry(w.entry, c, w.header[504:])
	if _, err := w.file.WriteAt(w.entry, w.at); err != nil {
		return err
	}
	w.written[c.Hash] = true
	w.at += int64(len(w.entry))
	if w.at-w.synced < syncBytes {
		return nil
	}
	w.synced = w.at
	return w.file.Sync()
}
