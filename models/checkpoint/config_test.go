package checkpoint

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) Config {
	t.Helper()
	c, err := ParseConfig("dir/config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParseConfigRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"empty":            {"", "ends early"},
		"space":            {" \n", "ends early"},
		"array":            {"[]", "is an array, must be an object"},
		"null":             {"null", "is null, must be an object"},
		"number":           {"1", "is a number"},
		"open":             {`{"a":{"b":1}`, "ends early"},
		"open value":       {`{"a":{"b":`, "a.b: invalid JSON"},
		"text behind":      {`{} x`, "text after the end"},
		"second object":    {`{}{}`, "text after the end"},
		"comma behind":     {`{},`, "text after the end"},
		"trailing comma":   {`{"a":1,}`, "invalid JSON"},
		"trailing comma 2": {`{"a":[1,]}`, "a: invalid JSON"},
		"no comma":         {`{"a":1 "b":2}`, "invalid JSON"},
		"no colon":         {`{"a" 1}`, "a: invalid JSON"},
		"comment":          {`{"a":1 /* x */}`, "invalid JSON"},
		"single quotes":    {`{'a':1}`, "invalid JSON"},
		"key number":       {`{1:2}`, "invalid JSON"},
		"NaN":              {`{"rms_norm_eps":NaN}`, "rms_norm_eps: invalid JSON"},
		"Infinity":         {`{"x":{"rope_theta":-Infinity}}`, "x.rope_theta: invalid JSON"},
		"1e999":            {`{"rope_theta":1e999}`, "rope_theta: 1e999 is not a finite number"},
		"-1e999 in array":  {`{"a":[1,-1e999]}`, "a: -1e999 is not a finite number"},
		"leading zero":     {`{"a":01}`, "invalid JSON"},
		"plus":             {`{"a":+1}`, "a: invalid JSON"},
		"duplicate":        {`{"a":1,"a":1}`, "a: duplicate key"},
		"duplicate inside": {`{"o":{"a":1,"b":2,"a":3}}`, "o.a: duplicate key"},
		"duplicate escape": {`{"a":1,"\u0061":1}`, "a: duplicate key"},
		"in array":         {`{"l":[{"a":1,"a":1}]}`, "l.a: duplicate key"},
		"deep arrays":      {`{"a":` + strings.Repeat("[", 100_000), "a: nesting deeper than 64"},
		"deep objects":     {strings.Repeat(`{"a":`, 100_000), "nesting deeper than 64"},
		"invalid UTF-8":    {"{\"a\":\"\xff\"}", "invalid UTF-8"},
		"control":          {"{\"a\":\"\n\"}", "a: invalid JSON"},
		"long":             {`{"a":"` + strings.Repeat("x", maxConfig) + `"}`, "limit"},
		"key with newline": {`{"a\nb":1,"a\nb":2}`, `"a\nb": duplicate key`},
		"long key":         {`{"` + strings.Repeat("k", 10_000) + `":NaN}`, "...: invalid JSON"},
	} {
		_, err := ParseConfig("dir/config.json", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "checkpoint: dir/config.json: ") {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		} else if strings.Contains(err.Error(), "\n") || len(err.Error()) > 600 {
			t.Errorf("%s: error of %d bytes: %q", name, len(err.Error()), err)
		}
	}
	deepest := strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64)
	if _, err := ParseConfig("c", []byte(deepest)); err != nil {
		t.Errorf("depth 64: %v", err)
	}
	if _, err := ParseConfig("c", []byte("\ufeff{}")); err != nil {
		t.Errorf("byte order mark: %v", err)
	}
}

