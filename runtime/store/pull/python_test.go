package pull

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aquifer/runtime/store"
)

// pythonHub runs a program with the official library of the hub, or skips the test where that is missing.
func pythonHub(t *testing.T, b *bench, program string) string {
	t.Helper()
	python := os.Getenv("AQUIFER_TEST_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import huggingface_hub").CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Skipf("python3 cannot import huggingface_hub: %v: %s", err, lines[len(lines)-1])
	}
	cmd := exec.Command(python, "-c", program)
	cmd.Env = append(os.Environ(), "HF_ENDPOINT="+b.hub.URL, "HF_HUB_CACHE="+filepath.Join(b.dir, "hub"), "HF_HUB_DISABLE_TELEMETRY=1",
		"HF_HUB_DISABLE_PROGRESS_BARS=1", "HF_HUB_DISABLE_XET=1", "HF_HOME="+b.dir, "HF_TOKEN="+token)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// TestPythonFindsOurs: the official library finds, without network, what we pulled, and its scan of the cache sees
// nothing wrong with it.
func TestPythonFindsOurs(t *testing.T) {
	b := newBench(t)
	m, err := b.puller(t, b.open(t)).Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	out := pythonHub(t, b, `
import json, os
from huggingface_hub import snapshot_download, hf_hub_download, scan_cache_dir
folder = snapshot_download("org/model", local_files_only=True)
one = hf_hub_download("org/model", "config.json", local_files_only=True)
scan = scan_cache_dir()
print(json.dumps({
    "folder": folder, "files": sorted(os.listdir(folder)), "one": one, "warnings": [str(w) for w in scan.warnings],
    "repos": [[r.repo_id, r.size_on_disk, [sorted(x.refs) for x in r.revisions]] for r in scan.repos],
    "incomplete": len(scan.incomplete_files)}))`)
	var got struct {
		Folder, One string
		Files       []string
		Warnings    []string
		Repos       [][]any
		Incomplete  int
	}
	try(t, json.Unmarshal([]byte(out), &got))
	if got.Folder != m.Path || got.One != filepath.Join(m.Path, "config.json") || !slices.Equal(got.Files, wanted) {
		t.Errorf("%+v, want %s with %q", got, m.Path, wanted)
	}
	if len(got.Warnings) > 0 || got.Incomplete != 0 || len(got.Repos) != 1 || got.Repos[0][0] != "org/model" || got.Repos[0][1] != float64(m.Bytes) {
		t.Errorf("the scan: %s", out)
	}
}

// TestWeFindPythons: we find what the official library fetched, and a pull of it fetches nothing.
func TestWeFindPythons(t *testing.T) {
	b := newBench(t)
	folder := pythonHub(t, b, `
from huggingface_hub import snapshot_download
print(snapshot_download("org/model", allow_patterns=["*.json", "*.md", "LICENSE", "model.safetensors"]))`)
	s := b.open(t)
	m, err := s.Find(b.repo, "")
	try(t, err)
	if m.Path != folder || m.Broken != "" || m.Pulled || !slices.Contains(m.Revisions, "main") {
		t.Errorf("%+v, want %s", m, folder)
	}
	if damage, err := s.Verify(context.Background(), m, nil); err != nil || len(damage) > 0 {
		t.Errorf("%+v, %v", damage, err)
	}
	sent := b.hub.Sent()
	m, err = b.puller(t, s).Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	if b.hub.Sent() != sent || m.Path != folder || !m.Pulled || m.Broken != "" {
		t.Errorf("a pull of what is there fetched %d bytes: %+v", b.hub.Sent()-sent, m)
	}
	// And the library still does.
	if again := pythonHub(t, b, `
from huggingface_hub import snapshot_download
print(snapshot_download("org/model", allow_patterns=["*.json", "model.safetensors"], local_files_only=True))`); again != folder {
		t.Errorf("the library finds %s", again)
	}
}

// TestPythonWaitsForUs: the library waits for a file that we are fetching, and finds it there.
func TestPythonWaitsForUs(t *testing.T) {
	b := newBench(t)
	s := b.open(t)
	data := modelFiles()["model.safetensors"]
	d, err := store.ParseDigest(digestOf(string(data)))
	try(t, err)
	part, err := s.Begin(context.Background(), b.repo, d, int64(len(data)), nil)
	try(t, err)
	done := make(chan error, 1)
	go func() {
		// The library has asked the hub where the file is, and waits for the lock before it asks for the content.
		for len(b.hub.Log()) == 0 {
			select {
			case <-t.Context().Done():
				done <- part.Close()
				return
			default:
			}
		}
		w := part.Writer(0)
		_, err := w.Write(data)
		if err == nil {
			err = w.Flush()
		}
		if err == nil {
			_, err = part.Finish(context.Background())
		}
		done <- err
	}()
	pythonHub(t, b, `
from huggingface_hub import hf_hub_download
print(hf_hub_download("org/model", "model.safetensors"))`)
	try(t, <-done)
	for _, call := range b.hub.Log() {
		if call.Server == "cdn" && call.Method == "GET" {
			t.Errorf("the library fetched it again: %+v", call)
		}
	}
}
