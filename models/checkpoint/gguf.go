package checkpoint

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"aquifer/gguf"
	"aquifer/runtime/plan"
)

// Keys of our own in a GGUF, beside those of llama.cpp.
const (
	KeyPairing   = "aqlm.rope_pairing"             // "half": rows are in the order of Hugging Face
	KeyConfig    = "aqlm.config."                  // prefix; config values for which llama.cpp has no key or not the precision
	KeyScheme    = "aqlm."                         // prefix of the keys of quantization_config
	KeyGenerate  = "aqlm.generation."              // prefix of the keys of generation_config.json
	KeyEOS       = "aqlm.generation.eos_token_ids" // every id that ends an answer
	KeyUnknown   = "aqlm.unknown_token_id"         // the configuration's, where the tokenizer has another or none
	KeyLStrip    = "aqlm.tokenizer.lstrip"         // ids of added tokens that take the white space in front of them
	KeyRStrip    = "aqlm.tokenizer.rstrip"         // and behind them
	KeyLicense   = "aqlm.license"                  // text of the licence
	ropeFreqs    = "rope_freqs.weight"             // llama.cpp's tensor of frequency divisors
	maxRopeFreqs = 1 << 12
)

// Values of KeyPairing.
const (
	PairingHalf       = "half"
	PairingNeighbours = "neighbours"
)

// SchemeKeys are the keys of quantization_config that a GGUF holds behind KeyScheme, in the order of the fields of
// AQLMParams.
func SchemeKeys() []string {
	return []string{"num_codebooks", "nbits_per_codebook", "in_group_size", "out_group_size"}
}

// OpenGGUF opens a GGUF that r holds; name stands for it in errors and, where the file has no name of its own, in
// Name. The caller keeps r open as long as the checkpoint is used.
func OpenGGUF(name string, r io.ReaderAt, size int64) (*Checkpoint, error) {
	f, err := gguf.Read(r, size)
	if err != nil {
		if _, format := err.(*gguf.FormatError); format && !hasMagic(r) {
			return nil, in(name, fmt.Errorf("neither a folder nor a GGUF file: %w", err))
		}
		return nil, in(name, err)
	}
	g := &ggufReader{File: f, name: name, r: r}
	c, err := g.open()
	if err != nil {
		return nil, in(name, err)
	}
	return c, nil
}

func hasMagic(r io.ReaderAt) bool {
	var magic [4]byte
	n, _ := r.ReadAt(magic[:], 0)
	return n == 4 && string(magic[:]) == "GGUF"
}

// ggufReader maps a GGUF to a checkpoint. Its errors name the key or the tensor; OpenGGUF adds the file.
type ggufReader struct {
	*gguf.File
	name string
	r    io.ReaderAt
	arch Arch
	c    *Checkpoint
}

func (g *ggufReader) open() (*Checkpoint, error) {
	name, ok, err := g.String("general.architecture")
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("key general.architecture is missing")
	}
	if g.arch, ok = find(func(a Arch) string { return a.GGUF }, name); !ok {
		var known []string
		for _, a := range Archs() {
			known = append(known, a.GGUF)
		}
		return nil, fmt.Errorf("general.architecture: %.40q is not supported, only %s", name, strings.Join(known, ", "))
	}
	if n, _, err := g.Int("split.count"); err != nil || n > 1 {
		return nil, cmpErr(err, fmt.Errorf("split.count: the model is split into %d files, which is not supported; merge them first", n))
	}
	g.c = &Checkpoint{Name: modelName(g.name), Path: g.name, Format: GGUF, gguf: g.File, tensors: map[string]Tensor{}}
	for _, step := range []func() error{g.readName, g.readPairing, g.readTensors, g.readConfig, g.readVocab, g.readSide} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return g.c, nil
}

// cmpErr returns the first error.
func cmpErr(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

func (g *ggufReader) readName() error {
	name, ok, err := g.String("general.name")
	if ok && name != "" && utf8.ValidString(name) && len(name) <= 200 {
		g.c.Name = name
	}
	return err
}

func (g *ggufReader) readPairing() error {
	pairing, ok, err := g.String(KeyPairing)
	switch {
	case err != nil:
		return err
	case !ok:
		g.c.pairing = g.arch.Pairing
	case pairing == PairingHalf:
		g.c.pairing = plan.RopeHalf
	case pairing == PairingNeighbours:
		g.c.pairing = plan.RopeNeighbours
	default:
		return fmt.Errorf("%s: unknown pairing %.40q", KeyPairing, pairing)
	}
	return nil
}

// readTensors enters the tensors by their Hugging Face names. A tensor the table does not know keeps its name: whether
// it matters is for the architecture's code.
func (g *ggufReader) readTensors() error {
	for _, t := range g.Tensors {
		name, ok := g.arch.ToHF(t.Name)
		if !ok {
			name = t.Name
		}
		if _, taken := g.c.tensors[name]; taken {
			return fmt.Errorf("tensor %q: its name %q is taken by another tensor", t.Name, name)
		}
		dims := slices.Clone(t.Dims)
		slices.Reverse(dims)
		shape, err := intShape(dims)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		x := Tensor{Name: name, TypeName: t.Type.String(), Shape: shape, Stored: t.Size, File: g.name, r: g.r, off: t.Offset}
		if x.DType, x.Bytes, err = presented(t); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if x.DType != ggufType(t.Type) {
			x.r, x.off = &blockReader{r: g.r, off: t.Offset, size: t.Size, t: t.Type, to: x.DType}, 0
		}
		g.c.add(x)
	}
	slices.Sort(g.c.names)
	return nil
}

func ggufType(t gguf.Type) plan.DType {
	switch t {
	case gguf.F32:
		return plan.F32
	case gguf.F16:
		return plan.F16
	case gguf.BF16:
		return plan.BF16
	case gguf.I8:
		return plan.I8
	case gguf.I16:
		return plan.I16
	case gguf.I32:
		return plan.I32
	case gguf.Q8_0:
		return plan.Q8_0
	}
	return Unsupported
}
