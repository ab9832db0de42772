package convert

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"aquifer/gguf"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/models/modeltest"
	"aquifer/runtime/half"
	"aquifer/runtime/plan"
	"aquifer/tokenizer"
)

func open(t *testing.T, path string) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// converted writes c to memory and opens the result.
func converted(t *testing.T, c *checkpoint.Checkpoint, o Options) (*checkpoint.Checkpoint, []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, c, o); err != nil {
		t.Fatal(err)
	}
	g, err := checkpoint.OpenGGUF("memory.gguf", bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return g, b.Bytes()
}

func tensorBytes(t *testing.T, c *checkpoint.Checkpoint, name string) []byte {
	t.Helper()
	tensor, ok := c.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	p := make([]byte, tensor.Bytes)
	if _, err := tensor.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// sameModel requires the same tensors and the same value of every config key that says something about the model.
func sameModel(t *testing.T, want, got *checkpoint.Checkpoint) {
	t.Helper()
	tied, _, err := want.Config.Bool("tie_word_embeddings")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range want.Names() {
		if !tied || name != "lm_head.weight" {
			names = append(names, name)
		}
	}
	if !slices.Equal(got.Names(), names) {
		t.Fatalf("tensors:\ngot  %v\nwant %v", got.Names(), names)
	}
	for _, name := range names {
		a, _ := want.Tensor(name)
		b, _ := got.Tensor(name)
		if a.DType != b.DType || !slices.Equal(a.Shape, b.Shape) || a.Bytes != b.Bytes {
			t.Errorf("%s: %v %v, want %v %v", name, b.DType, b.Shape, a.DType, a.Shape)
		}
		if !bytes.Equal(tensorBytes(t, want, name), tensorBytes(t, got, name)) {
			t.Errorf("%s: bytes differ", name)
		}
	}
	sameConfig(t, want.Config, got.Config)
	a, _, errA := want.Config.AQLM()
	b, _, errB := got.Config.AQLM()
	if a != b || errA != nil || errB != nil {
		t.Errorf("scheme %+v, %v; want %+v, %v", b, errB, a, errA)
	}
}

func sameConfig(t *testing.T, want, got checkpoint.Config) {
	t.Helper()
	for _, key := range want.Keys() {
		if !want.Has(key) || elsewhere[key] && key != "model_type" && key != "tie_word_embeddings" {
			continue
		}
		if object, ok, err := want.Object(key); ok && err == nil {
			inner, _, err := got.Object(key)
			if err != nil {
				t.Errorf("%s: %v", key, err)
			}
			sameConfig(t, object, inner)
			continue
		}
		a, _ := want.Value(key)
		b, _ := got.Value(key)
		if fa, ok, err := want.Floats(key); ok && err == nil { // 8 may come back as 8.0 in an array
			fb, ok, err := got.Floats(key)
			if !slices.Equal(fa, fb) || !ok || err != nil {
				t.Errorf("%s: %v, want %v", key, b, a)
			}
		} else if key == "model_type" {
			ma, _ := want.ModelType()
			mb, _ := got.ModelType()
			if ma != mb {
				t.Errorf("model_type %q, want %q", mb, ma)
			}
		} else if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: %v, want %v", key, b, a)
		}
	}
}

func TestGoldenRoundTrip(t *testing.T) {
	dir := modeltest.Golden(t)
	entries, err := filepath.Glob(filepath.Join(dir, "*", "golden.json"))
	if err != nil || len(entries) < 20 {
		t.Fatalf("golden checkpoints: %v, %v", entries, err)
	}
	keep, files := t.TempDir(), []string(nil)
	for _, path := range entries {
		path = filepath.Dir(path)
		t.Run(filepath.Base(path), func(t *testing.T) { files = append(files, roundTrip(t, path, keep)) })
	}
	t.Run("gguf-py", func(t *testing.T) { checkWithGGUFPy(t, files...) })
}

