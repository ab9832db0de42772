package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"

	"aquifer/gguf/ggml"
	"aquifer/runtime/half"
	"aquifer/runtime/plan"
)

// ToQ8_0 returns a view of a matrix of floats that reads as Q8_0, with ggml's rounding; a tensor in Q8_0 is its own. It
// fails for other types, and for rows that are not whole blocks of 32 numbers. Reading fails at numbers that are not finite or
// too large for the form.
func (t Tensor) ToQ8_0() (Tensor, error) {
	if t.DType == plan.Q8_0 {
		return t, nil
	}
	elements, size := plan.Q8_0.Block()
	switch t.DType {
	case plan.F32, plan.F16, plan.BF16:
	default:
		return t, fmt.Errorf("tensor %.100q: is %s, only F32, F16 and BF16 can become Q8_0", t.Name, t.TypeName)
	}
	if cols := t.Shape[len(t.Shape)-1]; cols%elements != 0 {
		return t, fmt.Errorf("tensor %.100q: rows of %d values cannot become Q8_0, which needs a multiple of %d; keep F16", t.Name, cols, elements)
	}
	_, bytes := t.DType.Block()
	from := t.DType
	to := t
	to.DType, to.Bytes, to.off = plan.Q8_0, t.Bytes/int64(elements*bytes)*int64(size), 0
	to.r = &converter{
		r: t.r, off: t.off, size: t.Bytes, elements: int64(elements), from: int64(elements * bytes), to: int64(size),
		convert: func(dst, src []byte, floats []float32, first int64) error {
			return floatsToQ8(from, dst, src, floats, first)
		},
	}
	return to, nil
}

// floatsToQ8 converts whole blocks.
func floatsToQ8(from plan.DType, dst, src []byte, floats []float32, first int64) error {
	elements, to := plan.Q8_0.Block()
	_, size := from.Block()
	for len(src) > 0 {
		x := floats[:min(len(floats), len(src)/size)]
		widen(x, from, src)
		blocks := len(x) / elements
		bad, err := ggml.QuantizeQ8_0(dst[:blocks*to], x)
		if err != nil {
			return err
		}
		if bad >= 0 {
			return fmt.Errorf("elements from %d on: hold values that are not finite or too large for Q8_0", first+int64(bad*elements))
		}
		dst, src, first = dst[blocks*to:], src[len(x)*size:], first+int64(len(x))
	}
	return nil
}

// widen converts the first len(x) numbers of src, which are F32, F16 or BF16.
func widen(x []float32, from plan.DType, src []byte) {
	switch from {
	case plan.F16:
		half.Decode(x, src)
	case plan.BF16:
		src = src[:2*len(x)]
		for i := range x {
			x[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	default:
		src = src[:4*len(x)]
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	}
}
