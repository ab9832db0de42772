package checkpoint

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"aquifer/runtime/plan"
)

// VirtualTensor is a tensor whose bytes come from elsewhere than a checkpoint's file.
type VirtualTensor struct {
	Name  string // the Hugging Face name
	DType plan.DType
	Shape []int       // outermost first
	Data  io.ReaderAt // the elements, little endian, row-major; must allow concurrent calls
}

// Virtual returns a checkpoint without files: a config and the given tensors, whose names must differ. It has no
// tokenizer, no template and no special tokens; Close leaves the tensors' readers alone.
func Virtual(name string, config Config, tensors []VirtualTensor) (*Checkpoint, error) {
	c := &Checkpoint{
		Name: name, Path: name, Format: Generated, Config: config, tensors: map[string]Tensor{}, pairing: plan.RopeHalf,
	}
	for _, t := range tensors {
		if _, twice := c.tensors[t.Name]; twice {
			return nil, in(name, fmt.Errorf("tensor %.100q: exists twice", t.Name))
		}
		elements := int64(1)
		for _, n := range t.Shape {
			if n < 1 || elements > maxElements/int64(n) {
				return nil, in(name, fmt.Errorf("tensor %.100q: shape %v is out of range", t.Name, t.Shape))
			}
			elements *= int64(n)
		}
		size, err := t.DType.Bytes(elements)
		if err != nil {
			return nil, in(name, fmt.Errorf("tensor %.100q: %w", t.Name, err))
		}
		c.add(Tensor{
			Name: t.Name, DType: t.DType, TypeName: strings.ToUpper(t.DType.String()), Shape: slices.Clone(t.Shape), Bytes: size, Stored: size,
			File: name, r: t.Data,
		})
	}
	slices.Sort(c.names)
	return c, nil
}

// maxElements keeps the bytes of a tensor within an int64.
const maxElements = 1 << 58
