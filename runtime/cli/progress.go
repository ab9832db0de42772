package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows how far a long job is: a bar on a terminal, else lines if the job asked for them.
type progress struct {
	mu    sync.Mutex
	what  string
	out   io.Writer
	lines bool
	start time.Time

	bars *mpb.Progress // set on a terminal
	bar  *mpb.Bar      // set once the job has taken long enough to be worth a bar
	next int           // percentage of the next line
}

// showAfter keeps a bar from flashing up for what is done in a moment.
const showAfter = 300 * time.Millisecond

// newProgress starts showing a job on out. Without a terminal it prints a line for every quarter, if lines is set.
func newProgress(out io.Writer, what string, lines bool) *progress {
	p := &progress{what: what, out: out, lines: lines, start: time.Now(), next: 25}
	if f, ok := terminal(out); ok {
		p.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
	}
	return p
}

// set says that done of total bytes are finished. It may be called from several goroutines.
func (p *progress) set(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars == nil {
		if p.lines && total > 0 && p.next < 100 && done*100 >= int64(p.next)*total {
			fmt.Fprintf(p.out, "aquifer: %s: %d %%\n", p.what, done*100/total)
			p.next = int(done*100/total)/25*25 + 25
		}
		return
	}
	if p.bar == nil {
		if time.Since(p.start) < showAfter {
			return
		}
		p.bar = p.bars.AddBar(total, mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(p.what+" ")),
			mpb.AppendDecorators(decor.CountersKibiByte("% .0f / % .0f")))
	}
	p.bar.SetCurrent(done)
}

// end removes the bar. It must be called once, whether the job succeeded or not.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars == nil {
		return
	}
	if p.bar != nil {
		p.bar.Abort(true)
	}
	p.bars.Wait()
}
