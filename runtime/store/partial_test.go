package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"aquifer/runtime/vfs"
)

func TestExtents(t *testing.T) {
	// Against a set of bytes.
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		const size = 60
		var x extents
		var set [size]bool
		for range 12 {
			off := r.Int64N(size)
			e := extent{off, off + r.Int64N(size-off+1)}
			x = x.add(e)
			for i := e.off; i < e.end; i++ {
				set[i] = true
			}
			gaps := x.missing(size)
			total, at := int64(0), int64(0)
			for i, e := range x {
				if e.off >= e.end || i > 0 && e.off <= x[i-1].end {
					t.Fatalf("seed %d: %v", seed, x)
				}
			}
			for i := range int64(size) {
				in := func(list extents) bool {
					for _, e := range list {
						if i >= e.off && i < e.end {
							return true
						}
					}
					return false
				}
				if in(x) != set[i] || in(gaps) == set[i] {
					t.Fatalf("seed %d: byte %d of %v, gaps %v", seed, i, x, gaps)
				}
				if set[i] {
					total++
				}
				if set[i] && at == i {
					at++
				}
			}
			if x.bytes() != total || x.prefix() != at {
				t.Fatalf("seed %d: %d bytes of %d, prefix %d of %d", seed, x.bytes(), total, x.prefix(), at)
			}
		}
	}
}

