// Package sample turns the logits of one position into a token. A Sampler belongs to one sequence and one goroutine;
// its choices depend on its parameters, its seed, the logits and the tokens it has seen, on nothing else. The package
// imports nothing of ours.
//
// The steps run in llama.cpp's default order (common/common.h, common_params_sampling::samplers), each on what the
// one before left over:
//
//	mask, LogitBias, penalties, DRY, TopNSigma, TopK, TypicalP, TopP, MinP, XTC, Temperature, draw
//
// All that cuts comes before the temperature: it looks at the distribution at temperature 1, and a high temperature
// does not let unlikely tokens back in. With Mirostat the steps from TopNSigma to XTC are left out, as they are there:
// it sets the cut itself.
package sample

import (
	"fmt"
	"math"
)

// Defaults, for fields of Params that are zero. They are llama.cpp's.
const (
	DefaultRepeatLastN      = 64
	DefaultXTCThreshold     = 0.1
	DefaultDRYBase          = 1.75
	DefaultDRYAllowedLength = 2
	DefaultMirostatTau      = 5
	DefaultMirostatEta      = 0.1
)

// DefaultDRYBreakers returns the strings that end repetitions where Params.DRYBreakers is nil.
func DefaultDRYBreakers() []string { return []string{"\n", ":", "\"", "*"} }

// Limits of lists in Params.
const (
	MaxLogitBias   = 1024 // tokens
	MaxDRYBreakers = 64   // strings
	MaxDRYBreaker  = 40   // bytes of one
)

// Bias is added to the logit of one token.
type Bias struct {
	ID    int32
	Value float32
}

// Params say how a token is chosen. The zero value is greedy: the most likely token, no penalties. Each field that is
// zero is off or at its default; a client's explicit zero that means something else has to be spelled differently.
type Params struct {
	// LogitBias is added to logits (-100..100, and -Inf, which bans a token). A token that stands in it twice gets both.
	LogitBias []Bias

	// Temperature divides the logits before the draw; 0 takes the most likely token. At most 2.
	Temperature float32
	// DynatempRange lets the temperature vary by so much (0..2) with the entropy of what is left over: from
	// Temperature - range, at least 0, where the model is certain, to Temperature + range where all are alike.
	// DynatempExponent bends the curve between (0..100, 0 means 1).
	DynatempRange, DynatempExponent float32

	// TopK keeps the k most likely tokens; 0 keeps all.
	TopK int
	// TopP keeps the smallest set of most likely tokens whose probabilities add up to it (0..1); 0 and 1 keep all.
	// A client's explicit 0 means "only the most likely token", which is TopK = 1 here.
	TopP float32
	// MinP keeps tokens at least MinP times as likely as the most likely one (0..1); 0 keeps all.
	MinP float32
	// TypicalP keeps the tokens whose surprise is closest to the entropy, up to this probability (arXiv 2202.00666)
	// (0..1); 0 and 1 keep all.
	TypicalP float32
	// TopNSigma keeps tokens whose logits are at most so many standard deviations below the best (arXiv 2411.07641)
	// (0..100); 0 keeps all.
	TopNSigma float32
	// XTCProbability is how often, of the tokens at least XTCThreshold likely (0..1, 0 means the default), all but the
	// least likely are left out, if there are two or more; a threshold above 0.5 does nothing, then.
	XTCProbability, XTCThreshold float32
	// Mirostat is 2 for Mirostat 2.0 (arXiv 2007.14966), 0 for off: tokens more surprising than a bound are cut, and the
	// bound moves so that the mean surprise comes to MirostatTau bits (0..100), by the part MirostatEta (0..1) of the
	// error with every token. 0 means the default of either.
	Mirostat                 int
	MirostatTau, MirostatEta float32

	// RepeatPenalty divides the positive and multiplies the negative logits of tokens in the window, prompt included
	// (arXiv 1909.05858); 0 and 1 are off. At most 10.
	RepeatPenalty float32
	// PresencePenalty is subtracted from the logit of each generated token in the window, FrequencyPenalty once for
	// each time it was generated (OpenAI's definition); -2..2, 0 is off. Prompt tokens don't count: a chat template's
	// end-of-turn tokens would, and the answer would not end.
	PresencePenalty, FrequencyPenalty float32
	// RepeatLastN is the window of all three in tokens; 0 means DefaultRepeatLastN, -1 everything.
	RepeatLastN int

	// DRYMultiplier turns on "don't repeat yourself" (0..100, 0 is off): the logit of a token that would go on with a
	// repetition of n >= DRYAllowedLength tokens, prompt included, falls by DRYMultiplier * DRYBase^(n -
	// DRYAllowedLength). The base is 1..100, the length at least 1; 0 means the default of either.
	DRYMultiplier, DRYBase float32
	DRYAllowedLength       int
	// DRYLastN is how many tokens are searched for repetitions; 0 and -1 mean all.
	DRYLastN int
	// DRYBreakers end repetitions: none reaches across a token that completes one of them in the text, and tokens that
	// contain one are not penalised. nil means the default. They are not found where the sampler has no texts.
	DRYBreakers []string

	// Seed fixes the draws. There is no value for "random": who wants that passes a random number.
	Seed uint64
}

