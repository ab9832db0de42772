package cli

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
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

	bars *mpb.Progress        // set on a terminal
	bar  *mpb.Bar             // set once the job has taken long enough to be worth a bar
	next int                  // percentage of the next line
	note atomic.Pointer[note] // the job's own words; read by the bar's goroutine

	speed speed // of a download
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
	p.show(done, total, "", decor.CountersKibiByte("% .0f / % .0f"))
}

// note is what a job says about itself, and when it should be done.
type note struct {
	text string
	end  time.Time
}

func (n *note) String() string {
	return fmt.Sprintf("%s, %s left", n.text, max(time.Until(n.end), 0).Round(time.Second))
}

// step says that done of total steps are finished, and what has come out so far. The rest is expected to take as long
// as the steps before, on the average; the bar's own estimate would leave out those before it was shown.
func (p *progress) step(done, total int, text string) {
	rest := time.Duration(float64(time.Since(p.start)) * float64(total-done) / float64(max(done, 1)))
	p.note.Store(&note{text, time.Now().Add(rest)})
	words := func(decor.Statistics) string { return p.note.Load().String() }
	p.show(int64(done), int64(total), ", "+text, decor.Any(words))
}

func (p *progress) show(done, total int64, suffix string, figures ...decor.Decorator) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars == nil {
		if p.lines && total > 0 && p.next < 100 && done*100 >= int64(p.next)*total {
			fmt.Fprintf(p.out, "aquifer: %s: %d %%%s\n", p.what, done*100/total, suffix)
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
			mpb.AppendDecorators(figures...))
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
