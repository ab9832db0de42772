package ggml

import (
	"encoding/binary"
	"math/rand/v2"

	"aquifer/gguf"
)

// format says where the F16 scales of a block stand.
type format struct {
	t      gguf.Type
	scales []int
}

func formats() []format {
	return []format{
		{gguf.Q4_0, []int{0}},
		{gguf.Q4_1, []int{0, 2}},
		{gguf.Q5_0, []int{0}},
		{gguf.Q5_1, []int{0, 2}},
		{gguf.Q8_0, []int{0}},
		{gguf.Q2_K, []int{80, 82}},
		{gguf.Q3_K, []int{108}},
		{gguf.Q4_K, []int{0, 2}},
		{gguf.Q5_K, []int{0, 2}},
		{gguf.Q6_K, []int{208}},
	}
}

// awkward are halves that scales may have in a broken file, and those at the ends of ranges: zeros, subnormal numbers,
// one, the largest, infinities, NaN.
func awkward() []uint16 {
	return []uint16{0, 0x8000, 1, 0x8001, 0x03ff, 0x0400, 0x3c00, 0xbc00, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfe01, 0x7c01}
}

// blocks returns n blocks of a type, the same in every run: the first two for each pair of awkward scales, then blocks
// of equal bytes, then random ones with scales as published models have them.
func blocks(f format, n int) []byte {
	r := rand.New(rand.NewPCG(uint64(f.t), 1))
	_, size := block(f.t)
	var list []byte
	add := func(fill func(b []byte)) {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		fill(b)
		list = append(list, b...)
	}
	set := func(b []byte, halves ...uint16) {
		for i, off := range f.scales {
			binary.LittleEndian.PutUint16(b[off:], halves[i])
		}
	}
	for _, x := range awkward() {
		for _, y := range awkward() {
			add(func(b []byte) { set(b, x, y) })
			if len(f.scales) == 1 {
				break
			}
		}
	}
	for _, c := range []byte{0, 0xff, 0x80, 0x7f, 0x0f, 0xf0, 0x55, 0xaa} {
		add(func(b []byte) {
			for i := range b {
				b[i] = c
			}
			set(b, 0x2345, 0x3456)
		})
	}
	for len(list) < n*size {
		add(func(b []byte) { set(b, uint16(r.Uint32())&0x8fff|0x2000, uint16(r.Uint32())&0x8fff|0x2000) })
	}
	return list[:n*size]
}
