package sample

import "math/bits"

// random is a counter-based generator: number i depends on the seed and i alone, so a sequence draws the same
// numbers whatever runs beside it. The mixing function is SplitMix64's (Steele, Lea, Flood, OOPSLA 2014).
type random struct{ key, n uint64 }

func newRandom(seed uint64) random {
	// Mixing the seed first keeps the streams of neighbouring seeds (n choices of one request) apart.
	return random{key: mix(bits.RotateLeft64(seed, 32) ^ 0x9e3779b97f4a7c15)}
}

// float64 returns the next number in [0, 1).
func (r *random) float64() float64 {
	r.n++
	return float64(mix(r.key+r.n*0x9e3779b97f4a7c15)>>11) / (1 << 53)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
