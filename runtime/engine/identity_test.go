package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aquifer/backends"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/models/modeltest"
	"aquifer/runtime/plan"
)

// TestIdentity: every bit of the weights counts, and so does whatever else changes the bytes of a block.
func TestIdentity(t *testing.T) {
	source := filepath.Join(modeltest.Golden(t), "llama-2x8g8")
	dir := t.TempDir()
	var weights []string
	entries, err := os.ReadDir(source)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(source, entry.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, entry.Name()), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(entry.Name(), ".safetensors") {
			weights = append(weights, filepath.Join(dir, entry.Name()))
		}
	}
	identity := func(dir string, layout string, change func(*Config)) [32]byte {
		t.Helper()
		ck, err := checkpoint.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		m, err := models.Build(ck)
		if err != nil {
			t.Fatal(err)
		}
		c := Config{Model: m, Checkpoint: ck, Backend: named{info: backends.Info{Name: "x", Level: "avx2", BuildID: "1"}}}
		if change != nil {
			change(&c)
		}
		list, total, err := chunks(m, ck)
		if err != nil {
			t.Fatal(err)
		}
		if err := loadWeights(t.Context(), discard{}, list, total, true, nil); err != nil {
			t.Fatal(err)
		}
		return c.identity(backends.BlockLayout{Name: layout, Bytes: 8}, list)
	}
	first := identity(source, "a", nil)
	if got := identity(dir, "a", func(c *Config) { c.Model.Name, c.Model.Plan.Name, c.MaxSeqs, c.ID = "x", "y", 7, "z" }); got != first {
		t.Error("a copy of the model is another one")
	}
	seen := map[[32]byte]string{first: "the first"}
	note := func(name string, id [32]byte) {
		if other, ok := seen[id]; ok {
			t.Errorf("%s has the identity of %s", name, other)
		}
		seen[id] = name
	}
	note("another layout", identity(dir, "b", nil))
	for name, change := range map[string]func(*Config){
		"fast":          func(c *Config) { c.Precision = backends.Fast },
		"auto":          func(c *Config) { c.Precision = backends.Auto },
		"another level": func(c *Config) { c.Backend = named{info: backends.Info{Name: "x", Level: "avx512", BuildID: "1"}} },
		"another build": func(c *Config) { c.Backend = named{info: backends.Info{Name: "x", Level: "avx2", BuildID: "2"}} },
		"a parameter":   func(c *Config) { c.Model.Plan.Ops[1].F[0] += 1e-7 },
		"a constant": func(c *Config) {
			for _, values := range c.Model.Plan.Consts {
				values[0] += 1e-6
				return
			}
		},
	} {
		note(name, identity(dir, "a", change))
	}
	if len(weights) == 0 {
		t.Fatal("no file with weights")
	}
	data, err := os.ReadFile(weights[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 { // bits of tensors in several places of the file
		changed := slices.Clone(data)
		changed[len(changed)-1-i*len(changed)/5] ^= 1
		if err := os.WriteFile(weights[0], changed, 0o600); err != nil {
			t.Fatal(err)
		}
		note("a bit of the weights", identity(dir, "a", nil))
	}
}

// named is a backend that only says who it is.
type named struct {
	backends.Backend
	info backends.Info
}

func (n named) Info() backends.Info { return n.info }

// discard takes weights and forgets them.
type discard struct{ backends.Program }

func (discard) Load(plan.Weight, plan.Part, int, int, []byte) error { return nil }
