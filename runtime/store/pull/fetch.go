package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"aquifer/runtime/store"
	"aquifer/runtime/store/hub"
)

// way is how a file is asked for.
type way int

const (
	inParts way = iota
	anew        // in parts, of whatever version of the file there is now
	atOnce      // from a server that knows no parts
	ways
)

// fetch brings one file into the store, if it is not there.
func (j *job) fetch(ctx context.Context, f store.File) error {
	src := j.Hub.File(j.repo, j.commit, f)
	wrong := 0
	for how := inParts; ; {
		part, err := j.Store.Begin(ctx, j.repo, f.Digest, f.Size, j.waiting(f))
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		if part == nil {
			j.count(f.Size)
			return nil
		}
		t := &transfer{job: j, part: part, src: src, atOnce: how == atOnce}
		_, err = t.run(ctx, f.Path)
		var hash *store.HashError
		var content *ContentError
		switch {
		case err == nil:
			return nil
		case errors.Is(err, hub.ErrWhole) && how+1 < ways:
			how++
		case (errors.As(err, &hash) || errors.As(err, &content)) && wrong == 0:
			wrong++ // once may be bad luck, or what an earlier pull got
		default:
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		src.Restart()
	}
}

func (j *job) waiting(f store.File) func() {
	return func() {
		if j.Tell != nil {
			j.Tell(fmt.Sprintf("another program is fetching %s; waiting for it", f.Path))
		}
	}
}

// transfer is one attempt at a file.
type transfer struct {
	*job
	part   *store.Partial
	src    *hub.Source
	atOnce bool

	mu      sync.Mutex
	counted int64
	queue   []store.Range
}

// run fetches what is missing, looks at it, and finishes the file. What can't be continued is dropped.
func (t *transfer) run(ctx context.Context, name string) (store.Digest, error) {
	t.add(t.part.Have())
	err := t.parts(ctx)
	if err == nil {
		if err = sniff(name, t.part, t.src.Size); err != nil {
			t.add(-t.counted)
			return store.Digest{}, errors.Join(err, t.part.Drop())
		}
		d, err := t.part.Finish(ctx)
		if hash := (*store.HashError)(nil); errors.As(err, &hash) {
			t.add(-t.counted)
		}
		return d, err
	}
	if errors.Is(err, hub.ErrWhole) {
		t.add(-t.counted)
		return store.Digest{}, errors.Join(err, t.part.Drop())
	}
	return store.Digest{}, errors.Join(err, t.part.Close())
}

func (t *transfer) add(n int64) {
	t.mu.Lock()
	t.counted += n
	t.mu.Unlock()
	t.count(n)
}

// parts fetches what is missing over several connections.
func (t *transfer) parts(ctx context.Context) error {
	for _, gap := range t.part.Missing() {
		for gap.Off < gap.End {
			end := min(gap.End, gap.Off+t.Chunk)
			t.queue = append(t.queue, store.Range{Off: gap.Off, End: end})
			gap.Off = end
		}
	}
	if t.atOnce && len(t.queue) > 0 {
		t.queue = []store.Range{{Off: 0, End: t.src.Size}}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range min(t.Connections, len(t.queue)) {
		wg.Go(func() {
			for r, ok := t.next(); ok && ctx.Err() == nil; r, ok = t.next() {
				if err := t.fetch(ctx, r); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (t *transfer) next() (store.Range, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		return store.Range{}, false
	}
	r := t.queue[0]
	t.queue = t.queue[1:]
	return r, true
}

// fetch fetches one part, going on where it was cut off for as long as that gets on.
func (t *transfer) fetch(ctx context.Context, r store.Range) error {
	b := t.backoff()
	for at := r.Off; ; {
		n, err := t.attempt(ctx, at, r.End)
		at += n
		if err == nil {
			return nil
		}
		if errors.Is(err, hub.ErrWhole) {
			return err
		}
		if n > 0 && !t.atOnce {
			b.Progress()
		}
		if err := b.Wait(ctx, err); err != nil {
			return err
		}
		if t.atOnce {
			t.add(-at)
			at = 0
		}
	}
}

// attempt asks for the bytes from at up to end once and writes what comes. An error of the disk is not hub.Temporary.
func (t *transfer) attempt(ctx context.Context, at, end int64) (n int64, err error) {
	body, err := t.src.Open(ctx, at, end)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	w := t.part.Writer(at)
	n, err = t.copy(w, body)
	// What has come is kept, whatever ended it. An error of the disk comes first: trying again does not help.
	if diskErr := w.Flush(); diskErr != nil {
		return n, diskErr
	}
	return n, err
}

func (t *transfer) copy(w io.Writer, r io.Reader) (n int64, err error) {
	buf := make([]byte, 128<<10)
	for {
		got, readErr := r.Read(buf)
		if got > 0 {
			wrote, err := w.Write(buf[:got])
			n += int64(wrote)
			t.add(int64(wrote))
			if err != nil {
				return n, err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return n, nil
		}
		if readErr != nil {
			return n, readErr
		}
	}
}
