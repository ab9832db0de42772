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

// blockReader reads a tensor of a block format in the form that presented promises. It converts what a read touches and
// keeps nothing, so it may be used concurrently.
type blockReader struct {
	r    io.ReaderAt
	off  int64 // of the first block
	size int64 // bytes of the blocks
	t    gguf.Type
	to   plan.DType // F16 or Q8_0
}

// How much is converted at a time, in elements: what is read of the file fits the second level cache together with what
// becomes of it, and the float32 between fit the first.
const (
	readElements  = 32 << 10
	floatElements = 1 << 10
)

// ReadAt follows io.ReaderAt; off counts in converted bytes. A number that is finite in float32 and has no finite F16
// is an error.
func (b *blockReader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read before the start")
	}
	elements, from := b.t.Block()
	k, size := b.to.Block()
	to := elements / int64(k) * int64(size)
	var src, out []byte
	var floats []float32
	for n < len(p) {
		at := off + int64(n)
		first, skip := at/to, at%to
		count := min(readElements/elements, (skip+int64(len(p)-n)+to-1)/to, b.size/from-first)
		if count <= 0 {
			return n, io.EOF
		}
		if src == nil { // no later round is larger
			src, floats = make([]byte, count*from), make([]float32, min(floatElements, count*elements))
		}
		if got, err := b.r.ReadAt(src[:count*from], b.off+first*from); int64(got) < count*from {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
		dst := p[n:]
		whole := skip == 0 && int64(len(dst)) >= count*to
		if !whole {
			if out == nil {
				out = make([]byte, count*to)
			}
			dst = out
		}
		dst = dst[:count*to]
		if err := b.convert(dst, src[:count*from], floats, first*elements); err != nil {
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

// convert converts whole blocks, the first of which is element number first; floats is scratch of whole blocks.
func (b *blockReader) convert(dst, src []byte, floats []float32, first int64) error {
	if b.to == plan.Q8_0 {
		return ggml.ToQ8_0(dst, b.t, src)
	}
	elements, size := b.t.Block()
	for len(src) > 0 {
		count := min(int64(len(floats))/elements, int64(len(src))/size)
		x := floats[:count*elements]
		if err := ggml.Dequantize(x, b.t, src[:count*size]); err != nil {
			return err
		}
		if large := half.Encode(dst, x); large >= 0 {
			return fmt.Errorf("element %d is %g, which is too large for F16, the form in which %v is run", first+int64(large), x[large], b.t)
		}
		dst, src, first = dst[2*len(x):], src[count*size:], first+int64(len(x))
	}
	return nil
}
