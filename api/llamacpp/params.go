package llamacpp

import "aquifer/runtime/engine"

// params has sampling parameters by llama.cpp's names, with its spellings of "off".
type params struct {
	Seed             int64    `json:"seed"`      // anySeed: an answer's own is its client's business
	Predict          int      `json:"n_predict"` // -1: as long as the context allows
	Temperature      float32  `json:"temperature"`
	DynatempRange    float32  `json:"dynatemp_range"`
	DynatempExponent float32  `json:"dynatemp_exponent"`
	TopK             int      `json:"top_k"`
	TopP             float32  `json:"top_p"`
	MinP             float32  `json:"min_p"`
	TopNSigma        float32  `json:"top_n_sigma"` // -1: off
	XTCProbability   float32  `json:"xtc_probability"`
	XTCThreshold     float32  `json:"xtc_threshold"`
	TypicalP         float32  `json:"typical_p"`
	RepeatLastN      int      `json:"repeat_last_n"`
	RepeatPenalty    float32  `json:"repeat_penalty"`
	PresencePenalty  float32  `json:"presence_penalty"`
	FrequencyPenalty float32  `json:"frequency_penalty"`
	DRYMultiplier    float32  `json:"dry_multiplier"`
	DRYBase          float32  `json:"dry_base"`
	DRYAllowedLength int      `json:"dry_allowed_length"`
	DRYLastN         int      `json:"dry_penalty_last_n"`
	DRYBreakers      []string `json:"dry_sequence_breakers"`
	Mirostat         int      `json:"mirostat"`
	MirostatTau      float32  `json:"mirostat_tau"`
	MirostatEta      float32  `json:"mirostat_eta"`
	Samplers         []string `json:"samplers"` // in their order
}

// anySeed is how llama.cpp spells a seed that is drawn for each answer.
const anySeed = 1<<32 - 1

func paramsOf(s engine.Sampling) params {
	s = s.Resolved()
	if s.TopNSigma == 0 {
		s.TopNSigma = -1
	}
	return params{
		Seed: anySeed, Predict: -1,
		Temperature: s.Temperature, DynatempRange: s.DynatempRange, DynatempExponent: s.DynatempExponent,
		TopK: s.TopK, TopP: s.TopP, MinP: s.MinP, TopNSigma: s.TopNSigma,
		XTCProbability: s.XTCProbability, XTCThreshold: s.XTCThreshold, TypicalP: s.TypicalP,
		RepeatLastN: s.RepeatLastN, RepeatPenalty: s.RepeatPenalty,
		PresencePenalty: s.PresencePenalty, FrequencyPenalty: s.FrequencyPenalty,
		DRYMultiplier: s.DRYMultiplier, DRYBase: s.DRYBase, DRYAllowedLength: s.DRYAllowedLength, DRYLastN: s.DRYLastN,
		DRYBreakers: s.DRYBreakers, Mirostat: s.Mirostat, MirostatTau: s.MirostatTau, MirostatEta: s.MirostatEta,
		Samplers: []string{"penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"},
	}
}
