package cli

import (
	"fmt"
	"time"

	"github.com/vbauerster/mpb/v8/decor"
)

// speed is how fast bytes came lately. What was there from an earlier pull comes at once, and counts for nothing.
type speed struct {
	at   [speedSamples]time.Time
	done [speedSamples]int64
	n    int
}

const (
	speedSamples = 20
	speedEvery   = 500 * time.Millisecond
)

func (v *speed) add(now time.Time, done int64) {
	if v.n > 0 && now.Sub(v.at[(v.n-1)%speedSamples]) < speedEvery {
		return
	}
	v.at[v.n%speedSamples], v.done[v.n%speedSamples] = now, done
	v.n++
}

// text is the rate, and the time that the rest will take at it.
func (v *speed) text(done, total int64) string {
	if v.n < 2 {
		return ""
	}
	first, last := (v.n-min(v.n, speedSamples))%speedSamples, (v.n-1)%speedSamples
	rate := float64(v.done[last]-v.done[first]) / v.at[last].Sub(v.at[first]).Seconds()
	if rate <= 0 {
		return "waiting"
	}
	left := time.Duration(float64(total-done) / rate * float64(time.Second))
	return fmt.Sprintf("%.1f MB/s, %s left", rate/1e6, left.Round(time.Second))
}

// transfer says that done of total bytes have come, of a download: with rate and time left on a terminal.
func (p *progress) transfer(done, total int64) {
	p.mu.Lock()
	p.speed.add(time.Now(), done)
	text := p.speed.text(done, total)
	p.mu.Unlock()
	p.note.Store(&note{text: text})
	words := func(decor.Statistics) string { return " " + p.note.Load().text }
	p.show(done, total, "", decor.CountersKibiByte("% .1f / % .1f"), decor.Any(words))
}

// tell prints a line above the bar.
func (p *progress) tell(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := "aquifer: " + oneLine(text) + "\n"
	if p.bars != nil {
		fmt.Fprint(p.bars, line)
		return
	}
	fmt.Fprint(p.out, line)
}
