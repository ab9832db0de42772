package prefixfile

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"aquifer/runtime/kv"
	"aquifer/runtime/vfs"
)

// TestEveryFault: whichever operation fails, an error says so, the old file or the new one is there, and the next time works.
func TestEveryFault(t *testing.T) {
	k, old, now := kindOf("a"), newCache("old", 3), newCache("new", 4)
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		save(t, New(mem, 1<<20), k, old)
		save(t, New(mem, 1<<20), kindOf("b"), old)
		count, failed := 0, vfs.Op{}
		f := New(vfs.WithFaults(mem, func(op vfs.Op) error {
			if count++; count == n+1 {
				failed = op
				return syscall.ENOSPC
			}
			return nil
		}), 2000) // the other file has to go
		r, err := f.Save(t.Context(), k, now.source())
		if count <= n {
			t.Logf("%d operations failed, one at a time", n)
			break
		}
		if err == nil || f.Totals().Failed != 1 {
			t.Errorf("operation %d, %+v, failed and nobody noticed", n, failed)
		}
		checkEither(t, mem, k, old, now, r.Blocks > 0)
		save(t, New(mem, 1<<20), k, now)
		checkEither(t, mem, k, old, now, true)
		if _, err := mem.Lstat(temporaryName); err == nil {
			t.Errorf("operation %d, %+v: a temporary file is left", n, failed)
		}
	}
}

// checkEither wants one of two files, whole; isNew says that it must be the second.
func checkEither(t *testing.T, mem *vfs.Mem, k Kind, old, now *cache, isNew bool) {
	t.Helper()
	var all []kv.Content
	r, err := New(mem, 1<<20).Restore(t.Context(), k, func(c kv.Content, data []byte) (bool, error) {
		for _, cache := range []*cache{old, now} {
			if i := slices.Index(cache.contents, c); i >= 0 && !bytes.Equal(data, cache.data[i]) {
				t.Errorf("block %d has the wrong bytes", i)
			}
		}
		all = append(all, c)
		return true, nil
	})
	if err != nil || r.Damaged > 0 || !slices.Equal(all, now.contents) && (isNew || !slices.Equal(all, old.contents)) {
		t.Errorf("%d contents that are neither file, %+v, %v", len(all), r, err)
	}
}

// TestPowerLoss: at whichever operation the power fails, the old file or the new one is there; behind the end, the new one.
func TestPowerLoss(t *testing.T) {
	k, old, now := kindOf("a"), newCache("old", 3), newCache("new", 4)
	rng := rand.New(rand.NewPCG(8, 1))
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		save(t, New(mem, 1<<20), k, old)
		count := 0
		var after []*vfs.Mem
		f := New(vfs.WithFaults(mem, func(op vfs.Op) error {
			if count++; count == n+1 {
				for range 8 {
					after = append(after, mem.Crash(rng))
				}
				after = append(after, mem.Crash(nil))
			}
			return nil
		}), 1<<20)
		if _, err := f.Save(t.Context(), k, now.source()); err != nil {
			t.Fatal(err)
		}
		if count <= n {
			break
		}
		for _, left := range after {
			checkEither(t, left, k, old, now, false)
			save(t, New(left, 1<<20), k, now)
			checkEither(t, left, k, old, now, true)
		}
		checkEither(t, mem.Crash(nil), k, old, now, true)
	}
}

// FuzzRestore: whatever a file holds, what is restored of it has its checksum, it can be replaced, and nothing else happens.
func FuzzRestore(f *testing.F) {
	mem := vfs.NewMem()
	k := kindOf("a")
	save(f, New(mem, 1<<20), k, newCache("a", 2))
	whole := file(f, mem, k)
	f.Add(whole)
	f.Add(whole[:700])
	f.Add(whole[headerBytes:])
	f.Fuzz(func(t *testing.T, data []byte) {
		mem := vfs.NewMem()
		put(t, mem, k, data)
		r, err := New(mem, 1<<20).Restore(t.Context(), k, func(c kv.Content, got []byte) (bool, error) {
			entry := slices.Concat(c.Hash[:], c.Before[:], make([]byte, 8), got)
			putEntry(entry, c, data[504:headerBytes])
			if len(got) != block || !bytes.Contains(data[headerBytes:], entry) {
				t.Errorf("restored %x, which is not in the file", got)
			}
			return true, nil
		})
		if r.Blocks+r.Damaged > r.Of || r.Blocks > 0 && len(data) < headerBytes+r.Blocks*(entryBytes+block) || err == nil && len(data) < headerBytes {
			t.Errorf("%+v, %v of %d bytes", r, err, len(data))
		}
		if list, err := New(mem, 1<<20).List(); err != nil || len(list) != 1 || len(list[0].Note) > 3*MaxNote {
			t.Errorf("%+v, %v", list, err)
		}
		// It is replaced like any other file, and what is carried over was fit to be restored.
		one := newCache("new", 1)
		save(t, New(mem, 1<<20), k, one)
		n := 0
		again, err := New(mem, 1<<20).Restore(t.Context(), k, func(c kv.Content, _ []byte) (bool, error) {
			if n++; n == 1 && c != one.contents[0] {
				t.Error("the new block is not the first one")
			}
			return true, nil
		})
		if err != nil || again.Damaged > 0 || n == 0 || n > max(r.Of, 1) || n-1 > r.Blocks {
			t.Errorf("after saving: %+v, %v; before: %+v", again, err, r)
		}
	})
}
