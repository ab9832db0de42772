package store

import (
	"bytes"
	"path"
	"strings"
	"testing"
)

// FuzzNames: what passes the checks stays inside its folder, on every system.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"org/name", "../x", "a/b/c.json", "refs/pr/1", "nul", `a\..\b`, "a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := Commit{commitA}
		check := func(name, under string) {
			if path.Clean(name) != name || !strings.HasPrefix(name, under+"/") || strings.ContainsAny(name, "\\\x00:\n") {
				t.Errorf("%q gives %q", s, name)
			}
		}
		r, err := ParseRepo(s)
		if err != nil {
			r = Repo{"org/name"}
		} else {
			check("x/"+r.dir(), "x")
			if strings.Contains(r.dir(), "/") {
				t.Errorf("%q gives folder %q", s, r.dir())
			}
		}
		if CheckPath(s) == nil {
			check(filePath(r, c, s), snapshotPath(r, c))
		}
		if CheckRevision(s) == nil {
			check(refPath(r, s), r.dir()+"/refs")
		}
		if d, err := ParseDigest(s); err == nil {
			check(blobPath(r, d), r.dir()+"/blobs")
		}
	})
}

// FuzzJournal: whatever a journal says, the parts that are believed in are inside the file and in order.
func FuzzJournal(f *testing.F) {
	data := bytes.Repeat([]byte("x"), 100)
	d := sha256Of(data)
	head := journalHead(d, 100)
	f.Add(head + journalLine(extent{0, 100}, 0))
	f.Add(head + "part 0 10 d4e2ab1f\npart 5 -1 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		have, end, err := readJournal(text, head, bytes.NewReader(data), 100)
		if err != nil || end < 0 || end > int64(len(text)) {
			t.Fatalf("%d, %v", end, err)
		}
		at := int64(-1)
		for _, e := range have {
			if e.off <= at || e.end <= e.off || e.end > 100 {
				t.Fatalf("%v", have)
			}
			at = e.end
		}
	})
}

// FuzzManifest: a record that is understood holds only names that may be used.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"version":1,"files":[{"path":"config.json","digest":"` + commitA + `","size":2}]}`))
	f.Add([]byte(`{"version":1,"files":[{"path":"../x","digest":"","size":-1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decodeManifest(text)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if CheckPath(file.Path) != nil || file.Size < 0 || file.Digest == (Digest{}) {
				t.Errorf("%+v", file)
			}
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest(again); err != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}
