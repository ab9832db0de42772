package ref

import (
	"encoding/binary"
	"math"

	"aquifer/runtime/half"
	"aquifer/runtime/plan"
)

// decode converts len(dst) elements of a float type, without any rounding: a Q8_0 product of an 11-bit and an 8-bit
// significand fits float32.
func decode[F float32 | float64](dst []F, t plan.DType, src []byte) {
	switch t {
	case plan.F32:
		for i := range dst {
			dst[i] = F(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:])))
		}
	case plan.F16:
		for i := range dst {
			dst[i] = F(half.Float(binary.LittleEndian.Uint16(src[2*i:])))
		}
	case plan.BF16:
		for i := range dst {
			dst[i] = F(math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16))
		}
	case plan.Q8_0:
		for i := 0; i < len(dst); i += 32 {
			block := src[i/32*34:]
			scale := F(half.Float(binary.LittleEndian.Uint16(block)))
			for k, q := range block[2:34] {
				dst[i+k] = scale * F(int8(q))
			}
		}
	}
}

// vector decodes a whole vector weight.
func (w *weight) vector(dst []float64) []float64 {
	dst = dst[:w.info.Cols]
	decode(dst, w.info.Type, w.data[plan.Elements])
	return dst
}

// row decodes row r of a dense weight.
func (w *weight) row(dst []float64, r int) []float64 {
	dst = dst[:w.info.Cols]
	decode(dst, w.info.Type, w.data[plan.Elements][int64(r)*w.rowBytes[plan.Elements]:])
	return dst
}

// rowGroup decodes rows [group*og, (group+1)*og) into dst (og, cols). books are the weight's decoded codebooks
// (K, 2^B, og, g); a dense weight has groups of one row and no books.
func (w *weight) rowGroup(dst []float64, group int, books []float32) {
	if w.info.Encoding == plan.Dense {
		w.row(dst, group)
		return
	}
	s, cols := w.info.Scheme, w.info.Cols
	var scale [1]float64
	decode(scale[:], w.info.Scales, w.data[plan.Scales][int64(group)*w.rowBytes[plan.Scales]:])
	codes := w.data[plan.Codes][int64(group)*w.rowBytes[plan.Codes]:]
	mask, entry := 1<<s.Bits-1, s.OutGroup*s.InGroup
	book := (mask + 1) * entry
	dst = dst[:s.OutGroup*cols]
	clear(dst)
	for j := range cols / s.InGroup {
		for m := range s.Codebooks {
			var code int
			if i := j*s.Codebooks + m; w.info.Codes == plan.I8 {
				code = int(codes[i]) & mask
			} else {
				code = int(binary.LittleEndian.Uint16(codes[2*i:])) & mask
			}
			values := books[m*book+code*entry:][:entry]
			for a := range s.OutGroup {
				out := dst[a*cols+j*s.InGroup:][:s.InGroup]
				for b, v := range values[a*s.InGroup:][:s.InGroup] {
					out[b] += float64(v)
				}
			}
		}
	}
	for i := range dst {
		dst[i] *= scale[0]
	}
}

// books decodes all codebooks of an AQLM weight; nil for a dense one.
func (w *weight) books(dst []float32) []float32 {
	if w.info.Encoding == plan.Dense {
		return nil
	}
	k, n, t := w.info.PartShape(plan.Codebooks)
	dst = dst[:k*n]
	decode(dst, t, w.data[plan.Codebooks])
	return dst
}
