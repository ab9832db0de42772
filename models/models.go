// Package models turns an opened checkpoint into a plan: it validates the config of an architecture, checks that the
// tensors have the shapes it implies, and lists which tensor feeds which weight. One file an architecture. It touches
// no device and reads no tensor data; it imports models/checkpoint and runtime/plan only.
package models

import (
	"fmt"
	"slices"
	"strings"

	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// Model is a checkpoint ready to be compiled and loaded.
type Model struct {
	Name   string // the checkpoint's
	Arch   string // "llama"
	Scheme string // of the layers' matrices: "2x8g8", "dense f16", "2x8g8 + dense"
	Plan   *plan.Plan
	// Bindings lists, in plan order, the tensor of every part of every weight that comes from the checkpoint. The
	// tensor's elements, in the form that Tensor gives them, lie in the order that backends.Program.Load expects.
	Bindings []Binding

	Context       int     // positions the model was made for
	Vocab         int     // token ids
	Params        int64   // weights and biases of the uncompressed model, a tied embedding counted once
	BitsPerWeight float64 // of the layers' matrices, with codebooks and scales

	head plan.Weight // what makes the logits, which may be the embedding
}

// Binding names the tensor that holds one part of a weight.
type Binding struct {
	Weight plan.Weight
	Part   plan.Part
	Tensor string
}

// architecture writes the plan of one model_type into the binder.
type architecture struct {
	modelType string
	build     func(b *binder)
}

// architectures is the table of what Build knows.
func architectures() []architecture {
	return []architecture{
		{"llama", llama},
		{"mistral", mistral},
		{"mixtral", mixtral},
		{"gemma", gemma},
		{"gemma2", gemma2},
		{"gemma3_text", gemma3},
		{"phi3", phi3},
		{"qwen2", qwen2},
		{"qwen3", qwen3},
		{"cohere", cohere},
	}
}

// Architectures returns the model types that Build knows.
func Architectures() []string {
	var names []string
	for _, a := range architectures() {
		names = append(names, a.modelType)
	}
	return names
}

// Build plans a checkpoint. Its errors are one line and name the file and the field or tensor.
func Build(c *checkpoint.Checkpoint) (*Model, error) {
	modelType, err := c.Config.ModelType()
	if err != nil {
		return nil, err
	}
	known := architectures()
	i := slices.IndexFunc(known, func(a architecture) bool { return a.modelType == modelType })
	if i < 0 {
		return nil, c.Config.Errorf("model_type", "%.40q is not supported, only %s", modelType, strings.Join(Architectures(), ", "))
	}
	b, err := newBinder(c)
	if err != nil {
		return nil, err
	}
	known[i].build(b)
	m, err := b.model(modelType)
	if err != nil {
		return nil, err
	}
	if err := m.Plan.Validate(); err != nil {
		return nil, fmt.Errorf("models: %s: %w", c.Path, err)
	}
	return m, nil
}
