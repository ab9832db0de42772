package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"aquifer/runtime/vfs"
)

const commitA, commitB = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

func try(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func repo(t testing.TB, id string) Repo {
	t.Helper()
	r, err := ParseRepo(id)
	try(t, err)
	return r
}

func commit(t testing.TB, hex string) Commit {
	t.Helper()
	c, err := ParseCommit(hex)
	try(t, err)
	return c
}

// onMem opens a store in memory, onDisk one in a folder.
func onMem(t testing.TB, fsys vfs.FS) *Store {
	t.Helper()
	s, err := Open(Config{Hub: "/hub", HubFS: fsys, OwnFS: vfs.NewMem()}, true)
	try(t, err)
	return s
}

func onDisk(t testing.TB) *Store {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(Config{Hub: filepath.Join(dir, "hub"), Own: filepath.Join(dir, "own")}, true)
	try(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// sha256Of and gitOf are the digests of a content as the hub has them.
func sha256Of(data []byte) Digest {
	h := Digest{strings.Repeat("0", 64)}.Hash(int64(len(data)))
	h.Write(data)
	return DigestOf(h)
}

func gitOf(data []byte) Digest {
	h := Digest{strings.Repeat("0", 40)}.Hash(int64(len(data)))
	h.Write(data)
	return DigestOf(h)
}

func finish(t testing.TB, p *Partial) {
	t.Helper()
	if got, err := p.Finish(context.Background()); err != nil || got != p.digest {
		t.Fatalf("%s, %v", got, err)
	}
}

// put fetches a file the way a pull does.
func put(t testing.TB, s *Store, r Repo, d Digest, data []byte) {
	t.Helper()
	p, err := s.Begin(context.Background(), r, d, int64(len(data)), nil)
	try(t, err)
	if p == nil {
		return
	}
	for _, gap := range p.Missing() {
		w := p.Writer(gap.Off)
		_, err := w.Write(data[gap.Off:gap.End])
		try(t, err)
		try(t, w.Flush())
	}
	finish(t, p)
}

// publish makes a snapshot of the contents.
func publish(t testing.TB, s *Store, r Repo, c, revision string, contents map[string]string) Manifest {
	t.Helper()
	m := Manifest{Commit: commit(t, c), Revision: revision, Source: "https://hub.test"}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range contents {
			if !yield(name) {
				return
			}
		}
	}) {
		data := []byte(contents[name])
		d := gitOf(data)
		if strings.HasSuffix(name, ".safetensors") {
			d = sha256Of(data)
		}
		put(t, s, r, d, data)
		m.Files = append(m.Files, File{name, d, int64(len(data))})
	}
	try(t, s.Publish(context.Background(), r, m))
	return m
}

var tiny = map[string]string{"config.json": "{}", "model.safetensors": "weights", "sub/dir/file.txt": "deep"}

func TestPublishAndFind(t *testing.T) {
	for name, s := range map[string]*Store{"mem": onMem(t, vfs.NewMem()), "disk": onDisk(t)} {
		t.Run(name, func(t *testing.T) {
			r := repo(t, "org/model")
			if _, err := s.Find(r, ""); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("an empty store: %v", err)
			}
			publish(t, s, r, commitA, "main", tiny)
			publish(t, s, r, commitB, "refs/pr/1", map[string]string{"config.json": `{"b":1}`, "model.safetensors": "weights"})
			for revision, want := range map[string]string{"": commitA, "main": commitA, commitA: commitA, "refs/pr/1": commitB, commitB: commitB} {
				m, err := s.Find(r, revision)
				if err != nil || m.Commit.String() != want || m.Broken != "" || !m.Pulled || m.Source != "https://hub.test" {
					t.Errorf("%q: %+v, %v", revision, m, err)
				}
			}
			for _, revision := range []string{"dev", strings.Repeat("c", 40), "../main"} {
				if _, err := s.Find(r, revision); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: %v", revision, err)
				}
			}
			m, err := s.Find(r, "")
			try(t, err)
			if m.Bytes != 13 || len(m.Files) != 3 || !slices.Equal(m.Revisions, []string{"main"}) || !m.Holds("sub/dir/file.txt") {
				t.Errorf("%+v", m)
			}
			text, err := vfs.ReadFile(s.hub, filePath(r, m.Commit, "sub/dir/file.txt"), 100)
			if err != nil || string(text) != "deep" {
				t.Errorf("%q, %v", text, err)
			}
			all, err := s.All()
			if err != nil || len(all) != 2 {
				t.Errorf("%d snapshots, %v", len(all), err)
			}
			if name == "disk" {
				text, err := os.ReadFile(filepath.Join(m.Path, "model.safetensors"))
				if err != nil || string(text) != "weights" {
					t.Errorf("by its path: %q, %v", text, err)
				}
			}
			// Publishing again changes nothing; one content of two snapshots is there once.
			publish(t, s, r, commitA, "main", tiny)
			blobs, err := vfs.ReadDir(s.hub, r.dir()+"/blobs")
			if err != nil || len(blobs) != 4 {
				t.Errorf("%d blobs, %v", len(blobs), err)
			}
		})
	}
}

