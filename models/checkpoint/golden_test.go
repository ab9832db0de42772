package checkpoint

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aquifer/models/modeltest"
)

func goldenNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "bad" {
			names = append(names, e.Name())
		}
	}
	if len(names) < 20 {
		t.Fatalf("%s holds only %v", dir, names)
	}
	return names
}

func TestOpenGolden(t *testing.T) {
	dir := modeltest.Golden(t)
	for _, name := range goldenNames(t, dir) {
		t.Run(name, func(t *testing.T) {
			c, err := Open(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.Name != name || c.Format != Folder || c.Size == 0 || len(c.Names()) == 0 {
				t.Errorf("opened as %q, %v, %d bytes, %d tensors", c.Name, c.Format, c.Size, len(c.Names()))
			}
			scheme, ok, err := c.Config.AQLM()
			if err != nil || !ok {
				t.Fatalf("AQLM: %v, %v", ok, err)
			}
			for _, tensor := range c.Names() {
				module, isCodes := strings.CutSuffix(tensor, ".codes")
				if !isCodes {
					continue
				}
				codes, _ := c.Tensor(tensor)
				books, ok := c.Tensor(module + ".codebooks")
				want := []int{scheme.Codebooks, 1 << scheme.Bits, scheme.OutGroup, scheme.InGroup}
				if !ok || codes.Shape[2] != scheme.Codebooks || !slices.Equal(books.Shape, want) {
					t.Errorf("%s: codes %v, codebooks %v, scheme %+v", module, codes.Shape, books.Shape, scheme)
				}
			}
			if err := c.Unchanged(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOpenBad covers the malformed checkpoints whose fault shows in the files alone. The others are for package models:
// here they have to open.
func TestOpenBad(t *testing.T) {
	dir := filepath.Join(modeltest.Golden(t), "bad")
	// What the error must name, beside the file; st-* cases are about model.safetensors, idx-* about the index.
	names := map[string][]string{
		"cfg-missing": {"config.json"}, "cfg-empty": {"invalid JSON"}, "cfg-invalid-json": {"invalid JSON"}, "cfg-array": {"is an array"},
		"cfg-deep": {"nesting"}, "cfg-nan": {"rms_norm_eps"}, "cfg-infinity": {"rope_theta"}, "cfg-1e999": {"rope_theta", "1e999"},
		"idx-missing-shard": {"model-00002-of-00002.safetensors"}, "idx-parent-path": {"../../etc/passwd", "model.norm.weight"},
		"idx-absolute-path": {"/etc/passwd", "model.norm.weight"}, "idx-backslash-path": {`..\\..\\secret.safetensors`},
		"idx-tensor-not-in-shard": {"model.norm.weight", "model-00001-of-00002.safetensors"}, "idx-invalid-json": {"invalid JSON"},
		"idx-no-weight-map": {"weight_map"}, "idx-not-a-string": {"weight_map", "model.norm.weight", "number"},
		"idx-no-weights": {"no weights found"},
		"st-7-bytes":     {"header length"}, "st-dtype-unknown": {"model.norm.weight", "X16"}, "st-duplicate-key": {"model.norm.weight"},
		"st-empty": {"header length"}, "st-header-array": {"object"}, "st-header-beyond-file": {"22912"}, "st-header-deep": {"header", "JSON"},
		"st-header-i64-max": {"9223372036854775807"}, "st-header-not-json": {"header"}, "st-header-not-utf8": {"UTF-8"},
		"st-header-over-limit": {"100000001"}, "st-header-u64-max": {"18446744073709551615"}, "st-header-zero": {"is 0"},
		"st-hole": {"lm_head.weight", "32 unused"}, "st-offsets-beyond": {"lm_head.weight", "beyond"}, "st-offsets-fraction": {"embed_tokens", "0.5"},
		"st-offsets-negative": {"embed_tokens", "-16"}, "st-offsets-reversed": {"lm_head.weight", "21312", "20288"},
		"st-offsets-three": {"embed_tokens", "data_offsets"}, "st-offsets-u64": {"lm_head.weight", "data_offsets"},
		"st-overlap": {"model.norm.weight", "overlap"}, "st-shape-bytes": {"lm_head.weight", "shape"}, "st-shape-missing": {"model.norm.weight", "shape"},
		"st-shape-negative": {"lm_head.weight", "-32"}, "st-shape-overflow": {"lm_head.weight", "overflow"},
		"st-shape-overflow-exact": {"lm_head.weight", "shape"}, "st-trailing-bytes": {"64 unused bytes"},
		"st-truncated-data": {"lm_head.weight", "beyond"}, "st-truncated-header": {"header length", "804"},
	}
	cases := goldenNames(t, dir)
	for name := range names {
		if !slices.Contains(cases, name) {
			t.Errorf("there is no case %s", name)
		}
	}
	for _, name := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			c, err := Open(path)
			want, here := names[name]
			if !here {
				if strings.HasPrefix(name, "st-") || strings.HasPrefix(name, "idx-") {
					t.Errorf("no expectation for this case; got %v", err)
				} else if err != nil {
					t.Errorf("refused: %v", err)
				}
				if c != nil {
					c.Close()
				}
				return
			}
			if err == nil {
				c.Close()
				t.Fatal("accepted")
			}
			file := map[string]string{"cfg": "config.json", "st": "model.safetensors", "idx": "model.safetensors.index.json"}
			prefix, _, _ := strings.Cut(name, "-")
			for _, word := range append(want, path, file[prefix]) {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not name %q", err, word)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}
