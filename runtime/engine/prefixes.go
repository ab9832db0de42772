package engine

import (
	"context"
	"fmt"
	"time"

	"aquifer/runtime/kv"
	"aquifer/runtime/kv/prefixfile"
)

// The longest time that a model's users wait for what is there to save them time: when it is loaded, and when it is unloaded.
const (
	restoreTime = 3 * time.Second
	saveTime    = 5 * time.Second
	hurryTime   = time.Second // of saving, from when it is known that somebody waits
)

// Prefixes is what became of Config.Prefixes: how many blocks were restored or saved, and why not more.
type Prefixes struct {
	prefixfile.Result
	Err error // no reason to stop: the model works all the same
}

// Restored says what was known of texts when the model was loaded.
func (e *Engine) Restored() Prefixes { return e.restored }

// Saved says what Close has kept for the next time. It is for who has called Close.
func (e *Engine) Saved() Prefixes { return e.saved }

// kind is that of the engine's KV blocks.
func (e *Engine) kind(list []chunk) prefixfile.Kind {
	layout, m := e.prog.BlockLayout(), e.cfg.Model
	info := e.cfg.Backend.Info()
	return prefixfile.Kind{
		Identity: e.cfg.identity(layout, list), Block: layout.Bytes,
		Note: fmt.Sprintf("%s %s, KV %s, %s, %s %s", m.Name, m.Scheme, e.cfg.KV, e.cfg.Precision, info.Name, info.Level),
	}
}

// restorePrefixes fills blocks of the pool with what was saved. They are free, as if a request had just ended, and the
// whole pool may be: whatever runs takes them in the order in which they are least likely to be wanted. list has the sums of the
// weights' chunks.
func (e *Engine) restorePrefixes(ctx context.Context, list []chunk) {
	if e.cfg.Prefixes == nil || e.prog.BlockLayout().Bytes == 0 {
		return
	}
	e.prefixes = e.kind(list)
	ctx, cancel := context.WithTimeoutCause(ctx, restoreTime, fmt.Errorf("%v were over", restoreTime))
	defer cancel()
	e.restored.Result, e.restored.Err = e.cfg.Prefixes.Restore(ctx, e.prefixes, func(c kv.Content, data []byte) (bool, error) {
		if e.pool.Unknown() == 0 {
			return false, prefixfile.ErrFull
		}
		return e.pool.Restore(c, func(block int32) error { return e.prog.WriteBlock(int(block), data) })
	})
}

// Hurry says that somebody waits for the end of Close: prefixes are saved for a second more at most. It returns at once.
func (e *Engine) Hurry() {
	e.hurry.Do(func() { time.AfterFunc(hurryTime, e.stopSaving) })
}

// savePrefixes keeps what is known of texts. The loop has ended, so nothing runs.
func (e *Engine) savePrefixes() {
	if e.prefixes.Block == 0 || e.broken || e.stats.Steps == 0 {
		return // nothing that is worth it, or nothing new
	}
	ctx, cancel := context.WithTimeout(e.saving, saveTime) // whatever became of the caller's time: it is for answers
	defer cancel()
	e.saved.Result, e.saved.Err = e.cfg.Prefixes.Save(ctx, e.prefixes, prefixfile.Source{
		Blocks: e.pool.Recent(), Content: e.pool.Content,
		Read:    func(block int32, data []byte) error { return e.prog.ReadBlock(int(block), data) },
		Damaged: e.restored.Damaged > 0 || e.restored.Err != nil,
	})
}
