package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"aquifer/gguf"
	"aquifer/runtime/plan"
)

// readConfig builds the config from the metadata.
func (g *ggufReader) readConfig() error {
	values := map[string]any{"model_type": g.arch.ModelType}
	for key, v := range g.arch.Fixed {
		values[key] = v
	}
	set := map[string]string{} // config key -> GGUF key that set it
	for _, k := range g.arch.Keys {
		key := g.arch.GGUF + "." + k.GGUF
		raw, ok := g.Get(key)
		if !ok {
			continue
		}
		v, err := g.number(key, raw, k.Float)
		if err != nil {
			return err
		}
		if first := set[k.HF]; first != "" && values[k.HF] != v {
			return fmt.Errorf("%s is %v, but %s is %v; different values are not supported", key, v, first, values[k.HF])
		}
		values[k.HF], set[k.HF] = v, key
	}
	if err := g.ropeScaling(values); err != nil {
		return err
	}
	if _, ours := g.Get(KeyPairing); !ours && g.arch.Implied != nil {
		g.arch.Implied(values, func(tensor string) bool { _, ok := g.c.tensors[tensor]; return ok })
	}
	if err := g.readScheme(values); err != nil {
		return err
	}
	if err := g.overrides(values); err != nil {
		return err
	}
	embed, hasEmbed := g.c.tensors["model.embed_tokens.weight"]
	if values["vocab_size"] == nil && hasEmbed && len(embed.Shape) == 2 {
		values["vocab_size"] = json.Number(strconv.Itoa(embed.Shape[0]))
	}
	_, head := g.c.tensors["lm_head.weight"]
	_, codes := g.c.tensors["lm_head.codes"]
	values["tie_word_embeddings"] = !head && !codes
	g.c.Config = Config{file: g.name, values: values}
	return nil
}

// number converts a metadata value to a JSON number. llama.cpp writes some counts as one array element per layer; they
// are accepted where all layers agree.
func (g *ggufReader) number(key string, raw any, float bool) (json.Number, error) {
	if float {
		v, _, err := g.Float(key)
		if err != nil {
			return "", err
		}
		return jsonFloat(key, raw, v)
	}
	if list, ok, err := g.Ints(key); err == nil && ok && len(list) > 0 {
		if slices.Min(list) != slices.Max(list) {
			return "", fmt.Errorf("%s: layers differ, which is not supported", key)
		}
		return json.Number(strconv.FormatInt(list[0], 10)), nil
	}
	v, _, err := g.Int(key)
	return json.Number(strconv.FormatInt(v, 10)), err
}

// jsonFloat writes a float with the fewest digits that name it in its own width, so that 1e-5 stored as float32 reads
// as 1e-5 again and not as its neighbour.
func jsonFloat(key string, raw any, v float64) (json.Number, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "", fmt.Errorf("%s: %v is not a finite number", key, v)
	}
	bits := 64
	if _, narrow := raw.(float32); narrow {
		bits = 32
	}
	text := strconv.FormatFloat(v, 'g', -1, bits)
	if !strings.ContainsAny(text, ".e") {
		text += ".0" // so that it stays a float in every further conversion
	}
	return json.Number(text), nil
}

// ropeScaling maps llama.cpp's rope.scaling keys and its tensors of frequency divisors.
func (g *ggufReader) ropeScaling(values map[string]any) error {
	prefix := g.arch.GGUF + ".rope.scaling."
	kind, ok, err := g.String(prefix + "type")
	if err != nil {
		return err
	}
	scaling := map[string]any{}
	if _, factors := g.c.tensors[ropeShort]; factors && (!ok || kind == "longrope" || kind == "none") {
		ok, kind = true, "longrope"
	}
	if ok && kind != "none" {
		scaling["rope_type"] = kind
		for key, to := range map[string]string{"factor": "factor", "attn_factor": "attention_factor"} {
			if raw, ok := g.Get(prefix + key); ok {
				if scaling[to], err = g.number(prefix+key, raw, true); err != nil {
					return err
				}
			}
		}
		if raw, ok := g.Get(prefix + "original_context_length"); ok {
			if scaling["original_max_position_embeddings"], err = g.number(prefix+"original_context_length", raw, false); err != nil {
				return err
			}
		}
	}
	if !g.hasPrefix(KeyConfig + "rope_scaling.") {
		if err := g.ropeFactors(scaling, values); err != nil {
			return err
		}
	}
	if len(scaling) > 0 {
		values["rope_scaling"] = scaling
	}
	return nil
}