func random(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

// fill writes parts of a file in random order and stops after some of them.
func fill(p *Partial, data []byte, r *rand.Rand, parts int) error {
	for range parts {
		gaps := p.Missing()
		if len(gaps) == 0 {
			return nil
		}
		gap := gaps[r.IntN(len(gaps))]
		from, end := gap.Off, gap.End
		if r.IntN(2) == 0 {
			from += r.Int64N(gap.End - gap.Off)
		}
		if r.IntN(2) == 0 {
			end = from + r.Int64N(gap.End-from) + 1
		}
		w := p.Writer(from)
		_, err := w.Write(data[from:end])
		if err := errors.Join(err, w.Flush()); err != nil {
			return err
		}
	}
	return nil
}

// TestResume: whatever was written and noted is not missing the next time.
func TestResume(t *testing.T) {
	ctx, s, r := context.Background(), onDisk(t), repo(t, "org/model")
	data := random(3*recordEvery + 12345)
	d := sha256Of(data)
	rnd := rand.New(rand.NewPCG(1, 2))
	have := int64(0)
	for round := 0; ; round++ {
		p, err := s.Begin(ctx, r, d, int64(len(data)), nil)
		try(t, err)
		if n, err := s.Fetched(r, d, int64(len(data))); p.Have() != have || n != have || err != nil {
			t.Fatalf("round %d: %d bytes are there, %d by the journal, %d were written, %v", round, p.Have(), n, have, err)
		}
		try(t, fill(p, data, rnd, 3))
		if have = p.Have(); have == int64(len(data)) {
			finish(t, p)
			break
		}
		if round == 0 {
			// A file that is not complete gets no name.
			if _, err := p.Finish(ctx); err == nil {
				t.Fatal("an incomplete file was finished")
			}
			continue
		}
		try(t, p.Close())
	}
	got, err := vfs.ReadFile(s.hub, blobPath(r, d), 1<<30)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, name := range []string{partialPath(r, d), journalPath(r, d)} {
		if there, err := s.exists(name); err != nil || there {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	// Killed when it had its name, before the journal was removed.
	try(t, vfs.WriteFile(s.hub, journalPath(r, d), r.dir()+"/blobs/t", []byte("left")))
	if p, err := s.Begin(ctx, r, d, int64(len(data)), nil); p != nil || err != nil {
		t.Errorf("a file that is there is fetched again: %v", err)
	}
	if there, err := s.exists(journalPath(r, d)); err != nil || there {
		t.Errorf("the journal is left: %v", err)
	}
}

func TestWrongContent(t *testing.T) {
	ctx, s, r := context.Background(), onMem(t, vfs.NewMem()), repo(t, "org/model")
	for _, d := range []Digest{sha256Of([]byte("right")), gitOf([]byte("right"))} {
		p, err := s.Begin(ctx, r, d, 5, nil)
		try(t, err)
		w := p.Writer(0)
		if _, err := w.Write([]byte("wrong!")); !errors.Is(err, errTooLong) {
			t.Errorf("more bytes than the file has: %v", err)
		}
		_, err = w.Write([]byte("wrong"))
		try(t, errors.Join(err, w.Flush()))
		var hash *HashError
		if _, err := p.Finish(ctx); !errors.As(err, &hash) || hash.Want != d {
			t.Errorf("%v", err)
		}
		for _, name := range []string{blobPath(r, d), partialPath(r, d), journalPath(r, d)} {
			if _, err := s.hub.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is left: %v", name, err)
			}
		}
		put(t, s, r, d, []byte("right"))
	}
}

// TestUnknownContent: a file whose digest nobody said is named by what it turns out to be, and resumed by its key.
func TestUnknownContent(t *testing.T) {
	ctx, s, r := context.Background(), onMem(t, vfs.NewMem()), repo(t, "org/model")
	data, key := random(1000), sha256Of([]byte("an address and a version"))
	for _, gap := range []Range{{0, 300}, {300, 1000}} {
		p, err := s.BeginAny(ctx, r, key, 1000, nil)
		try(t, err)
		if p.Have() != gap.Off {
			t.Errorf("%d bytes are there", p.Have())
		}
		w := p.Writer(gap.Off)
		_, err = w.Write(data[gap.Off:gap.End])
		try(t, errors.Join(err, w.Flush()))
		if gap.End < 1000 {
			try(t, p.Close())
			continue
		}
		if got, err := p.Finish(ctx); err != nil || got != sha256Of(data) {
			t.Errorf("%s, %v", got, err)
		}
	}
	if n, err := s.Fetched(r, sha256Of(data), 1000); n != 1000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if entries, err := vfs.ReadDir(s.hub, r.dir()+"/blobs"); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestBadJournal: a journal that lies, or is torn, costs a fetch and never a wrong file.
func TestBadJournal(t *testing.T) {
	ctx, r := context.Background(), repo(t, "org/model")
	data := random(1000)
	d := sha256Of(data)
	head := journalHead(d, 1000)
	for name, test := range map[string]struct {
		journal string
		have    int64
	}{
		"empty":                {"", 0},
		"of another file":      {journalHead(gitOf(nil), 1000) + "part 0 10 00000000\n", 0},
		"of another size":      {journalHead(d, 999) + "part 0 10 00000000\n", 0},
		"wrong sum":            {head + "part 0 100 00000000\n", 0},
		"beyond the end":       {head + "part 990 11 00000000\n", 0},
		"overflow":             {head + "part 9223372036854775807 9223372036854775807 00000000\n", 0},
		"negative":             {head + "part -5 10 00000000\n", 0},
		"garbage":              {head + "\x00\x00\x00\x00", 0},
		"torn behind a line":   {head + "GOOD" + "part 500 4", 100},
		"garbage after a line": {head + "GOOD" + "xxxx\n" + "part 200 1 00000000\n", 100},
		"spaces":               {head + "GOOD" + " part  0 5 00000000\n", 100},
	} {
		s := onMem(t, vfs.NewMem())
		p, err := s.Begin(ctx, r, d, 1000, nil)
		try(t, err)
		w := p.Writer(0)
		_, err = w.Write(data[:100])
		try(t, errors.Join(err, w.Flush(), p.Close()))
		text, err := vfs.ReadFile(s.hub, journalPath(r, d), 1<<20)
		try(t, err)
		good := bytes.TrimPrefix(text, []byte(head))
		try(t, s.hub.Remove(journalPath(r, d)))
		try(t, vfs.WriteFile(s.hub, journalPath(r, d), r.dir()+"/blobs/t", bytes.ReplaceAll([]byte(test.journal), []byte("GOOD"), good)))
		p, err = s.Begin(ctx, r, d, 1000, nil)
		try(t, err)
		if p.Have() != test.have {
			t.Errorf("%s: %d bytes are believed in, want %d", name, p.Have(), test.have)
		}
		try(t, p.Close())
		put(t, s, r, d, data)
		if got, err := vfs.ReadFile(s.hub, blobPath(r, d), 2000); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: wrong content, %v", name, err)
		}
	}
}

// TestResumeAfterPowerCut loses at random what was not synced of a half-fetched file, again and again: the bytes that
// are believed in afterwards are right.
func TestResumeAfterPowerCut(t *testing.T) {
	ctx, r := context.Background(), repo(t, "org/model")
	data := random(50_000)
	d := sha256Of(data)
	kept := int64(0)
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		mem := vfs.NewMem()
		for range 4 {
			s := onMem(t, mem)
			p, err := s.Begin(ctx, r, d, int64(len(data)), nil)
			try(t, err)
			if p == nil {
				break
			}
			kept += p.Have()
			got := make([]byte, len(data))
			p.ReadAt(got, 0)
			for _, e := range p.have {
				if !bytes.Equal(got[e.off:e.end], data[e.off:e.end]) {
					t.Fatalf("seed %d: wrong bytes are believed in", seed)
				}
			}
			try(t, fill(p, data, rnd, 4))
			try(t, p.file.Sync())
			try(t, fill(p, data, rnd, 4))
			next := mem.Crash(rnd)
			try(t, p.Close())
			mem = next
		}
		s := onMem(t, mem)
		put(t, s, r, d, data)
	}
	if kept == 0 {
		t.Error("nothing ever survived: the test shows nothing")
	}
}

// TestTwoFetchers: the second one waits, and finds the file there.
func TestTwoFetchers(t *testing.T) {
	ctx, s, r := context.Background(), onDisk(t), repo(t, "org/model")
	data := random(1000)
	d := sha256Of(data)
	p, err := s.Begin(ctx, r, d, 1000, nil)
	try(t, err)
	short, cancel := context.WithTimeout(ctx, 2*lockPoll)
	defer cancel()
	if _, err := s.Begin(short, r, d, 1000, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	waits := make(chan bool, 1)
	var second *Partial
	var wg sync.WaitGroup
	wg.Go(func() { second, err = s.Begin(ctx, r, d, 1000, func() { waits <- true }) })
	select {
	case <-waits:
	case <-time.After(10 * time.Second):
		t.Fatal("the second does not say that it waits")
	}
	w := p.Writer(0)
	_, writeErr := w.Write(data)
	try(t, errors.Join(writeErr, w.Flush()))
	finish(t, p)
	wg.Wait()
	if second != nil || err != nil {
		t.Errorf("%v, %v", second, err)
	}
}

// TestFinishCancelled: what was fetched stays.
func TestFinishCancelled(t *testing.T) {
	s, r := onMem(t, vfs.NewMem()), repo(t, "org/model")
	data := random(1000)
	d := sha256Of(data)
	slow := make(chan struct{})
	s.hub = vfs.WithFaults(s.hub, func(op vfs.Op) error {
		if op.Kind == vfs.OpRead && op.Name == partialPath(r, d) {
			<-slow
		}
		return nil
	})
	p, err := s.Begin(context.Background(), r, d, 1000, nil)
	try(t, err)
	w := p.Writer(0)
	_, err = w.Write(data)
	try(t, errors.Join(err, w.Flush()))
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	time.AfterFunc(40*time.Millisecond, func() { close(slow) })
	if _, err := p.Finish(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	p, err = s.Begin(context.Background(), r, d, 1000, nil)
	try(t, err)
	if p.Have() != 1000 {
		t.Errorf("%d bytes are left", p.Have())
	}
	finish(t, p)
}

func TestParse(t *testing.T) {
	long := fmt.Sprintf("%0200d", 0)
	for id, ok := range map[string]bool{
		"org/name": true, "gpt2": true, "ISTA-DASLab/Llama-2-7b-AQLM-2Bit-1x16-hf": true, "a/b.c": true, "a/_b": true,
		"": false, "/": false, "a/": false, "/a": false, "a/b/c": false, "../a": false, "a/..": false, "a--b/c": false, "a/.b": false,
		"a/b.": false, "-a/b": false, "a b/c": false, "a/b\n": false, "a/b\x00": false, `a\b`: false, "a/CON": false, "nul.x/b": false,
		"ä/b": false, long: false, "a:b": false, "a/b..c": false, "com1/x": false, "COMX/x": true,
	} {
		if r, err := ParseRepo(id); (err == nil) != ok || ok && r.String() != id {
			t.Errorf("repo %q: %v", id, err)
		} else if ok {
			if back, ok := repoOfDir(r.dir()); !ok || back != r {
				t.Errorf("repo %q: %q is read as %v", id, r.dir(), back)
			}
		}
	}
	for _, dir := range []string{"datasets--a--b", "models--", "models--a--b--c", "models--..--x", "blobs", ".locks", "models---a--b"} {
		if r, ok := repoOfDir(dir); ok {
			t.Errorf("folder %s is read as %s", dir, r)
		}
	}
	for rev, ok := range map[string]bool{
		"main": true, "refs/pr/1": true, "v1.0": true, commitA: true, "feature+x": true, "": false, "..": false, "a/../b": false,
		"/main": false, "main/": false, "a//b": false, ".hidden": false, "a/.b": false, "a b": false, "a\x00": false, "a\\b": false,
		"nul": false, "x.": false, long + "1": false, "a?b": false, "a#b": false,
	} {
		if err := CheckRevision(rev); (err == nil) != ok {
			t.Errorf("revision %q: %v", rev, err)
		}
	}
	for name, ok := range map[string]bool{
		"config.json": true, "a/b/c.txt": true, "model-00001-of-00002.safetensors": true, "with space.txt": true,
		"": false, ".": false, "..": false, "../x": false, "a/../../x": false, "/etc/passwd": false, "a//b": false, "a/": false, "./a": false,
		".gitattributes": false, "a/.git/x": false, `a\b`: false, "C:/x": false, "a\nb": false, "a\x00b": false, "nul": false, "x/CON.txt": false,
		"a.": false, "a ": false, "ä": false, "a*": false, "1/2/3/4/5/6/7": false, long + long + long: false, "lpt1.json": false,
	} {
		if err := CheckPath(name); (err == nil) != ok {
			t.Errorf("path %q: %v", name, err)
		}
	}
	for text, ok := range map[string]bool{
		commitA: true, commitA + "aaaaaaaaaaaaaaaaaaaaaaaa": true, "": false, commitA[1:]: false, commitA + "a": false,
		"A" + commitA[1:]: false, "g" + commitA[1:]: false, "sha256:" + commitA: false, "../" + commitA[3:]: false,
	} {
		if d, err := ParseDigest(text); (err == nil) != ok || ok && d.String() != text {
			t.Errorf("digest %q: %v", text, err)
		}
	}
	if d := gitOf([]byte("hello\n")); d.String() != "ce013625030ba8dba906f756967f9e9ca394464a" {
		t.Errorf("git's id of hello is not %s", d)
	}
}
