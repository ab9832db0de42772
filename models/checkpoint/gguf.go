package checkpoint

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"aquifer/gguf"
	"aquifer/runtime/plan"
)

// Keys of our own in a GGUF, beside those of llama.cpp.
const (
	KeyPairing   = "aqlm.rope_pairing"             // "half": rows and gains are those of Hugging Face
	KeyModelType = "aqlm.config.model_type"        // where general.architecture stands for several
	KeyConfig    = "aqlm.config."                  // prefix; config values for which llama.cpp has no key or not the precision
	KeyScheme    = "aqlm."                         // prefix of the keys of quantization_config
	KeyGenerate  = "aqlm.generation."              // prefix of the keys of generation_config.json
	KeyEOS       = "aqlm.generation.eos_token_ids" // every id that ends an answer
	KeyUnknown   = "aqlm.unknown_token_id"         // the configuration's, where the tokenizer has another or none
	KeyLStrip    = "aqlm.tokenizer.lstrip"         // ids of added tokens that take the white space in front of them
	KeyRStrip    = "aqlm.tokenizer.rstrip"         // and behind them
	KeyLicense   = "aqlm.license"                  // text of the licence

	KeyToolTemplate = "tokenizer.chat_template.tool_use" // as llama.cpp names templates beside the first
	ropeFreqs       = "rope_freqs.weight"                // llama.cpp's tensor of frequency divisors ...
	ropeShort       = "rope_factors_short.weight"        // ... and those of short ...
	ropeLong        = "rope_factors_long.weight"         // ... and long sequences
	maxRopeFreqs    = 1 << 12
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
	var err error
	if g.arch, err = archOfGGUF(g.File); err != nil {
		return nil, err
	}
	if n, _, err := g.Int("split.count"); err != nil || n > 1 {
		return nil, cmpErr(err, fmt.Errorf("split.count: the model is split into %d files, which is not supported; merge them first", n))
	}
	g.c = &Checkpoint{Name: NameOf(g.name), Path: g.name, Format: GGUF, gguf: g.File, tensors: map[string]Tensor{}}
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
		g.c.pairing, g.c.shifted = g.arch.Pairing, g.arch.ShiftedGains
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
		x, err := g.tensor(t)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if err := g.enter(t.Name, x); err != nil {
			return err
		}
	}
	slices.Sort(g.c.names)
	return nil
}

// tensor describes a tensor under its own name, as it is presented.
func (g *ggufReader) tensor(t gguf.Tensor) (Tensor, error) {
	dims := slices.Clone(t.Dims)
	slices.Reverse(dims)
	shape, err := intShape(dims)
	if err != nil {
		return Tensor{}, err
	}
	x := Tensor{Name: t.Name, TypeName: t.Type.String(), Shape: shape, Stored: t.Size, File: g.name, r: g.r, off: t.Offset}
	if x.DType, x.Bytes, err = presented(t); err != nil {
		return Tensor{}, err
	}
	if x.DType != ggufType(t.Type) {
		x.r, x.off = newBlocks(g.r, t, x.DType), 0
	}
	return x, nil
}

// enter adds a tensor of the file under the name that the table has for it. One that holds the weights of all experts
// is entered expert by expert.
func (g *ggufReader) enter(from string, x Tensor) error {
	add := func(x Tensor) error {
		if _, taken := g.c.tensors[x.Name]; taken {
			return fmt.Errorf("tensor %q: its name %q is taken by another tensor", from, x.Name)
		}
		g.c.add(x)
		return nil
	}
	format, stacked := g.arch.unstack(from)
	if !stacked {
		if name, ok := g.arch.ToHF(from); ok {
			x.Name = name
		}
		return add(x)
	}
	if len(x.Shape) != 3 || x.Shape[0] > maxExperts || x.Bytes%int64(x.Shape[0]) != 0 || x.Stored%int64(x.Shape[0]) != 0 {
		return fmt.Errorf("tensor %q: shape is %v, must be [experts, rows, columns]", from, x.Shape)
	}
	n := x.Shape[0]
	x.Shape, x.Bytes, x.Stored = x.Shape[1:], x.Bytes/int64(n), x.Stored/int64(n)
	for e := range n {
		x.Name = strings.Replace(format, "%d", strconv.Itoa(e), 1)
		if err := add(x); err != nil {
			return err
		}
		x.off += x.Bytes
	}
	return nil
}

// maxExperts bounds the experts of a layer; published models have up to a few hundred.
const maxExperts = 1 << 12

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
