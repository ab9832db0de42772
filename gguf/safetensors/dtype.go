package safetensors

import "math/bits"

// dtypeBits holds the size in bits of an element of every type the format knows. Types below a byte are legal as long
// as a tensor's bits fill whole bytes.
func dtypeBits(name string) (n uint64, ok bool) {
	switch name {
	case "F4":
		return 4, true
	case "F6_E2M3", "F6_E3M2":
		return 6, true
	case "BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ":
		return 8, true
	case "U16", "I16", "F16", "BF16":
		return 16, true
	case "U32", "I32", "F32":
		return 32, true
	case "U64", "I64", "F64", "C64":
		return 64, true
	}
	return 0, false
}

// product multiplies the sizes in order and reports whether the result fits 63 bits. It is the only place of this
// package where numbers from a file are multiplied. A zero does not excuse an overflow before it.
func product(sizes ...uint64) (n uint64, ok bool) {
	n = 1
	for _, s := range sizes {
		hi, lo := bits.Mul64(n, s)
		if hi != 0 || lo > 1<<63-1 {
			return 0, false
		}
		n = lo
	}
	return n, true
}
