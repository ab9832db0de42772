package synthetic

import (
	"encoding/binary"
	"math"

	"aquifer/runtime/plan"
)

// noise is an endless tensor, the same in every run: its bytes are a function of their position, so that any part can
// be read at any time, by several goroutines. unit is how many bytes belong together, and fill writes the units from
// first on to dst, whose length is a multiple of unit.
type noise struct {
	unit int
	fill func(dst []byte, first uint64)
}

// maxUnit is the largest unit, a block of Q8_0.
const maxUnit = 34

// ReadAt follows io.ReaderAt, and never fails.
func (n noise) ReadAt(p []byte, off int64) (int, error) {
	done, unit := 0, int64(n.unit)
	for done < len(p) {
		at := off + int64(done)
		if whole := (len(p) - done) / n.unit * n.unit; at%unit == 0 && whole > 0 {
			n.fill(p[done:done+whole], uint64(at/unit))
			done += whole
			continue
		}
		var part [maxUnit]byte
		n.fill(part[:n.unit], uint64(at/unit))
		done += copy(p[done:], part[at%unit:n.unit])
	}
	return len(p), nil
}

// scramble maps the numbers of words to words without a pattern that products of weights could show: a multiplication
// and shift by turns, each invertible.
func scramble(x uint64) uint64 {
	x *= 0x9e3779b97f4a7c15
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

// uniform is codes of the given number of bits in elements of type t, I8 or I16, sign-extended as checkpoints have them.
func uniform(seed uint64, t plan.DType, codeBits int) noise {
	_, size := t.Block()
	spare := 8*size - codeBits
	return noise{8, func(dst []byte, first uint64) {
		for ; len(dst) > 0; dst, first = dst[8:], first+1 {
			word := scramble(seed + first)
			if spare > 0 {
				word = extend(word, size, spare)
			}
			binary.LittleEndian.PutUint64(dst, word)
		}
	}}
}

// extend replaces the upper spare bits of each element of a word by copies of the highest bit below.
func extend(word uint64, size, spare int) uint64 {
	var out uint64
	for shift := 0; shift < 64; shift += 8 * size {
		if size == 1 {
			out |= uint64(uint8(int8(word>>shift)<<spare>>spare)) << shift
		} else {
			out |= uint64(uint16(int16(word>>shift)<<spare>>spare)) << shift
		}
	}
	return out
}

// normalSteps is how many values a normal distribution is made of.
const normalSteps = 1 << 12

// quantiles are F16 numbers that stand for equal parts of a normal distribution with mean 0; none lies further out than
// 3.7 standard deviations.
type quantiles [normalSteps]uint16

func newQuantiles(deviation float64) *quantiles {
	q := new(quantiles)
	for i := range q {
		p := (float64(i) + 0.5) / normalSteps
		q[i] = half(deviation * math.Sqrt2 * math.Erfinv(2*p-1))
	}
	return q
}

// normal is F16 numbers of the distribution.
func normal(seed uint64, table *quantiles) noise {
	return noise{8, func(dst []byte, first uint64) {
		const mask = normalSteps - 1
		for ; len(dst) > 0; dst, first = dst[8:], first+1 {
			r := scramble(seed + first)
			binary.LittleEndian.PutUint64(dst, uint64(table[r&mask])|uint64(table[r>>16&mask])<<16|
				uint64(table[r>>32&mask])<<32|uint64(table[r>>48&mask])<<48)
		}
	}}
}

// constant is the same F16 number throughout.
func constant(x float64) noise {
	word := uint64(half(x)) * 0x0001000100010001
	return noise{8, func(dst []byte, _ uint64) {
		for ; len(dst) > 0; dst = dst[8:] {
			binary.LittleEndian.PutUint64(dst, word)
		}
	}}
}

// blocks is Q8_0 with bytes of all values from -127 to 127, alike in number, and one scale, chosen for the given
// standard deviation.
func blocks(seed uint64, deviation float64) noise {
	const values, uniformDeviation = 255, 73.6 // sqrt((255^2-1)/12)
	scale := half(deviation / uniformDeviation)
	return noise{maxUnit, func(dst []byte, first uint64) {
		for ; len(dst) > 0; dst, first = dst[maxUnit:], first+1 {
			binary.LittleEndian.PutUint16(dst, scale)
			for w := range uint64(4) {
				r := scramble(seed + 4*first + w)
				for i := range 8 {
					// The upper half of a product with 255 is a number below that, near enough uniform for this.
					dst[2+8*int(w)+i] = byte(int8(int(r>>(8*i)&0xff)*values>>8 - 127))
				}
			}
		}
	}}
}

// half truncates to F16. What is smaller than its normal numbers becomes zero; nothing here is too large.
func half(x float64) uint16 {
	b := math.Float32bits(float32(x))
	sign := uint16(b >> 16 & 0x8000)
	if b&(1<<31-1) < 113<<23 {
		return sign
	}
	return sign | uint16((b&(1<<31-1)-112<<23)>>13)
}
