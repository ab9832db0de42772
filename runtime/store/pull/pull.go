// Package pull brings models from a hub into the store: which files a model needs, the parts they come in, what is done
// when something goes wrong on the way. It imports runtime/store and runtime/store/hub, and prints nothing.
package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"aquifer/runtime/store"
	"aquifer/runtime/store/hub"
)

// Options say how a pull is done. Zero values stand for the defaults.
type Options struct {
	Connections int   // files or parts that come at the same time; 8
	Chunk       int64 // bytes of a part; 32 MiB
	Backoff     hub.Backoff

	Progress func(done, total int64) // in bytes; called from several goroutines, about once for each 128 KiB
	Tell     func(text string)       // what the user should know: why nothing seems to happen
}

// Puller pulls models from one hub into one store.
type Puller struct {
	Store *store.Store
	Hub   *hub.Client
	Options
}

// Request names a model.
type Request struct {
	Repo     store.Repo
	Revision string // a branch, tag or commit; empty for the main branch
	File     string // the GGUF file of a repository that has several; empty for the only one, or a checkpoint folder
}

// Space is kept free of what a model takes: 5 percent of it, at most 2 GiB.
const (
	spacePart = 20
	spaceMost = 2 << 30
)

// SpaceError says that a model does not fit on the disk.
type SpaceError struct{ Need, Free int64 }

func (e *SpaceError) Error() string {
	return fmt.Sprintf("the disk has %.1f GB free, the pull needs %.1f GB", float64(e.Free)/1e9, float64(e.Need)/1e9)
}

// Pull brings a model into the store, as far as it is not there, and returns it. When ctx ends it keeps what was fetched;
// the next pull goes on from there. While it runs nobody removes the model.
func (p *Puller) Pull(ctx context.Context, req Request) (m store.Snapshot, err error) {
	use, err := p.Store.Use(ctx, req.Repo)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, use.Release()) }()
	if req.Revision == "" {
		req.Revision = store.MainRevision
	}
	j := p.newJob(req.Repo)
	var files []store.File
	if err := j.ask(ctx, func() (err error) { j.commit, err = p.Hub.Commit(ctx, req.Repo, req.Revision); return err }); err != nil {
		return m, err
	}
	if err := j.ask(ctx, func() (err error) { files, err = p.Hub.Tree(ctx, req.Repo, j.commit); return err }); err != nil {
		return m, err
	}
	if err := j.lookAround(); err != nil {
		return m, err
	}
	if files, err = j.choose(ctx, files, req.File); err != nil {
		return m, err
	}
	if err := j.fetchAll(ctx, files); err != nil {
		return m, err
	}
	err = p.Store.Publish(ctx, req.Repo, store.Manifest{
		Commit: j.commit, Revision: req.Revision, Source: p.Hub.Endpoint(), Files: j.published(files),
	})
	if err != nil {
		return m, err
	}
	return p.Store.Find(req.Repo, j.commit.String())
}

// job is one pull.
type job struct {
	*Puller
	repo   store.Repo
	commit store.Commit
	before []store.SnapshotFile // of the snapshot, if there is one already

	total int64
	done  atomic.Int64

	mu   sync.Mutex
	told time.Time
}

func (p *Puller) newJob(r store.Repo) *job {
	j := &job{Puller: &Puller{p.Store, p.Hub, p.Options}, repo: r}
	if j.Connections == 0 {
		j.Connections = 8
	}
	if j.Chunk == 0 {
		j.Chunk = 32 << 20
	}
	return j
}

// askTries is how often a question is asked that the user waits for.
const askTries = 5

// ask asks the hub something, again if it has to be.
func (j *job) ask(ctx context.Context, question func() error) error {
	b := j.backoff()
	b.Tries = askTries
	for {
		err := question()
		if err == nil {
			return nil
		}
		if err := b.Wait(ctx, err); err != nil {
			return err
		}
	}
}

// tellEvery keeps several connections that fail for one reason from saying it all at once.
const tellEvery = 3 * time.Second

func (j *job) backoff() *hub.Backoff {
	b := j.Backoff
	b.Tell = func(err error, wait time.Duration) {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.Tell != nil && time.Since(j.told) > tellEvery {
			j.told = time.Now()
			j.Tell(fmt.Sprintf("%v; trying again in %v", err, wait.Round(100*time.Millisecond)))
		}
	}
	return &b
}

// lookAround notes which files of the snapshot are there.
func (j *job) lookAround() error {
	m, err := j.Store.Find(j.repo, j.commit.String())
	if err == nil {
		j.before = m.Files
	}
	return ignoreMissing(err)
}

// there reports whether the snapshot has a file already, as a link or as a copy.
func (j *job) there(f store.File) bool {
	return slices.ContainsFunc(j.before, func(x store.SnapshotFile) bool {
		return x.Path == f.Path && x.Size == f.Size && x.Digest == f.Digest
	})
}

// published adds to the files of this pull those that earlier ones brought: another GGUF file of the same commit.
func (j *job) published(files []store.File) []store.File {
	files = slices.Clone(files)
	for _, x := range j.before {
		known := slices.ContainsFunc(files, func(f store.File) bool { return f.Path == x.Path })
		if !known && x.Size >= 0 && x.Digest != (store.Digest{}) && store.CheckPath(x.Path) == nil {
			files = append(files, store.File{Path: x.Path, Digest: x.Digest, Size: x.Size})
		}
	}
	return files
}

// fetchAll brings files into the store: the small ones at the same time, the large ones one by one, each over all
// connections.
func (j *job) fetchAll(ctx context.Context, files []store.File) error {
	files = slices.DeleteFunc(slices.Clone(files), j.there)
	if err := j.measure(files); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	slots := make(chan struct{}, j.Connections)
	for _, f := range files {
		if f.Size > j.Chunk {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := j.fetch(ctx, f); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	for _, f := range files {
		if ctx.Err() != nil {
			break
		}
		if f.Size > j.Chunk {
			if err := j.fetch(ctx, f); err != nil {
				cancel(err)
			}
		}
	}
	return context.Cause(ctx)
}

// measure adds up what is to be fetched and checks that the disk has room for it.
func (j *job) measure(files []store.File) error {
	var need int64
	j.total = 0
	j.done.Store(0)
	for _, f := range files {
		have, err := j.Store.Fetched(j.repo, f.Digest, f.Size)
		if err != nil {
			return err
		}
		j.total += f.Size
		need += f.Size - min(have, f.Size)
	}
	if need == 0 {
		return nil
	}
	free, err := j.Store.Free()
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	if need += min(need/spacePart, spaceMost); need > free {
		return &SpaceError{need, free}
	}
	return nil
}

// count says that n more bytes are there; less after something was dropped.
func (j *job) count(n int64) {
	if done := j.done.Add(n); j.Progress != nil && j.total > 0 {
		j.Progress(done, j.total)
	}
}
