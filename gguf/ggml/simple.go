package ggml

import "encoding/binary"

// The formats with blocks of 32 numbers and one scale. Element i of the first half of a block is the low four bits of
// byte i, element i of the second half the high four bits of the same byte; a fifth bit stands in a word of its own,
// bit k of which belongs to element k.
//
//	Q4_0  d, 16 bytes            d * (q - 8)
//	Q4_1  d, m, 16 bytes         d * q + m
//	Q5_0  d, 4 bytes, 16 bytes   d * (q - 16)
//	Q5_1  d, m, 4 bytes, 16      d * q + m
//	Q8_0  d, 32 signed bytes     d * q
//
// Conversions to float32 around products are there to be seen by the compiler: without them it may fuse a product and
// a sum, which rounds once instead of twice.

const small = 32 // elements of a block

func q4_0(dst []float32, b []byte) {
	d := scale(b)
	low, high := dst[:small/2], dst[small/2:][:small/2]
	for i, q := range b[2:][:small/2] {
		low[i] = d * float32(int(q&15)-8)
		high[i] = d * float32(int(q>>4)-8)
	}
}

func q4_1(dst []float32, b []byte) {
	d, m := scale(b), scale(b[2:])
	low, high := dst[:small/2], dst[small/2:][:small/2]
	for i, q := range b[4:][:small/2] {
		low[i] = float32(d*float32(q&15)) + m
		high[i] = float32(d*float32(q>>4)) + m
	}
}

func q5_0(dst []float32, b []byte) {
	d, fifth := scale(b), binary.LittleEndian.Uint32(b[2:])
	low, high := dst[:small/2], dst[small/2:][:small/2]
	for i, q := range b[6:][:small/2] {
		low[i] = d * float32(int(q&15|fifthOf(fifth, i))-16)
		high[i] = d * float32(int(q>>4|fifthOf(fifth, i+small/2))-16)
	}
}

func q5_1(dst []float32, b []byte) {
	d, m, fifth := scale(b), scale(b[2:]), binary.LittleEndian.Uint32(b[4:])
	low, high := dst[:small/2], dst[small/2:][:small/2]
	for i, q := range b[8:][:small/2] {
		low[i] = float32(d*float32(q&15|fifthOf(fifth, i))) + m
		high[i] = float32(d*float32(q>>4|fifthOf(fifth, i+small/2))) + m
	}
}

// fifthOf returns bit i of the word, in the place of a fifth bit.
func fifthOf(word uint32, i int) byte { return byte(word>>(uint(i)&31)&1) << 4 }

func q8_0(dst []float32, b []byte) {
	d := scale(b)
	dst = dst[:small]
	for i, q := range b[2:][:small] {
		dst[i] = d * float32(int8(q))
	}
}
