package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aquifer/gguf"
	"aquifer/runtime/store"
)

// foreign puts a model into the cache as another tool would.
func foreign(t *testing.T, home, repo string, files map[string]string) {
	t.Helper()
	dir := filepath.Join(home, "hub", "models--"+strings.ReplaceAll(repo, "/", "--"))
	commit := strings.Repeat("d", 40)
	all := map[string]string{filepath.Join("refs", store.MainRevision): commit}
	for name, text := range files {
		all[filepath.Join("snapshots", commit, name)] = text
	}
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// header is that of a GGUF file without tensors.
func header(t *testing.T, arch string) string {
	t.Helper()
	var b bytes.Buffer
	if err := gguf.Write(&b, []gguf.KV{{Key: "general.architecture", Value: arch}}, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestUnsupported: what the cache holds and does not run here is said to be so, and not offered.
func TestUnsupported(t *testing.T) {
	_, home := hubWithTiny(t)
	foreign(t, home, "a/bert", map[string]string{"bert.gguf": header(t, "bert")})
	foreign(t, home, "b/mixed", map[string]string{"x.gguf": header(t, "nemotron_h"), "y.gguf": header(t, "llama"), "z.gguf": header(t, "llama")})
	foreign(t, home, "c/junk", map[string]string{"c.gguf": "no model at all, but some text"})
	foreign(t, home, "d/folder", map[string]string{"config.json": `{"model_type":"whisper"}`, "model.safetensors": "x"})
	foreign(t, home, "e/good", map[string]string{"e.gguf": header(t, "qwen2")})
	want := map[string]string{
		"a/bert": `architecture "bert"`, "b/mixed": "", "c/junk": "it is no GGUF file that can be read", "d/folder": `architecture "whisper"`, "e/good": "",
	}
	list := asJSON[[]listedModel](t, "list")
	for _, m := range list {
		if why, ok := want[m.Name]; !ok || m.Unsupported != why {
			t.Errorf("%s: unsupported: %q", m.Name, m.Unsupported)
		}
	}
	if len(list) != len(want) {
		t.Errorf("%d models", len(list))
	}
	if out, _ := succeed(t, "", "list"); !strings.Contains(out, `unsupported: architecture "whisper"`) {
		t.Error(out)
	}
	base, _, _ := startServer(t, "--context", "100")
	var models struct{ Data []struct{ ID string } }
	get(t, "GET", base+"/v1/models", "", &models)
	var ids []string
	for _, m := range models.Data {
		ids = append(ids, m.ID)
	}
	for _, id := range []string{"b/mixed/y.gguf", "b/mixed/z.gguf", "e/good"} {
		if !slices.Contains(ids, id) {
			t.Errorf("no %s in %v", id, ids)
		}
	}
	for _, id := range ids {
		if strings.Contains(id, "bert") || strings.Contains(id, "x.gguf") || strings.Contains(id, "junk") || strings.Contains(id, "folder") {
			t.Errorf("%s is offered", id)
		}
	}
	for name, says := range map[string]string{"a/bert": `"bert"`, "b/mixed/x.gguf": `"nemotron_h"`, "d/folder": `"whisper"`} {
		code, a := askModel(t, base, name, "")
		if code != 404 || a.Error.Code != "model_not_found" || !strings.Contains(a.Error.Message, says) {
			t.Errorf("%s: %d %+v", name, code, a.Error)
		}
	}
}
