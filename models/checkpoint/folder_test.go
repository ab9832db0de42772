package checkpoint

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"aquifer/models/modeltest"
	"aquifer/runtime/plan"
)

func mustOpen(t *testing.T, path string) *Checkpoint {
	t.Helper()
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantError requires a one-line error with all words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted, want an error with %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not name %q", err, word)
		}
	}
	if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "checkpoint: ") || strings.Count(err.Error(), "checkpoint: ") != 1 {
		t.Errorf("form of %q", err)
	}
}

func TestOpenFolder(t *testing.T) {
	dir := modeltest.TinyLlama(t, nil)
	c := mustOpen(t, dir)
	if c.Name != "tiny" || c.Path != dir || c.Format != Folder || c.RopePairing() != plan.RopeHalf {
		t.Errorf("opened as %q, %q, %v, %v", c.Name, c.Path, c.Format, c.RopePairing())
	}
	var names []string
	var size int64
	for _, want := range modeltest.TinyTensors() {
		got, ok := c.Tensor(want.Name)
		shape := make([]int, len(want.Shape))
		for i, d := range want.Shape {
			shape[i] = int(d)
		}
		if !ok || got.Name != want.Name || got.TypeName != want.DType || !slices.Equal(got.Shape, shape) || got.Bytes != int64(len(want.Data)) {
			t.Errorf("%s: %+v", want.Name, got)
		}
		if got.File != filepath.Join(dir, "model.safetensors") || strings.ToLower(got.TypeName) != got.DType.String() {
			t.Errorf("%s: file %s, type %v", want.Name, got.File, got.DType)
		}
		data := make([]byte, got.Bytes)
		if n, err := got.ReadAt(data, 0); n != len(data) || err != nil || string(data) != string(want.Data) {
			t.Errorf("%s: read %d, %v", want.Name, n, err)
		}
		names = append(names, want.Name)
		size += got.Bytes
	}
	slices.Sort(names)
	if !slices.Equal(c.Names(), names) || c.Size != size {
		t.Errorf("%d bytes in %v", c.Size, c.Names())
	}
	if _, ok := c.Tensor("absent"); ok {
		t.Error("there is a tensor called absent")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	norm, _ := c.Tensor("model.norm.weight")
	if _, err := norm.ReadAt(make([]byte, 2), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read behind Close: %v", err)
	}
}

func TestTensorReadAt(t *testing.T) {
	c := mustOpen(t, modeltest.TinyLlama(t, nil))
	norm, _ := c.Tensor("model.norm.weight") // 64 bytes, others around it
	for _, test := range []struct {
		off     int64
		n, want int
		err     error
	}{{0, 64, 64, nil}, {60, 4, 4, nil}, {60, 8, 4, io.EOF}, {64, 1, 0, io.EOF}, {64, 0, 0, nil}} {
		n, err := norm.ReadAt(make([]byte, test.n), test.off)
		if n != test.want || !errors.Is(err, test.err) {
			t.Errorf("%d bytes at %d: %d, %v", test.n, test.off, n, err)
		}
	}
	for _, off := range []int64{-1, 65, 1 << 62} {
		_, err := norm.ReadAt(make([]byte, 1), off)
		wantError(t, err, `tensor "model.norm.weight"`)
	}
}

// TestFileChanges covers what may happen to the weights while they are being read.
func TestFileChanges(t *testing.T) {
	dir := modeltest.TinyLlama(t, nil)
	weights := filepath.Join(dir, "model.safetensors")
	c := mustOpen(t, dir)
	if err := c.Unchanged(); err != nil {
		t.Error(err)
	}
	if runtime.GOOS != "windows" { // which does not remove open files
		if err := os.Remove(weights); err != nil {
			t.Fatal(err)
		}
		norm, _ := c.Tensor("model.norm.weight")
		if _, err := norm.ReadAt(make([]byte, 64), 0); err != nil {
			t.Errorf("unlinked: %v", err)
		}
	}
	dir = modeltest.TinyLlama(t, nil)
	weights = filepath.Join(dir, "model.safetensors")
	c = mustOpen(t, dir)
	if err := os.Truncate(weights, 100); err != nil {
		t.Fatal(err)
	}
	norm, _ := c.Tensor("model.norm.weight")
	_, err := norm.ReadAt(make([]byte, 64), 0)
	wantError(t, err, weights, "model.norm.weight")
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncated: %v", err)
	}
	wantError(t, c.Unchanged(), weights, "changed")
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	_, err := Open(filepath.Join(dir, "absent"))
	wantError(t, err, filepath.Join(dir, "absent"), "no such file")
	_, err = Open(write("empty", ""))
	wantError(t, err, "neither a folder nor a GGUF file")
	_, err = Open(write("text.gguf", "Hello, world"))
	wantError(t, err, "neither a folder nor a GGUF file", "text.gguf")
	_, err = Open(write("short.gguf", "GGUF\x03"))
	wantError(t, err, "short.gguf", "version")
	write("none/x", "")
	_, err = Open(filepath.Join(dir, "none"))
	wantError(t, err, "no config.json", "holds x")
	if err := os.Mkdir(filepath.Join(dir, "hollow"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Open(filepath.Join(dir, "hollow"))
	wantError(t, err, "no config.json", "holds nothing")
	write("two/model.gguf", "")
	_, err = Open(filepath.Join(dir, "two"))
	wantError(t, err, "no config.json", "name the .gguf file itself")
	for i := range 20 {
		write("many/file"+string(rune('a'+i)), "")
	}
	_, err = Open(filepath.Join(dir, "many"))
	wantError(t, err, "...")
	write("big/config.json", `{"a":"`+strings.Repeat("x", maxConfig)+`"}`)
	_, err = Open(filepath.Join(dir, "big"))
	wantError(t, err, "config.json", "limit")
	write("fold/config.json", "{}")
	if err := os.Mkdir(filepath.Join(dir, "fold", "model.safetensors"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Open(filepath.Join(dir, "fold"))
	wantError(t, err, "model.safetensors", "not a regular file but a folder")
}

// sharded writes the tiny model in two shards with an index.
func sharded(t *testing.T, change func(map[string]any), extra map[string][]byte) string {
	t.Helper()
	tensors := modeltest.TinyTensors()
	files := map[string][]byte{
		"config.json":         modeltest.JSON(t, modeltest.TinyConfig()),
		"model-1.safetensors": modeltest.Safetensors(tensors[:5]...),
		"model-2.safetensors": modeltest.Safetensors(append(tensors[5:], modeltest.Tensor{Name: "unlisted", DType: "F64", Shape: []int64{1}, Data: make([]byte, 8)})...),
	}
	weights := map[string]any{}
	for i, tensor := range tensors {
		weights[tensor.Name] = "model-1.safetensors"
		if i >= 5 {
			weights[tensor.Name] = "model-2.safetensors"
		}
	}
	change(weights)
	files[indexFile] = modeltest.JSON(t, map[string]any{"metadata": map[string]any{"total_size": 1}, "weight_map": weights})
	maps.Copy(files, extra)
	return modeltest.Folder(t, "sharded", files)
}

func TestShards(t *testing.T) {
	c := mustOpen(t, sharded(t, func(map[string]any) {}, map[string][]byte{"model-3.safetensors": []byte("stale")}))
	want := mustOpen(t, modeltest.TinyLlama(t, nil))
	if !slices.Equal(c.Names(), want.Names()) || c.Size != want.Size {
		t.Errorf("%d bytes in %v", c.Size, c.Names())
	}
	norm, _ := c.Tensor("model.norm.weight")
	if filepath.Base(norm.File) != "model-2.safetensors" {
		t.Errorf("model.norm.weight is in %s", norm.File)
	}
	// A single file counts before an index, as in transformers.
	c = mustOpen(t, sharded(t, func(map[string]any) {}, map[string][]byte{"model.safetensors": modeltest.Safetensors(modeltest.TinyTensors()[:2]...)}))
	if len(c.Names()) != 2 {
		t.Errorf("tensors %v", c.Names())
	}
}

func TestIndexRefuses(t *testing.T) {
	const norm = "model.norm.weight"
	for _, shard := range []string{
		"", ".", "..", "../model-1.safetensors", "/model-1.safetensors", `..\model-1.safetensors`, `a\b.safetensors`, "c:model.safetensors",
		"a/model.safetensors", "./model-1.safetensors", ".safetensors", ".hidden.safetensors", "model-1.bin", "model\x00.safetensors",
		"model\n.safetensors", "a:b.safetensors", strings.Repeat("a", 300) + ".safetensors",
	} {
		_, err := Open(sharded(t, func(m map[string]any) { m[norm] = shard }, nil))
		wantError(t, err, indexFile, norm, "plain name")
	}
	for name, test := range map[string]struct {
		index string
		words []string
	}{
		"array":          {"[]", []string{"is an array"}},
		"empty":          {"", []string{"invalid JSON"}},
		"no map":         {"{}", []string{"weight_map: is null"}},
		"map is a list":  {`{"weight_map":[]}`, []string{"weight_map: is an array"}},
		"empty map":      {`{"weight_map":{}}`, []string{"weight_map: is empty"}},
		"value null":     {`{"weight_map":{"x":null}}`, []string{`weight_map: tensor "x": is null`}},
		"value object":   {`{"weight_map":{"x":{}}}`, []string{`weight_map: tensor "x": is an object`}},
		"duplicate":      {`{"weight_map":{"x":"a.safetensors","x":"b.safetensors"}}`, []string{"weight_map.x: duplicate key"}},
		"missing tensor": {`{"weight_map":{"x":"model-1.safetensors"}}`, []string{`tensor "x" is not in model-1.safetensors`}},
		"missing shard":  {`{"weight_map":{"x":"model-9.safetensors"}}`, []string{`tensor "x" is in model-9.safetensors, which does not exist`, "model-1.safetensors"}},
		"too many":       {`{"weight_map":{` + manyShards() + `}}`, []string{"more than 1000 files"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(sharded(t, func(map[string]any) {}, map[string][]byte{indexFile: []byte(test.index)}))
			wantError(t, err, append(test.words, indexFile)...)
		})
	}
	_, err := Open(sharded(t, func(map[string]any) {}, map[string][]byte{"model-2.safetensors": []byte("short")}))
	wantError(t, err, "model-2.safetensors", "header length")
}

func manyShards() string {
	var entries []string
	for i := range maxShards + 1 {
		n := strings.Repeat("x", i+1)
		entries = append(entries, `"`+n+`":"`+strings.Repeat("y", i%200+1)+string(rune('a'+i/200))+`.safetensors"`)
	}
	return strings.Join(entries, ",")
}

func TestSide(t *testing.T) {
	dir := modeltest.TinyLlama(t, map[string][]byte{
		"generation_config.json": []byte(`{"bos_token_id":256,"eos_token_id":[257,5],"temperature":0.6,"top_p":0.95,"top_k":20,"min_p":0.05,"do_sample":true,"repetition_penalty":1.05}`),
		"tokenizer_config.json": []byte(`{"bos_token":{"content":"<|im_start|>","lstrip":false},"eos_token":"<|im_end|>","unk_token":null,"pad_token":"h",
			"add_bos_token":true,"added_tokens_decoder":{"256":{"content":"<|im_start|>"},"257":{"content":"<|im_end|>"}},"model_max_length":1000000000000000019884624838656,
			"chat_template":[{"name":"tool_use","template":"T"},{"name":"default","template":"D"}]}`),
		"special_tokens_map.json": []byte(`{"eos_token":"old","unk_token":"!"}`),
		"README.md":               []byte("---\r\nlanguage: en\r\nlicense: \"other\"\r\nlicense_name: tiny-license\r\nlicense_link: 'LICENSE'\r\ntags:\r\n- license: no\r\n---\r\nlicense: no\r\n"),
		"LICENSE.txt":             []byte("Text."),
	})
	c := mustOpen(t, dir)
	want := Special{BOS: "<|im_start|>", EOS: "<|im_end|>", UNK: "!", PAD: "h", BOSID: 256, UNKID: '!', PADID: 'h', EOSIDs: []int32{5, 257}}
	if got := c.Special(); !reflect.DeepEqual(got, want) {
		t.Errorf("special %+v, want %+v", got, want)
	}
	g := c.Generation()
	if *g.Temperature != 0.6 || *g.TopP != 0.95 || *g.TopK != 20 || *g.MinP != 0.05 || !*g.DoSample || *g.RepetitionPenalty != 1.05 {
		t.Errorf("generation %+v", g)
	}
	if name, src, ok := c.Template(); name != "default" || src != "D" || !ok {
		t.Errorf("template %q %q %v", name, src, ok)
	}
	if src, ok := c.ToolTemplate(); src != "T" || !ok {
		t.Errorf("template for tools %q %v", src, ok)
	}
	if got, want := c.License(), (License{"other", "tiny-license", "LICENSE", "Text."}); got != want {
		t.Errorf("licence %+v, want %+v", got, want)
	}
	if tok, err := c.Tokenizer(); err != nil || tok.Size() != 263 || !c.HasTokenizer() {
		t.Errorf("tokenizer %v, %v", tok, err)
	}
	again, _ := c.Tokenizer()
	if first, _ := c.Tokenizer(); first != again {
		t.Error("the tokenizer was built twice")
	}
}

func TestSideAbsent(t *testing.T) {
	dir := modeltest.TinyLlama(t, nil)
	if err := os.Remove(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	c := mustOpen(t, dir)
	want := Special{BOSID: 256, UNKID: -1, PADID: -1, EOSIDs: []int32{257}}
	if got := c.Special(); !reflect.DeepEqual(got, want) {
		t.Errorf("special %+v, want %+v", got, want)
	}
	if _, _, ok := c.Template(); ok || c.Generation() != (Generation{}) || c.License() != (License{}) || c.HasTokenizer() {
		t.Errorf("template %v, generation %+v, licence %+v", ok, c.Generation(), c.License())
	}
	_, err := c.Tokenizer()
	wantError(t, err, dir, "no tokenizer.json", "config.json")
}

func TestTemplates(t *testing.T) {
	for name, test := range map[string]struct {
		files  map[string]string
		name   string
		source string
	}{
		"string":       {map[string]string{"tokenizer_config.json": `{"chat_template":"S"}`}, "default", "S"},
		"file":         {map[string]string{"tokenizer_config.json": `{"chat_template":"S"}`, "chat_template.jinja": "F\n"}, "default", "F\n"},
		"only one":     {map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"rag","template":"R"}]}`}, "rag", "R"},
		"no default":   {map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"rag","template":"R"},{"name":"t","template":"T"}]}`}, "", ""},
		"null":         {map[string]string{"tokenizer_config.json": `{"chat_template":null}`}, "", ""},
		"empty string": {map[string]string{"tokenizer_config.json": `{"chat_template":""}`}, "", ""},
	} {
		files := map[string][]byte{}
		for file, text := range test.files {
			files[file] = []byte(text)
		}
		gotName, src, ok := mustOpen(t, modeltest.TinyLlama(t, files)).Template()
		if src != test.source || ok != (src != "") || ok && gotName != test.name {
			t.Errorf("%s: %q, %q, %v", name, gotName, src, ok)
		}
	}
}

func TestSideRefuses(t *testing.T) {
	with := func(key string, v any) []byte {
		config := modeltest.TinyConfig()
		config[key] = v
		return modeltest.JSON(t, config)
	}
	for _, test := range []struct {
		file  string
		text  []byte
		words []string
	}{
		{"generation_config.json", []byte(`{`), []string{"invalid JSON"}},
		{"generation_config.json", []byte(`{"temperature":"hot"}`), []string{"temperature", "hot"}},
		{"generation_config.json", []byte(`{"temperature":NaN}`), []string{"temperature"}},
		{"generation_config.json", []byte(`{"top_k":1.5}`), []string{"top_k", "1.5"}},
		{"generation_config.json", []byte(`{"do_sample":1}`), []string{"do_sample"}},
		{"generation_config.json", []byte(`{"eos_token_id":300}`), []string{"eos_token_id", "300"}},
		{"generation_config.json", []byte(`{"eos_token_id":[1,-2]}`), []string{"eos_token_id", "-2"}},
		{"config.json", with("bos_token_id", 300), []string{"bos_token_id", "300"}},
		{"config.json", with("eos_token_id", "x"), []string{"eos_token_id", "x"}},
		{"config.json", with("vocab_size", "x"), []string{"vocab_size", "x"}},
		{"tokenizer_config.json", []byte(`[]`), []string{"is an array"}},
		{"tokenizer_config.json", []byte(`{"bos_token":1}`), []string{"bos_token"}},
		{"tokenizer_config.json", []byte(`{"bos_token":{"content":1}}`), []string{"bos_token.content"}},
		{"tokenizer_config.json", []byte(`{"add_bos_token":"yes"}`), []string{"add_bos_token"}},
		{"tokenizer_config.json", []byte(`{"added_tokens_decoder":{"x":{"content":"a"}}}`), []string{"added_tokens_decoder.x"}},
		{"tokenizer_config.json", []byte(`{"added_tokens_decoder":{"-1":{"content":"a"}}}`), []string{"added_tokens_decoder.-1"}},
		{"tokenizer_config.json", []byte(`{"added_tokens_decoder":{"1":{"content":2}}}`), []string{"added_tokens_decoder.1.content"}},
		{"tokenizer_config.json", []byte(`{"chat_template":1}`), []string{"chat_template"}},
		{"tokenizer_config.json", []byte(`{"chat_template":[{"name":"default"}]}`), []string{"chat_template", "template"}},
		{"tokenizer_config.json", modeltest.JSON(t, map[string]any{"chat_template": strings.Repeat("x", maxTemplate+1)}), []string{"chat_template", "limit"}},
		{"tokenizer_config.json", modeltest.JSON(t, map[string]any{"chat_template": []any{
			map[string]any{"name": "tool_use", "template": strings.Repeat("x", maxTemplate+1)}, map[string]any{"name": "default", "template": "D"},
		}}), []string{"chat_template", "limit"}},
		{"chat_template.jinja", []byte(strings.Repeat("x", maxTemplate+1)), []string{"limit"}},
		{"chat_template.jinja", []byte("\xff"), []string{"invalid UTF-8"}},
		{"special_tokens_map.json", []byte(`{"eos_token":[]}`), []string{"eos_token"}},
	} {
		t.Run(test.file, func(t *testing.T) {
			_, err := Open(modeltest.TinyLlama(t, map[string][]byte{test.file: test.text}))
			wantError(t, err, append(test.words, test.file)...)
		})
	}
	c := mustOpen(t, modeltest.TinyLlama(t, map[string][]byte{"tokenizer.json": []byte("{}")}))
	_, err := c.Tokenizer()
	wantError(t, err, "tokenizer.json")
	// -1 means none, and a padding token beyond the embedding is common and needless.
	c = mustOpen(t, modeltest.TinyLlama(t, map[string][]byte{
		"generation_config.json": []byte(`{"bos_token_id":-1,"pad_token_id":32000,"eos_token_id":[]}`),
		"tokenizer_config.json":  []byte(`{"eos_token":"far","added_tokens_decoder":{"400":{"content":"far"}}}`),
	}))
	if sp := c.Special(); sp.PADID != -1 || !slices.Equal(sp.EOSIDs, []int32{257}) || sp.EOS != "far" {
		t.Errorf("special %+v", sp)
	}
}
