package convert

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"aquifer/gguf"
	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// sources lists the tensors of the file in its order: embedding, layers, final norm, head.
func sources(c *checkpoint.Checkpoint, arch checkpoint.Arch, o Options) ([]gguf.Source, error) {
	tied, stated, err := c.Config.Bool("tie_word_embeddings")
	if err != nil {
		return nil, err
	}
	tied = tied || !stated && arch.Tied
	p := &progress{call: o.Progress}
	var list []gguf.Source
	var compressed, head bool
	for _, name := range c.Names() {
		renamed, ok := arch.ToGGUF(name)
		isHead := strings.HasPrefix(renamed, "output.")
		if strings.HasSuffix(name, ".rotary_emb.inv_freq") || tied && isHead {
			// Old checkpoints store the rope frequencies, which follow from the config; a tied head is the embedding.
			continue
		}
		if !ok {
			return nil, fmt.Errorf("tensor %.100q: is not part of a %s model", name, arch.ModelType)
		}
		t, _ := c.Tensor(name)
		s, err := p.source(renamed, t, o)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
		compressed = compressed || strings.HasSuffix(name, ".codes")
		head = head || isHead
	}
	if !compressed {
		return nil, errDense
	}
	if !tied && !head {
		return nil, fmt.Errorf("tensor lm_head.weight: is missing, although the config says that the head is not tied")
	}
	slices.SortFunc(list, byPlace)
	return list, nil
}

// byPlace orders tensors as llama.cpp's converter does: embedding, layers by number, the rest by name.
func byPlace(a, b gguf.Source) int {
	return cmp.Or(cmp.Compare(layer(a.Name), layer(b.Name)), strings.Compare(a.Name, b.Name))
}

// layer returns the layer of a GGUF tensor, -1 for the embedding, the largest number for what stands behind the layers.
func layer(name string) int {
	if strings.HasPrefix(name, "token_embd.") {
		return -1
	}
	if rest, ok := strings.CutPrefix(name, "blk."); ok {
		number, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(number); err == nil {
			return n
		}
	}
	return math.MaxInt
}

// source describes one tensor of the file.
func (p *progress) source(name string, t checkpoint.Tensor, o Options) (gguf.Source, error) {
	s := gguf.Source{Name: name, Dims: make([]int64, len(t.Shape))}
	for i, d := range t.Shape {
		s.Dims[len(t.Shape)-1-i] = int64(d)
	}
	kind, ok := ggufType(t.DType)
	if !ok {
		return s, fmt.Errorf("tensor %.100q: element type %s is not supported", t.Name, t.TypeName)
	}
	s.Type = kind
	embedding := name == "token_embd.weight" || name == "output.weight"
	if embedding && o.Embedding == plan.Q8_0 {
		var err error
		if t, err = t.ToQ8_0(); err != nil {
			return s, err
		}
		s.Type = gguf.Q8_0
	}
	size, err := s.Type.Bytes(s.Dims)
	if err != nil {
		return s, fmt.Errorf("tensor %.100q: %w", t.Name, err)
	}
	p.total += size
	s.Open = func() (io.Reader, error) {
		return &counted{io.NewSectionReader(t, 0, t.Bytes), p}, nil
	}
	return s, nil
}

func ggufType(t plan.DType) (gguf.Type, bool) {
	switch t {
	case plan.F32:
		return gguf.F32, true
	case plan.F16:
		return gguf.F16, true
	case plan.BF16:
		return gguf.BF16, true
	case plan.I8:
		return gguf.I8, true
	case plan.I16:
		return gguf.I16, true
	case plan.I32:
		return gguf.I32, true
	case plan.Q8_0:
		return gguf.Q8_0, true
	}
	return 0, false
}

// progress adds up what has been read of all sources.
type progress struct {
	done, total int64
	call        func(done, total int64)
}

type counted struct {
	io.Reader
	p *progress
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if c.p.done += int64(n); n > 0 && c.p.call != nil {
		c.p.call(c.p.done, c.p.total)
	}
	return n, err
}