// ropeFactors reads divisors: one tensor for all lengths becomes a longrope with equal lists and no extension, which
// is the same function in the vocabulary of Hugging Face; two are its lists.
func (g *ggufReader) ropeFactors(scaling, values map[string]any) error {
	one, single := g.c.tensors[ropeFreqs]
	short, two := g.c.tensors[ropeShort]
	switch {
	case single && (two || len(scaling) > 0):
		return fmt.Errorf("tensor %q together with a rope scaling of type %v is not supported", ropeFreqs, scaling["rope_type"])
	case single:
		factors, err := readFactors(one)
		if err != nil {
			return err
		}
		scaling["rope_type"], scaling["short_factor"], scaling["long_factor"] = "longrope", factors, factors
		values["original_max_position_embeddings"] = values["max_position_embeddings"]
	case two:
		long, ok := g.c.tensors[ropeLong]
		if !ok {
			return fmt.Errorf("tensor %q is missing beside %q", ropeLong, ropeShort)
		}
		for key, t := range map[string]Tensor{"short_factor": short, "long_factor": long} {
			factors, err := readFactors(t)
			if err != nil {
				return err
			}
			scaling[key] = factors
		}
		// llama.cpp's key is beside the lists; where the architecture has no key of its own for it, it belongs there.
		if values["original_max_position_embeddings"] != nil {
			delete(scaling, "original_max_position_embeddings")
		}
	}
	return nil
}

func (g *ggufReader) hasPrefix(prefix string) bool {
	return slices.ContainsFunc(g.Metadata, func(kv gguf.KV) bool { return strings.HasPrefix(kv.Key, prefix) })
}

func readFactors(t Tensor) ([]any, error) {
	if t.DType != plan.F32 || len(t.Shape) != 1 || t.Shape[0] > maxRopeFreqs {
		return nil, fmt.Errorf("tensor %q: is %s of shape %v, must be a short vector of F32", t.Name, t.TypeName, t.Shape)
	}
	raw := make([]byte, t.Bytes)
	if _, err := t.ReadAt(raw, 0); err != nil {
		return nil, err
	}
	factors := make([]any, t.Shape[0])
	for i := range factors {
		v := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		n, err := jsonFloat(fmt.Sprintf("tensor %q: element %d", t.Name, i), v, float64(v))
		if err != nil {
			return nil, err
		}
		factors[i] = n
	}
	return factors, nil
}

// readScheme maps the keys of quantization_config, which our own files hold.
func (g *ggufReader) readScheme(values map[string]any) error {
	scheme := map[string]any{}
	for _, key := range SchemeKeys() {
		raw, ok := g.Get(KeyScheme + key)
		if !ok {
			continue
		}
		v, err := g.number(KeyScheme+key, raw, false)
		if err != nil {
			return err
		}
		scheme[key] = v
	}
	if len(scheme) > 0 {
		scheme["quant_method"] = "aqlm"
		values["quantization_config"] = scheme
	}
	return nil
}

// overrides applies the keys behind KeyConfig: "aqlm.config.KEY", "aqlm.config.OBJECT.KEY" and so on.
func (g *ggufReader) overrides(values map[string]any) error {
	for _, kv := range g.Metadata {
		path, ok := strings.CutPrefix(kv.Key, KeyConfig)
		if !ok {
			continue
		}
		v, err := jsonValue(kv.Key, kv.Value)
		if err != nil {
			return err
		}
		if path == "model_type" {
			continue // archOfGGUF has read it
		}
		at, keys := values, strings.Split(path, ".")
		for _, object := range keys[:len(keys)-1] {
			m, ok := at[object].(map[string]any)
			if !ok {
				m = map[string]any{}
				at[object] = m
			}
			at = m
		}
		at[keys[len(keys)-1]] = v
	}
	return nil
}

// jsonValue converts a metadata value to what decoding JSON would have given.
func jsonValue(key string, raw any) (any, error) {
	switch v := raw.(type) {
	case bool, string:
		return v, nil
	case float32:
		return jsonFloat(key, v, float64(v))
	case float64:
		return jsonFloat(key, v, v)
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return list, nil
	case []int64:
		list := make([]any, len(v))
		for i, n := range v {
			list[i] = json.Number(strconv.FormatInt(n, 10))
		}
		return list, nil
	case []float64:
		list := make([]any, len(v))
		for i, f := range v {
			n, err := jsonFloat(key, f, f)
			if err != nil {
				return nil, err
			}
			list[i] = n
		}
		return list, nil
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case uint32:
		return json.Number(strconv.FormatUint(uint64(v), 10)), nil
	}
	return nil, fmt.Errorf("%s: values of type %T are not supported", key, raw)
}
