package convert

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"aquifer/gguf"
	"aquifer/models/checkpoint"
	"aquifer/models/modeltest"
	"aquifer/runtime/plan"
)

// TestRealModel converts a published-size model with its tokenizer and its shards.
func TestRealModel(t *testing.T) {
	if testing.Short() {
		t.Skip("converts 85 MB")
	}
	c := open(t, filepath.Join(modeltest.SmolLM2(t), "smollm2-135m-instruct-aqlm-2x8g8"))
	dst := filepath.Join(t.TempDir(), "smol.gguf")
	if err := File(dst, c, Options{}); err != nil {
		t.Fatal(err)
	}
	g := open(t, dst)
	sameModel(t, c, g)
	if !reflect.DeepEqual(g.Special(), c.Special()) || g.Special().EOS != "<|im_end|>" || !slices.Equal(g.Special().EOSIDs, []int32{2}) {
		t.Errorf("special %+v, want %+v", g.Special(), c.Special())
	}
	_, want, _ := c.Template()
	if _, got, ok := g.Template(); !ok || got != want {
		t.Errorf("template %q, want %q", got, want)
	}
	sameTokenizer(
		t, c, g, "Hello, world! 12345 naïve café — 你好\n\n\tdef f(x):  return x**2", "<|im_start|>user\nWhat's 2+2?<|im_end|>\n", "  \x80\xff ",
	)
	small := filepath.Join(t.TempDir(), "small.gguf")
	if err := File(small, c, Options{Embedding: plan.Q8_0}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(small)
	if err != nil || info.Size() > 60<<20 {
		t.Errorf("with Q8_0 embedding: %v, %v", info, err)
	}
	t.Run("gguf-py", func(t *testing.T) { checkWithGGUFPy(t, small) })
}

// TestGGUFPy reads converted files with the reference reader.
func TestGGUFPy(t *testing.T) {
	for name, o := range map[string]Options{"f16": {}, "q8_0": {Embedding: plan.Q8_0}} {
		t.Run(name, func(t *testing.T) {
			c := open(t, modeltest.TinyLlama(t, nil))
			dst := filepath.Join(t.TempDir(), "tiny.gguf")
			if err := File(dst, c, o); err != nil {
				t.Fatal(err)
			}
			checkWithGGUFPy(t, dst)
		})
	}
}

const ggufPy = `
import json, sys, gguf
for r in map(gguf.GGUFReader, sys.argv[1:]): print(json.dumps({
    "tensors": {t.name: [t.tensor_type.name, [int(d) for d in t.shape], int(t.data_offset), int(t.n_bytes)] for t in r.tensors},
    "keys": [k for k in r.fields if not k.startswith("GGUF.")],
    "name": r.fields["general.name"].contents(),
    "tokens": len(r.fields["tokenizer.ggml.tokens"].contents()) if "tokenizer.ggml.tokens" in r.fields else 0,
}))`

// checkWithGGUFPy compares our reader with gguf-py, the package of the format's authors: it has to list the same tensors
// at the same places, and the same keys. It is skipped where python3 has no package gguf.
func checkWithGGUFPy(t *testing.T, paths ...string) {
	t.Helper()
	if len(paths) == 0 {
		t.Fatal("no files")
	}
	python := "python3"
	if out, err := exec.Command(python, "-c", "import gguf").CombinedOutput(); err != nil {
		t.Skipf("python3 cannot import gguf: %v: %s", err, lastLine(out))
	}
	var stderr strings.Builder
	cmd := exec.Command(python, append([]string{"-c", ggufPy}, paths...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gguf-py: %v: %s", err, stderr.String())
	}
	answers := json.NewDecoder(bytes.NewReader(out))
	for _, path := range paths {
		var got listing
		if err := answers.Decode(&got); err != nil {
			t.Fatal(err)
		}
		got.compare(t, path)
	}
}

// listing is what gguf-py says of a file.
type listing struct {
	Tensors map[string][4]any
	Keys    []string
	Name    string
	Tokens  int
}

func (got listing) compare(t *testing.T, path string) {
	t.Helper()
	f := readHeader(t, path)
	want := map[string][4]any{}
	for _, tensor := range f.Tensors {
		dims := make([]any, len(tensor.Dims))
		for i, d := range tensor.Dims {
			dims[i] = float64(d)
		}
		want[tensor.Name] = [4]any{tensor.Type.String(), dims, float64(tensor.Offset), float64(tensor.Size)}
	}
	for name, tensor := range got.Tensors {
		if !reflect.DeepEqual(tensor, want[name]) {
			t.Errorf("%s: gguf-py has %v, we have %v", name, tensor, want[name])
		}
	}
	if len(got.Tensors) != len(want) || len(want) == 0 {
		t.Errorf("gguf-py lists %d tensors, we %d", len(got.Tensors), len(want))
	}
	var keys []string
	for _, kv := range f.Metadata {
		keys = append(keys, kv.Key)
	}
	if !slices.Equal(got.Keys, keys) {
		t.Errorf("gguf-py lists keys\n%v, we\n%v", got.Keys, keys)
	}
	tokens, _, _ := f.Strings("tokenizer.ggml.tokens")
	if name, _, _ := f.String("general.name"); got.Name != name || got.Tokens != len(tokens) {
		t.Errorf("gguf-py reads name %q and %d tokens, we %q and %d", got.Name, got.Tokens, name, len(tokens))
	}
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

func readHeader(t *testing.T, path string) *gguf.File {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Read(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.OpenGGUF(path, file, info.Size()); err != nil {
		t.Fatal(err)
	}
	return f
}
