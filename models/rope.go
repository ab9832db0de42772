package models

import (
	"math"
	"slices"

	"aquifer/runtime/plan"
)

// rope is how a model rotates: one table of inverse frequencies, or two where long sequences have their own.
type rope struct {
	freqs  []float32 // (dim/2)
	long   []float32 // (dim/2) for sequences of more than limit tokens; nil for one table
	limit  int
	factor float32 // of sine and cosine
}

const defaultTheta, maxTheta = 10000, 1e15

// readRope reads the rope fields of a config. It knows two spellings: rope_theta beside rope_scaling (transformers 4)
// and rope_parameters with both (transformers 5). dim is the width of a head, context max_position_embeddings, theta
// the value of an absent rope_theta, 0 if it has to be there.
func readRope(f *fields, dim, context int, theta float64) rope {
	scaling, scaled := f.object("rope_scaling")
	parameters, nested := f.object("rope_parameters")
	if !nested || f.config.Has("rope_theta") {
		theta = f.float("rope_theta", theta, 0, maxTheta)
	}
	if nested {
		if scaled {
			f.fail("rope_parameters", "stands beside rope_scaling")
		}
		theta = parameters.float("rope_theta", theta, 0, maxTheta)
		scaling, scaled = parameters, true
	}
	f.unscaled("partial_rotary_factor", "attention_factor")
	if !scaled {
		return rope{freqs: narrow(frequencies(theta, dim)), factor: 1}
	}
	r := scaling.scaled(f, frequencies(theta, dim), context)
	if f.err == nil {
		f.err = scaling.err
	}
	return r
}

// frequencies returns theta^(-2i/dim), computed in float64 as all that follows.
func frequencies(theta float64, dim int) []float64 {
	freqs := make([]float64, dim/2)
	for i := range freqs {
		freqs[i] = math.Pow(theta, -2*float64(i)/float64(dim))
	}
	return freqs
}

func narrow(freqs []float64) []float32 {
	out := make([]float32, len(freqs))
	for i, v := range freqs {
		out[i] = float32(v)
	}
	return out
}

// unscaled refuses fields that change the rotation unless they are 1.
func (f *fields) unscaled(keys ...string) {
	for _, key := range keys {
		if v := f.float(key, 1, 0, 1e6); v != 1 {
			f.fail(key, "is %v, which is not supported", v)
		}
	}
}

// scaled applies the object's rope type. top are the fields around it.
func (f *fields) scaled(top *fields, freqs []float64, context int) rope {
	f.unscaled("partial_rotary_factor")
	key := "rope_type"
	if !f.config.Has(key) && f.config.Has("type") {
		key = "type" // spelling of early checkpoints
	}
	switch f.choice(key, "default", "linear", "llama3", "longrope", "su") {
	case "linear":
		factor := f.float("factor", 0, 0, 1e6)
		for i := range freqs {
			freqs[i] /= factor
		}
	case "llama3":
		f.llama3(freqs)
	case "longrope", "su": // two names of one type
		return f.longrope(top, freqs, context)
	}
	f.unscaled("attention_factor")
	return rope{freqs: narrow(freqs), factor: 1}
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

// longrope divides each frequency by a number of its own: from one list for sequences up to the context the base model
// was trained with, from another for all positions of longer ones. Sine and cosine are multiplied by
// sqrt(1 + ln(s)/ln(original)) where the context was extended by s, with both lists (LongRoPE, arXiv 2402.13753). A
// GGUF's tensor of frequency divisors arrives as two equal lists without an extension.
func (f *fields) longrope(top *fields, freqs []float64, context int) rope {
	short, long := f.floats("short_factor", len(freqs)), f.floats("long_factor", len(freqs))
	owner := top
	if f.config.Has("original_max_position_embeddings") {
		owner = f
	}
	original := owner.int("original_max_position_embeddings", context, 1, maxContext)
	extension := float64(context) / float64(original)
	if owner == f && f.config.Has("factor") {
		extension = f.float("factor", 0, 0, 1e6)
	}
	factor := 1.0
	if extension > 1 && original > 1 {
		factor = math.Sqrt(1 + math.Log(extension)/math.Log(float64(original)))
	}
	r := rope{factor: float32(f.float("attention_factor", factor, 0, 1e3))}
	r.freqs = divided(freqs, short)
	if !slices.Equal(short, long) && original < context {
		r.long, r.limit = divided(freqs, long), original
	}
	if top.err == nil {
		top.err = f.err
	}
	return r
}

func divided(freqs, by []float64) []float32 {
	out := make([]float64, len(freqs))
	for i, v := range freqs {
		out[i] = v / by[i]
	}
	return narrow(out)
}

// params enters the tables of frequencies under a name and returns what a Rope op needs to know, but for its heads.
func (b *binder) rope(name string, r rope, dim int, pairing plan.RopePairing) plan.RopeParams {
	p := plan.RopeParams{Dim: dim, Rotated: dim, Pairing: pairing, Freqs: b.Const(name, r.freqs), Factor: r.factor}
	if r.long != nil {
		p.Limit, p.Long = r.limit, b.Const(name+".long", r.long)
	}
	return p
}
