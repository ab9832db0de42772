package pull

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aquifer/runtime/store"
	"aquifer/runtime/store/hub"
	"aquifer/runtime/store/hubtest"
)

func try(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const token = "hf_secret"

// weights is a file that begins as safetensors do.
func weights(n int, seed byte) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	header := `{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`
	binary.LittleEndian.PutUint64(data, uint64(len(header)))
	copy(data[8:], header)
	return data
}

const weightBytes = 300_000

func modelFiles() map[string][]byte {
	return map[string][]byte{
		"config.json": []byte(`{"model_type": "llama"}`), "tokenizer.json": []byte(`{"version": "1.0"}`),
		"model.safetensors": weights(weightBytes, 1), "README.md": []byte("---\nlicense: mit\n---\n"),
		"pytorch_model.bin": []byte("not wanted"), "onnx/model.onnx": []byte("nor this"), "vocab.json": []byte("{}"), "LICENSE": []byte("MIT"),
		".gitattributes": []byte("*.bin"), "extra.safetensors": weights(1000, 9),
	}
}

var wanted = []string{"LICENSE", "README.md", "config.json", "model.safetensors", "tokenizer.json"}

type bench struct {
	hub  *hubtest.Hub
	dir  string
	repo store.Repo
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{hub: hubtest.New(t), dir: t.TempDir()}
	b.hub.Add("org/model", "main", modelFiles())
	var err error
	b.repo, err = store.ParseRepo("org/model")
	try(t, err)
	return b
}

// options make a pull impatient, and its parts small.
func options() Options {
	return Options{Connections: 4, Chunk: 64 << 10, Backoff: hub.Backoff{First: time.Millisecond, Most: 5 * time.Millisecond, Tries: 4}}
}

