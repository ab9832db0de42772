package gguf

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// readTensors reads the tensor table and checks it against the file: the data must start at the next aligned byte, and
// each tensor at the next aligned byte behind the one before it, as ggml requires. So there are neither overlaps nor
// holes.
func (f *File) readTensors(s *source, n uint64) error {
	names := make(map[string]bool, min(n, firstAlloc))
	offsets := make([]int64, 0, min(n, firstAlloc)) // in the file, of each tensor's offset field
	for i := range n {
		s.field = fmt.Sprintf("tensor %d", i)
		off := s.off
		t, err := s.tensor()
		if err != nil {
			return err
		}
		if names[t.Name] {
			return s.failAt(off, "occurs twice")
		}
		names[t.Name] = true
		f.Tensors = append(f.Tensors, t)
		offsets = append(offsets, s.off-8)
	}
	f.DataOffset, _ = alignUp(s.off, f.Alignment) // s.off is at most MaxHeader
	end := int64(0)                               // of the bytes accounted for, relative to DataOffset
	for i := range f.Tensors {
		t := &f.Tensors[i]
		s.field = fmt.Sprintf("tensor %.100q: offset", t.Name)
		want, ok := alignUp(end, f.Alignment)
		if !ok || t.Offset != want {
			return s.failAt(offsets[i], "%s", misplaced(t.Offset, end, want, f.Alignment))
		}
		stop, ok := checked([]uint64{uint64(t.Offset), uint64(f.DataOffset)}, uint64(t.Size))
		if !ok || stop > uint64(s.size) {
			return s.failAt(offsets[i], "%d bytes at %d of the data lie beyond the end of the file, which has %d bytes of data",
				t.Size, t.Offset, max(0, s.size-f.DataOffset))
		}
		end = t.Offset + t.Size
		t.Offset += f.DataOffset
	}
	return nil
}

// misplaced says what is wrong with an offset other than the only one allowed.
func misplaced(off, end, want int64, align uint32) string {
	switch {
	case off < 0:
		return "is beyond 63 bits"
	case off%int64(align) != 0:
		return fmt.Sprintf("%d is no multiple of the alignment, %d", off, align)
	case off < end:
		return fmt.Sprintf("%d overlaps the tensor before it, which ends at %d", off, end)
	}
	return fmt.Sprintf("%d leaves a hole: must be %d", off, want)
}

// tensor reads one entry of the table; Offset is left relative to the data, negative if it exceeds int64.
func (s *source) tensor() (t Tensor, err error) {
	off := s.off
	if t.Name, err = s.str(MaxNameLength); err != nil {
		return t, err
	}
	switch {
	case t.Name == "":
		return t, s.failAt(off, "name is empty")
	case !utf8.ValidString(t.Name):
		return t, s.failAt(off, "name %.100q is no valid UTF-8", t.Name)
	case strings.ContainsFunc(t.Name, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return t, s.failAt(off, "name %.100q holds control characters", t.Name)
	}
	s.field = fmt.Sprintf("tensor %.100q", t.Name)
	off = s.off
	rank, err := s.u32()
	if err != nil {
		return t, err
	}
	if rank < 1 || rank > MaxDims {
		return t, s.failAt(off, "has %d dimensions, must be 1..%d", rank, MaxDims)
	}
	off = s.off
	t.Dims = make([]int64, rank)
	for i := range t.Dims {
		d, err := s.u64()
		if err != nil {
			return t, err
		}
		t.Dims[i] = int64(d) // beyond 63 bits it turns negative, which Bytes refuses
	}
	number, err := s.u32()
	if err != nil {
		return t, err
	}
	t.Type = Type(number)
	if t.Size, err = t.Type.Bytes(t.Dims); err != nil {
		return t, s.failAt(off, "%v", err)
	}
	at, err := s.u64()
	t.Offset = int64(at)
	return t, err
}
