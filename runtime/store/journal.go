package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"aquifer/runtime/vfs"
)

// A journal says which parts of a half-fetched file are there. It is text, one part a line, with a check sum of the
// part: neither a kill nor a power loss, after which any of the last writes may be missing, makes us believe in bytes
// that are not there.
//
//	aquifer 1 DIGEST SIZE
//	part OFFSET LENGTH CRC32C
//
// A new journal replaces one of another file. The last line counts only with its end.

// maxJournal bounds a journal; a part for each MiB of 1 TB takes less.
const maxJournal = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// extent is a part of a file: bytes from off up to end.
type extent struct{ off, end int64 }

// extents are parts in order that neither overlap nor touch.
type extents []extent

// add puts a part in.
func (x extents) add(e extent) extents {
	if e.off >= e.end {
		return x
	}
	i, _ := slices.BinarySearchFunc(x, e.off, func(a extent, off int64) int {
		if a.end < off {
			return -1
		}
		return 1
	})
	j := i
	for j < len(x) && x[j].off <= e.end {
		e.off, e.end = min(e.off, x[j].off), max(e.end, x[j].end)
		j++
	}
	return slices.Replace(x, i, j, e)
}

// missing returns what of size bytes is not there.
func (x extents) missing(size int64) extents {
	var gaps extents
	at := int64(0)
	for _, e := range x {
		gaps = gaps.add(extent{at, e.off})
		at = e.end
	}
	return gaps.add(extent{at, size})
}

// bytes is how many bytes are there.
func (x extents) bytes() (n int64) {
	for _, e := range x {
		n += e.end - e.off
	}
	return n
}

// prefix is how many bytes from the start are there.
func (x extents) prefix() int64 {
	if len(x) == 0 || x[0].off > 0 {
		return 0
	}
	return x[0].end
}

func journalHead(d Digest, size int64) string { return fmt.Sprintf("aquifer 1 %s %d\n", d, size) }

func journalLine(e extent, sum uint32) string {
	return fmt.Sprintf("part %d %d %08x\n", e.off, e.end-e.off, sum)
}

// readJournal returns the parts of a file that its journal names and whose bytes are what they were, and how many bytes
// of the journal could be understood: 0 if it is of another file. Without a file it is believed.
func readJournal(text, head string, file io.ReaderAt, size int64) (have extents, end int64, err error) {
	lines, ok := strings.CutPrefix(text, head)
	if !ok {
		return nil, 0, nil
	}
	end = int64(len(head))
	for line := range strings.Lines(lines) {
		var e extent
		var length int64
		var sum uint32
		n, _ := fmt.Sscanf(line, "part %d %d %x\n", &e.off, &length, &sum)
		if n != 3 || e.off < 0 || length <= 0 || length > size || e.off > size-length {
			break // torn by a power loss; what follows is nothing either
		}
		e.end = e.off + length
		if journalLine(e, sum) != line {
			break
		}
		end += int64(len(line))
		if file == nil {
			have = have.add(e)
			continue
		}
		h := crc32.New(castagnoli)
		if _, err := io.Copy(h, io.NewSectionReader(file, e.off, length)); err != nil {
			return nil, 0, err
		}
		if h.Sum32() == sum {
			have = have.add(e)
		}
	}
	return have, end, nil
}

// journal is an open journal that is appended to.
type journal struct {
	file vfs.File
	end  int64
}

func (j *journal) append(line string) error {
	n, err := j.file.WriteAt([]byte(line), j.end)
	if err != nil {
		return err // what was written of it has no end, and is written over
	}
	j.end += int64(n)
	return nil
}

// openJournal opens the journal of a file to append behind its first end bytes; 0 begins a new one.
func openJournal(fsys vfs.FS, name, head string, end int64) (*journal, error) {
	if end == 0 {
		if err := vfs.RemoveIfThere(fsys, name); err != nil {
			return nil, err
		}
	}
	f, err := fsys.Open(name, vfs.Edit)
	if err != nil {
		return nil, err
	}
	j := &journal{f, end}
	if end == 0 {
		if err := j.append(head); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return j, nil
}