// TestPublishNeedsContents: a revision never points at a snapshot that lacks a file.
func TestPublishNeedsContents(t *testing.T) {
	s, r := onMem(t, vfs.NewMem()), repo(t, "org/model")
	err := s.Publish(context.Background(), r, Manifest{
		Commit: commit(t, commitA), Revision: "main", Files: []File{{"config.json", gitOf([]byte("{}")), 2}},
	})
	if !errors.Is(err, ErrIncomplete) {
		t.Errorf("%v", err)
	}
	if _, err := s.Find(r, "main"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a revision without its files: %v", err)
	}
}

// TestWithoutLinks: where there are no symbolic links the files are copies, once.
func TestWithoutLinks(t *testing.T) {
	mem := vfs.NewMem()
	s := onMem(t, vfs.WithFaults(mem, func(op vfs.Op) error {
		if op.Kind == vfs.OpSymlink {
			return syscall.EPERM
		}
		return nil
	}))
	r := repo(t, "org/model")
	for range 2 {
		m := publish(t, s, r, commitA, "main", tiny)
		found, err := s.Find(r, "")
		if err != nil || found.Broken != "" || found.Bytes != 13 {
			t.Fatalf("%+v, %v", found, err)
		}
		for _, f := range m.Files {
			info, err := s.hub.Lstat(filePath(r, m.Commit, f.Path))
			if err != nil || !info.Mode().IsRegular() {
				t.Errorf("%s: %v, %v", f.Path, info, err)
			}
			if size, _ := s.size(blobPath(r, f.Digest)); size != -1 {
				t.Errorf("%s takes its space twice", f.Path)
			}
		}
		if damage, err := s.Verify(context.Background(), found, nil); err != nil || len(damage) > 0 {
			t.Errorf("%v, %v", damage, err)
		}
	}
}

func TestBroken(t *testing.T) {
	index := `{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}`
	for want, contents := range map[string]map[string]string{
		"":                                {"config.json": "{}", indexFile: index, "model-1.safetensors": "1", "model-2.safetensors": "2"},
		"model-2.safetensors is missing":  {"config.json": "{}", indexFile: index, "model-1.safetensors": "1"},
		"no safetensors weights":          {"config.json": "{}", "pytorch_model.bin": "x"},
		"no config.json and no GGUF file": {"model.safetensors": "x"},
		indexFile + " can't be read":      {"config.json": "{}", indexFile: "{"},
	} {
		s, r := onMem(t, vfs.NewMem()), repo(t, "org/model")
		m := publish(t, s, r, commitA, "main", contents)
		try(t, s.hub.Remove(manifestPath(r, m.Commit))) // as another tool leaves it
		found, err := s.Find(r, "")
		if err != nil || found.Broken != want || found.Pulled {
			t.Errorf("%q: %q, %v", want, found.Broken, err)
		}
	}
	s, r := onMem(t, vfs.NewMem()), repo(t, "org/model")
	m := publish(t, s, r, commitA, "main", map[string]string{"a/x.gguf": "GGUF", "LICENSE": "free"})
	if found, err := s.Find(r, ""); err != nil || found.Broken != "" || !slices.Equal(found.GGUF(), []string{"a/x.gguf"}) {
		t.Errorf("%+v, %v", found, err)
	}
	try(t, s.hub.Remove(blobPath(r, m.Files[0].Digest)))
	if found, err := s.Find(r, ""); err != nil || found.Broken != "LICENSE is missing" {
		t.Errorf("%q, %v", found.Broken, err)
	}
}

