package pull

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"aquifer/runtime/store"
)

// Names of the files of a checkpoint folder.
const (
	configFile = "config.json"
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// side are the files beside the weights that the program reads. What other programs need is theirs to fetch.
var side = []string{
	configFile, "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
}

// papers are for people: the model card, and the licence, which has to go with the weights.
var papers = []string{"README.md", "LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING", "NOTICE", "USE_POLICY.md"}

// Limits of what is fetched besides weights, in bytes.
const (
	maxSide   = 64 << 20
	maxPapers = 4 << 20
)

// ChoiceError says that a repository has several models in it, or not the one that was named.
type ChoiceError struct {
	Repo  store.Repo
	Wrong string // what was named; empty for nothing
	Files []string
}

func (e *ChoiceError) Error() string {
	list := e.Files
	if len(list) > maxListed {
		list = append(slices.Clone(list[:maxListed]), "...")
	}
	names := strings.Join(list, ", ")
	if e.Wrong != "" {
		return fmt.Sprintf("%s has no file %.100q; it has %s", e.Repo, e.Wrong, names)
	}
	return fmt.Sprintf("%s has %d GGUF files: %s; name one, as in %s/%s", e.Repo, len(e.Files), names, e.Repo, e.Files[0])
}

const maxListed = 12

// WeightsError says that a repository holds no weights that can be run.
type WeightsError struct {
	Repo store.Repo
	Why  string
}

func (e *WeightsError) Error() string { return fmt.Sprintf("%s %s", e.Repo, e.Why) }

// choose picks the files that the model needs. An index of shards is fetched for that.
func (j *job) choose(ctx context.Context, files []store.File, want string) ([]store.File, error) {
	byName := map[string]store.File{}
	var ggufs []string
	for _, f := range files {
		byName[f.Path] = f
		if strings.HasSuffix(f.Path, ".gguf") {
			ggufs = append(ggufs, f.Path)
		}
	}
	var chosen []string
	_, config := byName[configFile]
	_, single := byName[singleFile]
	_, sharded := byName[indexFile]
	switch {
	case want != "":
		if !slices.Contains(ggufs, want) {
			return nil, &ChoiceError{j.repo, want, or(ggufs, "no GGUF files")}
		}
		chosen = []string{want}
	case config && single:
		chosen = append([]string{singleFile}, side...)
	case config && sharded:
		shards, err := j.shards(ctx, byName[indexFile])
		if err != nil {
			return nil, err
		}
		for _, name := range shards {
			if _, ok := byName[name]; !ok {
				return nil, &WeightsError{j.repo, fmt.Sprintf("is incomplete: its index names %.100q, which it does not have", name)}
			}
		}
		chosen = slices.Concat([]string{indexFile}, shards, side)
	case len(ggufs) == 1:
		chosen = ggufs
	case len(ggufs) > 1:
		return nil, &ChoiceError{Repo: j.repo, Files: ggufs}
	default:
		return nil, &WeightsError{j.repo, noWeights(files, config)}
	}
	var picked []store.File
	for _, name := range slices.Concat(chosen, papers) {
		f, ok := byName[name]
		if !ok {
			continue
		}
		if slices.Contains(papers, name) && f.Size > maxPapers {
			continue
		}
		if (slices.Contains(side, name) || name == indexFile) && f.Size > maxSide {
			return nil, &WeightsError{j.repo, fmt.Sprintf("has a %s of %d bytes, which is over the limit of %d", name, f.Size, maxSide)}
		}
		picked = append(picked, f)
	}
	return picked, nil
}

func or(list []string, instead string) []string {
	if len(list) == 0 {
		return []string{instead}
	}
	return list
}

// noWeights says what a repository has instead.
func noWeights(files []store.File, config bool) string {
	has := func(match func(name string) bool) bool {
		return slices.ContainsFunc(files, func(f store.File) bool { return match(f.Path) })
	}
	switch {
	case has(func(name string) bool { return strings.HasPrefix(path.Base(name), "codes_120") }):
		return "has the layout of AQLM.rs, which is not supported; pull the model that it was made from"
	case has(func(name string) bool { return strings.HasSuffix(name, ".safetensors") }):
		return "has safetensors files, but not under the names of a checkpoint; is it an adapter or a part of a model?"
	case has(func(name string) bool {
		return strings.HasSuffix(name, ".bin") || strings.HasSuffix(name, ".pth") || strings.HasSuffix(name, ".pt")
	}):
		return "has weights of PyTorch only, which are programs and are not run; look for a copy with safetensors"
	case config:
		return "has no weights"
	}
	return "holds no model: neither config.json nor a GGUF file"
}

// shards fetches the index of the weights and returns the files that it names.
func (j *job) shards(ctx context.Context, index store.File) ([]string, error) {
	if index.Size > maxSide {
		return nil, &WeightsError{j.repo, fmt.Sprintf("has an index of %d bytes, which is over the limit of %d", index.Size, maxSide)}
	}
	if err := j.fetch(ctx, index); err != nil {
		return nil, err
	}
	text, err := j.Store.Content(j.repo, index.Digest, maxSide)
	if err != nil {
		return nil, err
	}
	shards, err := store.Shards(text)
	if err != nil {
		return nil, &WeightsError{j.repo, "has an index that can't be read: " + err.Error()}
	}
	return shards, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
