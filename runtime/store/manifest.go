package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"aquifer/runtime/vfs"
)

// File is a file of a snapshot.
type File struct {
	Path   string // slash-separated; has passed CheckPath
	Digest Digest
	Size   int64
}

// Manifest is our record of a snapshot that we pulled: which files make it complete. The other tools have none.
type Manifest struct {
	Commit   Commit
	Revision string // the branch, tag or commit that was asked for
	Source   string // where it came from: an endpoint, or the URL of a file
	Files    []File
}

// maxManifest bounds what is read; a file takes about 150 bytes.
const maxManifest = 16 << 20

type manifestJSON struct {
	Version  int            `json:"version"`
	Revision string         `json:"revision"`
	Source   string         `json:"source"`
	Files    []manifestFile `json:"files"`
}

type manifestFile struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

func (m Manifest) encode() ([]byte, error) {
	out := manifestJSON{Version: 1, Revision: m.Revision, Source: m.Source}
	for _, f := range m.Files {
		out.Files = append(out.Files, manifestFile{f.Path, f.Digest.hex, f.Size})
	}
	return json.MarshalIndent(out, "", "  ")
}

// manifest returns our record of a snapshot; ok is false if there is none, or one that cannot be understood: then the
// snapshot counts as another tool's.
func (s *Store) manifest(r Repo, c Commit) (m Manifest, ok bool, err error) {
	text, err := vfs.ReadFile(s.hub, manifestPath(r, c), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	m, err = decodeManifest(text)
	m.Commit = c
	return m, err == nil, nil
}

func decodeManifest(text []byte) (m Manifest, err error) {
	var in manifestJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return m, err
	}
	if in.Version != 1 {
		return m, fmt.Errorf("version %d is newer than this program", in.Version)
	}
	m.Revision, m.Source = in.Revision, in.Source
	for _, f := range in.Files {
		d, err := ParseDigest(f.Digest)
		if err := errors.Join(err, CheckPath(f.Path)); err != nil {
			return m, err
		}
		if f.Size < 0 {
			return m, fmt.Errorf("%s: %d bytes, which no file has", f.Path, f.Size)
		}
		m.Files = append(m.Files, File{f.Path, d, f.Size})
	}
	return m, nil
}