// TestFindWithoutMain: where there is no main branch a whole snapshot is better than a newer broken one.
func TestFindWithoutMain(t *testing.T) {
	s, r := onMem(t, vfs.NewMem()), repo(t, "org/model")
	publish(t, s, r, commitA, "v1", tiny)
	publish(t, s, r, commitB, "v2", map[string]string{"README.md": "x"})
	for range 2 {
		if m, err := s.Find(r, ""); err != nil || m.Commit.String() != commitA || m.Broken != "" {
			t.Errorf("%+v, %v", m, err)
		}
		publish(t, s, r, commitA, "v1", tiny)
	}
	one, err := s.Find(r, "v1")
	try(t, err)
	_, err = s.RemoveSnapshot(one)
	try(t, err)
	if m, err := s.Find(r, ""); err != nil || m.Commit.String() != commitB || m.Broken == "" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestVerify(t *testing.T) {
	s, r := onDisk(t), repo(t, "org/model")
	m := publish(t, s, r, commitA, "main", tiny)
	found, err := s.Find(r, "")
	try(t, err)
	var read int64
	check := func() (bad []string) {
		t.Helper()
		damage, err := s.Verify(context.Background(), found, func(n int64) { read += n })
		try(t, err)
		for _, d := range damage {
			bad = append(bad, fmt.Sprint(d.File.Path, " ", d.Why, " ", d.Lost))
		}
		return bad
	}
	if bad := check(); bad != nil || read != 13 {
		t.Errorf("%v after %d bytes", bad, read)
	}
	weights := filepath.Join(found.Path, "model.safetensors")
	try(t, os.WriteFile(weights, []byte("weightz"), 0o644))
	try(t, os.Remove(filepath.Join(s.Dir(), blobPath(r, m.Files[0].Digest))))
	try(t, os.WriteFile(filepath.Join(found.Path, "own.txt"), []byte("x"), 0o644))
	found, err = s.Find(r, "")
	try(t, err)
	want := []string{
		"config.json its content is missing true", "model.safetensors its content has changed true",
		"own.txt nothing says what its content should be false",
	}
	if bad := check(); !slices.Equal(bad, want) {
		t.Errorf("%q", bad)
	}
	damage, err := s.Verify(context.Background(), found, nil)
	try(t, err)
	use, err := s.Use(context.Background(), r)
	try(t, err)
	if err := s.Discard(found, damage); !errors.Is(err, ErrInUse) {
		t.Errorf("discarded while in use: %v", err)
	}
	try(t, use.Release())
	try(t, s.Discard(found, damage))
	publish(t, s, r, commitA, "main", tiny)
	found, err = s.Find(r, "")
	try(t, err)
	if bad := check(); !slices.Equal(bad, want[2:]) {
		t.Errorf("after pulling again: %q", bad)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Verify(ctx, found, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRemove(t *testing.T) {
	s, r, other := onDisk(t), repo(t, "org/model"), repo(t, "org/other")
	publish(t, s, r, commitA, "main", tiny)
	publish(t, s, r, commitB, "dev", map[string]string{"config.json": `{"b": 1}`, "model.safetensors": "weights"})
	publish(t, s, other, commitA, "main", tiny)
	use, err := s.Use(context.Background(), r)
	try(t, err)
	if _, err := s.Remove(r); !errors.Is(err, ErrInUse) {
		t.Errorf("removed while in use: %v", err)
	}
	try(t, use.Release())
	dev, err := s.Find(r, "dev")
	try(t, err)
	freed, err := s.RemoveSnapshot(dev)
	if err != nil || freed != 8 {
		t.Errorf("%d bytes, %v", freed, err)
	}
	if _, err := s.Find(r, "dev"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	if m, err := s.Find(r, ""); err != nil || m.Broken != "" {
		t.Errorf("the other commit: %+v, %v", m, err)
	}
	freed, err = s.Remove(r)
	if err != nil || freed != 13 {
		t.Errorf("%d bytes, %v", freed, err)
	}
	if _, err := s.Remove(r); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
	if m, err := s.Find(other, ""); err != nil || m.Broken != "" {
		t.Errorf("the other model: %+v, %v", m, err)
	}
	if there, err := s.exists(r.dir()); err != nil || there {
		t.Errorf("left: %v, %v", there, err)
	}
}

func TestPrune(t *testing.T) {
	s, r, busy := onDisk(t), repo(t, "org/model"), repo(t, "org/busy")
	publish(t, s, r, commitA, "main", tiny)
	put(t, s, r, sha256Of([]byte("orphan")), []byte("orphan"))
	big := bytes.Repeat([]byte("x"), 100)
	p, err := s.Begin(context.Background(), r, sha256Of(big), 100, nil)
	try(t, err)
	w := p.Writer(0)
	_, err = w.Write(big[:40])
	try(t, errors.Join(err, w.Flush(), p.Close()))
	blobs := filepath.Join(s.Dir(), r.dir(), "blobs")
	theirs := filepath.Join(blobs, strings.Repeat("d", 64)+".12345678.incomplete")
	fresh := filepath.Join(blobs, strings.Repeat("e", 64)+".incomplete")
	held := filepath.Join(blobs, strings.Repeat("f", 64))
	for _, name := range []string{theirs, fresh, held, filepath.Join(blobs, "README")} {
		try(t, os.WriteFile(name, []byte("12345"), 0o644))
	}
	old := time.Now().Add(-2 * othersAge)
	try(t, os.Chtimes(theirs, old, old))
	fetching, err := tryLock(s.hub, blobLockPath(r, Digest{strings.Repeat("f", 64)}), true)
	try(t, err)
	temp := filepath.Join(s.Dir(), r.dir(), "refs", ".main"+temporarySuffix)
	try(t, os.WriteFile(temp, []byte("1"), 0o644))
	put(t, s, busy, sha256Of(big), big)
	use, err := s.Use(context.Background(), busy)
	try(t, err)

	for _, dry := range []bool{true, false} {
		got, err := s.Prune(dry)
		try(t, err)
		if len(got.Files) != 5 || got.Bytes < 6+40+5+1 || !slices.Equal(got.Passed, []Repo{busy}) {
			t.Errorf("dry %v: %+v", dry, got)
		}
		for _, name := range []string{theirs, temp} {
			if _, err := os.Lstat(name); (err == nil) != dry {
				t.Errorf("dry %v: %s: %v", dry, name, err)
			}
		}
	}
	for _, name := range []string{fresh, held, filepath.Join(blobs, "README")} {
		if _, err := os.Lstat(name); err != nil {
			t.Errorf("pruned: %v", err)
		}
	}
	try(t, errors.Join(fetching.Release(), use.Release()))
	if got, err := s.Prune(false); err != nil || len(got.Files) != 2 || len(got.Passed) != 0 {
		t.Errorf("when nobody holds anything: %+v, %v", got, err)
	}
	if m, err := s.Find(r, ""); err != nil || m.Broken != "" {
		t.Errorf("the model: %+v, %v", m, err)
	}
}

func TestAliases(t *testing.T) {
	s := onDisk(t)
	for range 20 { // at once, as processes would
		go s.ChangeAliases(context.Background(), func(map[string]string) error { return nil })
	}
	for i := range 10 {
		try(t, s.ChangeAliases(context.Background(), func(m map[string]string) error {
			m[fmt.Sprint("a", i)] = "org/model"
			return nil
		}))
	}
	no := errors.New("no")
	if err := s.ChangeAliases(context.Background(), func(m map[string]string) error { clear(m); return no }); !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
	if m, err := s.Aliases(); err != nil || len(m) != 10 || m["a3"] != "org/model" {
		t.Errorf("%v, %v", m, err)
	}
	for name, ok := range map[string]bool{
		"mine": true, "my-model:8b": true, "a.b_c": true, "": false, "A": false, "a/b": false, "a:b:c": false, "-a": false,
		strings.Repeat("a", 65): false, "con": false, "a b": false, "a\n": false,
	} {
		if err := CheckAlias(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	try(t, os.WriteFile(filepath.Join(s.cfg.Own, aliasFile), []byte(`{"version": 2}`), 0o644))
	if _, err := s.Aliases(); err == nil {
		t.Error("a file of a newer program was understood")
	}
}

// TestEmptyStore: looking into a store that does not exist makes none.
func TestEmptyStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	s, err := Open(Config{Hub: filepath.Join(dir, "hub"), Own: filepath.Join(dir, "own")}, false)
	try(t, err)
	if all, err := s.All(); err != nil || all != nil {
		t.Errorf("%v, %v", all, err)
	}
	try(t, s.Close())
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestReadOnlyStore: a store that can't be written to serves models.
func TestReadOnlyStore(t *testing.T) {
	mem := vfs.NewMem()
	r := repo(t, "org/model")
	publish(t, onMem(t, mem), r, commitA, "main", tiny)
	s := onMem(t, vfs.WithFaults(mem, func(op vfs.Op) error {
		if op.Kind.Changes() {
			return syscall.EROFS
		}
		return nil
	}))
	use, err := s.Use(context.Background(), r)
	try(t, err)
	try(t, use.Release())
	m, err := s.Find(r, "")
	if err != nil || m.Broken != "" {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := s.Begin(context.Background(), r, gitOf([]byte("new")), 3, nil); !errors.Is(err, syscall.EROFS) {
		t.Errorf("%v", err)
	}
}

// TestPowerCut cuts the power before every operation of fetching, publishing, moving to another commit and removing:
// what is left is one of the states before or after, and the next run completes it.
func TestPowerCut(t *testing.T) {
	r := repo(t, "org/model")
	before := map[string]string{"config.json": "{}", "model.safetensors": strings.Repeat("old ", 500)}
	after := map[string]string{"config.json": `{"n":1}`, "model.safetensors": strings.Repeat("new ", 700)}
	wrong, clones := 0, 0
	check := func(left *vfs.Mem, cut int) {
		clones++
		s := onMem(t, left)
		m, err := s.Find(r, "main")
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			t.Fatalf("cut at %d: %v", cut, err)
		case m.Broken != "":
			t.Fatalf("cut at %d: half a model: %s", cut, m.Broken)
		default:
			damage, err := s.Verify(context.Background(), m, nil)
			if err != nil || len(damage) > 0 {
				wrong++
				t.Errorf("cut at %d: %v, %v", cut, damage, err)
			}
		}
		publish(t, s, r, commitB, "main", after)
		if m, err := s.Find(r, "main"); err != nil || m.Broken != "" || m.Commit.String() != commitB {
			t.Fatalf("cut at %d: the next pull: %+v, %v", cut, m, err)
		}
	}
	for cut := 0; ; cut++ {
		mem, changes := vfs.NewMem(), 0
		s := onMem(t, vfs.WithFaults(mem, func(op vfs.Op) error {
			if op.Kind.Changes() {
				if changes == cut {
					check(mem.Crash(nil), cut)
					for seed := range uint64(5) {
						check(mem.Crash(rand.New(rand.NewPCG(seed, uint64(cut)))), cut)
					}
				}
				changes++
			}
			return nil
		}))
		publish(t, s, r, commitA, "main", before)
		publish(t, s, r, commitB, "main", after)
		if m, err := onMem(t, mem.Crash(nil)).Find(r, "main"); err != nil || m.Broken != "" || m.Commit.String() != commitB {
			t.Fatalf("what was published is lost: %+v, %v", m, err)
		}
		_, err := s.Remove(r)
		try(t, err)
		if cut >= changes {
			if cut < 60 {
				t.Errorf("only %d operations were cut", cut)
			}
			break
		}
	}
	t.Logf("%d disks looked at, %d wrong", clones, wrong)
}

// TestEveryFault lets every operation fail once: the error comes back, and the next run completes the work without a
// restart.
func TestEveryFault(t *testing.T) {
	r := repo(t, "org/model")
	run := func(s *Store) error {
		for name, text := range tiny {
			data := []byte(text)
			d := gitOf(data)
			p, err := s.Begin(context.Background(), r, d, int64(len(data)), nil)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if p == nil {
				continue
			}
			for _, gap := range p.Missing() {
				w := p.Writer(gap.Off)
				_, err := w.Write(data[gap.Off:gap.End])
				if err := errors.Join(err, w.Flush()); err != nil {
					return errors.Join(err, p.Close())
				}
			}
			if _, err := p.Finish(context.Background()); err != nil {
				return err
			}
		}
		m := Manifest{Commit: commit(t, commitA), Revision: "main"}
		for name, text := range tiny {
			m.Files = append(m.Files, File{name, gitOf([]byte(text)), int64(len(text))})
		}
		return s.Publish(context.Background(), r, m)
	}
	for k := 0; ; k++ {
		n, failed := 0, vfs.Op{}
		s := onMem(t, vfs.WithFaults(vfs.NewMem(), func(op vfs.Op) error {
			if n++; n == k+1 {
				failed = op
				return syscall.ENOSPC
			}
			return nil
		}))
		err := run(s)
		if n <= k {
			t.Logf("%d operations failed, one at a time", k)
			break
		}
		// Where there are no links, by whatever reason, there are copies.
		if err == nil && failed.Kind != vfs.OpSymlink && failed.Kind != vfs.OpReadlink && failed.Kind != vfs.OpLstat {
			t.Errorf("operation %d, %+v, failed and nobody noticed", k, failed)
		}
		if err := run(s); err != nil {
			t.Errorf("after operation %d, %+v, failed: %v", k, failed, err)
		}
		if m, err := s.Find(r, ""); err != nil || m.Broken != "" {
			t.Errorf("after operation %d, %+v, failed: %+v, %v", k, failed, m, err)
		}
	}
}
