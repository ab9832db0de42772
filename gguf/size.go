package gguf

import "math/bits"

// checked multiplies the factors and adds the terms, and reports whether all intermediate results fit 63 bits. It is the
// only place of this package where numbers from a file are combined.
func checked(terms []uint64, factors ...uint64) (n uint64, ok bool) {
	n = 1
	for _, f := range factors {
		hi, lo := bits.Mul64(n, f)
		if hi != 0 || lo > 1<<63-1 {
			return 0, false
		}
		n = lo
	}
	for _, t := range terms {
		sum, carry := bits.Add64(n, t, 0)
		if carry != 0 || sum > 1<<63-1 {
			return 0, false
		}
		n = sum
	}
	return n, true
}

// alignUp returns the first multiple of align (a power of two) that is not below n.
func alignUp(n int64, align uint32) (int64, bool) {
	sum, ok := checked([]uint64{uint64(align) - 1}, uint64(n))
	return int64(sum &^ (uint64(align) - 1)), ok
}