// ParamError says which parameter is out of range. Param is the name that clients use.
type ParamError struct{ Param, Msg string }

func (e *ParamError) Error() string { return fmt.Sprintf("%s: %s", e.Param, e.Msg) }

// Validate checks the ranges given at the fields; it returns a *ParamError.
func (p Params) Validate() error {
	for _, f := range []struct {
		name   string
		v      float32
		lo, hi float32
	}{
		{"temperature", p.Temperature, 0, 2},
		{"dynatemp_range", p.DynatempRange, 0, 2},
		{"dynatemp_exponent", p.DynatempExponent, 0, 100},
		{"top_p", p.TopP, 0, 1},
		{"min_p", p.MinP, 0, 1},
		{"typical_p", p.TypicalP, 0, 1},
		{"top_n_sigma", p.TopNSigma, 0, 100},
		{"xtc_probability", p.XTCProbability, 0, 1},
		{"xtc_threshold", p.XTCThreshold, 0, 1},
		{"mirostat_tau", p.MirostatTau, 0, 100},
		{"mirostat_eta", p.MirostatEta, 0, 1},
		{"repeat_penalty", p.RepeatPenalty, 0, 10},
		{"presence_penalty", p.PresencePenalty, -2, 2},
		{"frequency_penalty", p.FrequencyPenalty, -2, 2},
		{"dry_multiplier", p.DRYMultiplier, 0, 100},
		{"dry_base", p.DRYBase, 0, 100},
	} {
		// Written so that NaN fails.
		if !(f.v >= f.lo && f.v <= f.hi) {
			return &ParamError{f.name, fmt.Sprintf("is %v, must be between %v and %v", f.v, f.lo, f.hi)}
		}
	}
	for _, f := range []struct {
		name   string
		v      int
		lo, hi int
	}{
		{"top_k", p.TopK, 0, math.MaxInt},
		{"repeat_last_n", p.RepeatLastN, -1, math.MaxInt32},
		{"dry_allowed_length", p.DRYAllowedLength, 0, math.MaxInt32},
		{"dry_penalty_last_n", p.DRYLastN, -1, math.MaxInt32},
		{"logit_bias", len(p.LogitBias), 0, MaxLogitBias},
		{"dry_sequence_breakers", len(p.DRYBreakers), 0, MaxDRYBreakers},
	} {
		if f.v < f.lo || f.v > f.hi {
			return &ParamError{f.name, fmt.Sprintf("is %d, must be between %d and %d", f.v, f.lo, f.hi)}
		}
	}
	return p.validateRest()
}

