package gguf

import "fmt"

// Type is the element type of a tensor, by its number in the file (ggml_type).
type Type uint32

// The types that this project computes with, converts from (package ggml) or writes. Types knows more by name and size.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q4_1 Type = 3
	Q5_0 Type = 6
	Q5_1 Type = 7
	Q8_0 Type = 8
	Q2_K Type = 10
	Q3_K Type = 11
	Q4_K Type = 12
	Q5_K Type = 13
	Q6_K Type = 14
	I8   Type = 24
	I16  Type = 25
	I32  Type = 26
	BF16 Type = 30
)

type typeInfo struct {
	name            string
	elements, bytes int64 // of one block
}

// info returns name and block of a type; ok is false for numbers that ggml never gave out or has withdrawn.
func (t Type) info() (i typeInfo, ok bool) {
	switch t {
	case F32:
		i = typeInfo{"F32", 1, 4}
	case F16:
		i = typeInfo{"F16", 1, 2}
	case Q4_0:
		i = typeInfo{"Q4_0", 32, 18}
	case Q4_1:
		i = typeInfo{"Q4_1", 32, 20}
	case Q5_0:
		i = typeInfo{"Q5_0", 32, 22}
	case Q5_1:
		i = typeInfo{"Q5_1", 32, 24}
	case Q8_0:
		i = typeInfo{"Q8_0", 32, 34}
	case 9:
		i = typeInfo{"Q8_1", 32, 36}
	case Q2_K:
		i = typeInfo{"Q2_K", 256, 84}
	case Q3_K:
		i = typeInfo{"Q3_K", 256, 110}
	case Q4_K:
		i = typeInfo{"Q4_K", 256, 144}
	case Q5_K:
		i = typeInfo{"Q5_K", 256, 176}
	case Q6_K:
		i = typeInfo{"Q6_K", 256, 210}
	case 15:
		i = typeInfo{"Q8_K", 256, 292}
	case 16:
		i = typeInfo{"IQ2_XXS", 256, 66}
	case 17:
		i = typeInfo{"IQ2_XS", 256, 74}
	case 18:
		i = typeInfo{"IQ3_XXS", 256, 98}
	case 19:
		i = typeInfo{"IQ1_S", 256, 50}
	case 20:
		i = typeInfo{"IQ4_NL", 32, 18}
	case 21:
		i = typeInfo{"IQ3_S", 256, 110}
	case 22:
		i = typeInfo{"IQ2_S", 256, 82}
	case 23:
		i = typeInfo{"IQ4_XS", 256, 136}
	case I8:
		i = typeInfo{"I8", 1, 1}
	case I16:
		i = typeInfo{"I16", 1, 2}
	case I32:
		i = typeInfo{"I32", 1, 4}
	case 27:
		i = typeInfo{"I64", 1, 8}
	case 28:
		i = typeInfo{"F64", 1, 8}
	case 29:
		i = typeInfo{"IQ1_M", 256, 56}
	case BF16:
		i = typeInfo{"BF16", 1, 2}
	case 34:
		i = typeInfo{"TQ1_0", 256, 54}
	case 35:
		i = typeInfo{"TQ2_0", 256, 66}
	case 39:
		i = typeInfo{"MXFP4", 32, 17}
	case 40:
		i = typeInfo{"NVFP4", 64, 36}
	case 41:
		i = typeInfo{"Q1_0", 128, 18}
	default:
		return i, false
	}
	return i, true
}

// String returns ggml's name of the type.
func (t Type) String() string {
	if i, ok := t.info(); ok {
		return i.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Block returns the number of elements in a block of the type and the block's bytes; plain types have blocks of one.
// Both are 0 for an unknown type.
func (t Type) Block() (elements, bytes int64) {
	i, _ := t.info()
	return i.elements, i.bytes
}

// Bytes returns the size of a tensor with these dimensions (innermost first). It fails for an unknown type, a dimension
// below 1, rows that are no whole number of blocks, and sizes beyond int64.
func (t Type) Bytes(dims []int64) (int64, error) {
	i, ok := t.info()
	if !ok {
		return 0, fmt.Errorf("unknown or withdrawn element %v", t)
	}
	if len(dims) < 1 || len(dims) > MaxDims {
		return 0, fmt.Errorf("%d dimensions, must be 1..%d", len(dims), MaxDims)
	}
	factors := make([]uint64, 0, MaxDims+1)
	for _, d := range dims {
		if d < 1 {
			return 0, fmt.Errorf("dimensions %v: %d is out of range", dims, d)
		}
		factors = append(factors, uint64(d))
	}
	// The element count must fit by itself: readers multiply the dimensions before anything else.
	if _, ok := checked(nil, factors...); !ok {
		return 0, fmt.Errorf("dimensions %v: too many elements", dims)
	}
	if dims[0]%i.elements != 0 {
		return 0, fmt.Errorf("dimensions %v: rows of %s must be multiples of %d", dims, i.name, i.elements)
	}
	factors[0] /= uint64(i.elements)
	n, ok := checked(nil, append(factors, uint64(i.bytes))...)
	if !ok {
		return 0, fmt.Errorf("dimensions %v: too many bytes of %s", dims, i.name)
	}
	return int64(n), nil
}
