package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"aquifer/models/checkpoint"
	"aquifer/models/embedded"
)

// isModelArg tells a model from the first word of a prompt: a name that is known, a folder that exists, or anything
// spelled like a path to a model. A path that does not exist counts too, so that a typing mistake is reported instead of
// being sent to another model as a prompt.
func (a *app) isModelArg(arg string) bool {
	return spelledAsPath(arg) || a.knownName(arg)
}

// oneModel takes the model from the flag or the only argument.
func oneModel(s settings, args []string) (string, error) {
	path := s.str("model")
	if len(args) == 0 {
		return path, nil
	}
	if path != "" {
		return "", usageErrorf("two models: %s and %s; name one", path, args[0])
	}
	return args[0], nil
}

func spelledAsPath(arg string) bool {
	if strings.ContainsAny(arg, " \t\n") {
		return isDir(arg) || isFile(arg) && strings.HasSuffix(arg, ".gguf")
	}
	for _, prefix := range []string{"./", "../", "~/", "/", `.\`, `..\`} {
		if strings.HasPrefix(arg, prefix) {
			return true
		}
	}
	return strings.HasSuffix(arg, ".gguf") && !isURL(arg) || filepath.IsAbs(arg) || isDir(arg)
}

func isURL(arg string) bool {
	return strings.HasPrefix(arg, "https://") || strings.HasPrefix(arg, "http://")
}

// hubName matches ORG/REPO[/FILE.gguf][@REVISION], the way hubs name models, and NAME:TAG. In front of a prompt it counts
// as a model; alone it may be a short prompt ("and/or").
var hubName = regexp.MustCompile(`^([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w./-]*(@[\w./+-]+)?|[a-z][a-z0-9.-]*:[a-z0-9][a-z0-9.-]*)$`)

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// openCheckpoint opens the model that an argument names, or the embedded one if it is empty.
func (a *app) openCheckpoint(arg string) (*checkpoint.Checkpoint, error) {
	if arg == "" {
		r, size, name, ok := embedded.Open()
		if !ok {
			return nil, advise(errors.New("no model is named and this build carries none"),
				"name a model, as in: aquifer run -m llama3.2:1b, a checkpoint folder or a GGUF file")
		}
		return checkpoint.OpenGGUF(name, r, size)
	}
	path, err := a.locate(arg)
	if err != nil {
		return nil, err
	}
	ck, err := checkpoint.Open(path)
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
