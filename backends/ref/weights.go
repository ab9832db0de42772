package ref

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"

	"aquifer/runtime/plan"
)

// weight holds the parts of one weight as the checkpoint stores them.
type weight struct {
	info     *plan.WeightInfo
	constant bool
	data     [plan.Scales + 1][]byte // by part
	rowBytes [plan.Scales + 1]int64

	mu       sync.Mutex // guards coverage; Load may run concurrently
	coverage [plan.Scales + 1]coverage
}

// coverage notes which rows of a part have arrived.
type coverage struct {
	seen []uint64
	left int
}

func words(rows int) int { return (rows + 63) / 64 }

func newWeight(info *plan.WeightInfo) *weight {
	w := &weight{info: info}
	for _, part := range info.Parts() {
		rows, rowBytes := info.PartBytes(part)
		w.data[part] = make([]byte, int64(rows)*rowBytes)
		w.rowBytes[part] = rowBytes
		w.coverage[part] = coverage{make([]uint64, words(rows)), rows}
	}
	return w
}

func (w *weight) setConst(values []float32) {
	for i, v := range values {
		binary.LittleEndian.PutUint32(w.data[plan.Elements][4*i:], math.Float32bits(v))
	}
	w.constant = true
	w.coverage[plan.Elements].left = 0
}

func (w *weight) load(part plan.Part, first, n int, data []byte) error {
	if w.constant {
		return fmt.Errorf("ref: weight %q is a constant of the plan", w.info.Name)
	}
	if !slices.Contains(w.info.Parts(), part) {
		return fmt.Errorf("ref: weight %q is %s and has no %s", w.info.Name, w.info.Encoding, part)
	}
	rows, rowBytes := w.info.PartBytes(part)
	if first < 0 || n < 0 || first > rows-n {
		return fmt.Errorf("ref: weight %q %s: rows %d..%d of %d", w.info.Name, part, first, first+n, rows)
	}
	if int64(len(data)) != int64(n)*rowBytes {
		return fmt.Errorf("ref: weight %q %s: %d bytes for %d rows of %d", w.info.Name, part, len(data), n, rowBytes)
	}
	copy(w.data[part][int64(first)*rowBytes:], data)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.coverage[part]
	for r := first; r < first+n; r++ {
		if mask := uint64(1) << (r % 64); c.seen[r/64]&mask == 0 {
			c.seen[r/64] |= mask
			c.left--
		}
	}
	return nil
}

// missing names the first part with rows that have not been delivered.
func (w *weight) missing() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, part := range w.info.Parts() {
		c := &w.coverage[part]
		if c.left == 0 {
			continue
		}
		for i, word := range c.seen {
			if word != math.MaxUint64 {
				row := 64*i + bits.TrailingZeros64(^word)
				return fmt.Errorf("ref: weight %q %s: %d rows have not been loaded, the first is %d", w.info.Name, part, c.left, row)
			}
		}
	}
	return nil
}
