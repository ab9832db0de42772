package plan

import (
	"fmt"
	"math/bits"
)

// DType is the element type of a tensor as it is stored in a checkpoint. The values are part of the C ABI
// (backends/abi/backend.h, AQ_DTYPE_*): append only.
type DType uint8

// Element types. The block types follow ggml's layouts of the same names.
const (
	F32 DType = iota
	F16
	BF16
	I8
	I16
	I32
	Q8_0 // blocks of 32: one F16 scale, 32 signed bytes
	dtypeEnd
)

var dtypeInfo = [dtypeEnd]struct {
	name        string
	block, size int // elements in a block, bytes of a block
}{
	F32: {"f32", 1, 4}, F16: {"f16", 1, 2}, BF16: {"bf16", 1, 2},
	I8: {"i8", 1, 1}, I16: {"i16", 1, 2}, I32: {"i32", 1, 4}, Q8_0: {"q8_0", 32, 34},
}

// String returns the lower-case name used in plan dumps, logs and errors.
func (d DType) String() string {
	if d >= dtypeEnd {
		return fmt.Sprintf("dtype(%d)", uint8(d))
	}
	return dtypeInfo[d].name
}

// Valid reports whether d is one of the constants above.
func (d DType) Valid() bool { return d < dtypeEnd }

// Float reports whether d stores real numbers (plain or in blocks), not codes.
func (d DType) Float() bool { return d == F32 || d == F16 || d == BF16 || d == Q8_0 }

// Block returns the number of elements in one block of d and the block's bytes; plain types have blocks of one.
func (d DType) Block() (elements, bytes int) {
	return dtypeInfo[d].block, dtypeInfo[d].size
}

// Bytes returns the bytes of n elements of type d. It fails if n is negative, no multiple of the block, or the
// result overflows.
func (d DType) Bytes(n int64) (int64, error) {
	if !d.Valid() {
		return 0, fmt.Errorf("plan: unknown element type %d", uint8(d))
	}
	block, size := d.Block()
	if n < 0 || n%int64(block) != 0 {
		return 0, fmt.Errorf("plan: %d elements of %s: not a multiple of %d", n, d, block)
	}
	hi, lo := bits.Mul64(uint64(n/int64(block)), uint64(size))
	if hi != 0 || lo > 1<<62 {
		return 0, fmt.Errorf("plan: %d elements of %s: too large", n, d)
	}
	return int64(lo), nil
}
