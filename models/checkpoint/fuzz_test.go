package checkpoint

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"aquifer/gguf"
	"aquifer/models/modeltest"
	"aquifer/runtime/plan"
)

// FuzzConfig wants accepted configs to be valid JSON for encoding/json too, every getter to stay calm, and every error to
// be one line about the file.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"model_type":"llama_aqlm","aqlm":{"num_codebooks":2},"eos_token_id":[1,2],"rope_scaling":null,"x":{"y":[{}]}}`))
	f.Add([]byte(`{"quantization_config":{"quant_method":"aqlm","nbits_per_codebook":64},"rms_norm_eps":1e-5}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`{"a":NaN}`))
	f.Add([]byte(`{"a":1e999,"\ud800":"\u0000"}`))
	f.Add([]byte(strings.Repeat(`{"a":[`, 40)))
	f.Fuzz(func(t *testing.T, text []byte) {
		check := func(err error) {
			if err != nil && (strings.ContainsAny(err.Error(), "\n\r\x00") || !strings.HasPrefix(err.Error(), "checkpoint: config.json: ")) {
				t.Fatalf("error %q", err)
			}
		}
		c, err := ParseConfig("config.json", text)
		check(err)
		if err != nil {
			return
		}
		if !json.Valid(bytes.TrimPrefix(text, []byte("\ufeff"))) {
			t.Fatal("accepted what encoding/json refuses")
		}
		_, _, err = c.AQLM()
		check(err)
		_, err = c.ModelType()
		check(err)
		for _, key := range c.Keys() {
			_, _, err = c.Int(key)
			check(err)
			_, _, err = c.Float(key)
			check(err)
			_, _, err = c.String(key)
			check(err)
			_, _, err = c.Ints(key)
			check(err)
			_, _, err = c.Strings(key)
			check(err)
			o, ok, err := c.Object(key)
			check(err)
			if ok {
				check(o.Errorf("", "x"))
			}
		}
	})
}

// FuzzCheckpoint opens GGUF files from memory and uses all of what opens: no panic, no read beyond the file, one-line
// errors that name the file.
func FuzzCheckpoint(f *testing.F) {
	f.Add(pack(f, llamaMeta(), llamaTensors()))
	f.Add(pack(f, append(llamaMeta(), vocabMeta()...), llamaTensors()))
	f.Add(pack(f, llamaMeta()[:1], llamaTensors()[:1]))
	for typ := range blockTypes() {
		elements, _ := typ.Block()
		f.Add(pack(f, llamaMeta()[:1], []gguf.Source{data("output.weight", typ, randomBlocks(typ, 2), elements, 2)}))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := OpenGGUF("m.gguf", bytes.NewReader(file), int64(len(file)))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x00") || !strings.HasPrefix(err.Error(), "checkpoint: m.gguf: ") {
				t.Fatalf("error %q", err)
			}
			return
		}
		total := int64(0)
		for _, name := range c.Names() {
			x, ok := c.Tensor(name)
			if !ok {
				t.Fatalf("no tensor %q", name)
			}
			n, err := io.Copy(io.Discard, io.NewSectionReader(x, 0, x.Bytes))
			large := err != nil && strings.Contains(err.Error(), "too large for F16") && x.DType == plan.F16
			if (err != nil || n != x.Bytes) && !large {
				t.Fatalf("tensor %q: %d of %d bytes, %v", name, n, x.Bytes, err)
			}
			total += x.Stored
		}
		if total != c.Size {
			t.Fatalf("%d bytes, want %d", c.Size, total)
		}
		_, _ = c.Tokenizer()
		for _, id := range c.Special().EOSIDs {
			if id < 0 {
				t.Fatalf("id %d", id)
			}
		}
		_, _, _ = c.Template()
		_, _, _ = c.Config.AQLM()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzIndex wants an accepted index to name plain files only.
func FuzzIndex(f *testing.F) {
	f.Add(modeltest.JSON(f, map[string]any{"weight_map": map[string]string{"a": "model-00001-of-00002.safetensors"}}))
	f.Add([]byte(`{"weight_map":{"a":"../x.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"..\\x.safetensors","b":"CON.safetensors"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		shards, err := parseIndex(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Fatalf("error %q", err)
			}
			return
		}
		for shard, names := range shards {
			if strings.ContainsAny(shard, "/\\:\x00\n") || strings.HasPrefix(shard, ".") || !strings.HasSuffix(shard, ".safetensors") || len(names) == 0 {
				t.Fatalf("shard %q of %v", shard, names)
			}
		}
	})
}
