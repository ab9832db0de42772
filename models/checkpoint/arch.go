package checkpoint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"aquifer/gguf"
	"aquifer/runtime/plan"
)

// Arch is a row of the table that maps the names of one architecture between Hugging Face checkpoints and GGUF files of
// llama.cpp. Opening a GGUF and writing one (package convert) use the same row. The table is archtable.go.
type Arch struct {
	GGUF      string // general.architecture
	ModelType string // model_type
	// When is a GGUF key that tells the row from an earlier one with the same general.architecture: it is there and
	// not 0. Rows without it are told by KeyModelType only, which our own files have.
	When  string
	Keys  []Key
	Fixed map[string]any // config values that llama.cpp implies by the architecture; nil for null
	// Implied sets config values that llama.cpp derives from others, or from the tensors that there are, where the file
	// does not state them. It may be nil, and it does not concern our own files, which state what the checkpoint stated.
	Implied func(values map[string]any, has func(tensor string) bool)
	Tied    bool   // the head is the embedding where tie_word_embeddings is absent
	Top     []Name // modules that occur once
	Layer   []Name // modules of a layer; their names stand behind "blk.N." and "model.layers.N."
	// Pairing is how llama.cpp's own files lay out query and key rows.
	Pairing plan.RopePairing
	// ShiftedGains: llama.cpp's own files hold 1 + gain where the checkpoint holds the gain of a norm.
	ShiftedGains bool
}

// Key pairs a config key with the GGUF key "ARCH.GGUF".
type Key struct {
	HF, GGUF string
	Float    bool // float32 in the GGUF, else uint32
	// Default is the value of an absent config key: a number, another key, or a quotient "a/b" of two keys. A key
	// without it is required unless it is Optional.
	Default string
	// Optional: null, or absence without a default, leaves the GGUF key out.
	Optional bool
	// In is an object that newer configs hold the key in. It is carried over whole; the GGUF key repeats it.
	In string
}

// Name pairs the names of a module: "self_attn.q_proj" and "attn_q". A part (weight, bias, codes, codebooks, scales)
// follows in both. "%d" in both stands for the number of an expert. Stacked is the GGUF name under which llama.cpp
// holds the weights of all experts in one tensor.
type Name struct{ HF, GGUF, Stacked string }

// ArchOf returns the row of a model_type.
func ArchOf(modelType string) (Arch, bool) {
	archs := Archs()
	i := slices.IndexFunc(archs, func(a Arch) bool { return a.ModelType == modelType })
	if i < 0 {
		return Arch{}, false
	}
	return archs[i], true
}

// Stated reports whether a file has to state the model_type, because general.architecture means another one.
func (a Arch) Stated() bool {
	archs := Archs()
	i := slices.IndexFunc(archs, func(first Arch) bool { return first.GGUF == a.GGUF })
	return archs[i].ModelType != a.ModelType
}

// archOfGGUF returns the row of a file.
func archOfGGUF(f *gguf.File) (found Arch, err error) {
	const key = "general.architecture"
	name, ok, err := f.String(key)
	if err != nil {
		return Arch{}, err
	}
	if !ok {
		return Arch{}, fmt.Errorf("key %s is missing", key)
	}
	stated, isStated, err := f.String(KeyModelType)
	if err != nil {
		return Arch{}, err
	}
	var known []string
	for _, a := range Archs() {
		if !slices.Contains(known, a.GGUF) {
			known = append(known, a.GGUF)
		}
		if a.GGUF != name {
			continue
		}
		fits := found.GGUF == ""
		switch {
		case isStated:
			fits = a.ModelType == stated
		case a.When != "":
			n, _, err := f.Int(name + "." + a.When)
			if err != nil {
				return Arch{}, err
			}
			fits = n != 0
		}
		if fits {
			found = a
		}
	}
	switch {
	case found.GGUF != "":
		return found, nil
	case isStated && slices.Contains(known, name):
		return Arch{}, fmt.Errorf("%s: %.40q is not one of architecture %q", KeyModelType, stated, name)
	}
	return Arch{}, fmt.Errorf("%s: %.40q is not supported, only %s", key, name, strings.Join(known, ", "))
}

const (
	layerHF   = "model.layers."
	layerGGUF = "blk."
)

// ToGGUF returns the GGUF name of a tensor; ok is false for a tensor that the architecture does not have.
func (a Arch) ToGGUF(tensor string) (name string, ok bool) {
	return rename(tensor, layerHF, layerGGUF, a, func(n Name) (string, string) { return n.HF, n.GGUF })
}

// ToHF returns the Hugging Face name of a tensor of a GGUF.
func (a Arch) ToHF(tensor string) (name string, ok bool) {
	return rename(tensor, layerGGUF, layerHF, a, func(n Name) (string, string) { return n.GGUF, n.HF })
}

// unstack returns the Hugging Face names of the parts of a tensor that holds all experts of a layer, with "%d" for the
// expert.
func (a Arch) unstack(tensor string) (format string, ok bool) {
	return rename(tensor, layerGGUF, layerHF, a, func(n Name) (string, string) { return n.Stacked, n.HF })
}

func rename(tensor, from, to string, a Arch, pair func(Name) (from, to string)) (string, bool) {
	dot := strings.LastIndexByte(tensor, '.')
	if dot < 0 || !slices.Contains([]string{"weight", "bias", "codes", "codebooks", "scales"}, tensor[dot+1:]) {
		return "", false
	}
	module, part := tensor[:dot], tensor[dot:]
	names, prefix := a.Top, ""
	if rest, ok := strings.CutPrefix(module, from); ok {
		number, inner, ok := strings.Cut(rest, ".")
		if !ok || !isNumber(number) {
			return "", false
		}
		names, module, prefix = a.Layer, inner, to+number+"."
	}
	for _, n := range names {
		old, renamed := pair(n)
		if before, after, numbered := strings.Cut(old, "%d"); numbered {
			expert, ok := strings.CutPrefix(module, before)
			if expert, ok = cutSuffix(expert, after, ok); ok && isNumber(expert) {
				return prefix + strings.Replace(renamed, "%d", expert, 1) + part, true
			}
		} else if old != "" && old == module {
			return prefix + renamed + part, true
		}
	}
	return "", false
}

func cutSuffix(s, suffix string, ok bool) (string, bool) {
	rest, has := strings.CutSuffix(s, suffix)
	return rest, ok && has
}

// isNumber accepts the canonical spelling of a number only: "blk.01." must not become a second name of layer 1.
func isNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 31)
	return err == nil && strconv.FormatUint(n, 10) == s
}
