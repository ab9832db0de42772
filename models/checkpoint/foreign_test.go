package checkpoint

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"aquifer/models/modeltest"
)

// TestForeignForms opens folders that hold a model in a form that is not read.
func TestForeignForms(t *testing.T) {
	const convert = `python3 -c "import `
	for _, test := range []struct {
		name  string
		files []string // beside config.json
		words []string
	}{
		{"single", []string{"pytorch_model.bin", "training_args.bin"}, []string{"(pytorch_model.bin)", convert + "torch;", "f in ['pytorch_model.bin']"}},
		{"index", []string{"pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin"}, []string{convert + "json, torch;", "pytorch_model.bin.index.json'))['weight_map']"}},
		{"no index", []string{"pytorch_model-00001-of-00002.bin"}, []string{convert + "glob, torch;", "pytorch_model-*.bin"}},
		{"other name", []string{"model.pth", "optimizer.pt", "rng_state_0.pth", "scheduler.pt"}, []string{"(model.pth)", "f in ['model.pth']"}},
		{"two names", []string{"a.pth", "b.pth"}, []string{"no weights found", "a.pth"}},
		{"a name for the shell", []string{"a'$(x).bin"}, []string{"no weights found"}},
		{"training only", []string{"training_args.bin"}, []string{"no weights found"}},
		{"research code", []string{"0.pth", "1.pth", "args.pt", "not_quantized_weights.pt"}, []string{"main.py of AQLM", "convert_to_hf.py ORIGINAL_MODEL", "--save_safetensors"}},
		{"Meta", []string{"consolidated.00.pth", "params.json"}, []string{"consolidated.00.pth", "Hugging Face form"}},
		{"AQLM.rs", []string{"model.layers.0.mlp.up_proj.codes_120.safetensors"}, []string{"layout of AQLM.rs", "codes_120"}},
		{"AQLM.rs without suffix", []string{"model.layers.0.mlp.up_proj.codes_120"}, []string{"layout of AQLM.rs"}},
		{"adapter", []string{"adapter_config.json", "adapter_model.bin"}, []string{"adapter", "merge"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := map[string][]byte{"config.json": []byte("{}")}
			for _, name := range test.files {
				files[name] = nil
			}
			dir := modeltest.Folder(t, "other", files)
			_, err := Open(dir)
			wantError(t, err, append(test.words, dir)...)
			if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
				t.Fatal(err)
			}
			_, err = Open(dir)
			wantError(t, err, "no config.json")
			if strings.Contains(err.Error(), "-c \"import") {
				t.Errorf("%v: a command that does not make a model", err)
			}
		})
	}
	// Safetensors count, whatever else is there.
	dir := modeltest.TinyLlama(t, map[string][]byte{"pytorch_model.bin": nil})
	mustOpen(t, dir)
}

// torchStub stands for PyTorch and safetensors: its "pickles" are safetensors already, which is enough to see that the
// command is one that a shell and Python understand, and that it puts the right things at the right place.
var torchStub = map[string]string{
	"torch.py": `
class Tensor:
    def __init__(self, raw): self.raw = raw
    def clone(self): return self
    def contiguous(self): return self
def load(path, map_location, weights_only):
    assert map_location == "cpu" and weights_only is True
    import json
    data = open(path, "rb").read()
    n = int.from_bytes(data[:8], "little")
    head = json.loads(data[8:8+n])
    return {k: Tensor((v["dtype"], v["shape"], data[8+n:][v["data_offsets"][0]:v["data_offsets"][1]])) for k, v in head.items()}
`,
	"safetensors/__init__.py": "",
	"safetensors/torch.py": `
def save_file(tensors, path, metadata):
    import json
    head, data = {"__metadata__": metadata}, b""
    for k, t in tensors.items():
        dtype, shape, raw = t.raw
        head[k] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + data)
`,
}

// TestTorchCommand runs the command that the error gives, against stand-ins for PyTorch.
func TestTorchCommand(t *testing.T) {
	for _, program := range []string{"sh", "python3"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: %v", program, err)
		}
	}
	stub := t.TempDir()
	if err := os.Mkdir(filepath.Join(stub, "safetensors"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range torchStub {
		if err := os.WriteFile(filepath.Join(stub, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all := modeltest.TinyTensors()
	first, second := modeltest.Safetensors(all[:7]...), modeltest.Safetensors(all[7:]...)
	index := modeltest.JSON(t, map[string]any{"weight_map": map[string]string{
		"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin", "c": "pytorch_model-00001-of-00002.bin",
	}})
	shards := map[string][]byte{"pytorch_model-00001-of-00002.bin": first, "pytorch_model-00002-of-00002.bin": second}
	for name, files := range map[string]map[string][]byte{
		"plain":         {"pytorch_model.bin": modeltest.Safetensors(all...)},
		"it's $HOME; a": {"pytorch_model.bin": modeltest.Safetensors(all...)},
		"-dash":         {"weights-1.pth": modeltest.Safetensors(all...), "training_args.bin": nil},
		"index":         {"pytorch_model.bin.index.json": index, "pytorch_model-00001-of-00001.bin": nil, "pytorch_model-00001-of-00002.bin": first, "pytorch_model-00002-of-00002.bin": second},
		"shards":        shards,
	} {
		t.Run(name, func(t *testing.T) {
			files["config.json"] = modeltest.JSON(t, modeltest.TinyConfig())
			dir := modeltest.Folder(t, name, files)
			t.Chdir(filepath.Dir(dir))
			_, err := Open(name)
			wantError(t, err, "convert them: cd ")
			_, command, _ := strings.Cut(err.Error(), "convert them: ")
			command, _, _ = strings.Cut(command, " (needs PyTorch")
			cmd := exec.Command("sh", "-c", command)
			cmd.Env = append(os.Environ(), "PYTHONPATH="+stub)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			c := mustOpen(t, name)
			for _, want := range all {
				got, ok := c.Tensor(want.Name)
				data := make([]byte, got.Bytes)
				if _, err := got.ReadAt(data, 0); !ok || err != nil || string(data) != string(want.Data) {
					t.Errorf("%s: %v, %v", want.Name, ok, err)
				}
			}
		})
	}
}
