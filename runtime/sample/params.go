// Package sample turns the logits of one position into a token: penalties, top-k, top-p, min-p, temperature and a
// seeded draw. A Sampler belongs to one sequence and one goroutine; its choices depend on its parameters, its seed,
// the logits and the tokens it has seen, on nothing else. The package imports nothing of ours.
package sample

import (
	"fmt"
	"math"
)

// DefaultRepeatLastN is the penalty window that RepeatLastN = 0 stands for.
const DefaultRepeatLastN = 64

// Params say how a token is chosen. The zero value is greedy: the most likely token, no penalties.
//
// The steps run in this order, each on what the one before left over: penalties, TopK, TopP, MinP, Temperature, draw.
// TopP and MinP therefore look at the distribution at temperature 1, and a high temperature does not let unlikely
// tokens back in.
type Params struct {
	// Temperature divides the logits before the draw; 0 takes the most likely token. At most 2.
	Temperature float32
	// TopK keeps the k most likely tokens; 0 keeps all.
	TopK int
	// TopP keeps the smallest set of most likely tokens whose probabilities add up to it (0..1); 0 and 1 keep all.
	// A client's explicit 0 means "only the most likely token", which is TopK = 1 here.
	TopP float32
	// MinP keeps tokens at least MinP times as likely as the most likely one (0..1); 0 keeps all.
	MinP float32

	// RepeatPenalty divides the positive and multiplies the negative logits of tokens in the window, prompt included
	// (arXiv 1909.05858); 0 and 1 are off. At most 10.
	RepeatPenalty float32
	// PresencePenalty is subtracted from the logit of each generated token in the window, FrequencyPenalty once for
	// each time it was generated (OpenAI's definition); -2..2, 0 is off. Prompt tokens don't count: a chat template's
	// end-of-turn tokens would, and the answer would not end.
	PresencePenalty, FrequencyPenalty float32
	// RepeatLastN is the window of all three in tokens; 0 means DefaultRepeatLastN, -1 everything.
	RepeatLastN int

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
		{"top_p", p.TopP, 0, 1},
		{"min_p", p.MinP, 0, 1},
		{"repeat_penalty", p.RepeatPenalty, 0, 10},
		{"presence_penalty", p.PresencePenalty, -2, 2},
		{"frequency_penalty", p.FrequencyPenalty, -2, 2},
	} {
		// Written so that NaN fails.
		if !(f.v >= f.lo && f.v <= f.hi) {
			return &ParamError{f.name, fmt.Sprintf("is %v, must be between %v and %v", f.v, f.lo, f.hi)}
		}
	}
	if p.RepeatPenalty != 0 && p.RepeatPenalty < minRepeatPenalty {
		return &ParamError{
			"repeat_penalty",
			fmt.Sprintf("is %v, must be 0 (off) or at least %v", p.RepeatPenalty, minRepeatPenalty),
		}
	}
	if p.TopK < 0 {
		return &ParamError{"top_k", fmt.Sprintf("is %d, must not be negative", p.TopK)}
	}
	if p.RepeatLastN < -1 || p.RepeatLastN > math.MaxInt32 {
		return &ParamError{"repeat_last_n", fmt.Sprintf("is %d, must be -1 or more", p.RepeatLastN)}
	}
	return nil
}

// minRepeatPenalty keeps the division away from zero.
const minRepeatPenalty = 0.01

// penalised reports whether any penalty is on.
func (p Params) penalised() bool {
	return p.repeats() || p.PresencePenalty != 0 || p.FrequencyPenalty != 0
}

func (p Params) repeats() bool { return p.RepeatPenalty != 0 && p.RepeatPenalty != 1 }

// window returns the number of tokens the penalties look back on.
func (p Params) window() int {
	switch p.RepeatLastN {
	case 0:
		return DefaultRepeatLastN
	case -1:
		return math.MaxInt32
	}
	return p.RepeatLastN
}