func TestGetters(t *testing.T) {
	c := parse(t, `{"i":12,"neg":-3,"f":0.5,"whole":2.0,"exp":1e3,"big":9223372036854775808,"huge":1e300,"s":"text","b":true,"n":null,
		"is":[1,2],"fs":[1,2.5],"ss":["a","b"],"mixed":[1,"a"],"empty":[],"o":{"i":"x","o":{"i":1.5}}}`)
	show := func(v any, ok bool, err error) string {
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(v, " ", ok)
	}
	getters := map[string]func(string) string{
		"Int":     func(k string) string { v, ok, err := c.Int(k); return show(v, ok, err) },
		"Float":   func(k string) string { v, ok, err := c.Float(k); return show(v, ok, err) },
		"String":  func(k string) string { v, ok, err := c.String(k); return show(v, ok, err) },
		"Bool":    func(k string) string { v, ok, err := c.Bool(k); return show(v, ok, err) },
		"Ints":    func(k string) string { v, ok, err := c.Ints(k); return show(v, ok, err) },
		"Floats":  func(k string) string { v, ok, err := c.Floats(k); return show(v, ok, err) },
		"Strings": func(k string) string { v, ok, err := c.Strings(k); return show(v, ok, err) },
		"Object":  func(k string) string { v, ok, err := c.Object(k); return show(len(v.Keys()), ok, err) },
	}
	const pre = "checkpoint: dir/config.json: "
	for _, test := range [][3]string{
		{"Int", "i", "12 true"},
		{"Int", "neg", "-3 true"},
		{"Int", "n", "0 false"},
		{"Int", "absent", "0 false"},
		{"Int", "f", pre + "f: is 0.5, must be an integer"},
		{"Int", "whole", pre + "whole: is 2.0, must be an integer"},
		{"Int", "exp", pre + "exp: is 1e3, must be an integer"},
		{"Int", "big", pre + "big: is 9223372036854775808, must be an integer"},
		{"Int", "s", pre + `s: is the string "text", must be an integer`},
		{"Int", "is", pre + "is: is an array, must be an integer"},
		{"Float", "i", "12 true"},
		{"Float", "f", "0.5 true"},
		{"Float", "huge", "1e+300 true"},
		{"Float", "b", pre + "b: is a boolean, must be a number"},
		{"String", "s", "text true"},
		{"String", "n", " false"},
		{"String", "i", pre + "i: is 12, must be a string"},
		{"Bool", "b", "true true"},
		{"Bool", "absent", "false false"},
		{"Bool", "i", pre + "i: is 12, must be a boolean"},
		{"Ints", "is", "[1 2] true"},
		{"Ints", "i", "[12] true"},
		{"Ints", "empty", "[] true"},
		{"Ints", "n", "[] false"},
		{"Ints", "fs", pre + "fs: is an array, must be an integer or an array of integers"},
		{"Floats", "fs", "[1 2.5] true"},
		{"Floats", "f", "[0.5] true"},
		{"Floats", "mixed", pre + "mixed: is an array, must be a number or an array of numbers"},
		{"Strings", "ss", "[a b] true"},
		{"Strings", "s", "[text] true"},
		{"Strings", "mixed", pre + "mixed: is an array, must be a string or an array of strings"},
		{"Object", "o", "2 true"},
		{"Object", "absent", "0 false"},
		{"Object", "is", pre + "is: is an array, must be an object"},
	} {
		if got := getters[test[0]](test[1]); got != test[2] {
			t.Errorf("%s(%q): %s, want %s", test[0], test[1], got, test[2])
		}
	}
	o, _, err := c.Object("o")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.Int("i"); err == nil || err.Error() != pre+`o.i: is the string "x", must be an integer` {
		t.Errorf("inside: %v", err)
	}
	oo, _, err := o.Object("o")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := oo.Int("i"); err == nil || err.Error() != pre+"o.o.i: is 1.5, must be an integer" {
		t.Errorf("deep inside: %v", err)
	}
	if err := o.Errorf("", "%s", "odd"); err.Error() != pre+"o: odd" {
		t.Errorf("about the object: %v", err)
	}
	if c.Has("n") || !c.Has("i") || c.Has("absent") || !slices.Contains(c.Keys(), "n") {
		t.Error("Has or Keys is wrong about null")
	}
	if v, ok := c.Value("b"); v != true || !ok {
		t.Errorf("Value: %v, %v", v, ok)
	}
	if _, ok, err := (Config{}).Int("x"); ok || err != nil {
		t.Errorf("zero Config: %v, %v", ok, err)
	}
}

func TestModelType(t *testing.T) {
	for text, want := range map[string]string{
		`{"model_type":"llama"}`:      "llama",
		`{"model_type":"llama_aqlm"}`: "llama",
		`{"model_type":null}`:         "model_type: is missing",
		`{}`:                          "model_type: is missing",
		`{"model_type":"_aqlm"}`:      "model_type: is missing",
		`{"model_type":7}`:            "model_type: is 7, must be a string",
	} {
		got, err := parse(t, text).ModelType()
		if err != nil {
			got = err.Error()
		}
		if got != want && !strings.HasSuffix(got, ": "+want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestAQLM(t *testing.T) {
	for text, want := range map[string]any{
		`{}`:                           nil,
		`{"quantization_config":null}`: nil,
		`{"quantization_config":{"quant_method":"aqlm"}}`:                                                             AQLMParams{Codebooks: 1, Bits: 16, InGroup: 8, OutGroup: 1},
		`{"quantization_config":{"quant_method":"aqlm","num_codebooks":2,"nbits_per_codebook":8,"in_group_size":16}}`: AQLMParams{Codebooks: 2, Bits: 8, InGroup: 16, OutGroup: 1},
		`{"aqlm":{"in_group_size":8,"nbits_per_codebook":16,"num_codebooks":1,"out_group_size":2}}`:                   AQLMParams{Codebooks: 1, Bits: 16, InGroup: 8, OutGroup: 2},
		`{"quantization_config":{"quant_method":"gptq"}}`:                                                             `quantization_config.quant_method: is "gptq"`,
		`{"quantization_config":{"bits":4}}`:                                                                          `quantization_config.quant_method: is ""`,
		`{"quantization_config":{"quant_method":"aqlm","nbits_per_codebook":64}}`:                                     "quantization_config.nbits_per_codebook: is 64, must be 1..16",
		`{"quantization_config":{"quant_method":"aqlm","num_codebooks":0}}`:                                           "quantization_config.num_codebooks: is 0",
		`{"quantization_config":{"quant_method":"aqlm","in_group_size":0}}`:                                           "quantization_config.in_group_size: is 0",
		`{"quantization_config":{"quant_method":"aqlm","out_group_size":-1}}`:                                         "quantization_config.out_group_size: is -1",
		`{"quantization_config":{"quant_method":"aqlm","out_group_size":1.5,"num_codebooks":0}}`:                      "quantization_config.num_codebooks: is 0",
		`{"quantization_config":{"quant_method":"aqlm","in_group_size":"8"}}`:                                         `quantization_config.in_group_size: is the string "8"`,
		`{"quantization_config":[]}`:                                                                                  "quantization_config: is an array",
		`{"aqlm":8}`:                                                                                                  "aqlm: is 8, must be an object",
	} {
		got, ok, err := parse(t, text).AQLM()
		switch want := want.(type) {
		case nil:
			if ok || err != nil {
				t.Errorf("%s: %+v, %v, %v", text, got, ok, err)
			}
		case string:
			if err == nil || ok || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want an error with %q", text, err, want)
			}
		default:
			if !reflect.DeepEqual(got, want) || !ok || err != nil {
				t.Errorf("%s: %+v, %v, %v; want %+v", text, got, ok, err, want)
			}
		}
	}
}
