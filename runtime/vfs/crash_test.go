package vfs

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	m := NewMem()
	try(t, MkdirAll(m, "d"))
	f, err := m.Open("d/f", New)
	try(t, err)
	_, err = f.WriteAt([]byte("one"), 0)
	try(t, err)
	if left := names(t, m.Crash(nil), "d"); left != "" {
		t.Errorf("an unsynced name survives: %s", left)
	}
	try(t, SyncDir(m, "d"))
	if left := read(t, m.Crash(nil), "d/f"); left != "" {
		t.Errorf("unsynced data survive: %q", left)
	}
	try(t, f.Sync())
	_, err = f.WriteAt([]byte("two"), 0)
	try(t, err)
	if left := read(t, m.Crash(nil), "d/f"); left != "one" {
		t.Errorf("%q", left)
	}
	try(t, f.Sync())
	try(t, m.Rename("d/f", "d/g"))
	if left := m.Crash(nil); names(t, left, "d") != "f" || read(t, left, "d/f") != "two" {
		t.Errorf("an unsynced rename survives: %s", names(t, left, "d"))
	}
	try(t, SyncDir(m, "d"))
	left := m.Crash(nil)
	if names(t, left, "d") != "g" || read(t, left, "d/g") != "two" {
		t.Errorf("a synced rename is lost: %s", names(t, left, "d"))
	}
	// The copy is one of its own.
	write(t, left, "d/g", "new")
	try(t, m.Remove("d/g"))
	if read(t, left, "d/g") != "new" || names(t, m.Crash(nil), "d") != "g" {
		t.Error("the two disks share something, or an unsynced removal survives")
	}
}

// TestCrashAtRandom: every state between the synced one and the current one occurs, and no other.
func TestCrashAtRandom(t *testing.T) {
	m := NewMem()
	write(t, m, "f", strings.Repeat("a", 2*page))
	f, err := m.Open("f", Edit)
	try(t, err)
	try(t, f.Sync())
	try(t, SyncDir(m, "."))
	_, err = f.WriteAt([]byte(strings.Repeat("b", 2*page)), 0)
	try(t, err)
	try(t, m.Rename("f", "g"))
	try(t, m.Mkdir("d"))

	seen := map[string]int{}
	for seed := range uint64(200) {
		left := m.Crash(rand.New(rand.NewPCG(seed, 1)))
		list := names(t, left, ".")
		data := read(t, left, strings.Fields(list)[len(strings.Fields(list))-1])
		seen[fmt.Sprintf("%s %c%c", list, data[0], data[page])]++
		if len(data) != 2*page {
			t.Fatalf("%d bytes", len(data))
		}
	}
	for _, list := range []string{"f", "g", "d g"} {
		for _, data := range []string{"aa", "ab", "ba", "bb"} {
			if seen[list+" "+data] == 0 {
				t.Errorf("%s with %s never occurs: %v", list, data, seen)
			}
			delete(seen, list+" "+data)
		}
	}
	if len(seen) > 0 {
		t.Errorf("impossible states: %v", seen)
	}
	one := m.Crash(rand.New(rand.NewPCG(7, 7)))
	if two := m.Crash(rand.New(rand.NewPCG(7, 7))); names(t, one, ".") != names(t, two, ".") {
		t.Error("one seed, two disks")
	}
}

// TestWriteFileCrash cuts the power before every operation that changes something: the file has its old or its new
// content, and the new one once WriteFile has returned.
func TestWriteFileCrash(t *testing.T) {
	old, now := strings.Repeat("o", 3*page), strings.Repeat("n", 4*page)
	for cut := 0; ; cut++ {
		mem, changes := NewMem(), 0
		var left []*Mem
		fsys := WithFaults(mem, func(op Op) error {
			if op.Kind.Changes() {
				if changes == cut {
					left = append(left, mem.Crash(nil))
					for seed := range uint64(20) {
						left = append(left, mem.Crash(rand.New(rand.NewPCG(seed, uint64(cut)))))
					}
				}
				changes++
			}
			return nil
		})
		try(t, WriteFile(mem, "f", "tmp", []byte(old)))
		try(t, WriteFile(fsys, "f", "tmp", []byte(now)))
		if read(t, mem.Crash(nil), "f") != now {
			t.Fatal("the new content is lost after WriteFile has returned")
		}
		if cut == changes {
			if cut < 4 {
				t.Fatalf("only %d operations were cut", cut)
			}
			return
		}
		for _, m := range left {
			if got := read(t, m, "f"); got != old && got != now {
				t.Fatalf("cut at %d: neither the old nor the new content: %.20q", cut, got)
			}
		}
	}
}
