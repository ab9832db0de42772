package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"aquifer/gguf/safetensors"
	"aquifer/runtime/plan"
)

// Names of the files in a folder.
const (
	configFile = "config.json"
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// maxShards bounds the files a checkpoint holds open; the largest published models have about 200.
const maxShards = 1000

func openFolder(dir string) (c *Checkpoint, err error) {
	text, ok, err := readFile(filepath.Join(dir, configFile), maxConfig)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, in(dir, fmt.Errorf("no %s; the folder holds %s%s", configFile, listing(dir), hint(dir)))
	}
	c = &Checkpoint{
		Name: NameOf(dir), Path: dir, Format: Folder, tensors: map[string]Tensor{}, pairing: plan.RopeHalf,
	}
	defer func() {
		if err != nil {
			c.Close()
			c = nil
		}
	}()
	if c.Config, err = ParseConfig(filepath.Join(dir, configFile), text); err != nil {
		return c, err
	}
	if err := c.openWeights(dir); err != nil {
		return c, err
	}
	slices.Sort(c.names)
	return c, c.readSide(dir)
}

// hint says what to do about a folder without config.json that holds a model in another form.
func hint(dir string) string {
	names := fileNames(dir)
	if slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, ".gguf") }) {
		return "; name the .gguf file itself"
	}
	if form := foreignLayout(dir, names); form != "" {
		return "; " + form
	}
	return ""
}

// openWeights opens model.safetensors or the shards of the index. Only those: folders of old revisions hold stale
// shards that no index names.
func (c *Checkpoint) openWeights(dir string) error {
	single := filepath.Join(dir, singleFile)
	header, f, err := c.openShard(single)
	if err == nil {
		for _, t := range header.Tensors {
			if err := c.addShardTensor(f, t); err != nil {
				return err
			}
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, ok, err := readFile(filepath.Join(dir, indexFile), maxIndex)
	if err != nil {
		return err
	}
	if ok {
		return c.openShards(dir, text)
	}
	if form := foreignForm(dir); form != "" {
		return in(dir, fmt.Errorf("no safetensors weights: %s", form))
	}
	return in(dir, fmt.Errorf("no weights found: neither %s nor %s; the folder holds %s", singleFile, indexFile, listing(dir)))
}

// openShard opens one safetensors file and reads its header. The checkpoint owns the file from then on.
func (c *Checkpoint) openShard(path string) (*safetensors.File, *file, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	c.files = append(c.files, f)
	header, err := safetensors.Read(f, f.info.Size())
	if err != nil {
		return nil, nil, in(path, err)
	}
	return header, f, nil
}

// openShards follows an index: every tensor of its weight_map must be in the shard it names. Tensors that a shard
// holds beyond the index are none of the checkpoint's.
func (c *Checkpoint) openShards(dir string, text []byte) error {
	path := filepath.Join(dir, indexFile)
	byShard, err := parseIndex(text)
	if err != nil {
		return in(path, err)
	}
	for _, shard := range slices.Sorted(maps.Keys(byShard)) {
		names := byShard[shard]
		header, f, err := c.openShard(filepath.Join(dir, shard))
		if errors.Is(err, fs.ErrNotExist) {
			return in(path, fmt.Errorf("weight_map: tensor %.100q is in %s, which does not exist; the folder holds %s", names[0], shard, listing(dir)))
		}
		if err != nil {
			return err
		}
		held := make(map[string]safetensors.Tensor, len(header.Tensors))
		for _, t := range header.Tensors {
			held[t.Name] = t
		}
		for _, name := range names {
			t, ok := held[name]
			if !ok {
				return in(path, fmt.Errorf("weight_map: tensor %.100q is not in %s", name, shard))
			}
			if err := c.addShardTensor(f, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseIndex returns the tensor names of every shard, ascending.
func parseIndex(text []byte) (map[string][]string, error) {
	index, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	weights, ok := index["weight_map"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("weight_map: is %s, must be an object", kindOf(index["weight_map"]))
	}
	byShard := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		shard, ok := weights[name].(string)
		if !ok {
			return nil, fmt.Errorf("weight_map: tensor %.100q: is %s, must be a file name", name, kindOf(weights[name]))
		}
		if !plainName(shard) {
			return nil, fmt.Errorf("weight_map: tensor %.100q: %.100q is not the plain name of a .safetensors file", name, shard)
		}
		if byShard[shard] = append(byShard[shard], name); len(byShard) > maxShards {
			return nil, fmt.Errorf("weight_map: more than %d files", maxShards)
		}
	}
	if len(byShard) == 0 {
		return nil, errors.New("weight_map: is empty")
	}
	return byShard, nil
}

// plainName reports whether a file name from an index names a file of the same folder on every system.
func plainName(name string) bool {
	const suffix = ".safetensors"
	if !strings.HasSuffix(name, suffix) || len(name) == len(suffix) || len(name) > 255 || name[0] == '.' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r < 0x20 || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r)
	}) && filepath.IsLocal(name)
}

func (c *Checkpoint) addShardTensor(f *file, t safetensors.Tensor) error {
	shape, err := intShape(t.Shape)
	if err != nil {
		return in(f.path, fmt.Errorf("tensor %.100q: %w", t.Name, err))
	}
	c.add(Tensor{
		Name: t.Name, DType: safetensorsType(t.DType), TypeName: t.DType, Shape: shape, Bytes: t.Size, Stored: t.Size,
		File: f.path, r: f, off: t.Offset,
	})
	return nil
}

func intShape(dims []int64) ([]int, error) {
	shape := make([]int, len(dims))
	for i, d := range dims {
		if d < 0 || d > math.MaxInt {
			return nil, fmt.Errorf("shape %v: dimension out of range", dims)
		}
		shape[i] = int(d)
	}
	return shape, nil
}

func safetensorsType(name string) plan.DType {
	switch name {
	case "F32":
		return plan.F32
	case "F16":
		return plan.F16
	case "BF16":
		return plan.BF16
	case "I8":
		return plan.I8
	case "I16":
		return plan.I16
	case "I32":
		return plan.I32
	}
	return Unsupported
}
