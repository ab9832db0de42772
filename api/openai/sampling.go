package openai

import (
	"math"
	"strconv"

	"aquifer/runtime/engine"
)

// sampling makes a change of the sampling parameters from a number.
func sampling(set func(*engine.Sampling, int64)) func(*chatRequest, int64) {
	return func(r *chatRequest, n int64) {
		r.sampling = append(r.sampling, func(s *engine.Sampling) { set(s, n) })
	}
}

// window is a number of tokens to look back on. None turns off what looks.
func window(off func(*chatRequest) *bool, set func(*engine.Sampling, int)) func(*chatRequest, int64) {
	return func(r *chatRequest, n int64) {
		*off(r) = n == 0
		r.sampling = append(r.sampling, func(s *engine.Sampling) { set(s, int(n)) })
	}
}

// explicit spells a client's zero where the engine's means the default.
func explicit(f float32) float32 {
	if f == 0 {
		return math.SmallestNonzeroFloat32
	}
	return f
}

// setMirostat: version 1 is known elsewhere and not supported here.
func setMirostat(r *chatRequest, v node, name string) *Error {
	set := sampling(func(s *engine.Sampling, n int64) { s.Mirostat = int(n) })
	if e := integer(0, 2, set).set(r, v, name); e != nil {
		return e
	}
	if v.text == "1" {
		return unsupported(name, "is supported as 0 and 2 only")
	}
	return nil
}

// setPredict: -1 means without limit.
func setPredict(r *chatRequest, v node, name string) *Error {
	if v.text == "-1" && v.kind == kindNumber {
		return nil
	}
	if integer(1, math.MaxInt32, func(r *chatRequest, n int64) { r.predict = int(n) }).set(r, v, name) != nil {
		if v.kind != kindNumber {
			return wrongType(name, "an integer", v)
		}
		return badParam(name, "must be -1 or an integer from 1 to %d", math.MaxInt32)
	}
	return nil
}

// setLogitBias reads a map from token ids to biases. Whether the model has such tokens is the engine's to say.
func setLogitBias(r *chatRequest, v node, name string) *Error {
	if v.kind != kindObject {
		return wrongType(name, "an object", v)
	}
	if len(v.keys) > engine.MaxLogitBias {
		return badParam(name, "must not have more than %d tokens, it has %d", engine.MaxLogitBias, len(v.keys))
	}
	list := make([]engine.Bias, len(v.keys))
	for i, key := range v.keys {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 || strconv.FormatInt(id, 10) != key {
			return badParam(name, "must have token ids as keys, not %s", quoteName(key))
		}
		if v.items[i].kind != kindNumber {
			return wrongType(name+"."+key, "a number", v.items[i])
		}
		bias, err := strconv.ParseFloat(v.items[i].text, 64)
		if err != nil || bias < -100 || bias > 100 {
			return badParam(name+"."+key, "must be a number from -100 to 100")
		}
		list[i] = engine.Bias{ID: int32(id), Value: float32(bias)}
	}
	r.sampling = append(r.sampling, func(s *engine.Sampling) { s.LogitBias = list })
	return nil
}

// setBreakers reads the strings that end DRY's repetitions.
func setBreakers(r *chatRequest, v node, name string) *Error {
	if v.kind != kindArray {
		return wrongType(name, "an array of strings", v)
	}
	if len(v.items) == 0 || len(v.items) > engine.MaxDRYBreakers {
		return badParam(name, "must have from 1 to %d strings, it has %d", engine.MaxDRYBreakers, len(v.items))
	}
	list := make([]string, len(v.items))
	for i, item := range v.items {
		at := name + "[" + strconv.Itoa(i) + "]"
		if item.kind != kindString {
			return wrongType(at, "a string", item)
		}
		if item.text == "" || len(item.text) > engine.MaxDRYBreaker {
			return badParam(at, "must have from 1 to %d bytes", engine.MaxDRYBreaker)
		}
		list[i] = item.text
	}
	r.sampling = append(r.sampling, func(s *engine.Sampling) { s.DRYBreakers = list })
	return nil
}
