package checkpoint

import (
	"errors"
	"fmt"
	"io"

	"aquifer/gguf"
	"aquifer/gguf/ggml"
	"aquifer/runtime/half"
	"aquifer/runtime/plan"
)

// presented returns the element type in which a tensor of a GGUF is handed out, and its bytes then. The block formats
// that no backend computes with become Q8_0 where that holds the same numbers, else F16.
func presented(t gguf.Tensor) (plan.DType, int64, error) {
	to := plan.F16
	switch {
	case ggufType(t.Type) != Unsupported || !ggml.Known(t.Type):
		return ggufType(t.Type), t.Size, nil
	case ggml.IsQ8_0(t.Type):
		to = plan.Q8_0
	}
	elements, size := t.Type.Block()
	bytes, err := to.Bytes(t.Size / size * elements) // the product is the tensor's elements, which fit 63 bits
	return to, bytes, err
}

// converter reads numbers of one form in another: runs of elements whose bytes in both forms are whole. It converts what a
// read touches and keeps nothing, so it may be used concurrently.
type converter struct {
	r        io.ReaderAt
	off      int64 // of the first run
	size     int64 // bytes of all runs
	elements int64 // of a run
	from, to int64 // bytes of a run before and after
	// convert converts whole runs, the first element of which is number first of all; floats is scratch of whole runs.
	convert func(dst, src []byte, floats []float32, first int64) error
}

// How much is converted at a time, in elements: what is read of the file fits the second level cache together with what
// becomes of it, and the float32 between fit the first.
const (
	readElements  = 32 << 10
	floatElements = 1 << 10
)

// newBlocks returns the reader of a GGUF's tensor in the form that presented promises, Q8_0 or F16.
func newBlocks(r io.ReaderAt, t gguf.Tensor, to plan.DType) *converter {
	elements, from := t.Type.Block()
	k, size := to.Block()
	c := &converter{r: r, off: t.Offset, size: t.Size, elements: elements, from: from, to: elements / int64(k) * int64(size)}
	if to == plan.Q8_0 {
		c.convert = func(dst, src []byte, _ []float32, _ int64) error { return ggml.ToQ8_0(dst, t.Type, src) }
	} else {
		c.convert = func(dst, src []byte, floats []float32, first int64) error {
			return blocksToF16(t.Type, dst, src, floats, first)
		}
	}
	return c
}

// ReadAt follows io.ReaderAt; off counts in converted bytes.
func (c *converter) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read before the start")
	}
	var src, out []byte
	var floats []float32
	for n < len(p) {
		at := off + int64(n)
		first, skip := at/c.to, at%c.to
		count := min(readElements/c.elements, (skip+int64(len(p)-n)+c.to-1)/c.to, c.size/c.from-first)
		if count <= 0 {
			return n, io.EOF
		}
		if src == nil { // no later round is larger
			src, floats = make([]byte, count*c.from), make([]float32, min(floatElements, count*c.elements))
		}
		if got, err := c.r.ReadAt(src[:count*c.from], c.off+first*c.from); int64(got) < count*c.from {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
		dst := p[n:]
		whole := skip == 0 && int64(len(dst)) >= count*c.to
		if !whole {
			if out == nil {
				out = make([]byte, count*c.to)
			}
			dst = out
		}
		dst = dst[:count*c.to]
		if err := c.convert(dst, src[:count*c.from], floats, first*c.elements); err != nil {
			return n, err
		}
		if whole {
			n += len(dst)
		} else {
			n += copy(p[n:], dst[skip:])
		}
	}
	return n, nil
}

// blocksToF16 converts whole blocks. A number that is finite in float32 and has no finite F16 is an error.
func blocksToF16(t gguf.Type, dst, src []byte, floats []float32, first int64) error {
	elements, size := t.Block()
	for len(src) > 0 {
		count := min(int64(len(floats))/elements, int64(len(src))/size)
		x := floats[:count*elements]
		if err := ggml.Dequantize(x, t, src[:count*size]); err != nil {
			return err
		}
		if large := half.Encode(dst, x); large >= 0 {
			return fmt.Errorf("element %d is %g, which is too large for F16, the form in which %v is run", first+int64(large), x[large], t)
		}
		dst, src, first = dst[2*len(x):], src[count*size:], first+int64(len(x))
	}
	return nil
}
