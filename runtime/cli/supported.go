package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"aquifer/gguf"
	"aquifer/models"
	"aquifer/models/checkpoint"
)

// The store holds what other tools put there as well. What follows looks at the begin of a model to tell whether it is of a
// kind that runs here, without the time it takes to read all of a header.

// maxConfig bounds a config.json that is only looked at.
const maxConfig = 1 << 20

// unsupportedFolder says why a checkpoint folder can't be run; empty if that is not known.
func unsupportedFolder(path string) string {
	f, err := os.Open(filepath.Join(path, "config.json"))
	if err != nil {
		return "config.json can't be read"
	}
	defer f.Close()
	text, err := readText(f, maxConfig)
	if err != nil {
		return "config.json can't be read"
	}
	var c struct {
		ModelType string `json:"model_type"`
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return "config.json is no JSON"
	}
	return unsupported(strings.TrimSuffix(c.ModelType, "_aqlm"), models.Architectures())
}

// unsupportedGGUF says why a GGUF file can't be run; empty if that is not known.
func unsupportedGGUF(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "it can't be read"
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "it is no file"
	}
	arch, err := gguf.Architecture(f, info.Size())
	if err != nil {
		return "it is no GGUF file that can be read"
	}
	var known []string
	for _, a := range checkpoint.Archs() {
		known = append(known, a.GGUF)
	}
	return unsupported(arch, known)
}

func unsupported(arch string, known []string) string {
	switch {
	case arch == "":
		return "it does not say its architecture"
	case !slices.Contains(known, arch):
		return fmt.Sprintf("architecture %.40q", arch)
	}
	return ""
}

// keepSupported leaves out what can't be run, and says why nothing is left, if so.
func (l *listedModel) keepSupported() {
	if l.Problem != "" {
		return
	}
	var why []string
	if l.folder {
		if text := unsupportedFolder(l.Path); text != "" {
			l.folder, why = false, append(why, text)
		}
	}
	var files []string
	for _, file := range l.files {
		text := unsupportedGGUF(filepath.Join(l.Path, filepath.FromSlash(file)))
		if text == "" {
			files = append(files, file)
		} else if !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	if l.files = files; !l.folder && len(files) == 0 {
		l.Unsupported = strings.Join(why, "; ")
	}
}
