package ggml

// The formats with blocks of 256 numbers, cut into groups that have scales of their own; those are integers, scaled by
// the block's F16. "2 bits, by 32" means: of each run of 32 bytes, bits 0 and 1 are 32 elements in a row, bits 2 and 3
// the next 32, and so on.
//
//	       layout in bytes                                   groups   number
//	Q2_K   scales 16, q 64 (2 bits, by 32), d, dmin          16       d*sc * q - dmin*m        sc low, m high half of a byte
//	Q3_K   h 32 (1 bit, by 32), q 64 (2 bits), scales 12, d  16       d*(sc-32) * (q + 4h - 4)
//	Q4_K   d, dmin, scales 12, q 128 (4 bits, by 32)         32       d*sc * q - dmin*m
//	Q5_K   d, dmin, scales 12, h 32 (1 bit), q 128 (4 bits)  32       d*sc * (q + 16h) - dmin*m
//	Q6_K   q 128 (4 bits, by 64), h 64 (2 bits), scales 16, d  16     d*sc * (q + 16h - 32)    sc signed
//
// As in simple.go, conversions of products to float32 keep them from being fused. Shifts are masked to show the
// compiler that they are below 8.

func q2_K(dst []float32, b []byte) {
	scales := b[:16]
	d, dmin := scale(b[80:]), scale(b[82:])
	for part := range 2 { // of 128 elements
		q := b[16+32*part:][:32]
		for k := range 4 {
			shift := uint(2*k) & 7
			for group := range 2 {
				s := scales[8*part+2*k+group]
				dl, ml := d*float32(s&15), float32(dmin*float32(s>>4))
				out := dst[128*part+32*k+16*group:][:16]
				for i, v := range q[16*group:][:16] {
					out[i] = float32(dl*float32(v>>shift&3)) - ml
				}
			}
		}
	}
}

func q3_K(dst []float32, b []byte) {
	h, scales := b[:32], b[96:108]
	d := scale(b[108:])
	for part := range 2 {
		q := b[32+32*part:][:32]
		for k := range 4 {
			shift, high := uint(2*k)&7, uint(4*part+k)&7
			for group := range 2 {
				n := 8*part + 2*k + group
				// Four bits of scale n stand in the first eight bytes, low halves first, two in the last four.
				s := int(scales[n%8]>>(n/8*4)&15 | scales[8+n%4]>>(n/4*2)&3<<4)
				dl := d * float32(s-32)
				out, bits := dst[128*part+32*k+16*group:][:16], h[16*group:][:16]
				for i, v := range q[16*group:][:16] {
					out[i] = dl * float32(int(v>>shift&3|bits[i]>>high&1<<2)-4)
				}
			}
		}
	}
}

// groupScale returns scale and minimum, of 6 bits each, of one of the eight groups of Q4_K and Q5_K. The first four
// have theirs in the low bits of bytes 0..3 and 4..7; the others have four bits each in bytes 8..11, and the two high
// bits in those of the first eight.
func groupScale(scales []byte, n int) (sc, m float32) {
	scales = scales[:12]
	if n < 4 {
		return float32(scales[n] & 63), float32(scales[n+4] & 63)
	}
	low := scales[n+4]
	return float32(low&15 | scales[n-4]>>6<<4), float32(low>>4 | scales[n]>>6<<4)
}

func q4_K(dst []float32, b []byte) {
	d, dmin, scales := scale(b), scale(b[2:]), b[4:16]
	for pair := range 4 {
		sc, m := groupScale(scales, 2*pair)
		d0, m0 := d*sc, float32(dmin*m)
		sc, m = groupScale(scales, 2*pair+1)
		d1, m1 := d*sc, float32(dmin*m)
		low, high := dst[64*pair:][:32], dst[64*pair+32:][:32]
		for i, v := range b[16+32*pair:][:32] {
			low[i] = float32(d0*float32(v&15)) - m0
			high[i] = float32(d1*float32(v>>4)) - m1
		}
	}
}

func q5_K(dst []float32, b []byte) {
	d, dmin, scales, h := scale(b), scale(b[2:]), b[4:16], b[16:48]
	for pair := range 4 {
		sc, m := groupScale(scales, 2*pair)
		d0, m0 := d*sc, float32(dmin*m)
		sc, m = groupScale(scales, 2*pair+1)
		d1, m1 := d*sc, float32(dmin*m)
		low, high, shift := dst[64*pair:][:32], dst[64*pair+32:][:32], uint(2*pair)&7
		for i, v := range b[48+32*pair:][:32] {
			fifth := h[i] >> shift
			low[i] = float32(d0*float32(v&15|fifth&1<<4)) - m0
			high[i] = float32(d1*float32(v>>4|fifth&2<<3)) - m1
		}
	}
}

func q6_K(dst []float32, b []byte) {
	scales := b[192:208]
	d := scale(b[208:])
	for part := range 2 {
		h := b[128+32*part:][:32]
		for k := range 4 { // the bits of h that count
			q := b[64*part+k%2*32:][:32]
			shift, high := uint(k/2*4)&7, uint(2*k)&7
			for group := range 2 {
				dl := d * float32(int8(scales[8*part+2*k+group]))
				out, bits := dst[128*part+32*k+16*group:][:16], h[16*group:][:16]
				for i, v := range q[16*group:][:16] {
					out[i] = dl * float32(int(v>>shift&15|bits[i]>>high&3<<4)-32)
				}
			}
		}
	}
}