// TestArchRoundTrip does the same with checkpoints of every architecture that need no shared data.
func TestArchRoundTrip(t *testing.T) {
	all := modeltest.ArchFixtures()
	all["llama"], all["llama-tied-bias"] = modeltest.NewFixture(), modeltest.TiedFixture()
	newer := modeltest.ArchFixtures()["gemma3"]
	delete(newer.Config, "rope_scaling")
	newer.Config["rope_parameters"] = map[string]any{
		"full_attention":    map[string]any{"rope_theta": 1e6, "rope_type": "linear", "factor": 8.0},
		"sliding_attention": map[string]any{"rope_theta": 1e4, "rope_type": "default"},
	}
	all["gemma3 in the newer spelling"] = newer
	for _, key := range []string{"mistral", "phi3", "gemma3"} {
		none := modeltest.ArchFixtures()[key]
		none.Config["sliding_window"] = nil
		all[key+" without a window"] = none
	}
	none := modeltest.ArchFixtures()["gemma2"]
	none.Config["attn_logit_softcapping"], none.Config["final_logit_softcapping"] = nil, nil
	all["gemma2 without caps"] = none
	keep, files := t.TempDir(), []string(nil)
	for name, f := range all {
		t.Run(name, func(t *testing.T) { files = append(files, roundTrip(t, f.Write(t), keep)) })
	}
	t.Run("gguf-py", func(t *testing.T) { checkWithGGUFPy(t, files...) })
}

