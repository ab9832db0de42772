package models

import (
	"math"
	"slices"
)

// inverseFrequencies reads the rope fields of a config and returns the dim/2 inverse frequencies, computed in
// float64. It knows two spellings: rope_theta beside rope_scaling (transformers 4) and rope_parameters with both
// (transformers 5). context is max_position_embeddings.
func inverseFrequencies(f *fields, dim, context int) []float32 {
	const defaultTheta, maxTheta = 10000, 1e15
	theta := f.float("rope_theta", defaultTheta, 0, maxTheta)
	f.onlyKnown()
	scaling, scaled := f.object("rope_scaling")
	if parameters, ok := f.object("rope_parameters"); ok {
		if scaled {
			f.fail("rope_parameters", "stands beside rope_scaling")
		}
		theta = parameters.float("rope_theta", theta, 0, maxTheta)
		scaling, scaled = parameters, true
	}
	freqs := make([]float64, dim/2)
	for i := range freqs {
		freqs[i] = math.Pow(theta, -2*float64(i)/float64(dim))
	}
	if scaled {
		scaling.scaleFrequencies(freqs, f, context)
		if f.err == nil {
			f.err = scaling.err
		}
	}
	out := make([]float32, len(freqs))
	for i, v := range freqs {
		out[i] = float32(v)
	}
	return out
}

// onlyKnown refuses what would change the rotation of every type.
func (f *fields) onlyKnown() {
	for _, key := range []string{"partial_rotary_factor", "attention_factor"} {
		if v := f.float(key, 1, 0, 1e6); v != 1 {
			f.fail(key, "is %v, which is not supported", v)
		}
	}
}

// scaleFrequencies applies the object's rope type. top are the fields around it.
func (f *fields) scaleFrequencies(freqs []float64, top *fields, context int) {
	f.onlyKnown()
	key := "rope_type"
	if !f.config.Has(key) && f.config.Has("type") {
		key = "type" // spelling of early checkpoints
	}
	switch f.choice(key, "default", "linear", "llama3", "longrope") {
	case "linear":
		factor := f.float("factor", 0, 0, 1e6)
		for i := range freqs {
			freqs[i] /= factor
		}
	case "llama3":
		f.llama3(freqs)
	case "longrope":
		f.divided(freqs, top, context)
	}
}

// llama3 slows down long wavelengths by factor, keeps short ones and blends between (Llama 3.1). Wavelengths are
// measured against the context the base model was trained with.
func (f *fields) llama3(freqs []float64) {
	factor := f.float("factor", 0, 0, 1e6)
	low, high := f.float("low_freq_factor", 0, 0, 1e6), f.float("high_freq_factor", 0, 0, 1e6)
	context := float64(f.int("original_max_position_embeddings", required, 1, maxContext))
	if f.err == nil && high <= low {
		f.fail("high_freq_factor", "is %v, must be above low_freq_factor %v", high, low)
	}
	if f.err != nil {
		return
	}
	for i, v := range freqs {
		turns := context * v / (2 * math.Pi) // rotations within the context: context / wavelength
		switch {
		case turns > high:
		case turns < low:
			freqs[i] = v / factor
		default:
			smooth := (turns - low) / (high - low)
			freqs[i] = (1-smooth)*v/factor + smooth*v
		}
	}
}

// divided is longrope in the one form that is the same at every length: equal lists and no extension, so that its
// attention factor is one. A GGUF's tensor of frequency divisors arrives like this. Lists that differ need the
// length of a sequence before its first token, which no plan of this architecture provides.
func (f *fields) divided(freqs []float64, top *fields, context int) {
	short, long := f.floats("short_factor", len(freqs)), f.floats("long_factor", len(freqs))
	if f.err == nil && !slices.Equal(short, long) {
		f.fail("long_factor", "differs from short_factor, which is not supported")
	}
	owner := top
	if f.config.Has("original_max_position_embeddings") {
		owner = f
	}
	if v := owner.int("original_max_position_embeddings", context, 1, maxContext); v != context {
		owner.fail("original_max_position_embeddings", "is %d of %d positions; an extended context is not supported", v, context)
	}
	for i := range freqs {
		freqs[i] /= short[i]
	}
}
