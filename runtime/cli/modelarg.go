package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"aquifer/models/checkpoint"
	"aquifer/models/embedded"
)

// isModelArg tells a model from the first word of a prompt: a folder that exists, or anything spelled like a path to
// a model. A path that does not exist counts too, so that a typing mistake is reported instead of being sent to
// another model as a prompt.
func isModelArg(arg string) bool {
	if strings.ContainsAny(arg, " \t\n") {
		return isDir(arg) || isFile(arg) && strings.HasSuffix(arg, ".gguf")
	}
	for _, prefix := range []string{"./", "../", "~/", "/", `.\`, `..\`} {
		if strings.HasPrefix(arg, prefix) {
			return true
		}
	}
	return strings.HasSuffix(arg, ".gguf") || filepath.IsAbs(arg) || isDir(arg)
}

// repository matches ORG/REPO, the way hubs name models. In front of a prompt it counts as a model; alone it may be a
// short prompt ("and/or").
var repository = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$`)

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// openCheckpoint opens the model at path, or the embedded one if path is empty.
func openCheckpoint(path string) (*checkpoint.Checkpoint, error) {
	if path == "" {
		r, size, name, ok := embedded.Open()
		if !ok {
			return nil, advise(errors.New("no model is named and this build carries none"),
				"name a checkpoint folder or a GGUF file, as in: aquifer run -m PATH")
		}
		return checkpoint.OpenGGUF(name, r, size)
	}
	ck, err := checkpoint.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !isDir(path) && !isFile(path) {
		return nil, notFound(path)
	}
	return ck, advise(err, "if the file is damaged download it again; a model is a folder with config.json and "+
		"safetensors files, or one GGUF file")
}

// notFound says what was looked for and which models are where it was looked for.
func notFound(path string) error {
	dir := filepath.Dir(path)
	for !isDir(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	err := fmt.Errorf("no model at %s: neither a folder nor a GGUF file", path)
	if repository.MatchString(path) && !isDir(filepath.Dir(path)) {
		return advise(err, "aquifer does not download models yet: fetch the repository's files into a folder and name that")
	}
	if found := modelsIn(dir); len(found) > 0 {
		return advise(err, "%s has %s", dir, strings.Join(found, ", "))
	}
	return advise(err, "%s has no models either: check the path, or leave the model out to use the embedded one", dir)
}

// modelsIn lists some of the checkpoint folders and GGUF files in a folder.
func modelsIn(dir string) []string {
	const most = 8
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if isFile(filepath.Join(path, "config.json")) || strings.HasSuffix(path, ".gguf") && isFile(path) {
			if len(found) == most {
				return append(found, "...")
			}
			found = append(found, e.Name())
		}
	}
	return found
}
