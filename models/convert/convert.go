// Package convert writes a checkpoint as one GGUF file: llama.cpp's metadata keys and tensor names, tokenizer, chat
// template and licence inside, and every AQLM matrix as three tensors NAME.codes, NAME.codebooks and NAME.scales with
// the bytes of the checkpoint. What llama.cpp has no key for stands in keys that start with "aqlm.". Opening the file
// with package checkpoint gives the same tensors and the same config values. It imports gguf, models/checkpoint,
// runtime/half, runtime/plan and tokenizer only.
package convert

import (
	"errors"
	"fmt"
	"io"

	"aquifer/gguf"
	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// Options are the choices of a conversion.
type Options struct {
	// Embedding is the element type of the embedding and the head: Q8_0 halves them, with ggml's rounding; F16 and the
	// zero value keep them as they are. Matrices that AQLM compressed are never touched.
	Embedding plan.DType
	// Progress, if set, is called with the tensor bytes written so far and in all.
	Progress func(done, total int64)
}

// Write writes c as a GGUF file, version 3. Tensors are streamed; equal checkpoints and options give equal bytes. It
// refuses, by name, what it cannot carry over: an architecture without a row in checkpoint.Archs, a tensor that row
// does not name, a config value it has no form for. A checkpoint without AQLM matrices is refused as well, because the
// rows of its query and key matrices would not be in the order that llama.cpp expects of such a file.
func Write(w io.Writer, c *checkpoint.Checkpoint, o Options) error {
	if o.Embedding != 0 && o.Embedding != plan.F16 && o.Embedding != plan.Q8_0 {
		return fmt.Errorf("convert: embedding type %v: must be f16 or q8_0", o.Embedding)
	}
	if err := write(w, c, o); err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	return nil
}

func write(w io.Writer, c *checkpoint.Checkpoint, o Options) error {
	modelType, err := c.Config.ModelType()
	if err != nil {
		return err
	}
	arch, ok := checkpoint.ArchOf(modelType)
	if !ok {
		return c.Config.Errorf("model_type", "%.40q has no GGUF form here", modelType)
	}
	tensors, err := sources(c, arch, o)
	if err != nil {
		return err
	}
	meta, err := metadata(c, arch)
	if err != nil {
		return err
	}
	if err := gguf.Write(w, meta, tensors); err != nil {
		return err
	}
	return c.Unchanged()
}

var errDense = errors.New("no AQLM matrix in the checkpoint: convert a dense model with llama.cpp's converter; such files run as they are")
