package sample

import (
	"math"
	"math/bits"
)

// golden is 2^64 over the golden ratio: its multiples are spread evenly.
const golden = 0x9e3779b97f4a7c15

// random is a counter-based generator: a number depends on the seed, the position of its token in the answer and what
// it is used for. So a sequence draws the same numbers whatever runs beside it, and asking twice changes nothing. The
// mixing function is SplitMix64's (Steele, Lea, Flood, OOPSLA 2014).
type random struct{ key uint64 }

// What a number is used for.
const (
	forDraw = 0
	forXTC  = 0xd1b54a32d192ed03
)

func newRandom(seed uint64) random {
	// Mixing the seed first keeps the streams of neighbouring seeds apart.
	return random{mix(bits.RotateLeft64(seed, 32) ^ golden)}
}

// at returns a number in [0, 1).
func (r random) at(use uint64, position int) float64 {
	return float64(mix((r.key^use)+uint64(position+1)*golden)>>11) / (1 << 53)
}

// race draws an index with a probability in proportion to its weight, at least one of which is positive. Every token has a
// clock that rings after an exponentially distributed time, the sooner the larger its weight, and the first wins (Gumbel's
// trick). ids are the tokens that the weights belong to; nil for 0, 1, 2 and so on.
//
// A point on the line of cumulated weights would do with one number. But there the place of every token depends on the
// weights of all before it, so that a difference in the last digits moves thousands of unlikely tokens past the point.
// Here each token has its own number: differences that small change the choice as rarely as they change the distribution.
func (r random) race(position int, weights []float32, ids []candidate) int {
	base := mix((r.key ^ forDraw) + uint64(position+1)*golden)
	best, first := 0, math.Inf(1)
	for i, w := range weights {
		if w == 0 {
			continue
		}
		id := uint64(i)
		if ids != nil {
			id = uint64(ids[i].id)
		}
		v := float64(mix(base+(id+1)*golden)>>11) / (1 << 53)
		if v >= first*float64(w) {
			continue // the time is -log(1-v)/w, which is more: spares nearly all logarithms
		}
		if t := -math.Log1p(-v) / float64(w); t < first {
			best, first = i, t
		}
	}
	return best
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
