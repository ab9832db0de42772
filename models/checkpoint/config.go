package checkpoint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"aquifer/runtime/plan"
)

// Config is config.json, or an object inside it. Getters return ok = false for a key that is absent or null, and an
// error that names file and field for a value of the wrong kind. The zero Config has no keys.
type Config struct {
	file   string // named in errors
	prefix string // of the object inside the file: "rope_scaling."
	values map[string]any
}

// ParseConfig decodes the text of config.json strictly: duplicate keys, deep nesting, text behind the object, NaN and
// numbers beyond float64 are errors. file is the name that errors show.
func ParseConfig(file string, text []byte) (Config, error) {
	c := Config{file: file}
	if len(text) > maxConfig {
		return Config{}, c.Errorf("", "larger than the limit of %d bytes", maxConfig)
	}
	values, err := parseObject(text)
	if err != nil {
		return Config{}, c.Errorf("", "%w", err)
	}
	c.values = values
	return c, nil
}

// Errorf returns an error about a field, in the form of the getters' own errors; with key "" about the whole.
func (c Config) Errorf(key, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if key != "" {
		err = fmt.Errorf("%s%s: %w", c.prefix, shown(key), err)
	} else if c.prefix != "" {
		err = fmt.Errorf("%s: %w", strings.TrimSuffix(c.prefix, "."), err)
	}
	return in(c.file, err)
}

func (c Config) wrong(key, want string) error {
	v := c.values[key]
	if s, ok := v.(string); ok {
		return c.Errorf(key, "is the string %.40q, must be %s", s, want)
	}
	if n, ok := v.(json.Number); ok {
		return c.Errorf(key, "is %.40s, must be %s", n, want)
	}
	return c.Errorf(key, "is %s, must be %s", kindOf(v), want)
}

// Has reports whether the key is present with a value other than null.
func (c Config) Has(key string) bool { return c.values[key] != nil }

// Null reports whether the key is present with the value null, which for some fields means something else than absence.
func (c Config) Null(key string) bool {
	v, ok := c.values[key]
	return ok && v == nil
}

// Keys returns all keys in ascending order, those with null included.
func (c Config) Keys() []string { return slices.Sorted(maps.Keys(c.values)) }

// Value returns a value as it was decoded: bool, string, json.Number, []any or map[string]any of these; ok is false for
// null. It belongs to the config and must not be changed.
func (c Config) Value(key string) (v any, ok bool) {
	v = c.values[key]
	return v, v != nil
}

// Int returns an integer. A number with a fraction or an exponent is none.
func (c Config) Int(key string) (v int, ok bool, err error) {
	if !c.Has(key) {
		return 0, false, nil
	}
	if v, ok = toInt(c.values[key]); !ok {
		return 0, false, c.wrong(key, "an integer")
	}
	return v, true, nil
}

func toInt(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(string(n))
	return i, err == nil
}

// Float returns a finite number.
func (c Config) Float(key string) (v float64, ok bool, err error) {
	if !c.Has(key) {
		return 0, false, nil
	}
	if v, ok = toFloat(c.values[key]); !ok {
		return 0, false, c.wrong(key, "a number")
	}
	return v, true, nil
}

func toFloat(v any) (float64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// String returns a string.
func (c Config) String(key string) (v string, ok bool, err error) {
	return get[string](c, key, "a string")
}

// Bool returns a boolean.
func (c Config) Bool(key string) (v, ok bool, err error) { return get[bool](c, key, "a boolean") }

func get[T any](c Config, key, want string) (v T, ok bool, err error) {
	if !c.Has(key) {
		return v, false, nil
	}
	if v, ok = c.values[key].(T); !ok {
		return v, false, c.wrong(key, want)
	}
	return v, true, nil
}

// Object returns the object at key; its errors name the whole path.
func (c Config) Object(key string) (v Config, ok bool, err error) {
	m, ok, err := get[map[string]any](c, key, "an object")
	if !ok {
		return Config{}, false, err
	}
	return Config{file: c.file, prefix: c.prefix + shown(key) + ".", values: m}, true, nil
}

// Ints returns an array of integers; a single integer counts as an array of one (eos_token_id has both forms).
func (c Config) Ints(key string) (v []int, ok bool, err error) {
	return list(c, key, "an integer or an array of integers", toInt)
}

// Floats returns an array of finite numbers; a single number counts as an array of one.
func (c Config) Floats(key string) (v []float64, ok bool, err error) {
	return list(c, key, "a number or an array of numbers", toFloat)
}

// Strings returns an array of strings; a single string counts as an array of one.
func (c Config) Strings(key string) (v []string, ok bool, err error) {
	return list(c, key, "a string or an array of strings", func(v any) (string, bool) { s, ok := v.(string); return s, ok })
}

func list[T any](c Config, key, want string, conv func(any) (T, bool)) (v []T, ok bool, err error) {
	if !c.Has(key) {
		return nil, false, nil
	}
	items, ok := c.values[key].([]any)
	if !ok {
		items = []any{c.values[key]}
	}
	v = make([]T, len(items))
	for i, item := range items {
		if v[i], ok = conv(item); !ok {
			return nil, false, c.wrong(key, want)
		}
	}
	return v, true, nil
}

// ModelType returns model_type without the suffix that early AQLM checkpoints gave it ("llama_aqlm").
func (c Config) ModelType() (string, error) {
	name, ok, err := c.String("model_type")
	if err != nil {
		return "", err
	}
	if name = strings.TrimSuffix(name, "_aqlm"); !ok || name == "" {
		return "", c.Errorf("model_type", "is missing")
	}
	return name, nil
}

// AQLMParams is the quantization scheme that a config announces. Tensors rule where they disagree (aqlm: "a linear is
// quantized if and only if its codes exist"); the config is there to be checked against them.
type AQLMParams = plan.Scheme

// AQLM returns the scheme in quantization_config or, in early checkpoints, in "aqlm"; ok is false for a model without
// either. Absent numbers have the defaults of transformers' AqlmConfig. Another quant_method is an error that names it.
func (c Config) AQLM() (params AQLMParams, ok bool, err error) {
	q, ok, err := c.Object("quantization_config")
	if err != nil {
		return AQLMParams{}, false, err
	}
	if !ok {
		if q, ok, err = c.Object("aqlm"); !ok {
			return AQLMParams{}, false, err
		}
	} else {
		method, _, err := q.String("quant_method")
		if err == nil && method != "aqlm" {
			err = q.Errorf("quant_method", "is %.40q, only aqlm is supported", method)
		}
		if err != nil {
			return AQLMParams{}, false, err
		}
	}
	number := func(key string, def, most int) int {
		v, ok, e := q.Int(key)
		if e == nil && !ok {
			return def
		}
		if e == nil && (v < 1 || v > most) {
			e = q.Errorf(key, "is %d, must be 1..%d", v, most)
		}
		err = cmp.Or(err, e) // the first one counts
		return v
	}
	params.Codebooks = number("num_codebooks", 1, 64)
	params.Bits = number("nbits_per_codebook", 16, 16)
	params.InGroup = number("in_group_size", 8, 1024)
	params.OutGroup = number("out_group_size", 1, 1024)
	return params, err == nil, err
}
