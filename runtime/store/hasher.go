package store

import (
	"context"
	"hash"
	"io"
	"sync"
)

// hasher hashes a file from its start while the rest of it is still being written, in a goroutine of its own, so that
// little is left to do when the last byte has come. The bytes are read back, from memory most of the time.
type hasher struct {
	file io.ReaderAt
	sum  hash.Hash

	mu    sync.Mutex
	ready int64 // bytes from the start that are there
	done  int64 // bytes that were hashed
	err   error
	quit  bool
	more  *sync.Cond
	ended chan struct{}
}

func newHasher(file io.ReaderAt, d Digest, size int64) *hasher {
	h := &hasher{file: file, sum: d.Hash(size), ended: make(chan struct{})}
	h.more = sync.NewCond(&h.mu)
	go h.run()
	return h
}

func (h *hasher) run() {
	defer close(h.ended)
	buf := make([]byte, 256<<10)
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		for h.done == h.ready && !h.quit {
			h.more.Wait()
		}
		if h.quit || h.err != nil {
			return
		}
		part := buf[:min(int64(len(buf)), h.ready-h.done)]
		at := h.done
		h.mu.Unlock()
		_, err := io.ReadFull(io.NewSectionReader(h.file, at, int64(len(part))), part)
		if err == nil {
			h.sum.Write(part) // never fails
		}
		h.mu.Lock()
		if h.err = err; err == nil {
			h.done += int64(len(part))
		}
		h.more.Broadcast()
	}
}

// advance says that the first ready bytes are there.
func (h *hasher) advance(ready int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = max(h.ready, ready)
	h.more.Broadcast()
}

// wait returns the digest once size bytes were hashed.
func (h *hasher) wait(ctx context.Context, size int64) (Digest, error) {
	defer context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.more.Broadcast()
	})()
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.done < size && h.err == nil && ctx.Err() == nil {
		h.more.Wait()
	}
	if h.err != nil {
		return Digest{}, h.err
	}
	if h.done < size {
		return Digest{}, context.Cause(ctx)
	}
	return DigestOf(h.sum), nil
}

// stop ends the goroutine and waits for it; the file is not read any more then.
func (h *hasher) stop() {
	h.mu.Lock()
	h.quit = true
	h.more.Broadcast()
	h.mu.Unlock()
	<-h.ended
}
