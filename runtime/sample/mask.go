package sample

import "math"

// Mask is a set of token ids, a bit for each from the lowest bit of the first word on; ids past its end are not in it.
// A grammar says with one which tokens may come next.
type Mask []uint64

// NewMask returns an empty set for a vocabulary of the given size.
func NewMask(vocab int) Mask { return make(Mask, (vocab+63)/64) }

// Allow adds an id, which must be within the size the mask was made for.
func (m Mask) Allow(id int32) { m[id/64] |= 1 << (id % 64) }

// Allows reports whether the id is in the set.
func (m Mask) Allows(id int32) bool { return int(id/64) < len(m) && m[id/64]>>(id%64)&1 == 1 }

// apply sets the logits of all other tokens to NaN, the least of all. A NaN of a token in the set becomes -Inf: it is to
// be chosen before those that must not.
func (m Mask) apply(logits []float32) {
	for first := 0; first < len(logits); first += 64 {
		word := uint64(0)
		if i := first / 64; i < len(m) {
			word = m[i]
		}
		part := logits[first:min(first+64, len(logits))]
		switch word {
		case 0:
			for i := range part {
				part[i] = notANumber
			}
		default:
			for i, l := range part {
				if word>>i&1 == 0 {
					part[i] = notANumber
				} else if l != l {
					part[i] = negInfinity
				}
			}
		}
	}
}

var (
	notANumber  = float32(math.NaN())
	negInfinity = float32(math.Inf(-1))
)
