package prefixfile

import (
	"errors"
	"io"
	"io/fs"

	"aquifer/runtime/kv"
	"aquifer/runtime/vfs"
)

// earlier is the file that is to be replaced. nil is none, or one that is of no use.
type earlier struct {
	file   vfs.File
	seed   []byte
	entry  int64 // bytes
	hashes []kv.Hash
}

// openEarlier opens the file of a kind and lists what it says it holds, damaged or not.
func (f *Folder) openEarlier(k Kind) (*earlier, error) {
	file, err := f.fs.Open(k.name(), vfs.Read)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := &earlier{file: file, entry: int64(entryBytes + k.Block)}
	header, err := readHeader(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	stated, err := parseHeader(header)
	if err != nil || stated.Identity != k.Identity || stated.Block != k.Block {
		return nil, file.Close()
	}
	e.seed = header[504:]
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	var h kv.Hash
	for at := int64(headerBytes); at+e.entry <= info.Size(); at += e.entry {
		if _, err := file.ReadAt(h[:], at); err != nil && !errors.Is(err, io.EOF) {
			return nil, errors.Join(err, file.Close())
		}
		e.hashes = append(e.hashes, h)
	}
	return e, nil
}

func (e *earlier) len() int {
	if e == nil {
		return 0
	}
	return len(e.hashes)
}

func (e *earlier) close() error {
	if e == nil {
		return nil
	}
	return e.file.Close()
}

// holds reports whether the file says that what it holds first are these blocks, in whatever order: those behind them would
// not be restored where there is no room for more.
func (e *earlier) holds(s Source) bool {
	if e.len() < len(s.Blocks) {
		return false
	}
	have := make(map[kv.Hash]bool, len(s.Blocks))
	for _, h := range e.hashes[:len(s.Blocks)] {
		have[h] = true
	}
	for _, block := range s.Blocks {
		if c, ok := s.Content(block); !ok || !have[c.Hash] {
			return false
		}
	}
	return true
}

// read reads an entry into a buffer; false if it is damaged.
func (e *earlier) read(i int, entry []byte) (kv.Content, bool, error) {
	n, err := e.file.ReadAt(entry, headerBytes+int64(i)*e.entry)
	if n < len(entry) {
		return kv.Content{}, false, err
	}
	c, ok := parseEntry(entry, e.seed)
	return c, ok, nil
}
