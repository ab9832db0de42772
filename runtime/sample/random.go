package sample

import "math/bits"

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

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
