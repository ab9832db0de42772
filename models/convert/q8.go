package convert

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"aquifer/models/checkpoint"
	"aquifer/runtime/half"
	"aquifer/runtime/plan"
)

// A Q8_0 block holds 32 values x as a scale d = max|x| / 127 in F16 and the bytes round(x/d).
const (
	blockValues = 32
	blockBytes  = 2 + blockValues
)

// quantizable reports why a tensor cannot be stored as Q8_0.
func quantizable(t checkpoint.Tensor) error {
	switch t.DType {
	case plan.F32, plan.F16, plan.BF16:
	default:
		return fmt.Errorf("tensor %.100q: is %s, only F32, F16 and BF16 can become Q8_0", t.Name, t.TypeName)
	}
	if cols := t.Shape[len(t.Shape)-1]; cols%blockValues != 0 {
		return fmt.Errorf("tensor %.100q: rows of %d values cannot become Q8_0, which needs a multiple of %d; keep F16", t.Name, cols, blockValues)
	}
	return nil
}

// quantizer is the Q8_0 form of a tensor as a stream. Rows are whole numbers of blocks, so the tensor is one sequence
// of blocks.
type quantizer struct {
	t    checkpoint.Tensor
	off  int64  // of the source bytes consumed
	src  []byte // a chunk of the source
	out  []byte // its blocks
	left []byte // part of out not handed out yet
}

func newQuantizer(t checkpoint.Tensor) *quantizer {
	const chunk = 1024 // blocks
	_, size := t.DType.Block()
	return &quantizer{t: t, src: make([]byte, chunk*blockValues*size), out: make([]byte, chunk*blockBytes)}
}

func (q *quantizer) Read(p []byte) (int, error) {
	if len(q.left) == 0 {
		if err := q.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, q.left)
	q.left = q.left[n:]
	return n, nil
}

func (q *quantizer) next() error {
	src := q.src[:min(int64(len(q.src)), q.t.Bytes-q.off)]
	if len(src) == 0 {
		return io.EOF
	}
	if _, err := q.t.ReadAt(src, q.off); err != nil {
		return err
	}
	q.off += int64(len(src))
	_, size := q.t.DType.Block()
	n := len(src) / (blockValues * size)
	for i := range n {
		var x [blockValues]float32
		for j := range x {
			x[j] = decode(q.t.DType, src[(i*blockValues+j)*size:])
		}
		if !quantizeBlock(q.out[i*blockBytes:], &x) {
			return fmt.Errorf("tensor %.100q: holds values that are not finite or too large for Q8_0", q.t.Name)
		}
	}
	q.left = q.out[:n*blockBytes]
	return nil
}

// quantizeBlock writes one block with the arithmetic of ggml's reference (quantize_row_q8_0_ref): float32 throughout,
// the inverse of the unrounded scale, halves away from zero. It reports false if the scale has no finite F16 form.
func quantizeBlock(dst []byte, x *[blockValues]float32) bool {
	var most float32
	for _, v := range x {
		if v != v {
			return false
		}
		most = max(most, float32(math.Abs(float64(v))))
	}
	d := most / 127
	var inverse float32
	if d != 0 {
		inverse = 1 / d
	}
	scale := half.Bits(d)
	if scale&0x7c00 == 0x7c00 || math.IsInf(float64(inverse), 0) {
		return false
	}
	binary.LittleEndian.PutUint16(dst, scale)
	for i, v := range x {
		dst[2+i] = byte(int8(math.Round(float64(v * inverse))))
	}
	return true
}

// decode returns the first element of p.
func decode(t plan.DType, p []byte) float32 {
	switch t {
	case plan.F16:
		return half.Float(binary.LittleEndian.Uint16(p))
	case plan.BF16:
		return math.Float32frombits(uint32(binary.LittleEndian.Uint16(p)) << 16)
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(p))
}