func (b *bench) open(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(store.Config{Hub: filepath.Join(b.dir, "hub"), Own: filepath.Join(b.dir, "own")}, true)
	try(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func (b *bench) puller(t testing.TB, s *store.Store) *Puller {
	t.Helper()
	c, err := hub.New(hub.Config{
		Endpoint: b.hub.URL, Token: token, UserAgent: "aquifer-test", Stall: 150 * time.Millisecond, Timeout: 2 * time.Second,
	})
	try(t, err)
	t.Cleanup(c.Close)
	return &Puller{Store: s, Hub: c, Options: options()}
}

// check verifies that a model is there, whole, and what the hub has.
func (b *bench) check(t testing.TB, m store.Snapshot, files map[string][]byte, names []string) {
	t.Helper()
	var have []string
	for _, f := range m.Files {
		have = append(have, f.Path)
	}
	if slices.Sort(have); !slices.Equal(have, names) || m.Broken != "" {
		t.Errorf("the snapshot has %q (%s), want %q", have, m.Broken, names)
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(m.Path, filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(data, files[name]) {
			t.Errorf("%s: %d bytes, not the hub's %d: %v", name, len(data), len(files[name]), err)
		}
	}
	left, err := filepath.Glob(filepath.Join(b.dir, "hub", "*", "blobs", "*.*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// checkNothing verifies that after a failure nobody can take what is there for a model, and that every content that has
// a name is the one it is named after.
func (b *bench) checkNothing(t testing.TB, s *store.Store) {
	t.Helper()
	if m, err := s.Find(b.repo, ""); err == nil {
		t.Errorf("a failed pull left a model: %+v", m)
	}
	blobs, err := os.ReadDir(filepath.Join(b.dir, "hub", "models--org--model", "blobs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range blobs {
		if d, err := store.ParseDigest(e.Name()); err == nil {
			data, err := os.ReadFile(filepath.Join(b.dir, "hub", "models--org--model", "blobs", e.Name()))
			sum := d.Hash(int64(len(data)))
			sum.Write(data)
			if err != nil || store.DigestOf(sum) != d {
				t.Errorf("%s has another content: %v", e.Name(), err)
			}
		}
	}
}

func TestPull(t *testing.T) {
	b := newBench(t)
	s := b.open(t)
	p := b.puller(t, s)
	var mu sync.Mutex
	var last, total int64
	p.Progress = func(done, all int64) {
		mu.Lock()
		defer mu.Unlock()
		last, total = max(last, done), all
	}
	m, err := p.Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	b.check(t, m, modelFiles(), wanted)
	if last != total || total < weightBytes {
		t.Errorf("progress %d of %d", last, total)
	}
	if !slices.Equal(m.Revisions, []string{"main"}) || m.Source != b.hub.URL || !m.Pulled {
		t.Errorf("%+v", m)
	}
	parts := 0
	for _, call := range b.hub.Log() {
		if call.Server == hubtest.CDN {
			parts++
			if call.Auth != "" {
				t.Errorf("the token went to another server: %+v", call)
			}
		} else if call.Auth != "Bearer "+token {
			t.Errorf("a call without the token: %+v", call)
		}
		for _, no := range []string{"pytorch_model", "onnx", "vocab.json", "gitattributes", "extra"} {
			if strings.Contains(call.Path, no) {
				t.Errorf("fetched: %s", call.Path)
			}
		}
	}
	if parts < 4 {
		t.Errorf("%d parts of the weights were asked for", parts)
	}
	sent := b.hub.Sent()
	m, err = p.Pull(context.Background(), Request{Repo: b.repo, Revision: "main"})
	try(t, err)
	b.check(t, m, modelFiles(), wanted)
	if b.hub.Sent() != sent {
		t.Errorf("pulling again fetched %d bytes", b.hub.Sent()-sent)
	}

	// A new commit with the same weights costs what has changed.
	files := modelFiles()
	files["config.json"] = []byte(`{"model_type": "llama", "new": true}`)
	commit := b.hub.Add("org/model", "main", files)
	m, err = p.Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	b.check(t, m, files, wanted)
	if m.Commit.String() != commit || b.hub.Sent()-sent > 1000 {
		t.Errorf("commit %s, %d bytes", m.Commit, b.hub.Sent()-sent)
	}
	if old, err := s.Snapshots(b.repo); err != nil || len(old) != 2 {
		t.Errorf("%d commits are kept, %v", len(old), err)
	}
}

func TestSharded(t *testing.T) {
	b := newBench(t)
	files := map[string][]byte{
		"config.json": []byte("{}"), "a.safetensors": weights(100_000, 2), "b.safetensors": weights(70_000, 3), "stale.safetensors": weights(5000, 4),
		"model.safetensors.index.json": []byte(`{"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}}`),
	}
	commit := b.hub.Add("org/model", "dev", files)
	p := b.puller(t, b.open(t))
	m, err := p.Pull(context.Background(), Request{Repo: b.repo, Revision: "dev"})
	try(t, err)
	names := []string{"a.safetensors", "b.safetensors", "config.json", "model.safetensors.index.json"}
	b.check(t, m, files, names)
	m, err = p.Pull(context.Background(), Request{Repo: b.repo, Revision: commit})
	try(t, err)
	b.check(t, m, files, names)

	files["model.safetensors.index.json"] = []byte(`{"weight_map": {"x": "a.safetensors", "y": "gone.safetensors"}}`)
	b.hub.Add("org/model", "dev", files)
	var bad *WeightsError
	if _, err := p.Pull(context.Background(), Request{Repo: b.repo, Revision: "dev"}); !errors.As(err, &bad) || !strings.Contains(err.Error(), "gone.safetensors") {
		t.Errorf("%v", err)
	}
	for _, index := range []string{"{", `{"weight_map": {"x": "../../../etc/passwd"}}`, `{"weight_map": {}}`} {
		files["model.safetensors.index.json"] = []byte(index)
		b.hub.Add("org/model", "dev", files)
		if _, err := p.Pull(context.Background(), Request{Repo: b.repo, Revision: "dev"}); err == nil {
			t.Errorf("index %s was accepted", index)
		}
	}
}

func TestChoice(t *testing.T) {
	b := newBench(t)
	gguf := func(seed byte) []byte { return append([]byte("GGUF"), weights(80_000, seed)...) }
	files := map[string][]byte{"a-Q4.gguf": gguf(1), "sub/b-Q8.gguf": gguf(2), "README.md": []byte("x")}
	b.hub.Add("org/model", "main", files)
	p := b.puller(t, b.open(t))
	ctx := context.Background()
	var choice *ChoiceError
	if _, err := p.Pull(ctx, Request{Repo: b.repo}); !errors.As(err, &choice) || !strings.Contains(err.Error(), "org/model/a-Q4.gguf") {
		t.Errorf("%v", err)
	}
	if _, err := p.Pull(ctx, Request{Repo: b.repo, File: "c.gguf"}); !errors.As(err, &choice) || !strings.Contains(err.Error(), "sub/b-Q8.gguf") {
		t.Errorf("%v", err)
	}
	m, err := p.Pull(ctx, Request{Repo: b.repo, File: "sub/b-Q8.gguf"})
	try(t, err)
	b.check(t, m, files, []string{"README.md", "sub/b-Q8.gguf"})
	m, err = p.Pull(ctx, Request{Repo: b.repo, File: "a-Q4.gguf"})
	try(t, err)
	b.check(t, m, files, []string{"README.md", "a-Q4.gguf", "sub/b-Q8.gguf"})

	for want, files := range map[string]map[string][]byte{
		"PyTorch":            {"config.json": []byte("{}"), "pytorch_model.bin": []byte("x")},
		"no weights":         {"config.json": []byte("{}")},
		"holds no model":     {"README.md": []byte("x")},
		"AQLM.rs":            {"codes_120.safetensors": weights(100, 1)},
		"an adapter":         {"config.json": []byte("{}"), "adapter_model.safetensors": weights(100, 1)},
		"is over the limit ": {"config.json": make([]byte, maxSide+1), "model.safetensors": weights(100, 1)},
	} {
		b.hub.Add("org/model", "main", files)
		var bad *WeightsError
		if _, err := p.Pull(ctx, Request{Repo: b.repo}); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestSniff(t *testing.T) {
	header := func(n uint64) []byte { return append(binary.LittleEndian.AppendUint64(nil, n), "{}"...) }
	for _, test := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"m.safetensors", weights(100, 1), true},
		{"m.safetensors", nil, false},
		{"m.safetensors", []byte("PK\x03\x04 archive"), false},
		{"m.safetensors", header(2), true},
		{"m.safetensors", header(3), false},
		{"m.safetensors", header(1 << 63), false},
		{"m.safetensors", []byte("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."), false},
		{"m.gguf", []byte("GGUF\x03"), true},
		{"m.gguf", []byte("<html>"), false},
		{"m.gguf", []byte("GGU"), false},
		{"c.json", []byte(" \n{}"), true},
		{"c.json", []byte("\xef\xbb\xbf[]"), true},
		{"c.json", []byte("<html>"), false},
		{"c.json", nil, false},
		{"README.md", []byte("text"), true},
		{"README.md", nil, true},
		{"LICENSE", []byte("\x7fELF\x00"), false},
	} {
		err := sniff(test.name, bytes.NewReader(test.data), int64(len(test.data)))
		if (err == nil) != test.ok {
			t.Errorf("%s %q: %v", test.name, test.data, err)
		}
	}
}

// TestNoSpace: a model that does not fit is refused before a byte of it is fetched.
func TestNoSpace(t *testing.T) {
	b := newBench(t)
	free := int64(weightBytes)
	s, err := store.Open(store.Config{
		Hub: filepath.Join(b.dir, "hub"), Own: filepath.Join(b.dir, "own"), Free: func() (int64, error) { return free, nil },
	}, true)
	try(t, err)
	defer s.Close()
	p := b.puller(t, s)
	var space *SpaceError
	if _, err := p.Pull(context.Background(), Request{Repo: b.repo}); !errors.As(err, &space) || space.Free != free || space.Need < weightBytes {
		t.Errorf("%v", err)
	}
	if b.hub.Sent() != 0 {
		t.Errorf("%d bytes were fetched", b.hub.Sent())
	}
	free = 2 * weightBytes
	_, err = p.Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	// Nothing is to be fetched, so nothing is needed.
	free = 0
	_, err = p.Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
}

// asked adds up the parts of large files that the hub was asked for.
func (b *bench) asked(t testing.TB) (n int64) {
	t.Helper()
	for _, call := range b.hub.Log() {
		if call.Server != hubtest.CDN {
			continue
		}
		var from, to int64
		if call.Range == "" {
			to = weightBytes - 1
		} else if _, err := fmt.Sscanf(call.Range, "bytes=%d-%d", &from, &to); err != nil {
			t.Errorf("range %q: %v", call.Range, err)
		}
		n += to - from + 1
	}
	return n
}

// TestCancel keeps every byte that has come.
func TestCancel(t *testing.T) {
	b := newBench(t)
	b.hub.Fail(hubtest.On(hubtest.CDN, -1, hubtest.Slow(8<<10, 5*time.Millisecond)))
	p := b.puller(t, b.open(t))
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var come int64
	p.Progress = func(done, _ int64) {
		mu.Lock()
		defer mu.Unlock()
		if come = max(come, done); done > weightBytes/2 {
			cancel()
		}
	}
	start := time.Now()
	if _, err := p.Pull(ctx, Request{Repo: b.repo}); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v to end", took)
	}
	small := int64(0)
	for _, name := range wanted {
		if name != "model.safetensors" {
			small += int64(len(modelFiles()[name]))
		}
	}
	if kept := b.kept(t, p.Store, modelFiles()["model.safetensors"]); kept != come-small || kept == weightBytes {
		t.Errorf("%d bytes of %d were kept", kept, come-small)
	}
	b.hub.Reset()
	p.Progress = nil
	m, err := p.Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	b.check(t, m, modelFiles(), wanted)
}

// kept is how much of a file the store has.
func (b *bench) kept(t testing.TB, s *store.Store, data []byte) int64 {
	t.Helper()
	d, err := store.ParseDigest(hubtest.SHA256(data))
	try(t, err)
	n, err := s.Fetched(b.repo, d, int64(len(data)))
	try(t, err)
	return n
}

// TestTwoPulls: two processes pull one model at the same time; every content is fetched once.
func TestTwoPulls(t *testing.T) {
	b := newBench(t)
	b.hub.Fail(hubtest.On(hubtest.CDN, -1, hubtest.Slow(32<<10, time.Millisecond)))
	var wg sync.WaitGroup
	for range 3 {
		p := b.puller(t, b.open(t))
		wg.Go(func() {
			m, err := p.Pull(context.Background(), Request{Repo: b.repo})
			if err != nil {
				t.Error(err)
				return
			}
			b.check(t, m, modelFiles(), wanted)
		})
	}
	wg.Wait()
	if sent := b.hub.Sent(); sent > weightBytes+1000 {
		t.Errorf("%d bytes were sent for %d", sent, weightBytes)
	}
}

// TestPullBesideRemove: whoever comes first wins, and the other one says so or waits; the model is never half there.
func TestPullBesideRemove(t *testing.T) {
	b := newBench(t)
	b.hub.Fail(hubtest.On(hubtest.CDN, -1, hubtest.Slow(16<<10, 2*time.Millisecond)))
	s := b.open(t)
	p := b.puller(t, s)
	busy := 0
	var once sync.Once
	p.Progress = func(done, total int64) {
		once.Do(func() {
			if _, err := b.open(t).Remove(b.repo); errors.Is(err, store.ErrInUse) {
				busy++
			}
			if pruned, err := b.open(t).Prune(false); err != nil || !slices.Equal(pruned.Passed, []store.Repo{b.repo}) {
				t.Errorf("pruning beside a pull: %+v, %v", pruned, err)
			}
		})
	}
	m, err := p.Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	b.check(t, m, modelFiles(), wanted)
	if busy != 1 {
		t.Error("a model was removed while it was being pulled")
	}
	if _, err := s.Remove(b.repo); err != nil {
		t.Error(err)
	}
}

func TestGated(t *testing.T) {
	b := newBench(t)
	b.hub.Gate("org/model", "another token")
	p := b.puller(t, b.open(t))
	_, err := p.Pull(context.Background(), Request{Repo: b.repo})
	if text := p.Hub.Explain(err, b.repo); !strings.Contains(text, "accept terms") || !strings.Contains(text, b.hub.URL+"/org/model") {
		t.Errorf("%v; %s", err, text)
	}
	if n := len(b.hub.Log()); n != 1 {
		t.Errorf("a model that is not ours was asked for %d times", n)
	}
	b.hub.Gate("org/model", token)
	_, err = p.Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	for name, want := range map[string]string{"org/none": "no such model", "org/model@dev": "no such revision"} {
		id, revision, _ := strings.Cut(name, "@")
		r, err := store.ParseRepo(id)
		try(t, err)
		_, err = p.Pull(context.Background(), Request{Repo: r, Revision: revision})
		if text := p.Hub.Explain(err, r); err == nil || !strings.Contains(text+fmt.Sprint(err), want) && !strings.Contains(text, "not accepted") {
			t.Errorf("%s: %v; %s", name, err, text)
		}
	}
}

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	try(t, err)
	return u
}
