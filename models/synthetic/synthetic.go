// Package synthetic makes checkpoints without files: the shapes of published models with weights that are generated
// when they are read. They show how fast a model of that size runs and what memory it takes, on machines that the files
// never came to; what such a model says is noise. The package imports models/checkpoint and runtime/plan only.
package synthetic

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// Shapes returns the names of the known shapes.
func Shapes() []string {
	var names []string
	for _, s := range shapes {
		names = append(names, s.name)
	}
	return names
}

// Open makes the checkpoint that spec describes as SHAPE:SCHEME. The scheme is that of the layers' matrices, KxBgG as in
// 2x8g8 with ogN behind it for an out group other than 1, or f16 or q8_0. The embedding and the head are F16, and Q8_0
// with that scheme. Making one takes little time and memory, however large the model.
func Open(spec string) (*checkpoint.Checkpoint, error) {
	shape, scheme, ok := strings.Cut(spec, ":")
	if !ok {
		return nil, fmt.Errorf("synthetic: %.60q: must be SHAPE:SCHEME, as in llama-2-7b:2x8g8", spec)
	}
	i := slices.IndexFunc(shapes, func(s struct{ name, config string }) bool { return s.name == shape })
	if i < 0 {
		return nil, fmt.Errorf("synthetic: no shape %.40q, only %s", shape, strings.Join(Shapes(), ", "))
	}
	w, err := parseScheme(scheme)
	if err != nil {
		return nil, err
	}
	name := shape + "-" + scheme
	config, err := configOf(name, shapes[i].config, w)
	if err != nil {
		return nil, err
	}
	tensors, err := layOut(config, w)
	if err != nil {
		return nil, err
	}
	return checkpoint.Virtual(name, config, tensors)
}

// weights is how the layers' matrices are stored.
type weights struct {
	aqlm   bool
	scheme plan.Scheme
	dense  plan.DType // of the embedding, and of the matrices unless aqlm
}

// parseScheme reads the scheme of a spec; only its usual spelling is accepted.
func parseScheme(text string) (weights, error) {
	switch text {
	case "f16":
		return weights{dense: plan.F16}, nil
	case "q8_0":
		return weights{dense: plan.Q8_0}, nil
	}
	scheme, err := plan.ParseScheme(text)
	if err != nil {
		return weights{}, fmt.Errorf("synthetic: %w; f16 and q8_0 are dense", err)
	}
	return weights{aqlm: true, dense: plan.F16, scheme: scheme}, nil
}

// configOf adds to a shape's config what a compressed checkpoint has besides.
func configOf(name, text string, w weights) (checkpoint.Config, error) {
	if w.aqlm {
		values := map[string]any{}
		if err := json.Unmarshal([]byte(text), &values); err != nil {
			return checkpoint.Config{}, fmt.Errorf("synthetic: %s: %w", name, err)
		}
		values["quantization_config"] = map[string]any{
			"quant_method": "aqlm", "num_codebooks": w.scheme.Codebooks, "nbits_per_codebook": w.scheme.Bits,
			"in_group_size": w.scheme.InGroup, "out_group_size": w.scheme.OutGroup,
		}
		data, err := json.Marshal(values)
		if err != nil {
			return checkpoint.Config{}, fmt.Errorf("synthetic: %s: %w", name, err)
		}
		text = string(data)
	}
	return checkpoint.ParseConfig(name, []byte(text))
}