// roundTrip converts a checkpoint, compares what comes back, and returns the file, which is in the folder keep.
func roundTrip(t *testing.T, path, keep string) string {
	t.Helper()
	c := open(t, path)
	g, first := converted(t, c, Options{})
	sameModel(t, c, g)
	samePlan(t, c, g)
	if g.RopePairing() != plan.RopeHalf || g.GainsShifted() || g.Format != checkpoint.GGUF || g.Name != c.Name {
		t.Errorf("opened as %v, %v, %v, %q", g.RopePairing(), g.GainsShifted(), g.Format, g.Name)
	}
	if !slices.Equal(g.Special().EOSIDs, c.Special().EOSIDs) || g.Special().BOSID != c.Special().BOSID {
		t.Errorf("special ids %+v, want %+v", g.Special(), c.Special())
	}
	_, second := converted(t, g, Options{})
	if !bytes.Equal(first, second) {
		t.Error("converting the file again gives other bytes")
	}
	f, err := os.CreateTemp(keep, "*.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(first); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// samePlan requires the architecture's code to make the same plan of both, constants and weight bindings included. With
// equal tensors that means equal logits, on every backend.
func samePlan(t *testing.T, a, b *checkpoint.Checkpoint) {
	t.Helper()
	ma, err := models.Build(a)
	if err != nil {
		t.Fatal(err)
	}
	mb, err := models.Build(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(ma, mb) {
		t.Errorf("models differ:\n%+v\n%+v", ma, mb)
	}
}

func TestTiny(t *testing.T) {
	template := "{% for m in messages %}{{ m.content }}{% endfor %}"
	c := open(t, modeltest.TinyLlama(t, map[string][]byte{
		"generation_config.json": []byte(`{"temperature":0.6,"top_p":0.9,"top_k":40,"do_sample":true,"repetition_penalty":1.1,"eos_token_id":[257,3]}`),
		"tokenizer_config.json": modeltest.JSON(t, map[string]any{"chat_template": []any{
			map[string]any{"name": "default", "template": template}, map[string]any{"name": "tool_use", "template": "T"},
		}, "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}),
		"README.md": []byte("---\nlicense: apache-2.0\nlicense_link: https://example.org/l\n---\n# Tiny\n"),
		"LICENSE":   []byte("Do what you like.\n"),
	}))
	g, first := converted(t, c, Options{})
	sameModel(t, c, g)
	samePlan(t, c, g)
	if !reflect.DeepEqual(g.Special(), c.Special()) {
		t.Errorf("special %+v, want %+v", g.Special(), c.Special())
	}
	if want := []int32{3, 257}; !slices.Equal(g.Special().EOSIDs, want) || g.Special().EOS != "<|im_end|>" {
		t.Errorf("special %+v", g.Special())
	}
	if !reflect.DeepEqual(g.Generation(), c.Generation()) || g.Generation().Temperature == nil || *g.Generation().TopK != 40 {
		t.Errorf("generation %+v, want %+v", g.Generation(), c.Generation())
	}
	if g.License() != c.License() || g.License().ID != "apache-2.0" || g.License().Text == "" {
		t.Errorf("licence %+v, want %+v", g.License(), c.License())
	}
	if name, src, ok := g.Template(); name != "default" || src != template || !ok {
		t.Errorf("template %q, %q, %v", name, src, ok)
	}
	if src, ok := g.ToolTemplate(); src != "T" || !ok {
		t.Errorf("template for tools %q, %v", src, ok)
	}
	sameTokenizer(t, c, g, "hello hello", " he\x00ll<|im_end|>ö\n")
	if _, second := converted(t, g, Options{}); !bytes.Equal(first, second) {
		t.Error("converting the file again gives other bytes")
	}
	f, err := gguf.Read(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"general.architecture": "llama", "general.name": "tiny", "general.license": "apache-2.0",
		"general.quantization_version": uint32(2), "llama.block_count": uint32(1), "llama.attention.head_count_kv": uint32(2),
		"llama.attention.key_length": uint32(8), "llama.rope.dimension_count": uint32(8), "llama.rope.freq_base": float32(10000),
		"llama.attention.layer_norm_rms_epsilon": float32(1e-5), "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.eos_token_id": uint32(257),
		"tokenizer.ggml.eot_token_id": uint32(257), "aqlm.rope_pairing": "half", "aqlm.num_codebooks": uint32(2),
		"aqlm.nbits_per_codebook": uint32(8), "aqlm.in_group_size": uint32(8), "aqlm.out_group_size": uint32(1),
	} {
		if got, _ := f.Get(key); got != want {
			t.Errorf("%s = %v, want %v", key, got, want)
		}
	}
	if tokens, _, _ := f.Strings("tokenizer.ggml.tokens"); len(tokens) != 300 {
		t.Errorf("%d tokens for 300 rows", len(tokens))
	}
	if name := f.Tensors[0].Name; name != "token_embd.weight" {
		t.Errorf("first tensor %s", name)
	}
	i := slices.IndexFunc(f.Tensors, func(t gguf.Tensor) bool { return t.Name == "blk.0.attn_k.codes" })
	if i < 0 || f.Tensors[i].Type != gguf.I8 || !slices.Equal(f.Tensors[i].Dims, []int64{2, 4, 16}) {
		t.Errorf("blk.0.attn_k.codes at %d: %+v", i, f.Tensors[max(0, i)])
	}
}

// TestStrips carries over tokens that take white space beside them.
func TestStrips(t *testing.T) {
	text := bytes.ReplaceAll(modeltest.TinyTokenizer(), []byte(`"rstrip":false`), []byte(`"rstrip":true`))
	text = bytes.Replace(text, []byte(`"lstrip":false`), []byte(`"lstrip":true`), 1)
	c := open(t, modeltest.TinyLlama(t, map[string][]byte{"tokenizer.json": text}))
	g, b := converted(t, c, Options{})
	sameTokenizer(t, c, g, "hello<|im_end|> \n hello", " <|im_start|>\n hello <|im_end|>\n")
	f, err := gguf.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if ids, _, _ := f.Ints("aqlm.tokenizer.rstrip"); !slices.Equal(ids, []int64{256, 257}) {
		t.Errorf("rstrip %v", ids)
	}
	if ids, _, _ := f.Ints("aqlm.tokenizer.lstrip"); !slices.Equal(ids, []int64{256}) {
		t.Errorf("lstrip %v", ids)
	}
}

// sameTokenizer requires both tokenizers to give the same ids and texts.
func sameTokenizer(t *testing.T, a, b *checkpoint.Checkpoint, texts ...string) {
	t.Helper()
	ta, err := a.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	tb, err := b.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		for _, special := range []bool{false, true} {
			x, y := ta.Encode(text, tokenizer.EncodeOptions{ParseSpecial: special, AddSpecial: special}), tb.Encode(text, tokenizer.EncodeOptions{ParseSpecial: special, AddSpecial: special})
			if len(x) == 0 || !slices.Equal(x, y) {
				t.Errorf("%q: ids %v, want %v", text, y, x)
			}
		}
	}
}

// TestConfigValues converts configs that llama.cpp's keys cannot hold, or not exactly.
func TestConfigValues(t *testing.T) {
	llama3 := map[string]any{
		"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1, "high_freq_factor": 4.5, "original_max_position_embeddings": 64,
	}
	newer := map[string]any{"rope_theta": 250000.0, "rope_type": "default"}
	for name, test := range map[string]struct {
		change map[string]any
		theta  float32
	}{
		"defaults":       {map[string]any{"rope_theta": nil, "rms_norm_eps": nil, "num_key_value_heads": 4, "max_position_embeddings": nil}, 10000},
		"not float32":    {map[string]any{"rope_theta": 1.0e6 / 3, "rms_norm_eps": 1.00000001e-5}, float32(1.0e6 / 3)},
		"llama3":         {map[string]any{"rope_scaling": llama3}, 10000},
		"newer spelling": {map[string]any{"rope_theta": nil, "rope_parameters": newer}, 250000},
		"head_dim":       {map[string]any{"head_dim": 8}, 10000},
		"unknown keys":   {map[string]any{"list": []any{1, 2}, "floats": []any{1.5, 2}, "words": []any{"a"}, "none": []any{}, "big": 1e300, "flag": false}, 10000},
	} {
		t.Run(name, func(t *testing.T) {
			config := modeltest.TinyConfig()
			for key, v := range test.change {
				if config[key] = v; v == nil {
					delete(config, key)
				}
			}
			files := map[string][]byte{"config.json": modeltest.JSON(t, config)}
			if config["num_key_value_heads"] == 4 {
				files["model.safetensors"] = modeltest.Safetensors(fourHeads()...)
			}
			c := open(t, modeltest.TinyLlama(t, files))
			g, b := converted(t, c, Options{})
			sameModel(t, c, g)
			samePlan(t, c, g)
			f, err := gguf.Read(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			if theta, _ := f.Get("llama.rope.freq_base"); theta != test.theta {
				t.Errorf("llama.rope.freq_base is %v, want %v", theta, test.theta)
			}
		})
	}
}

// fourHeads is the tiny model without grouped heads: its keys and values are as wide as its queries.
func fourHeads() []modeltest.Tensor {
	list := modeltest.TinyTensors()
	for i, t := range list {
		if strings.Contains(t.Name, "k_proj.co") || strings.Contains(t.Name, "k_proj.sc") || strings.Contains(t.Name, "v_proj.co") || strings.Contains(t.Name, "v_proj.sc") {
			j := slices.IndexFunc(list, func(q modeltest.Tensor) bool {
				return q.Name == strings.NewReplacer("k_proj", "q_proj", "v_proj", "q_proj").Replace(t.Name)
			})
			list[i].Shape, list[i].Data = list[j].Shape, list[j].Data
		}
	}
	return list
}

func TestProgress(t *testing.T) {
	c := open(t, modeltest.TinyLlama(t, nil))
	var last, total int64
	converted(t, c, Options{Progress: func(done, all int64) {
		if done < last || all < done {
			t.Fatalf("progress %d after %d of %d", done, last, all)
		}
		last, total = done, all
	}})
	if last != total || total != c.Size {
		t.Errorf("ended at %d of %d, the checkpoint has %d bytes", last, total, c.Size)
	}
}

func TestEmbeddingQ8(t *testing.T) {
	c := open(t, modeltest.TinyLlama(t, nil))
	g, _ := converted(t, c, Options{Embedding: plan.Q8_0})
	for _, name := range []string{"model.embed_tokens.weight", "lm_head.weight"} {
		q, _ := g.Tensor(name)
		if q.DType != plan.Q8_0 || q.Bytes != 300*34 {
			t.Fatalf("%s is %v, %d bytes", name, q.DType, q.Bytes)
		}
		want, got := tensorBytes(t, c, name), tensorBytes(t, g, name)
		for i := range 300 * 32 {
			x := half.Float(uint16(want[2*i]) | uint16(want[2*i+1])<<8)
			block := got[i/32*34:]
			d := half.Float(uint16(block[0]) | uint16(block[1])<<8)
			if diff := x - d*float32(int8(block[2+i%32])); diff > 0.57*d || diff < -0.57*d { // 1/2, and 127 steps that are off by the rounding of d
				t.Fatalf("%s: element %d is off by %v of a step of %v", name, i, diff, d)
			}
		}
	}
	norm, _ := g.Tensor("model.norm.weight")
	if norm.DType != plan.F16 {
		t.Errorf("norm became %v", norm.DType)
	}
}

func TestRefusals(t *testing.T) {
	config := func(change func(map[string]any)) []byte {
		c := modeltest.TinyConfig()
		change(c)
		return modeltest.JSON(t, c)
	}
	var dense, strange, noHead []modeltest.Tensor
	for _, tensor := range modeltest.TinyTensors() {
		if !strings.Contains(tensor.Name, "_proj") {
			dense = append(dense, tensor)
		}
		if tensor.Name != "lm_head.weight" {
			noHead = append(noHead, tensor)
		}
	}
	strange = append(modeltest.TinyTensors(), modeltest.Tensor{Name: "vision.weight", DType: "F16", Shape: []int64{1}, Data: []byte{0, 0}})
	wide := append(modeltest.TinyTensors(), modeltest.Tensor{Name: "model.layers.0.self_attn.q_proj.bias", DType: "F64", Shape: []int64{1}, Data: make([]byte, 8)})
	for name, test := range map[string]struct {
		files map[string][]byte
		o     Options
		want  string
	}{
		"architecture":  {map[string][]byte{"config.json": config(func(c map[string]any) { c["model_type"] = "mamba" })}, Options{}, `model_type: "mamba"`},
		"dense":         {map[string][]byte{"model.safetensors": modeltest.Safetensors(dense...)}, Options{}, "no AQLM matrix"},
		"tensor":        {map[string][]byte{"model.safetensors": modeltest.Safetensors(strange...)}, Options{}, `"vision.weight"`},
		"element type":  {map[string][]byte{"model.safetensors": modeltest.Safetensors(wide...)}, Options{}, "F64"},
		"no head":       {map[string][]byte{"model.safetensors": modeltest.Safetensors(noHead...)}, Options{}, "lm_head.weight"},
		"missing key":   {map[string][]byte{"config.json": config(func(c map[string]any) { delete(c, "hidden_size") })}, Options{}, "hidden_size: is missing"},
		"zero heads":    {map[string][]byte{"config.json": config(func(c map[string]any) { c["num_attention_heads"] = 0 })}, Options{}, "num_attention_heads: is 0"},
		"negative":      {map[string][]byte{"config.json": config(func(c map[string]any) { c["num_hidden_layers"] = -1 })}, Options{}, "num_hidden_layers: is -1"},
		"nested config": {map[string][]byte{"config.json": config(func(c map[string]any) { c["x"] = map[string]any{"y.z": 1} })}, Options{}, "x.y.z: has no GGUF form"},
		"dotted key":    {map[string][]byte{"config.json": config(func(c map[string]any) { c["x.y"] = 1 })}, Options{}, "x.y: has no GGUF form"},
		"tokens":        {map[string][]byte{"config.json": config(func(c map[string]any) { c["vocab_size"] = 260 })}, Options{}, "more than the vocabulary of 260"},
		"tokenizer":     {map[string][]byte{"tokenizer.json": []byte("{")}, Options{}, "tokenizer.json"},
		"embedding":     {nil, Options{Embedding: plan.I8}, "embedding type i8"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, modeltest.TinyLlama(t, test.files))
			var b bytes.Buffer
			err := Write(&b, c, test.o)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, test.want)
			}
			if b.Len() > 0 {
				t.Errorf("%d bytes written before the refusal", b.Len())
			}
		})
	}
}

// TestUnevenRows wants Q8_0 refused for rows that are no whole number of blocks.
func TestUnevenRows(t *testing.T) {
	c := open(t, filepath.Join(modeltest.Golden(t), "llama-2x8g8"))
	if err := Write(&bytes.Buffer{}, c, Options{Embedding: plan.Q8_0}); err == nil || !strings.Contains(err.Error(), "rows of 120 values") {
		t.Errorf("error %v", err)
	}
}

func TestFile(t *testing.T) {
	c := open(t, modeltest.TinyLlama(t, nil))
	dir := t.TempDir()
	dst := filepath.Join(dir, "m.gguf")
	for range 2 { // the second one replaces the first
		if err := File(dst, c, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	_, want := converted(t, c, Options{})
	got, err := os.ReadFile(dst)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("file has %d bytes, %v; want %d", len(got), err, len(want))
	}
	g := open(t, dst)
	if g.Format != checkpoint.GGUF || g.Name != "tiny" {
		t.Errorf("opened as %v %q", g.Format, g.Name)
	}
	if err := File(dst, open(t, modeltest.TinyLlama(t, map[string][]byte{"tokenizer.json": []byte("{")})), Options{}); err == nil {
		t.Error("a broken tokenizer was accepted")
	}
	if now, err := os.ReadFile(dst); err != nil || !bytes.Equal(now, want) {
		t.Errorf("a failed conversion changed the file: %d bytes, %v", len(now), err)
	}
	if err := File(dir, c, Options{}); err == nil {
		t.Error("a folder was replaced")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("folder holds %v, %v; want the file alone", left, err)
	}
}

// TestSourceChanges wants a conversion to fail whose checkpoint is overwritten meanwhile.
func TestSourceChanges(t *testing.T) {
	dir := modeltest.TinyLlama(t, nil)
	c := open(t, dir)
	weights := filepath.Join(dir, "model.safetensors")
	if err := os.Truncate(weights, 2000); err != nil {
		t.Fatal(err)
	}
	err := File(filepath.Join(t.TempDir(), "m.gguf"), c, Options{})
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), weights) {
		t.Errorf("truncated: %v", err)
	}
	dir = modeltest.TinyLlama(t, nil)
	c = open(t, dir)
	f, err := os.OpenFile(filepath.Join(dir, "model.safetensors"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if err := Write(io.Discard, c, Options{}); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("grown: %v", err)
	}
}
