package checkpoint

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Files of PyTorch as transformers names them.
const (
	torchFile  = "pytorch_model.bin"
	torchIndex = "pytorch_model.bin.index.json"
)

// foreignForm says which other form of a model a folder without safetensors weights holds, and how to make them of it;
// "" for none that is known.
func foreignForm(dir string) string {
	names := fileNames(dir)
	return cmp.Or(foreignLayout(dir, names), pickled(dir, names))
}

// foreignLayout knows the forms whose tensors have other names or shapes.
func foreignLayout(dir string, names []string) string {
	has := func(name string) bool { return slices.Contains(names, name) }
	if name := match(names, `codes_120(\.|$)`); name != "" {
		return fmt.Sprintf("the weights have the layout of AQLM.rs (%s), which is not supported; get the checkpoint they were made from", shown(name))
	}
	if has("not_quantized_weights.pt") || has("0.pth") {
		return "these are layers as the main.py of AQLM saves them; its convert_to_hf.py makes a checkpoint of them:" +
			" python3 convert_to_hf.py ORIGINAL_MODEL " + cmp.Or(shellWord(dir), "FOLDER") + " NEW_FOLDER --save_safetensors"
	}
	if name := match(names, `^consolidated\..*pth$`); name != "" {
		return fmt.Sprintf("the weights have Meta's own layout (%s), which is not supported; get the Hugging Face form of the model", shown(name))
	}
	if has("adapter_config.json") {
		return "it is an adapter (adapter_config.json), not a model; merge it into its model first"
	}
	return ""
}

// pickled knows files of PyTorch. They are pickles: reading one may run what it says, so that is left to PyTorch, which
// can be told to read weights only.
func pickled(dir string, names []string) string {
	switch shard := match(names, `^pytorch_model-\d+-of-\d+\.bin$`); {
	case slices.Contains(names, torchIndex):
		return torchForm(dir, torchIndex, "import json, torch",
			"f in sorted(set(json.load(open('"+torchIndex+"'))['weight_map'].values()))")
	case slices.Contains(names, torchFile):
		return torchForm(dir, torchFile, "import torch", "f in ['"+torchFile+"']")
	case shard != "":
		return torchForm(dir, shard, "import glob, torch", "f in sorted(glob.glob('pytorch_model-*.bin'))")
	}
	// The name goes into a command: it may mean nothing to a shell. What else training leaves behind does not count.
	word, training := regexp.MustCompile(`^\w[\w.-]*\.(bin|pth|pt)$`), regexp.MustCompile(`^(training_args|optimizer|scheduler|rng_state|scaler)`)
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !word.MatchString(name) || training.MatchString(name) })
	if len(names) != 1 {
		return ""
	}
	return torchForm(dir, names[0], "import torch", "f in ['"+names[0]+"']")
}

// match returns the first name that matches, "" if none does.
func match(names []string, pattern string) string {
	if i := slices.IndexFunc(names, regexp.MustCompile(pattern).MatchString); i >= 0 {
		return names[i]
	}
	return ""
}

// torchForm gives the command that writes the tensors of PyTorch files as model.safetensors. Each is cloned, because
// safetensors refuses tensors that share memory, as tied ones do.
func torchForm(dir, found, imports, loop string) string {
	where := "in that folder: "
	if word := shellWord(dir); word != "" {
		where = "cd " + word + " && "
	}
	return fmt.Sprintf(`only PyTorch files (%s), which can hold programs and are not read; convert them: %spython3 -c "%s; from safetensors.torch import save_file; `+
		`save_file({k: v.clone().contiguous() for %s for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}, '%s', {'format': 'pt'})"`+
		` (needs PyTorch, safetensors and memory for the whole model)`, found, where, imports, loop, singleFile)
}

// fileNames lists a folder in ascending order; one that cannot be read is empty here, as its error has been reported or
// will be.
func fileNames(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// shellWord writes a path as one word of a shell command; "" if it holds what cannot be shown on one line.
func shellWord(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	if strings.HasPrefix(path, "-") {
		path = "." + string(filepath.Separator) + path
	}
	if regexp.MustCompile(`^[\w./-]+$`).MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
