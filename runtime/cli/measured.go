package cli

import (
	"fmt"
	"io"
	"math"
	"time"
)

// measured is the result of perplexity.
type measured struct {
	Perplexity  float64    `json:"perplexity"`
	StdErr      float64    `json:"stderr"`      // of the perplexity
	Interval    [2]float64 `json:"interval_95"` // of the perplexity: that of the mean, which is symmetric, exponentiated
	MeanNLL     float64    `json:"mean_nll"`
	Tokens      int        `json:"tokens"` // that were scored
	Window      int        `json:"window"`
	Windows     int        `json:"windows"` // that were measured
	Wanted      int        `json:"windows_wanted"`
	BOS         bool       `json:"bos"`
	Interrupted bool       `json:"interrupted,omitempty"`
	Seconds     float64    `json:"seconds"`
	Model       string     `json:"model_filename"`
	Type        string     `json:"model_type"`
	Backend     string     `json:"backend"`
	Level       string     `json:"level"`
	Precision   string     `json:"precision"`
	KV          string     `json:"type_kv"`
	Step        int        `json:"n_step"` // tokens that were run at once, at most
	Threads     int        `json:"n_threads"`
	Version     string     `json:"build_version"`
}

// normal95 is how many standard errors on either side of a mean hold 95 % of a normal distribution.
const normal95 = 1.959964

// spread collects the mean and the variance of numbers, one at a time (Welford).
type spread struct {
	n             int
	mean, squares float64 // squares is the sum of squared distances to the mean
}

func (s *spread) add(x float64) {
	s.n++
	d := x - s.mean
	s.mean += d / float64(s.n)
	s.squares += d * (x - s.mean)
}

// standardError is that of the mean. That of exp(mean) is exp(mean) times as large (delta method).
func (s *spread) standardError() float64 {
	if s.n < 2 {
		return 0
	}
	return math.Sqrt(s.squares / float64(s.n) / float64(s.n-1))
}

func (r measured) print(w io.Writer) error {
	count := plural(r.Windows, "window")
	if r.Interrupted {
		count = fmt.Sprintf("the first %d of %d windows", r.Windows, r.Wanted)
	}
	bos := "without BOS"
	if r.BOS {
		bos = "with BOS"
	}
	_, err := fmt.Fprintf(w, "perplexity %.4f ± %.4f (95 %%: %.4f to %.4f)\n%d tokens scored in %s of %d %s, %s (%s)\n",
		r.Perplexity, r.StdErr, r.Interval[0], r.Interval[1], r.Tokens, count, r.Window, bos,
		seconds(time.Duration(r.Seconds*1e9)), rate(r.Windows*r.Window, time.Duration(r.Seconds*1e9)))
	return err
}