// validateRest checks what is not a plain range.
func (p Params) validateRest() error {
	if p.RepeatPenalty != 0 && p.RepeatPenalty < minRepeatPenalty {
		return &ParamError{"repeat_penalty", fmt.Sprintf("is %v, must be 0 (off) or at least %v", p.RepeatPenalty, minRepeatPenalty)}
	}
	if p.DRYBase != 0 && p.DRYBase < 1 {
		return &ParamError{"dry_base", fmt.Sprintf("is %v, must be 0 (the default) or at least 1", p.DRYBase)}
	}
	if p.Mirostat != 0 && p.Mirostat != 2 {
		return &ParamError{"mirostat", fmt.Sprintf("is %d, must be 0 or 2", p.Mirostat)}
	}
	for _, b := range p.LogitBias {
		if b.ID < 0 || !(b.Value >= -100 && b.Value <= 100 || math.IsInf(float64(b.Value), -1)) {
			return &ParamError{"logit_bias", fmt.Sprintf("has %v for token %d, must be between -100 and 100", b.Value, b.ID)}
		}
	}
	for _, b := range p.DRYBreakers {
		if b == "" || len(b) > MaxDRYBreaker {
			return &ParamError{"dry_sequence_breakers", fmt.Sprintf("has a string of %d bytes, must have 1 to %d", len(b), MaxDRYBreaker)}
		}
	}
	return nil
}

// minRepeatPenalty keeps the division away from zero.
const minRepeatPenalty = 0.01

// penalised reports whether any penalty is on.
func (p *Params) penalised() bool {
	return p.repeats() || p.PresencePenalty != 0 || p.FrequencyPenalty != 0
}

func (p *Params) repeats() bool { return p.RepeatPenalty != 0 && p.RepeatPenalty != 1 }

// cuts reports whether a step between the penalties and the temperature is on, MinP excepted.
func (p *Params) cuts() bool {
	return p.TopNSigma > 0 || p.TopK > 0 || inside(p.TypicalP) || inside(p.TopP) || p.XTCProbability > 0
}

// inside reports whether a probability to be kept cuts anything.
func inside(p float32) bool { return p > 0 && p < 1 }

// window returns the number of tokens the penalties look back on.
func (p *Params) window() int { return lookback(p.RepeatLastN, DefaultRepeatLastN) }

// lookback resolves a number of tokens whose zero means def and whose -1 means all.
func lookback(n, def int) int {
	switch n {
	case 0:
		return def
	case -1:
		return math.MaxInt32
	}
	return n
}

// or returns v, or def if v is zero.
func or(v, def float32) float32 {
	if v == 0 {
		return def
	}
	return v
}

// Choice returns the seed of choice i of a request: that of the request for the first, others far from it and from the
// choices of neighbouring seeds for the rest.
func Choice(seed uint64, i int) uint64 {
	if i == 0 {
		return seed
	}
	return mix(mix(seed) + uint64(i)*golden)
}

// Resolved returns the parameters with the defaults in the place of zeros that stand for them, as reports want them.
func (p Params) Resolved() Params {
	p.TopP, p.TypicalP, p.RepeatPenalty = or(p.TopP, 1), or(p.TypicalP, 1), or(p.RepeatPenalty, 1)
	p.DynatempExponent, p.XTCThreshold = or(p.DynatempExponent, 1), or(p.XTCThreshold, DefaultXTCThreshold)
	p.MirostatTau, p.MirostatEta = or(p.MirostatTau, DefaultMirostatTau), or(p.MirostatEta, DefaultMirostatEta)
	p.DRYBase = or(p.DRYBase, DefaultDRYBase)
	if p.RepeatLastN == 0 {
		p.RepeatLastN = DefaultRepeatLastN
	}
	if p.DRYAllowedLength == 0 {
		p.DRYAllowedLength = DefaultDRYAllowedLength
	}
	if p.DRYLastN == 0 {
		p.DRYLastN = -1
	}
	if p.DRYBreakers == nil {
		p.DRYBreakers = DefaultDRYBreakers()
	}
	return p
}
